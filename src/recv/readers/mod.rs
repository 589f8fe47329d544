//! Sources of packets, one file each.

mod framer;
mod inproc;
mod inproc_queue;
mod memory;
mod refill;
mod tcp;
mod udp;

pub use inproc::{InprocQueue, InprocReader, PacketBytes, Stopped, TryAddError};
pub use memory::MemoryReader;
pub use tcp::{Connections, DEFAULT_MAX_TCP_PACKET, TcpConfig, TcpReader};
pub use udp::UdpReader;

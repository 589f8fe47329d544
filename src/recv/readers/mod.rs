//! Sources of packets, one file each.

mod framer;
mod memory;
mod refill;
mod tcp;
mod udp;

pub use memory::MemoryReader;
pub use tcp::{Connections, DEFAULT_MAX_TCP_PACKET, TcpConfig, TcpReader};
pub use udp::UdpReader;

//! Sources of packets, one file each.

mod framer;
mod inproc;
mod inproc_queue;
mod memory;
#[cfg(feature = "pcap")]
mod pcap;
#[cfg(feature = "pcap")]
mod pcap_error;
#[cfg(feature = "pcap")]
mod pcap_file;
#[cfg(feature = "pcap")]
mod pcap_link;
mod refill;
mod tcp;
mod udp;

pub use inproc::{InprocQueue, InprocReader, PacketBytes, Stopped, TryAddError};
pub use memory::MemoryReader;
#[cfg(feature = "pcap")]
pub use pcap::{CapturedDatagram, PcapConfig, PcapCounts, PcapReader};
#[cfg(feature = "pcap")]
pub use pcap_error::PcapError;
pub use tcp::{Connections, DEFAULT_MAX_TCP_PACKET, TcpConfig, TcpReader};
pub use udp::UdpReader;

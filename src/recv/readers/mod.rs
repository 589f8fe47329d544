//! Sources of packets, one file each.

mod framer;
#[cfg(all(any(test, speadway_fuzz), not(speadway_loom)))]
pub(super) mod framing_fuzz;
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
mod pcap_filter;
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
#[cfg(feature = "pcap")]
pub use pcap_filter::{PcapFilter, PcapFilterError};
pub use tcp::{Connections, DEFAULT_MAX_TCP_PACKET, TcpConfig, TcpReader};
pub use udp::UdpReader;

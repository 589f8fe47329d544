//! Sources of packets, one file each.

mod memory;
mod udp;

pub use memory::MemoryReader;
pub use udp::UdpReader;

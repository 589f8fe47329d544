//! Sockets: the only place with raw socket system calls.
//!
//! UDP is received many datagrams a call ([`UdpReceiver`]), where the system can in trains that
//! the kernel merged. Nothing here knows of SPEAD, and nothing blocks.
//!
//! What differs between systems is in one module for Linux and one for the others, behind one
//! interface. What a kernel can do is probed when a socket is set up; what it cannot is done
//! without, and logged for debugging.

mod config;
mod error;
mod interface;
#[cfg(target_os = "linux")]
mod linux;
mod raw;
mod receiver;
mod socket;
mod staging;

#[cfg(target_os = "linux")]
use linux as imp;

pub use config::{DEFAULT_MAX_DATAGRAM, DEFAULT_RECV_BUFFER, Granted, UdpConfig};
pub use error::NetError;
pub use interface::{Interface, InterfaceInfo, interfaces};
pub use receiver::{ReceiverConfig, UdpReceiver};
pub use socket::{UdpSocket, adopt_udp, bind_udp};
pub use staging::Datagram;

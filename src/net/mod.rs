//! Sockets: the only place with raw socket system calls.
//!
//! UDP is received many datagrams a call ([`UdpReceiver`]), where the system can in trains that
//! the kernel merged, and sent likewise ([`UdpSender`]). Nothing here knows of SPEAD, and nothing blocks.
//!
//! What differs between systems is in one module for Linux and one for the others, behind one
//! interface. What a kernel can do is probed when a socket is set up; what it cannot is done
//! without, and logged for debugging.

mod config;
mod error;
#[cfg(any(test, not(target_os = "linux")))]
#[cfg_attr(target_os = "linux", allow(dead_code, reason = "its tests use what they need of it"))]
mod fallback;
mod interface;
#[cfg(target_os = "linux")]
mod linux;
mod pacing;
mod raw;
mod receiver;
mod sender;
mod socket;
mod staging;
mod tcp;
#[cfg(test)]
mod tests;

#[cfg(not(target_os = "linux"))]
use fallback as imp;
#[cfg(target_os = "linux")]
use linux as imp;

pub(crate) use pacing::{Discipline, departure_discipline, require_kernel_pacing};
pub(crate) use raw::recv_now;
pub(crate) use sender::{TRAIN_BYTES, TRAIN_PACKETS};

pub use config::{DEFAULT_MAX_DATAGRAM, DEFAULT_RECV_BUFFER, Granted, UdpConfig};
pub use error::NetError;
pub use interface::{Interface, InterfaceInfo, interfaces};
pub use receiver::{ReceiverConfig, UdpReceiver};
pub use sender::{DEFAULT_SEND_BUFFER, PacketParts, UdpSendConfig, UdpSender};
pub use socket::{UdpSocket, adopt_udp, bind_udp};
pub use staging::{Datagram, Train};
pub use tcp::{TcpListener, adopt_tcp_listener, adopt_tcp_stream, connect_tcp, listen_tcp};

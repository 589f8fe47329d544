//! Where packets come from.

use std::net::SocketAddr;
use std::time::SystemTime;

/// Where and when a packet was received, as far as its reader was asked to find out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The sender's address.
    pub source: Option<SocketAddr>,
    /// When the kernel received the packet.
    pub received: Option<SystemTime>,
}

impl Origin {
    /// An origin with what is known.
    #[must_use]
    pub fn new(source: Option<SocketAddr>, received: Option<SystemTime>) -> Self {
        Self { source, received }
    }
}

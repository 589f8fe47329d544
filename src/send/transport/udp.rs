//! Packets as UDP datagrams.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use super::Transport;
use crate::net::{NetError, PacketParts, UdpSendConfig, UdpSender};
use crate::recv::Watch;

/// Sends datagrams from one socket to one or several addresses, unicast or multicast.
///
/// ```
/// use speadway::net::UdpSendConfig;
/// use speadway::send::transport::UdpTransport;
/// let destination = "127.0.0.1:7148".parse()?;
/// let transport = UdpTransport::open(&[destination], &UdpSendConfig::to(destination))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UdpTransport {
    sender: UdpSender,
    destinations: Vec<SocketAddr>,
}

impl UdpTransport {
    /// Opens a socket as `config` says. Each destination is a substream.
    ///
    /// # Errors
    /// If the socket cannot be had.
    pub fn open(destinations: &[SocketAddr], config: &UdpSendConfig) -> Result<Self, NetError> {
        Ok(Self { sender: UdpSender::open(config)?, destinations: destinations.to_vec() })
    }

    /// Sends from a duplicate of a socket that somebody else made; `gso` says whether packets may
    /// be handed to the kernel in trains.
    ///
    /// # Errors
    /// If it is no UDP socket.
    pub fn adopt(
        fd: BorrowedFd<'_>,
        destinations: &[SocketAddr],
        gso: bool,
    ) -> Result<Self, NetError> {
        let sender = UdpSender::adopt(fd, gso)?;
        Ok(Self { sender, destinations: destinations.to_vec() })
    }

    /// The socket: its address, send buffer, and whether it sends in trains.
    #[must_use]
    pub fn sender(&self) -> &UdpSender {
        &self.sender
    }
}

impl Transport for UdpTransport {
    fn substreams(&self) -> usize {
        self.destinations.len()
    }

    fn attach(&mut self, watch: &mut Watch<'_>) -> io::Result<()> {
        watch.watch_writable(self.sender.as_fd())
    }

    fn send(&mut self, substream: usize, packets: &[PacketParts<'_>]) -> io::Result<usize> {
        self.sender.send(self.destinations.get(substream).copied(), packets)
    }

    fn set_kernel_rate(&mut self, bytes_per_second: f64) -> io::Result<()> {
        // The cast saturates; the limit is far above any network.
        self.sender.set_max_pacing_rate(bytes_per_second as u64).map_err(io::Error::other)
    }
}

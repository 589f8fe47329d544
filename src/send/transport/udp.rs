//! Packets as UDP datagrams.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::Transport;
use crate::net::{
    Discipline, Interface, NetError, PacketParts, UdpSendConfig, UdpSender, departure_discipline,
    require_kernel_pacing,
};
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
    /// Whether the socket was connected here, to its only destination.
    connected: bool,
    /// Where multicast leaves.
    interface: Interface,
}

impl UdpTransport {
    /// Opens a socket as `config` says. Each destination is a substream.
    ///
    /// A socket with a single destination is connected to it, which saves the kernel from looking up
    /// the route for each message. Packets go out all the same while nobody listens there.
    ///
    /// # Errors
    /// If the socket cannot be had.
    pub fn open(destinations: &[SocketAddr], config: &UdpSendConfig) -> Result<Self, NetError> {
        if let (&[only], None) = (destinations, config.connect)
            // A connected socket would send to port 0, which is none; otherwise the kernel refuses.
            && only.port() != 0
            // Without a route now there may be one later: then each heap finds out.
            && let Ok(sender) = UdpSender::open(&config.clone().connect(only))
        {
            let interface = config.interface.clone();
            return Ok(Self { sender, destinations: vec![only], connected: true, interface });
        }
        let (sender, interface) = (UdpSender::open(config)?, config.interface.clone());
        Ok(Self { sender, destinations: destinations.to_vec(), connected: false, interface })
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
        let (destinations, interface) = (destinations.to_vec(), Interface::Any);
        Ok(Self { sender, destinations, connected: false, interface })
    }

    /// The socket: its address, send buffer, and whether it sends in trains.
    #[must_use]
    pub fn sender(&self) -> &UdpSender {
        &self.sender
    }

    /// Where the packets of a substream go; `None` if the socket knows.
    fn destination(&self, substream: usize) -> Option<SocketAddr> {
        self.destinations.get(substream).copied().filter(|_| !self.connected)
    }

    /// What became of packets, without what is none of their heaps' business.
    fn excused(&self, sent: io::Result<usize>) -> io::Result<usize> {
        match sent {
            // A receiver that is not there yet: it concerns an earlier packet, and the next call goes
            // through.
            Err(error) if self.connected && error.kind() == io::ErrorKind::ConnectionRefused => {
                Err(io::ErrorKind::Interrupted.into())
            }
            sent => sent,
        }
    }
}

impl Transport for UdpTransport {
    fn substreams(&self) -> usize {
        self.destinations.len()
    }

    fn attach(&mut self, watch: &mut Watch<'_>) -> io::Result<()> {
        watch.watch_writable(self.sender.as_fd())
    }

    fn detach(&mut self, watch: &mut Watch<'_>) -> bool {
        // The kernel goes through a socket's watchers for each message that leaves it.
        watch.forget(self.sender.as_fd());
        true
    }

    fn send(&mut self, substream: usize, packets: &[PacketParts<'_>]) -> io::Result<usize> {
        let sent = self.sender.send(self.destination(substream), packets);
        self.excused(sent)
    }

    fn send_at(
        &mut self,
        substream: usize,
        packets: &[PacketParts<'_>],
        departures: &[Instant],
    ) -> io::Result<usize> {
        let sent = self.sender.send_at(self.destination(substream), packets, departures);
        self.excused(sent)
    }

    fn set_kernel_rate(&mut self, bytes_per_second: f64) -> io::Result<()> {
        for destination in &self.destinations {
            require_kernel_pacing(*destination, &self.interface, self.sender.most_messages())?;
        }
        // The cast saturates; the limit is far above any network.
        self.sender.set_max_pacing_rate(bytes_per_second as u64).map_err(io::Error::other)
    }

    fn set_departure_times(&mut self) -> io::Result<()> {
        let mut found = None;
        for destination in &self.destinations {
            let discipline = departure_discipline(*destination, &self.interface)?;
            if *found.get_or_insert(discipline) != discipline {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "a socket can have departure times for either fq or etf, and its destinations \
                     need both: use a transport for each",
                ));
            }
        }
        let discipline = found.unwrap_or(Discipline::Fq);
        self.sender.set_departure_times(discipline).map_err(io::Error::other)
    }
}

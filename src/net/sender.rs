//! Sending UDP, many packets a system call.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Instant;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::Interface;
use super::config::Granted;
use super::error::{Attempt, NetError};
use super::imp::{self, options};
use super::pacing::{Discipline, Timeline};
use super::socket::{bind_advice, local_addr, require_udp};

/// The send buffer asked for by default, in bytes: 512 KiB. It is what senders of these streams
/// have always used.
pub const DEFAULT_SEND_BUFFER: usize = 512 * 1024;

/// The most packets that the kernel takes as one train (`UDP_MAX_SEGMENTS` in linux/udp.h: 64, since
/// 6.9 128).
pub(crate) const TRAIN_PACKETS: usize = 64;

/// The most bytes of one train: what IPv4 takes, 65535 less its own and the UDP header. IPv6
/// would take 20 more, but an IPv6 socket may send over IPv4 too.
pub(crate) const TRAIN_BYTES: usize = 65_507;

/// What Linux charges a send buffer, of which it reports half, for a packet at least: a `sk_buff` and a
/// `skb_shared_info`, 256 and 320 bytes (`SKB_TRUESIZE` in linux/skbuff.h), and its data.
const LEAST_CHARGE: usize = 576;

/// How to set up a UDP socket to send from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UdpSendConfig {
    /// The local address to send from. Its family must be that of the destinations.
    pub bind: SocketAddr,
    /// Send to this address alone, which saves the kernel from looking up the route each time.
    pub connect: Option<SocketAddr>,
    /// The interface that multicast leaves from.
    pub interface: Interface,
    /// How many networks multicast may pass through; 1 stays in the local one.
    pub multicast_ttl: u32,
    /// Whether multicast is also delivered to receivers on this host.
    pub multicast_loop: bool,
    /// The size of the kernel's send buffer to ask for, in bytes; 0 leaves the system default.
    pub send_buffer: usize,
    /// Hand packets of equal size to the kernel in trains (`UDP_SEGMENT`), if it can.
    pub gso: bool,
}

impl UdpSendConfig {
    /// Sends to any address of the family of `destination`, with the default settings.
    #[must_use]
    pub fn to(destination: SocketAddr) -> Self {
        let bind = match destination {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        Self {
            bind,
            connect: None,
            interface: Interface::Any,
            multicast_ttl: 1,
            multicast_loop: true,
            send_buffer: DEFAULT_SEND_BUFFER,
            gso: !crate::paths::only_long(),
        }
    }

    /// Sets [`bind`](Self::bind).
    #[must_use]
    pub fn bind(self, bind: SocketAddr) -> Self {
        Self { bind, ..self }
    }

    /// Sets [`connect`](Self::connect).
    #[must_use]
    pub fn connect(self, destination: SocketAddr) -> Self {
        Self { connect: Some(destination), ..self }
    }

    /// Sets [`interface`](Self::interface).
    #[must_use]
    pub fn interface(self, interface: Interface) -> Self {
        Self { interface, ..self }
    }

    /// Sets [`multicast_ttl`](Self::multicast_ttl).
    #[must_use]
    pub fn multicast_ttl(self, multicast_ttl: u32) -> Self {
        Self { multicast_ttl, ..self }
    }

    /// Sets [`multicast_loop`](Self::multicast_loop).
    #[must_use]
    pub fn multicast_loop(self, multicast_loop: bool) -> Self {
        Self { multicast_loop, ..self }
    }

    /// Sets [`send_buffer`](Self::send_buffer), in bytes.
    #[must_use]
    pub fn send_buffer(self, send_buffer: usize) -> Self {
        Self { send_buffer, ..self }
    }

    /// Sets [`gso`](Self::gso).
    #[must_use]
    pub fn gso(self, gso: bool) -> Self {
        Self { gso, ..self }
    }
}

/// One packet to send, in the pieces it consists of. They are sent one after another.
#[derive(Debug, Clone, Copy, Default)]
pub struct PacketParts<'a> {
    /// The first piece.
    pub header: &'a [u8],
    /// The second piece.
    pub payload: &'a [u8],
    /// Any further pieces. The kernel takes 1024 pieces a packet.
    pub more: &'a [IoSlice<'a>],
}

impl<'a> PacketParts<'a> {
    /// A packet of two pieces, either of which may be empty.
    #[must_use]
    pub fn new(header: &'a [u8], payload: &'a [u8]) -> Self {
        Self { header, payload, more: &[] }
    }

    /// Adds further pieces.
    #[must_use]
    pub fn with_more(self, more: &'a [IoSlice<'a>]) -> Self {
        Self { more, ..self }
    }

    /// The size of the whole packet in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        let more = self.more.iter().map(|piece| piece.len()).sum::<usize>();
        self.header.len() + self.payload.len() + more
    }

    /// Whether the packet has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One way of handing many packets to the kernel.
pub(super) trait SendBatch: Send {
    /// Sends as many of `packets` as fit without blocking, in order; an error only if it is the
    /// first that fails. With `departures` each has a time at which it is to leave, by the clock that
    /// the socket was told.
    fn send(
        &mut self,
        socket: &Socket,
        destination: Option<&SockAddr>,
        packets: &[PacketParts<'_>],
        departures: &[u64],
    ) -> io::Result<usize>;

    /// Whether packets are handed over in trains.
    fn gso(&self) -> bool;
}

/// Sends UDP packets in batches, without blocking.
///
/// ```
/// use speadway::net::{PacketParts, UdpConfig, UdpSendConfig, UdpSender, bind_udp};
///
/// let receiver = bind_udp(&UdpConfig::new("127.0.0.1:0".parse()?))?;
/// let mut sender = UdpSender::open(&UdpSendConfig::to(receiver.local_addr()))?;
/// let packets = [PacketParts::new(b"header", b"payload"); 3];
/// let sent = sender.send(Some(receiver.local_addr()), &packets)?;
/// assert_eq!(sent, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct UdpSender {
    socket: Socket,
    local: SocketAddr,
    send_buffer: Granted,
    batch: Box<dyn SendBatch>,
    departures: Option<Departures>,
}

/// What it takes to have packets leave at their times.
#[derive(Debug)]
struct Departures {
    timeline: Timeline,
    /// The times of the packets of a call, to be used again.
    nanos: Vec<u64>,
}

impl UdpSender {
    /// Makes a socket as `config` says.
    ///
    /// # Errors
    /// Says what was attempted, what the system answered and what to do.
    pub fn open(config: &UdpSendConfig) -> Result<Self, NetError> {
        let socket =
            Socket::new(Domain::for_address(config.bind), Type::DGRAM, Some(Protocol::UDP))
                .attempt(|| "create a UDP socket")?;
        let send_buffer = set_send_buffer(&socket, config.send_buffer)?;
        set_multicast(&socket, config)?;
        let bind = config.bind;
        socket
            .bind(&bind.into())
            .attempt(|| format!("bind UDP {bind} to send from"))
            .map_err(bind_advice)?;
        if let Some(destination) = config.connect {
            let to = || format!("send UDP from {bind} to {destination}");
            socket.connect(&destination.into()).attempt(to)?;
        }
        socket.set_nonblocking(true).attempt(|| "make a UDP socket non-blocking")?;
        Self::finish(socket, send_buffer, config.gso)
    }

    /// Sends from a UDP socket that was made elsewhere, by duplicating its file descriptor. The
    /// original, its flags and its options are left alone.
    ///
    /// # Errors
    /// [`NetError::WrongSocket`] if it is not an IPv4 or IPv6 UDP socket; otherwise what the
    /// system answered.
    pub fn adopt(fd: BorrowedFd<'_>, gso: bool) -> Result<Self, NetError> {
        let owned =
            fd.try_clone_to_owned().attempt(|| "duplicate the file descriptor of a socket")?;
        let socket = Socket::from(owned);
        require_udp(&socket)?;
        let send_buffer = set_send_buffer(&socket, 0)?;
        Self::finish(socket, send_buffer, gso)
    }

    fn finish(socket: Socket, send_buffer: Granted, gso: bool) -> Result<Self, NetError> {
        let local = local_addr(&socket).attempt(|| "read the address of a UDP socket")?;
        let gso = gso && options::gso(&socket);
        let batch = Box::new(imp::Sends::new(gso));
        Ok(Self { socket, local, send_buffer, batch, departures: None })
    }

    /// The same sender with another way of handing over packets.
    #[cfg(test)]
    pub(super) fn with_batch(self, batch: Box<dyn SendBatch>) -> Self {
        Self { batch, ..self }
    }

    /// Sends packets to `destination` (`None`: where the socket is connected to), in order, as
    /// many as the send buffer takes.
    ///
    /// Returns how many were sent. If it is fewer, the next may be refused or have to wait; send
    /// the rest to find out. 0 means that the send buffer is full: wait until the socket is
    /// writable.
    ///
    /// # Errors
    /// What the system says about the first of `packets`, if that could not be sent: too long,
    /// no route, or, once, the ICMP answer to an earlier packet (`ConnectionRefused`).
    pub fn send(
        &mut self,
        destination: Option<SocketAddr>,
        packets: &[PacketParts<'_>],
    ) -> io::Result<usize> {
        let destination = destination.map(SockAddr::from);
        self.batch.send(&self.socket, destination.as_ref(), packets, &[])
    }

    /// As [`send`](Self::send), for packets that leave at the times in `departures`, which do not
    /// decrease, or if they are over at once. Those of a train leave together. Without
    /// [`set_departure_times`](Self::set_departure_times) all leave at once.
    pub(crate) fn send_at(
        &mut self,
        destination: Option<SocketAddr>,
        packets: &[PacketParts<'_>],
        departures: &[Instant],
    ) -> io::Result<usize> {
        let destination = destination.map(SockAddr::from);
        let nanos = self.departures.as_mut().map(|Departures { timeline, nanos }| {
            timeline.convert(departures, nanos);
            nanos.as_slice()
        });
        self.batch.send(&self.socket, destination.as_ref(), packets, nanos.unwrap_or_default())
    }

    /// Has packets leave at times that [`send_at`](Self::send_at) tells, where they pass `discipline`.
    pub(crate) fn set_departure_times(&mut self, discipline: Discipline) -> Result<(), NetError> {
        options::set_departure_times(&self.socket, discipline)
            .attempt(|| "have packets leave at given times (SO_TXTIME)")?;
        self.departures =
            Some(Departures { timeline: Timeline::new(discipline), nanos: Vec::new() });
        Ok(())
    }

    /// Has the kernel spread packets in time, at most so many bytes (headers included) a second.
    /// This works where the interface has the `fq` queueing discipline; a train of packets
    /// leaves as one burst. It drops packets when more than its `flow_limit` (100) wait, whatever the
    /// send buffer has room for. [`u64::MAX`] is no limit.
    ///
    /// # Errors
    /// What the system answered; `Unsupported` where there is no such thing.
    pub fn set_max_pacing_rate(&self, bytes_per_second: u64) -> Result<(), NetError> {
        options::set_max_pacing_rate(&self.socket, bytes_per_second)
            .attempt(|| format!("limit a socket to {bytes_per_second} bytes/s"))
    }

    /// How many messages the send buffer has room for at most.
    pub(crate) fn most_messages(&self) -> u32 {
        u32::try_from(self.send_buffer.granted * 2 / LEAST_CHARGE).unwrap_or(u32::MAX)
    }

    /// Whether packets of equal size are handed to the kernel in trains. It turns false if the
    /// network device proves unable to split them.
    #[must_use]
    pub fn gso(&self) -> bool {
        self.batch.gso()
    }

    /// The address packets are sent from.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The size of the send buffer.
    #[must_use]
    pub fn send_buffer(&self) -> Granted {
        self.send_buffer
    }
}

fn set_send_buffer(socket: &Socket, bytes: usize) -> Result<Granted, NetError> {
    if bytes > 0 {
        options::set_send_buffer(socket, bytes)
            .attempt(|| format!("set a send buffer of {bytes} bytes"))?;
    }
    let granted = options::send_buffer(socket).attempt(|| "read a socket's buffer size")?;
    Ok(Granted { requested: bytes, granted, limit: options::SEND_LIMIT })
}

fn set_multicast(socket: &Socket, config: &UdpSendConfig) -> Result<(), NetError> {
    let UdpSendConfig { interface, multicast_ttl: ttl, multicast_loop, .. } = config;
    let to_ttl = || format!("set a multicast TTL of {ttl}");
    let to_loop = || "choose whether multicast is looped back";
    let to_interface = || format!("send multicast on the interface {interface:?}");
    if config.bind.is_ipv4() {
        let address = interface.resolve_v4()?;
        socket.set_multicast_if_v4(&address).attempt(to_interface)?;
        socket.set_multicast_ttl_v4(*ttl).attempt(to_ttl)?;
        socket.set_multicast_loop_v4(*multicast_loop).attempt(to_loop)
    } else {
        socket.set_multicast_if_v6(interface.resolve()?).attempt(to_interface)?;
        socket.set_multicast_hops_v6(*ttl).attempt(to_ttl)?;
        socket.set_multicast_loop_v6(*multicast_loop).attempt(to_loop)
    }
}

impl fmt::Debug for UdpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSender")
            .field("socket", &self.socket)
            .field("send_buffer", &self.send_buffer)
            .field("gso", &self.gso())
            .finish_non_exhaustive()
    }
}

impl AsFd for UdpSender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for UdpSender {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

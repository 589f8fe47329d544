//! Setting up sockets to receive UDP from.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use super::config::{Granted, UdpConfig};
use super::error::{Attempt, NetError};
use super::imp::options;

/// A UDP socket that is ready to be read by a [`UdpReceiver`](super::UdpReceiver).
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket,
    local: SocketAddr,
    recv_buffer: Granted,
    /// The kernel's drop counter when this process got the socket.
    first_drops: u32,
}

impl UdpSocket {
    /// The address it is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The size of its receive buffer.
    #[must_use]
    pub fn recv_buffer(&self) -> Granted {
        self.recv_buffer
    }

    /// Whether the kernel merges packets into trains on this socket.
    #[must_use]
    pub fn gro(&self) -> bool {
        options::gro(&self.socket)
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn first_drops(&self) -> u32 {
        self.first_drops
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Makes a UDP socket as `config` says: bound, joined to its group, non-blocking.
///
/// A receive buffer smaller than asked for is not an error: see [`UdpSocket::recv_buffer`]. It is
/// logged as a warning with the setting to change.
///
/// # Errors
/// Says what was attempted, what the system answered and what to do: the port is in use, the
/// interface does not exist, the group cannot be joined, busy polling is refused.
pub fn bind_udp(config: &UdpConfig) -> Result<UdpSocket, NetError> {
    check(config)?;
    let interface = config.interface.resolve()?;
    let socket = Socket::new(Domain::for_address(config.address), Type::DGRAM, Some(Protocol::UDP))
        .attempt(|| "create a UDP socket")?;
    let recv_buffer = configure(&socket, config)?;
    bind(&socket, config, interface)?;
    if config.address.ip().is_multicast() {
        join(&socket, config, interface)?;
    }
    socket.set_nonblocking(true).attempt(|| "make a UDP socket non-blocking")?;
    warn_if_short(config.address, &recv_buffer);
    finish(socket, recv_buffer)
}

/// Takes a UDP socket that was made elsewhere, by duplicating its file descriptor.
///
/// The original stays usable and open, and its flags (such as blocking or not) are left alone.
/// Both share the kernel's queue, so only one of them should be read. Of its options only those
/// that receiving needs are touched: `UDP_GRO` (by the receiver) and `SO_RXQ_OVFL`.
///
/// # Errors
/// [`NetError::WrongSocket`] if it is not an IPv4 or IPv6 UDP socket; otherwise what the system
/// answered.
pub fn adopt_udp(fd: BorrowedFd<'_>) -> Result<UdpSocket, NetError> {
    let owned = fd.try_clone_to_owned().attempt(|| "duplicate the file descriptor of a socket")?;
    let socket = Socket::from(owned);
    require_udp(&socket)?;
    options::count_drops(&socket);
    let granted = options::recv_buffer(&socket).attempt(|| "read a socket's buffer size")?;
    finish(socket, Granted { requested: 0, granted, limit: options::RECV_LIMIT })
}

/// Refuses whatever is not a UDP socket of an IP family.
pub(super) fn require_udp(socket: &Socket) -> Result<(), NetError> {
    let wrong = |found| NetError::WrongSocket { wanted: "an IPv4 or IPv6 UDP socket", found };
    let kind = socket.r#type().map_err(|error| wrong(format!("not a socket ({error})")))?;
    if kind != Type::DGRAM {
        return Err(wrong(format!("a socket of {kind:?}")));
    }
    match socket.local_addr().map(|address| address.family()) {
        Ok(family) if [libc::AF_INET, libc::AF_INET6].contains(&family.into()) => Ok(()),
        Ok(family) => Err(wrong(format!("a datagram socket of address family {family}"))),
        Err(error) => Err(NetError::system("read a socket's address", error)),
    }
}

fn finish(socket: Socket, recv_buffer: Granted) -> Result<UdpSocket, NetError> {
    let local = local_addr(&socket).attempt(|| "read the address of a UDP socket")?;
    let first_drops = options::drops(&socket).unwrap_or(0);
    Ok(UdpSocket { socket, local, recv_buffer, first_drops })
}

pub(super) fn local_addr(socket: &Socket) -> io::Result<SocketAddr> {
    let not_ip = || io::Error::new(io::ErrorKind::InvalidInput, "not an IP address");
    socket.local_addr()?.as_socket().ok_or_else(not_ip)
}

/// Finds the contradictions that the system would answer with a puzzling error, or not at all.
fn check(config: &UdpConfig) -> Result<(), NetError> {
    let address = config.address.ip();
    if address.is_multicast() {
        let other = config.sources.iter().find(|source| source.is_ipv4() != address.is_ipv4());
        return match other {
            Some(source) => Err(NetError::bad_config(format!(
                "the source {source} and the group {address} are of different address families"
            ))),
            None => Ok(()),
        };
    }
    if !config.sources.is_empty() {
        return Err(NetError::bad_config(format!(
            "sources can be chosen only for a multicast group, and {address} is none"
        )));
    }
    let same = matches!(config.interface, super::Interface::Addr(a) if IpAddr::V4(a) == address);
    if config.interface.is_any() || same {
        return Ok(());
    }
    Err(NetError::bad_config(format!(
        "an interface can be chosen only for a multicast group, and {address} is none; to \
         receive unicast on one interface, bind its address"
    )))
}

/// Everything that is to be set before packets can arrive.
fn configure(socket: &Socket, config: &UdpConfig) -> Result<Granted, NetError> {
    if config.address.ip().is_multicast() {
        socket.set_reuse_address(true).attempt(|| "let several sockets receive a group")?;
    }
    if config.reuse_port {
        socket.set_reuse_port(true).attempt(|| "let several sockets share a UDP port")?;
    }
    let recv_buffer = set_recv_buffer(socket, config.recv_buffer)?;
    if !config.busy_poll.is_zero() {
        busy_poll(socket, config.busy_poll)?;
    }
    options::count_drops(socket);
    if config.gro {
        options::set_gro(socket, true);
    }
    if config.timestamps {
        options::set_timestamps(socket).attempt(|| "have received packets time-stamped")?;
    }
    Ok(recv_buffer)
}

/// Asks for a receive buffer; 0 leaves the system default.
pub(super) fn set_recv_buffer(socket: &Socket, bytes: usize) -> Result<Granted, NetError> {
    if bytes > 0 {
        options::set_recv_buffer(socket, bytes)
            .attempt(|| format!("set a receive buffer of {bytes} bytes"))?;
    }
    let granted = options::recv_buffer(socket).attempt(|| "read a socket's buffer size")?;
    Ok(Granted { requested: bytes, granted, limit: options::RECV_LIMIT })
}

fn busy_poll(socket: &Socket, time: Duration) -> Result<(), NetError> {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX).max(1);
    options::set_busy_poll(socket, micros).attempt(|| format!("busy-poll for {micros} µs")).map_err(
        |error| {
            error.advise(
                io::ErrorKind::PermissionDenied,
                "this needs CAP_NET_ADMIN, or a system default that is as long: \
                 sysctl net.core.busy_read",
            )
        },
    )
}

fn bind(socket: &Socket, config: &UdpConfig, interface: u32) -> Result<(), NetError> {
    let mut address = config.address;
    if let SocketAddr::V6(v6) = &mut address
        && v6.ip().is_multicast()
        && v6.scope_id() == 0
    {
        // A link-local group exists once per link; binding it has to say which.
        v6.set_scope_id(interface);
    }
    socket.bind(&address.into()).attempt(|| format!("bind UDP {address}")).map_err(bind_advice)
}

/// What to do when an address cannot be bound.
pub(super) fn bind_advice(error: NetError) -> NetError {
    error
        .advise(
            io::ErrorKind::AddrInUse,
            "another process receives on this port, choose another or use reuse_port",
        )
        .advise(
            io::ErrorKind::AddrNotAvailable,
            "no interface of this host has this address; 0.0.0.0 or [::] stand for all",
        )
        .advise(
            io::ErrorKind::PermissionDenied,
            "ports below 1024 are for privileged processes, choose a higher one",
        )
}

fn join(socket: &Socket, config: &UdpConfig, interface: u32) -> Result<(), NetError> {
    let group = config.address.ip();
    if interface != 0 || !config.sources.is_empty() {
        // By default a socket bound to a group also gets what other sockets of this host joined:
        // on other interfaces, from other sources.
        options::only_own_groups(socket, group);
    }
    let on = if interface == 0 { String::new() } else { format!(" on interface {interface}") };
    let advise = |error: NetError| {
        error.advise(
            io::ErrorKind::NotFound,
            "no route leads to the group; choose the interface to join it on",
        )
    };
    if config.sources.is_empty() {
        return join_any_source(socket, group, interface)
            .attempt(|| format!("join the multicast group {group}{on}"))
            .map_err(advise);
    }
    config.sources.iter().try_for_each(|source| {
        options::join_source(socket, group, *source, interface)
            .attempt(|| format!("join the multicast group {group} from {source}{on}"))
            .map_err(advise)
    })
}

fn join_any_source(socket: &Socket, group: IpAddr, interface: u32) -> io::Result<()> {
    match group {
        IpAddr::V4(group) => {
            socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(interface))
        }
        IpAddr::V6(group) => socket.join_multicast_v6(&group, interface),
    }
}

fn warn_if_short(address: SocketAddr, buffer: &Granted) {
    if let Some(hint) = buffer.sysctl_hint() {
        let Granted { requested, granted, .. } = buffer;
        log::warn!(
            "UDP {address}: the receive buffer is {granted} bytes instead of {requested}; {hint}"
        );
    }
}

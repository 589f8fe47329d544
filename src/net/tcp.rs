//! Listening for and making TCP connections.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::config::Granted;
use super::error::{Attempt, NetError};
use super::imp::options;
use super::raw::is_readable;
use super::socket::{bind_advice, local_addr, set_recv_buffer};

/// Connections that may wait to be accepted. A listener usually takes one.
const BACKLOG: libc::c_int = 16;

/// A listening TCP socket.
#[derive(Debug)]
pub struct TcpListener {
    socket: Socket,
    local: SocketAddr,
    recv_buffer: Granted,
    /// An adopted socket's flags are left alone, so it may be a blocking one.
    may_block: bool,
}

/// Listens on `address` for TCP connections, whose receive buffers are to have `recv_buffer`
/// bytes (0: the system default).
///
/// # Errors
/// Says what was attempted, what the system answered and what to do.
pub fn listen_tcp(address: SocketAddr, recv_buffer: usize) -> Result<TcpListener, NetError> {
    let socket = new_socket(address)?;
    // So that a port can be listened on again while connections of a previous run linger.
    socket.set_reuse_address(true).attempt(|| "let a TCP port be reused")?;
    // Accepted connections inherit the size. It has to be set before they are made, because it
    // limits the window that is agreed on then.
    let recv_buffer = set_recv_buffer(&socket, recv_buffer)?;
    socket.bind(&address.into()).attempt(|| format!("bind TCP {address}")).map_err(tcp_advice)?;
    socket.listen(BACKLOG).attempt(|| format!("listen on TCP {address}")).map_err(tcp_advice)?;
    socket.set_nonblocking(true).attempt(|| "make a TCP listener non-blocking")?;
    TcpListener::finish(socket, recv_buffer, false)
}

/// Takes a listening TCP socket that was made elsewhere, by duplicating its file descriptor. The
/// original, its flags and its options are left alone.
///
/// # Errors
/// [`NetError::WrongSocket`] if it is not a listening IPv4 or IPv6 TCP socket; otherwise what the
/// system answered.
pub fn adopt_tcp_listener(fd: BorrowedFd<'_>) -> Result<TcpListener, NetError> {
    let owned = fd.try_clone_to_owned().attempt(|| "duplicate the file descriptor of a socket")?;
    let socket = Socket::from(owned);
    require_listener(&socket)?;
    let recv_buffer = set_recv_buffer(&socket, 0)?;
    TcpListener::finish(socket, recv_buffer, true)
}

/// Takes a TCP connection that was made elsewhere, by duplicating its file descriptor. The original,
/// its flags and its options are left alone, so it blocks if the original does.
///
/// # Errors
/// [`NetError::WrongSocket`] if it is not a connected IPv4 or IPv6 TCP socket; otherwise what the
/// system answered.
pub fn adopt_tcp_stream(fd: BorrowedFd<'_>) -> Result<TcpStream, NetError> {
    let wanted = "a connected IPv4 or IPv6 TCP socket";
    let owned = fd.try_clone_to_owned().attempt(|| "duplicate the file descriptor of a socket")?;
    let socket = Socket::from(owned);
    require_tcp(&socket, wanted)?;
    if socket.peer_addr().is_err() {
        let found = "a TCP socket that is not connected".to_owned();
        return Err(NetError::WrongSocket { wanted, found });
    }
    Ok(socket.into())
}

/// Connects to `address`, waiting for at most `timeout`, from the local address `bind` if given.
/// The connection is then non-blocking, with a send buffer of `send_buffer` bytes (0: the system
/// default).
///
/// # Errors
/// Says what was attempted, what the system answered and what to do.
pub fn connect_tcp(
    address: SocketAddr,
    bind: Option<SocketAddr>,
    send_buffer: usize,
    timeout: Duration,
) -> Result<TcpStream, NetError> {
    let socket = new_socket(address)?;
    if send_buffer > 0 {
        options::set_send_buffer(&socket, send_buffer)
            .attempt(|| format!("set a send buffer of {send_buffer} bytes"))?;
    }
    if let Some(bind) = bind {
        socket.bind(&bind.into()).attempt(|| format!("bind TCP {bind}")).map_err(tcp_advice)?;
    }
    socket
        .connect_timeout(&address.into(), timeout)
        .attempt(|| format!("connect to TCP {address}"))
        .map_err(connect_advice)?;
    socket.set_nonblocking(true).attempt(|| "make a TCP connection non-blocking")?;
    Ok(socket.into())
}

fn new_socket(address: SocketAddr) -> Result<Socket, NetError> {
    Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
        .attempt(|| "create a TCP socket")
}

fn tcp_advice(error: NetError) -> NetError {
    let in_use = "another process listens on this port, choose another";
    bind_advice(error).advise(io::ErrorKind::AddrInUse, in_use)
}

fn connect_advice(error: NetError) -> NetError {
    let refused = "nothing listens there, start the receiver first";
    let silent = "nothing answers there, check the address and any firewall in between";
    error.advise(io::ErrorKind::ConnectionRefused, refused).advise(io::ErrorKind::TimedOut, silent)
}

fn require_listener(socket: &Socket) -> Result<(), NetError> {
    let wanted = "a listening IPv4 or IPv6 TCP socket";
    require_tcp(socket, wanted)?;
    if !is_listening(socket) {
        let found = "a TCP socket that does not listen".to_owned();
        return Err(NetError::WrongSocket { wanted, found });
    }
    Ok(())
}

fn require_tcp(socket: &Socket, wanted: &'static str) -> Result<(), NetError> {
    let wrong = |found| NetError::WrongSocket { wanted, found };
    let kind = socket.r#type().map_err(|error| wrong(format!("not a socket ({error})")))?;
    if kind != Type::STREAM {
        return Err(wrong(format!("a socket of {kind:?}")));
    }
    let address = socket.local_addr().attempt(|| "read a socket's address")?;
    if address.as_socket().is_none() {
        return Err(wrong(format!("a socket of address family {}", address.family())));
    }
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn is_listening(socket: &Socket) -> bool {
    socket.is_listener().unwrap_or(false)
}

/// Elsewhere the system cannot be asked; a connected socket at least is told apart.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn is_listening(socket: &Socket) -> bool {
    socket.peer_addr().is_err()
}

impl TcpListener {
    fn finish(socket: Socket, recv_buffer: Granted, may_block: bool) -> Result<Self, NetError> {
        let local = local_addr(&socket).attempt(|| "read the address of a TCP listener")?;
        Ok(Self { socket, local, recv_buffer, may_block })
    }

    /// Takes a connection, if one is waiting. It is non-blocking.
    ///
    /// On an adopted socket that blocks, this looks first whether one is waiting. It can then
    /// still block if another process that accepts from the same socket is quicker.
    ///
    /// # Errors
    /// What the system reports; the listener stays usable. `ConnectionAborted` is of a connection
    /// that went away while it waited.
    pub fn accept(&self) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        if self.may_block && !is_readable(self.socket.as_fd())? {
            return Ok(None);
        }
        loop {
            match self.socket.accept() {
                Ok((stream, peer)) => {
                    stream.set_nonblocking(true)?;
                    let not_ip = || io::Error::other("a peer without an IP address");
                    return Ok(Some((stream.into(), peer.as_socket().ok_or_else(not_ip)?)));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => return Ok(None),
                    _ => return Err(error),
                },
            }
        }
    }

    /// The address it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The size of the receive buffer that accepted connections have.
    #[must_use]
    pub fn recv_buffer(&self) -> Granted {
        self.recv_buffer
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

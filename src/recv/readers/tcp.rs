//! Packets from a TCP connection.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use super::framer::{Found, Framer};
use crate::heap::Origin;
use crate::net::{
    Granted, NetError, TcpListener, adopt_tcp_listener, adopt_tcp_stream, listen_tcp, recv_now,
};
use crate::recv::{Flow, Inlet, ReadState, Reader, Watch};

/// The largest packet accepted by default, in bytes, as in the reference.
pub const DEFAULT_MAX_TCP_PACKET: usize = 65_536;

/// How a [`TcpReader`] is to receive.
///
/// ```
/// use speadway::recv::readers::{Connections, TcpConfig};
///
/// let config = TcpConfig::default().max_packet(1 << 20).connections(Connections::Many);
/// assert_eq!(config.recv_buffer, 0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpConfig {
    /// The largest packet accepted, in bytes (65536). Larger ones are skipped and counted as
    /// truncated. The reader's buffer has twice this size, and at least 256 KiB.
    pub max_packet: usize,
    /// The size of the kernel's receive buffer to ask for, in bytes; 0 leaves the system default,
    /// which grows by itself where the system does that. Adopted sockets keep theirs.
    pub recv_buffer: usize,
    /// How many connections a listener takes (one).
    pub connections: Connections,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            max_packet: DEFAULT_MAX_TCP_PACKET,
            recv_buffer: 0,
            connections: Connections::default(),
        }
    }
}

impl TcpConfig {
    /// Sets [`max_packet`](Self::max_packet), in bytes.
    #[must_use]
    pub fn max_packet(self, max_packet: usize) -> Self {
        Self { max_packet, ..self }
    }

    /// Sets [`recv_buffer`](Self::recv_buffer), in bytes.
    #[must_use]
    pub fn recv_buffer(self, recv_buffer: usize) -> Self {
        Self { recv_buffer, ..self }
    }

    /// Sets [`connections`](Self::connections).
    #[must_use]
    pub fn connections(self, connections: Connections) -> Self {
        Self { connections, ..self }
    }
}

/// How many connections a listening [`TcpReader`] takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connections {
    /// One. The listener is closed when it has come, and the reader ends with it.
    #[default]
    One,
    /// One after the other. The reader ends only with its stream; a connection that breaks is
    /// counted in [`reader_errors`](crate::recv::StreamStats::reader_errors). While one lasts,
    /// others wait.
    Many,
}

/// Reads packets that follow one another in a TCP connection, as a sender of SPEAD over TCP writes
/// them: without any framing of their own.
///
/// It loses nothing: while the stream cannot take more the connection is not read, and TCP holds the
/// sender back.
///
/// What is no packet is counted, each as one packet:
///
/// - Where no packet starts, the next is looked for in steps of 8 bytes. The whole stretch counts
///   once, as what its start looked like (`bad_magic`, `bad_flavour`, `not_64_bit`, `missing_items`,
///   or `items_overflow` if it has more item pointers than fit in
///   [`max_packet`](TcpConfig::max_packet)).
/// - A packet of more than [`max_packet`](TcpConfig::max_packet) bytes is skipped: `truncated`.
/// - A packet that the end of the connection cuts short: `too_small`, `items_overflow` or
///   `payload_overflow`, by what is missing.
///
/// When the sender closes the connection the reader ends. When the connection breaks the reader
/// fails, and if it was the stream's last the stream ends with
/// [`End::Failed`](crate::recv::End::Failed); everything that arrived before is delivered.
///
/// ```
/// use std::io::Write;
/// use std::net::TcpStream;
/// use speadway::chunk::WhenFull;
/// use speadway::recv::readers::{TcpConfig, TcpReader};
/// use speadway::recv::{Stream, Worker};
/// use speadway::ring::Ring;
/// use speadway::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue};
///
/// let reader = TcpReader::listen("127.0.0.1:0".parse()?, &TcpConfig::default())?;
/// let address = reader.local_addr();
/// let ring = Ring::new(4)?;
/// let stream =
///     Stream::heaps().ring(&ring, WhenFull::Wait).reader(reader).start(&Worker::new()?)?;
///
/// let items = [EncodeItem { id: 0x3300, value: ItemValue::Addressed(b"samples") }];
/// let packets = HeapEncoder::new(Flavour::default(), 1, 1472, &items, false)?.packets();
/// TcpStream::connect(address)?.write_all(&packets.concat())?;
/// assert_eq!(ring.pop()?.payload(), b"samples");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TcpReader {
    listener: Option<TcpListener>,
    connection: Option<Connection>,
    framer: Framer,
    connections: Connections,
    address: SocketAddr,
    recv_buffer: Option<Granted>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
}

impl TcpReader {
    /// Listens on `address` for a connection. Port 0 lets the system choose one, which
    /// [`local_addr`](Self::local_addr) tells.
    ///
    /// # Errors
    /// If the address cannot be listened on or the configuration cannot be; the error says what to
    /// do.
    pub fn listen(address: SocketAddr, config: &TcpConfig) -> Result<Self, NetError> {
        // First, so that nobody connects to a reader that cannot be.
        let framer = framer(config)?;
        Ok(Self::on_listener(listen_tcp(address, config.recv_buffer)?, framer, config))
    }

    /// Takes connections from a duplicate of a listening socket that somebody else made.
    ///
    /// With [`Connections::One`] it is the duplicate that is closed when a connection has come:
    /// close the original too, or others can connect and wait for ever.
    ///
    /// # Errors
    /// If it is no listening TCP socket, or the configuration cannot be.
    pub fn adopt_listener(fd: BorrowedFd<'_>, config: &TcpConfig) -> Result<Self, NetError> {
        Ok(Self::on_listener(adopt_tcp_listener(fd)?, framer(config)?, config))
    }

    /// Reads from a connection. Of the configuration only `max_packet` matters.
    ///
    /// # Errors
    /// If the connection has ended already, or the configuration cannot be.
    pub fn from_stream(stream: TcpStream, config: &TcpConfig) -> Result<Self, NetError> {
        let end = |attempt: &str, source| NetError::System {
            attempt: attempt.to_owned(),
            source,
            advice: String::new(),
        };
        let peer = stream.peer_addr().map_err(|e| end("read the peer of a TCP connection", e))?;
        let address =
            stream.local_addr().map_err(|e| end("read the address of a TCP connection", e))?;
        Ok(Self {
            listener: None,
            connection: Some(Connection { stream, peer }),
            framer: framer(config)?,
            connections: Connections::One,
            address,
            recv_buffer: None,
        })
    }

    /// Reads from a duplicate of a connected socket that somebody else made, and leaves its flags
    /// alone. Otherwise as [`from_stream`](Self::from_stream).
    ///
    /// # Errors
    /// If it is no connected TCP socket, or the configuration cannot be.
    pub fn adopt_stream(fd: BorrowedFd<'_>, config: &TcpConfig) -> Result<Self, NetError> {
        Self::from_stream(adopt_tcp_stream(fd)?, config)
    }

    fn on_listener(listener: TcpListener, framer: Framer, config: &TcpConfig) -> Self {
        Self {
            address: listener.local_addr(),
            recv_buffer: Some(listener.recv_buffer()),
            listener: Some(listener),
            connection: None,
            framer,
            connections: config.connections,
        }
    }

    /// The address that it listens on, or the local address of its connection.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The receive buffer that was asked for and the one granted, in bytes, if it listens.
    #[must_use]
    pub fn recv_buffer(&self) -> Option<Granted> {
        self.recv_buffer
    }

    /// Offers the packets in the buffer; the reason if the stream cannot take them all.
    fn deliver(&mut self, inlet: &mut Inlet<'_>) -> Option<ReadState> {
        let origin = Origin::new(self.connection.as_ref().map(|it| it.peer), None);
        loop {
            match self.framer.find() {
                Found::Packet(bytes) => {
                    if let Flow::Park(reason) = inlet.datagram(bytes, &origin) {
                        return Some(ReadState::Parked(reason));
                    }
                    self.framer.taken();
                }
                Found::Discard(reason) => inlet.discard(reason),
                Found::Nothing => return None,
            }
        }
    }

    /// Takes the next connection, if one waits.
    fn accept(&mut self, inlet: &mut Inlet<'_>) -> ReadState {
        let Some(listener) = &self.listener else { return ReadState::End };
        let (stream, peer) = match listener.accept() {
            Ok(Some(accepted)) => accepted,
            Ok(None) => return ReadState::Empty,
            Err(error) if is_of_the_peer(&error) => return ReadState::Error(error),
            Err(error) => return ReadState::Failed(error),
        };
        if let Err(error) = inlet.watch().watch(stream.as_fd()) {
            return ReadState::Failed(error);
        }
        log::debug!("TCP {}: a connection from {peer}", self.address);
        self.connection = Some(Connection { stream, peer });
        if self.connections == Connections::One
            && let Some(listener) = self.listener.take()
        {
            inlet.watch().forget(listener.as_fd());
        }
        ReadState::Batch
    }

    /// The connection has ended, with `error` unless its peer closed it.
    fn ended(&mut self, error: Option<io::Error>, inlet: &mut Inlet<'_>) -> ReadState {
        if let Some(reason) = self.framer.finish() {
            inlet.discard(reason);
        }
        let connection = self.connection.take();
        if let Some(connection) = &connection {
            inlet.watch().forget(connection.stream.as_fd());
        }
        let error = error.map(|error| {
            let peer = connection.map_or_else(String::new, |it| format!(" from {}", it.peer));
            io::Error::new(error.kind(), format!("the connection{peer} broke: {error}"))
        });
        match (error, self.listener.is_some()) {
            // The next connection may wait already, and was announced while this one lasted.
            (None, true) => ReadState::Batch,
            (Some(error), true) => ReadState::Error(error),
            (None, false) => ReadState::End,
            (Some(error), false) => ReadState::Failed(error),
        }
    }
}

fn framer(config: &TcpConfig) -> Result<Framer, NetError> {
    let bad = |problem: String| NetError::BadConfig { problem };
    if config.max_packet == 0 {
        return Err(bad("the largest packet accepted must be at least 1 byte".to_owned()));
    }
    Framer::new(config.max_packet).map_err(|_| {
        bad(format!("no memory for packets of {} bytes, lower max_packet", config.max_packet))
    })
}

/// Whether an error of `accept` is of the connection that was to be accepted, which is then gone. The
/// listener is fine. Any other error would come again at once.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
    )
}

impl Reader for TcpReader {
    fn attach(&mut self, watch: &mut Watch<'_>) -> io::Result<()> {
        match (&self.connection, &self.listener) {
            (Some(connection), _) => watch.watch(connection.stream.as_fd()),
            (None, Some(listener)) => watch.watch(listener.as_fd()),
            (None, None) => Ok(()),
        }
    }

    fn detach(&mut self, watch: &mut Watch<'_>) {
        if let Some(connection) = &self.connection {
            watch.forget(connection.stream.as_fd());
        }
        if let Some(listener) = &self.listener {
            watch.forget(listener.as_fd());
        }
    }

    fn read(&mut self, inlet: &mut Inlet<'_>) -> ReadState {
        if let Some(parked) = self.deliver(inlet) {
            return parked;
        }
        let Some(connection) = &self.connection else { return self.accept(inlet) };
        match recv_now(connection.stream.as_fd(), self.framer.space()) {
            Ok(0) => self.ended(None, inlet),
            Ok(count) => {
                self.framer.filled(count);
                self.deliver(inlet).unwrap_or(ReadState::Batch)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ReadState::Empty,
            Err(error) => self.ended(Some(error), inlet),
        }
    }

    fn describe(&self) -> String {
        format!("TCP {}", self.address)
    }
}

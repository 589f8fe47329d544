//! Packets from a UDP socket.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use crate::heap::{Origin, PacketDiscard};
use crate::net::{
    Granted, NetError, ReceiverConfig, UdpConfig, UdpReceiver, UdpSocket, adopt_udp, bind_udp,
};
use crate::paths;
use crate::recv::{Flow, Inlet, ReadState, Reader, Watch};

/// Reads datagrams, each one packet, from a UDP socket: unicast or multicast, IPv4 or IPv6.
///
/// ```no_run
/// use speadway::net::UdpConfig;
/// use speadway::recv::readers::UdpReader;
/// let reader = UdpReader::bind(&UdpConfig::new("239.1.2.3:7148".parse()?))?;
/// if let Some(hint) = reader.recv_buffer().sysctl_hint() {
///     eprintln!("{hint}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UdpReader {
    receiver: UdpReceiver,
    address: SocketAddr,
}

impl UdpReader {
    /// Binds a socket and receives from it.
    ///
    /// # Errors
    /// If the socket cannot be had; the error says what to do.
    pub fn bind(config: &UdpConfig) -> Result<Self, NetError> {
        Self::bind_with(config, &ReceiverConfig::default())
    }

    /// As [`bind`](Self::bind), with a say in how to receive. Datagrams are merged only if both
    /// configurations let them.
    ///
    /// # Errors
    /// If the socket cannot be had, or `receiver` would accept no datagram.
    pub fn bind_with(config: &UdpConfig, receiver: &ReceiverConfig) -> Result<Self, NetError> {
        accepts_any(receiver)?;
        let gro = config.gro && receiver.gro;
        let socket = bind_udp(&config.clone().gro(gro))?;
        Ok(Self::from_socket(socket, &receiver.clone().gro(gro)))
    }

    /// Receives from a duplicate of a socket that somebody else made.
    ///
    /// # Errors
    /// If it is no UDP socket, or `receiver` would accept no datagram.
    pub fn adopt(fd: BorrowedFd<'_>, receiver: &ReceiverConfig) -> Result<Self, NetError> {
        accepts_any(receiver)?;
        Ok(Self::from_socket(adopt_udp(fd)?, receiver))
    }

    fn from_socket(socket: UdpSocket, receiver: &ReceiverConfig) -> Self {
        let address = socket.local_addr();
        Self { receiver: UdpReceiver::new(socket, receiver), address }
    }

    /// The address that the socket is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The receive buffer that was asked for and the one granted, in bytes.
    #[must_use]
    pub fn recv_buffer(&self) -> Granted {
        self.receiver.socket().recv_buffer()
    }

    /// Offers what is staged; the reason if the stream cannot take it all.
    fn deliver(&mut self, inlet: &mut Inlet<'_>) -> Option<ReadState> {
        while self.receiver.staged() > 0 {
            let Some(train) = self.receiver.peek_train().filter(|_| !paths::only_long()) else {
                let parked = self.deliver_one(inlet);
                if parked.is_some() {
                    return parked;
                }
                continue;
            };
            let origin = Origin::new(train.source, train.time);
            let (taken, flow) = inlet.datagrams(train.bytes, train.size, &origin);
            if let Flow::Park(reason) = flow {
                if taken > 0 {
                    self.receiver.advance_by(taken);
                }
                return Some(ReadState::Parked(reason));
            }
            self.receiver.advance_by(taken);
        }
        None
    }

    /// Offers the next datagram, of a message of which one was cut.
    fn deliver_one(&mut self, inlet: &mut Inlet<'_>) -> Option<ReadState> {
        let datagram = self.receiver.peek()?;
        if datagram.truncated {
            inlet.discard(PacketDiscard::Truncated);
        } else {
            let origin = Origin::new(datagram.source, datagram.time);
            if let Flow::Park(reason) = inlet.datagram(datagram.bytes, &origin) {
                return Some(ReadState::Parked(reason));
            }
        }
        self.receiver.advance();
        None
    }
}

/// Refuses a limit below every packet, under which all would be counted as truncated.
fn accepts_any(receiver: &ReceiverConfig) -> Result<(), NetError> {
    if receiver.max_datagram == 0 {
        let problem = "the largest packet accepted must be at least 1 byte".to_owned();
        return Err(NetError::BadConfig { problem });
    }
    Ok(())
}

impl Reader for UdpReader {
    fn attach(&mut self, watch: &mut Watch<'_>) -> io::Result<()> {
        watch.watch(self.receiver.socket().as_fd())
    }

    fn read(&mut self, inlet: &mut Inlet<'_>) -> ReadState {
        if let Some(parked) = self.deliver(inlet) {
            return parked;
        }
        match self.receiver.receive() {
            Ok(0) => ReadState::Empty,
            Ok(_) => match self.deliver(inlet) {
                Some(parked) => parked,
                // Another call would find nothing, and cost as much as a small batch.
                None if self.receiver.is_drained() => ReadState::Empty,
                None => ReadState::Batch,
            },
            Err(error) => ReadState::Error(error),
        }
    }

    fn detach(&mut self, watch: &mut Watch<'_>) {
        watch.forget(self.receiver.socket().as_fd());
    }

    fn kernel_drops(&mut self, exact: bool) -> u64 {
        if exact { self.receiver.poll_kernel_drops() } else { self.receiver.kernel_drops() }
    }

    fn describe(&self) -> String {
        format!("UDP {}", self.address)
    }
}

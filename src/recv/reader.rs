//! What a source of packets is to a stream.

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::task::Waker;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::engine::{Engine, Flow, Sink};
use crate::chunk::{Cx, ParkReason};
use crate::heap::{Origin, PacketDiscard};
use crate::wire::DecodeError;

/// A source of packets: a socket, a file, memory, a queue.
///
/// A reader runs on its stream's worker and never blocks. [`read`](Self::read) delivers one batch
/// through the [`Inlet`]; what the stream cannot take yet ([`Flow::Park`]) the reader keeps and
/// offers again first thing in the next call.
pub trait Reader: Send {
    /// Called once, on the worker, before the first read. A reader that waits on a file descriptor
    /// has it [watched](Watch::watch) here.
    ///
    /// # Errors
    /// What keeps the reader from working; its stream treats it as ended.
    fn attach(&mut self, watch: &mut Watch<'_>) -> io::Result<()>;

    /// Delivers a batch.
    fn read(&mut self, inlet: &mut Inlet<'_>) -> ReadState;

    /// Called once, on the worker, after the last read. A reader whose descriptor has duplicates
    /// elsewhere has it [forgotten](Watch::forget) here; closing it would not do that.
    fn detach(&mut self, watch: &mut Watch<'_>) {
        let _ = watch;
    }

    /// Datagrams that the kernel dropped on the way to this reader, as far as known; up to now if
    /// `exact`, which may cost a system call and is asked for when the stream ends.
    fn kernel_drops(&mut self, exact: bool) -> u64 {
        let _ = exact;
        0
    }

    /// What the reader reads, for logs and errors, such as `UDP 239.1.2.3:7148`.
    fn describe(&self) -> String;
}

impl<R: Reader + ?Sized> Reader for Box<R> {
    fn attach(&mut self, watch: &mut Watch<'_>) -> io::Result<()> {
        (**self).attach(watch)
    }

    fn read(&mut self, inlet: &mut Inlet<'_>) -> ReadState {
        (**self).read(inlet)
    }

    fn detach(&mut self, watch: &mut Watch<'_>) {
        (**self).detach(watch);
    }

    fn kernel_drops(&mut self, exact: bool) -> u64 {
        (**self).kernel_drops(exact)
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}

/// What came of a read.
#[derive(Debug)]
pub enum ReadState {
    /// A batch was delivered; there may be more.
    Batch,
    /// A part of a batch was delivered, and more follows when others had their turn.
    Partial,
    /// Nothing is there now. The reader is read again when its descriptor becomes readable, or
    /// when the inlet's waker is called.
    Empty,
    /// The stream cannot take the next packet; the rest is kept.
    Parked(ParkReason),
    /// Nothing will follow.
    End,
    /// Something went wrong, but the reader goes on. It is read again, so the next read must not
    /// meet the same error.
    Error(io::Error),
    /// Something went wrong, and nothing will follow.
    Failed(io::Error),
}

/// The way into the stream, for the length of one read.
pub struct Inlet<'a> {
    engine: &'a mut dyn Intake,
    cx: Cx<'a>,
    watch: Watch<'a>,
    packets: u64,
}

/// Has descriptors watched for a reader.
pub struct Watch<'a> {
    /// `None` where nobody waits for descriptors: in tests that step through a stream.
    registry: Option<&'a Registry>,
    token: Token,
    watches: &'a mut bool,
}

/// The engine as readers see it, whatever it does with heaps. It is called once for many packets.
pub(crate) trait Intake {
    /// Takes datagrams of `size` bytes each, of which the last may be shorter, until one is not
    /// taken.
    fn datagrams(&mut self, bytes: &[u8], size: usize, origin: &Origin, cx: &Cx<'_>) -> Taken;

    /// Takes up to `most` packets that lie one after the other, until one is not taken or there is
    /// none where one should be.
    fn packets(&mut self, bytes: &[u8], most: usize, origin: &Origin, cx: &Cx<'_>) -> Taken;

    fn malformed(&mut self, reason: PacketDiscard);
    fn is_stopped(&self) -> bool;
}

/// What was taken of packets that lie one after the other.
pub(crate) struct Taken {
    /// Bytes that are done with.
    pub(crate) bytes: usize,
    /// Packets that are done with, whatever they were.
    pub(crate) packets: u64,
    /// How it ended: [`Flow::Next`] for all, or for as many as were to be taken.
    pub(crate) end: Result<Flow, DecodeError>,
}

impl<S: Sink> Intake for Engine<S> {
    fn datagrams(&mut self, bytes: &[u8], size: usize, origin: &Origin, cx: &Cx<'_>) -> Taken {
        Self::datagrams(self, bytes, size, origin, cx)
    }

    fn packets(&mut self, bytes: &[u8], most: usize, origin: &Origin, cx: &Cx<'_>) -> Taken {
        Self::packets(self, bytes, most, origin, cx)
    }

    fn malformed(&mut self, reason: PacketDiscard) {
        Self::malformed(self, reason);
    }

    fn is_stopped(&self) -> bool {
        Self::is_stopped(self)
    }
}

impl<'a> Inlet<'a> {
    pub(crate) fn new(engine: &'a mut dyn Intake, cx: Cx<'a>, watch: Watch<'a>) -> Self {
        Self { engine, cx, watch, packets: 0 }
    }

    /// Offers a datagram, which has to be exactly one packet. After [`Flow::Park`] the same one is
    /// to be offered again in the next read; with [`Flow::Next`] it is done with, whatever it was.
    pub fn datagram(&mut self, bytes: &[u8], origin: &Origin) -> Flow {
        self.datagrams(bytes, bytes.len().max(1), origin).1
    }

    /// Offers datagrams that lie one after the other, each of `size` bytes but for the last, which
    /// may be shorter; no bytes are one empty datagram. Says how many bytes are done with, and as
    /// [`datagram`](Self::datagram) what to do: after [`Flow::Park`] the rest is to be offered again.
    ///
    /// # Panics
    /// If `size` is 0.
    pub fn datagrams(&mut self, bytes: &[u8], size: usize, origin: &Origin) -> (usize, Flow) {
        let taken = self.engine.datagrams(bytes, size, origin, &self.cx);
        self.packets += taken.packets;
        // What is no packet was counted and passed.
        (taken.bytes, taken.end.unwrap_or(Flow::Next))
    }

    /// Offers the packets that `bytes` start with, up to `most` of them. Says how many bytes are
    /// done with, and as [`datagram`](Self::datagram) what to do.
    ///
    /// # Errors
    /// If there is no packet where one should be. Those before it are done with, and it has been
    /// counted; what follows cannot be found.
    pub fn packets_in(
        &mut self,
        bytes: &[u8],
        most: usize,
        origin: &Origin,
    ) -> Result<(usize, Flow), DecodeError> {
        let taken = self.engine.packets(bytes, most, origin, &self.cx);
        self.packets += taken.packets;
        taken.end.map(|flow| (taken.bytes, flow))
    }

    /// Counts something received that cannot be offered.
    pub fn discard(&mut self, reason: PacketDiscard) {
        self.packets += 1;
        self.engine.malformed(reason);
    }

    /// Whether the stream has been ended by its sender: what is offered from now on is only counted.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.engine.is_stopped()
    }

    /// To be called when a reader without a descriptor has something again.
    #[must_use]
    pub fn waker(&self) -> &Waker {
        self.cx.waker
    }

    /// For readers whose descriptor changes, as when a connection is accepted.
    pub fn watch(&mut self) -> &mut Watch<'a> {
        &mut self.watch
    }

    /// Packets dealt with in this batch.
    pub(crate) fn packets(&self) -> u64 {
        self.packets
    }
}

impl<'a> Watch<'a> {
    pub(crate) fn new(registry: Option<&'a Registry>, token: Token, watches: &'a mut bool) -> Self {
        Self { registry, token, watches }
    }

    /// Reads again when `fd` becomes readable.
    ///
    /// # Errors
    /// If the system refuses to watch it.
    pub fn watch(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        let raw: RawFd = fd.as_raw_fd();
        if let Some(registry) = self.registry {
            registry.register(&mut SourceFd(&raw), self.token, Interest::READABLE)?;
        }
        *self.watches = true;
        Ok(())
    }

    /// As if a descriptor were watched, for those who step through a stream.
    #[cfg(any(test, speadway_fuzz))]
    pub(crate) fn watch_nothing(&mut self) {
        *self.watches = true;
    }

    /// Tries again to send when `fd` becomes writable; for transports.
    ///
    /// # Errors
    /// If the system refuses to watch it.
    pub fn watch_writable(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        let raw: RawFd = fd.as_raw_fd();
        if let Some(registry) = self.registry {
            registry.register(&mut SourceFd(&raw), self.token, Interest::WRITABLE)?;
        }
        *self.watches = true;
        Ok(())
    }

    /// Watches `fd` no more. Closing a descriptor does this too, if it has no duplicate.
    pub fn forget(&mut self, fd: BorrowedFd<'_>) {
        use std::os::fd::AsRawFd;
        let raw: RawFd = fd.as_raw_fd();
        if let Some(registry) = self.registry {
            // Fails only if it was not watched.
            let _ = registry.deregister(&mut SourceFd(&raw));
        }
    }
}

impl fmt::Debug for Inlet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inlet").field("packets", &self.packets).finish_non_exhaustive()
    }
}

impl fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("token", &self.token).finish_non_exhaustive()
    }
}

//! Packets from a queue within the process.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::inproc_queue::Shared;
use crate::heap::Origin;
use crate::recv::{Flow, Inlet, ReadState, Reader, Watch};
use crate::ring::{CapacityError, Waiter};

/// Packets that are delivered before others on the worker have their turn, as many as one receive
/// call of a socket fetches.
const BATCH: usize = 64;

/// A packet's bytes, however they are owned: from `&[u8]` (copied), `Vec<u8>`, `Box<[u8]>` or
/// `Arc<[u8]>` (shared).
///
/// ```
/// use speadway::recv::readers::PacketBytes;
/// assert_eq!(PacketBytes::from(vec![1, 2]), PacketBytes::from(&[1, 2][..]));
/// ```
#[derive(Clone)]
pub struct PacketBytes(Bytes);

#[derive(Clone)]
enum Bytes {
    Owned(Vec<u8>),
    Shared(Arc<[u8]>),
}

impl Deref for PacketBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Owned(bytes) => bytes,
            Bytes::Shared(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for PacketBytes {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::Owned(bytes.to_vec()))
    }
}

impl From<Vec<u8>> for PacketBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Bytes::Owned(bytes))
    }
}

impl From<Box<[u8]>> for PacketBytes {
    fn from(bytes: Box<[u8]>) -> Self {
        Self(Bytes::Owned(bytes.into_vec()))
    }
}

impl From<Arc<[u8]>> for PacketBytes {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self(Bytes::Shared(bytes))
    }
}

impl PartialEq for PacketBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for PacketBytes {}

impl fmt::Debug for PacketBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PacketBytes({} B)", self.len())
    }
}

/// The queue was stopped and takes no more; here is the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped(pub PacketBytes);

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the in-process queue is stopped, or its last reader has ended: make a new one")
    }
}

impl std::error::Error for Stopped {}

/// Why a packet could not be added without waiting (or not for ever), with the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TryAddError {
    /// The queue is full.
    Full(PacketBytes),
    /// The queue was stopped and takes no more.
    Stopped(PacketBytes),
}

impl TryAddError {
    /// The packet that could not be added.
    #[must_use]
    pub fn into_inner(self) -> PacketBytes {
        match self {
            Self::Full(packet) | Self::Stopped(packet) => packet,
        }
    }
}

impl fmt::Display for TryAddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("the in-process queue is full: try again later"),
            Self::Stopped(packet) => Stopped(packet.clone()).fmt(f),
        }
    }
}

impl std::error::Error for TryAddError {}

/// A queue that carries packets from any number of threads to a stream of the same process: for
/// tests, and for packets that arrive in some other way.
///
/// Clones are handles of the same queue. Each packet goes to exactly one reader (there is usually
/// one), in the order they were added, and none is lost: while the stream cannot take more, packets
/// wait. So does who adds to a [bounded](Self::bounded) queue; an unbounded one grows.
///
/// ```
/// use speadway::chunk::WhenFull;
/// use speadway::recv::readers::{InprocQueue, InprocReader};
/// use speadway::recv::{Stream, Worker};
/// use speadway::ring::Ring;
/// use speadway::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue};
///
/// let queue = InprocQueue::bounded(64)?;
/// let ring = Ring::new(4)?;
/// let stream = Stream::heaps()
///     .ring(&ring, WhenFull::Wait)
///     .reader(InprocReader::new(&queue))
///     .start(&Worker::new()?)?;
///
/// let items = [EncodeItem { id: 0x3300, value: ItemValue::Addressed(b"samples") }];
/// for packet in HeapEncoder::new(Flavour::default(), 1, 1472, &items, false)?.packets() {
///     queue.add_packet(packet)?;
/// }
/// queue.stop();
/// assert_eq!(ring.pop()?.payload(), b"samples");
/// assert!(ring.pop().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct InprocQueue {
    shared: Arc<Shared<PacketBytes>>,
}

impl InprocQueue {
    /// A queue that grows as needed.
    #[must_use]
    pub fn new() -> Self {
        Self { shared: Arc::new(Shared::unbounded()) }
    }

    /// A queue that holds up to `packets` packets.
    ///
    /// It is stopped when its last reader ends, so that nobody waits for room that will never come.
    ///
    /// # Errors
    /// If `packets` is 0 or there is no memory for so many.
    pub fn bounded(packets: usize) -> Result<Self, CapacityError> {
        Ok(Self { shared: Arc::new(Shared::bounded(packets)?) })
    }

    /// Adds a packet: one SPEAD packet exactly, as in a datagram. Anything else the stream discards
    /// and counts.
    ///
    /// Waits while a bounded queue is full. Do not call it on the worker that is to make room: it
    /// would wait for itself.
    ///
    /// # Errors
    /// [`Stopped`], with the packet.
    pub fn add_packet(&self, packet: impl Into<PacketBytes>) -> Result<(), Stopped> {
        self.shared.push(packet.into()).map_err(Stopped)
    }

    /// Adds a packet if there is room.
    ///
    /// # Errors
    /// [`TryAddError`], with the packet.
    pub fn try_add_packet(&self, packet: impl Into<PacketBytes>) -> Result<(), TryAddError> {
        Ok(self.shared.try_push(packet.into())?)
    }

    /// Adds a packet, waiting for room for no longer than `timeout`.
    ///
    /// # Errors
    /// [`TryAddError`], with the packet.
    pub fn add_packet_timeout(
        &self,
        packet: impl Into<PacketBytes>,
        timeout: Duration,
    ) -> Result<(), TryAddError> {
        Ok(self.shared.push_timeout(packet.into(), timeout)?)
    }

    /// Ends the queue: nothing more can be added, and readers end when they have delivered what is
    /// in it. True only the first time.
    pub fn stop(&self) -> bool {
        self.shared.stop()
    }

    /// Whether the queue was stopped. Packets may be left in it.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.shared.is_stopped()
    }

    /// How many packets wait in it. In a queue in use this is out of date at once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether none waits; as [`len`](Self::len), out of date at once.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many packets it can hold; `None` if it grows as needed.
    #[must_use]
    pub fn capacity(&self) -> Option<usize> {
        self.shared.capacity()
    }
}

impl Default for InprocQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for InprocQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InprocQueue")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("stopped", &self.is_stopped())
            .finish()
    }
}

/// Reads the packets of an [`InprocQueue`], and ends when the queue was stopped and is empty.
pub struct InprocReader {
    shared: Arc<Shared<PacketBytes>>,
    waiter: Waiter,
    /// The packet that the stream could not take.
    held: Option<PacketBytes>,
}

impl InprocReader {
    /// Reads from `queue`.
    #[must_use]
    pub fn new(queue: &InprocQueue) -> Self {
        queue.shared.add_reader();
        Self { shared: Arc::clone(&queue.shared), waiter: Waiter::default(), held: None }
    }

    /// The next packet; `Err` if there is none now, or none will follow.
    fn next(&mut self, waker: &Waker) -> Result<PacketBytes, ReadState> {
        if let Some(packet) = self.held.take() {
            return Ok(packet);
        }
        match self.shared.poll_pop(&mut self.waiter, waker) {
            Poll::Ready(Some(packet)) => Ok(packet),
            Poll::Ready(None) => Err(ReadState::End),
            Poll::Pending => Err(ReadState::Empty),
        }
    }
}

impl Reader for InprocReader {
    fn attach(&mut self, _watch: &mut Watch<'_>) -> io::Result<()> {
        Ok(())
    }

    fn read(&mut self, inlet: &mut Inlet<'_>) -> ReadState {
        for _ in 0..BATCH {
            let packet = match self.next(inlet.waker()) {
                Ok(packet) => packet,
                Err(state) => return state,
            };
            if let Flow::Park(reason) = inlet.datagram(&packet, &Origin::default()) {
                self.held = Some(packet);
                return ReadState::Parked(reason);
            }
        }
        ReadState::Batch
    }

    fn describe(&self) -> String {
        self.shared.capacity().map_or_else(
            || "an in-process queue".to_owned(),
            |packets| format!("an in-process queue of {packets} packets"),
        )
    }
}

impl Drop for InprocReader {
    fn drop(&mut self) {
        self.shared.remove_reader();
    }
}

impl fmt::Debug for InprocReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InprocReader").field("holds_packet", &self.held.is_some()).finish()
    }
}

//! Streams: how they are built, and the handle to a running one.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Duration;

use super::chunk_sink::{ChunkOptions, ChunkSink};
use super::config::{ConfigError, StreamConfig, WindowSize};
use super::control::{End, Shared, StreamControl};
use super::engine::{Engine, Sink};
use super::heap_sink::{HeapOptions, HeapSink};
use super::reader::Reader;
use super::stats::{Counters, StreamStats};
use super::task::{Sources, StreamTask};
use super::worker::{MAX_READERS, Worker};
use crate::chunk::{
    Allocate, Chunk, ChunkPool, JumpGuard, Lone, Place, Ready, RingPolicy, RingReady, Supply,
    WhenFull, Window, ring_exchange,
};
use crate::heap::Heap;
use crate::memory::{Allocator, HeapAllocator};
use crate::ring::Ring;

/// A running stream.
///
/// Dropping it stops the stream; see [`StreamHandle::stop`], and the other methods there.
pub struct Stream {
    handle: StreamHandle,
}

/// Another way to a running stream: it is as good as the [`Stream`] but does not stop it when
/// dropped. Clones are handles of the same stream.
#[derive(Clone)]
pub struct StreamHandle {
    control: Arc<dyn StreamControl>,
    /// Keeps the worker's thread alive.
    worker: Worker,
    readers: Arc<AtomicUsize>,
}

impl Stream {
    /// Describes a stream that places heaps in chunks as `place` says: a
    /// [`Layout`](crate::chunk::Layout) or a closure.
    pub fn chunks(place: impl Place + 'static) -> ChunkStreamBuilder {
        ChunkStreamBuilder {
            options: ChunkStreamOptions::new(Box::new(place)),
            max_age: None,
            exchange: None,
        }
    }

    /// Describes a stream that delivers heaps whole.
    pub fn heaps() -> HeapStreamBuilder {
        HeapStreamBuilder {
            config: StreamConfig::default(),
            allocator: Arc::new(HeapAllocator),
            contiguous_only: true,
            keep_payload_ranges: false,
            ready: None,
            readers: Vec::new(),
        }
    }

    pub(crate) fn new(control: Arc<dyn StreamControl>, worker: &Worker, readers: usize) -> Self {
        let readers = Arc::new(AtomicUsize::new(readers));
        Self { handle: StreamHandle { control, worker: worker.clone(), readers } }
    }

    /// A handle that may outlive this one, and does not stop the stream when it is dropped.
    #[must_use]
    pub fn handle(&self) -> StreamHandle {
        self.handle.clone()
    }
}

impl Deref for Stream {
    type Target = StreamHandle;

    fn deref(&self) -> &StreamHandle {
        &self.handle
    }
}

impl StreamHandle {
    /// Ends the stream at once: nothing new is delivered, and what is in flight is dropped in this
    /// thread. Returns when the stream has ended, which takes a quantum at most; called from a
    /// callback on a worker it is a request that returns at once. May be called again.
    pub fn stop(&self) {
        self.control.stop();
    }

    /// Ends the stream in order: no more is read, all that was received is delivered, and the
    /// consumer sees the end. Returns at once; [`wait`](Self::wait) for the end.
    pub fn finish(&self) {
        self.control.finish();
    }

    /// Waits until the stream has ended, and says how.
    ///
    /// Called from a callback on a worker it does not wait: the answer is [`End::Stopped`] if the
    /// stream has not ended yet.
    pub fn wait(&self) -> End {
        self.control.wait().unwrap_or(End::Stopped)
    }

    /// Waits until the stream has ended, but no longer than `timeout`.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<End> {
        self.control.wait_timeout(timeout)
    }

    /// How the stream has ended; `None` while it runs.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.control.end()
    }

    /// The stream's counters.
    #[must_use]
    pub fn stats(&self) -> StreamStats {
        self.control.stats()
    }

    /// Adds a source of packets while the stream runs. Once the stream has ended it is ignored.
    ///
    /// # Errors
    /// If the stream has 4096 readers.
    pub fn add_reader(&self, reader: impl Reader + 'static) -> Result<(), ConfigError> {
        let another = |count| (count < MAX_READERS).then_some(count + 1);
        self.readers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, another)
            .map_err(|_| ConfigError::TooManyReaders)?;
        self.control.add_reader(Box::new(reader));
        Ok(())
    }

    /// The worker that the stream runs on.
    #[must_use]
    pub fn worker(&self) -> &Worker {
        &self.worker
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}

impl fmt::Debug for StreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("end", &self.end()).finish_non_exhaustive()
    }
}

/// What lone streams and group members have in common.
pub(crate) struct ChunkStreamOptions {
    pub(crate) place: Box<dyn Place>,
    pub(crate) config: StreamConfig,
    pub(crate) window: WindowSize,
    pub(crate) max_extra: usize,
    pub(crate) packet_presence: Option<u64>,
    pub(crate) deduplicate: bool,
    pub(crate) max_jump: Option<u64>,
    pub(crate) readers: Vec<Box<dyn Reader>>,
}

/// What a stream's task is made of.
pub(crate) struct Parts<S: Sink> {
    pub(crate) engine: Engine<S>,
    pub(crate) sources: Sources,
}

impl ChunkStreamOptions {
    pub(crate) fn new(place: Box<dyn Place>) -> Self {
        Self {
            place,
            config: StreamConfig::default(),
            window: WindowSize::default(),
            max_extra: 0,
            packet_presence: None,
            deduplicate: true,
            max_jump: None,
            readers: Vec::new(),
        }
    }

    /// Payload bytes per presence flag, as the builder or the placement says.
    pub(crate) fn packet_presence(&self) -> Option<u64> {
        self.packet_presence.or_else(|| self.place.packet_presence())
    }

    /// An engine over `supply`, whose window starts at chunk `head`.
    pub(crate) fn engine<S: Supply>(
        self,
        window: usize,
        head: u64,
        member: Option<usize>,
        supply: S,
        counters: &Arc<Counters>,
    ) -> Result<Parts<ChunkSink<S>>, ConfigError> {
        let rules = self.config.rules()?;
        let packet_presence = self.packet_presence();
        if packet_presence == Some(0) {
            return Err(ConfigError::Zero("the packet size of packet presence"));
        }
        if self.readers.len() > MAX_READERS {
            return Err(ConfigError::TooManyReaders);
        }
        let options = ChunkOptions {
            packet_presence,
            deduplicate: self.deduplicate,
            member: member.unwrap_or(0),
            may_go_back: member.is_none(),
            copy_mode: self.config.copy_mode,
        };
        let window = Window::new(window, head, supply);
        let guard = self.max_jump.map(JumpGuard::new);
        let sink = ChunkSink::new(
            window,
            self.place,
            guard,
            self.max_extra,
            options,
            Arc::clone(counters),
        );
        let engine = Engine::new(rules, sink, Arc::clone(counters));
        Ok(Parts { engine, sources: self.config.sources(self.readers) })
    }
}

/// The setters that lone streams and group members share.
macro_rules! chunk_options {
    () => {
        /// How packets and heaps are treated.
        pub fn config(mut self, config: StreamConfig) -> Self {
            self.options.config = config;
            self
        }

        /// How many consecutive chunks are open at a time (2): the reach of reordering between
        /// heaps.
        pub fn window(mut self, window: impl Into<WindowSize>) -> Self {
            self.options.window = window.into();
            self
        }

        /// How many bytes the placement may write to a chunk's `extra` per heap (0).
        pub fn max_heap_extra(mut self, bytes: usize) -> Self {
            self.options.max_extra = bytes;
            self
        }

        /// Marks presence per packet instead of per heap: flag `index + offset / packet_size`,
        /// with the packet's payload offset. `packet_size` is the payload of all packets but a
        /// heap's last. The placement's indices have to leave room for the packets of a heap; a
        /// [`Layout`](crate::chunk::Layout) made for it says so itself.
        pub fn packet_presence(mut self, packet_size: u64) -> Self {
            self.options.packet_presence = Some(packet_size);
            self
        }

        /// Whether a heap is dropped whose place another heap has filled (yes).
        pub fn deduplicate(mut self, deduplicate: bool) -> Self {
            self.options.deduplicate = deduplicate;
            self
        }

        /// Protects the window against corrupt chunk ids (off): ids more than this many chunks
        /// outside the window are not believed until several in a row agree. The first id needs
        /// a second that agrees.
        pub fn max_jump(mut self, chunks: u64) -> Self {
            self.options.max_jump = Some(chunks);
            self
        }

        /// Adds a source of packets.
        pub fn reader(mut self, reader: impl Reader + 'static) -> Self {
            self.options.readers.push(Box::new(reader));
            self
        }
    };
}
pub(crate) use chunk_options;

/// Builds a chunk stream; from [`Stream::chunks`].
///
/// ```
/// use speadway::chunk::{ChunkPool, Layout, RingPolicy};
/// use speadway::recv::readers::MemoryReader;
/// use speadway::recv::{Stream, Worker};
/// use speadway::ring::Ring;
/// use speadway::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue};
///
/// // Two heaps of 4 bytes, with their numbers in item 0x1600.
/// let mut packets = Vec::new();
/// for n in 0..2 {
///     let items = [
///         EncodeItem { id: 0x1600, value: ItemValue::Immediate(n) },
///         EncodeItem { id: 0x3300, value: ItemValue::Addressed(&[7; 4]) },
///     ];
///     let heap = HeapEncoder::new(Flavour::default(), n + 1, 1472, &items, false)?;
///     packets.extend(heap.packets().concat());
/// }
///
/// let layout = Layout::builder(0x1600, 4).heaps_per_chunk(2).build()?;
/// let pool = ChunkPool::zeroed(4, layout.chunk_size(), layout.heaps())?;
/// let ring = Ring::new(2)?;
/// let stream = Stream::chunks(layout)
///     .ring(&pool, &ring, RingPolicy::default())
///     .reader(MemoryReader::new(packets))
///     .start(&Worker::new()?)?;
/// let chunk = ring.pop()?;
/// assert!(chunk.is_complete());
/// assert_eq!(chunk.data(), [7; 8]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct ChunkStreamBuilder {
    options: ChunkStreamOptions,
    max_age: Option<Duration>,
    exchange: Option<(Box<dyn Allocate>, Box<dyn Ready>)>,
}

impl ChunkStreamBuilder {
    chunk_options!();

    /// Hands over a chunk that has been open this long though nothing newer arrives (off). Needs
    /// the readers to have been empty since.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Takes chunks from `pool` and pushes finished ones to `data`.
    pub fn ring(self, pool: &ChunkPool, data: &Ring<Chunk>, policy: RingPolicy) -> Self {
        let (allocate, ready) = ring_exchange(pool, data, policy);
        self.callbacks(allocate, ready)
    }

    /// Takes chunks from `allocate` and gives finished ones to `ready`.
    pub fn callbacks(
        mut self,
        allocate: impl Allocate + 'static,
        ready: impl Ready + 'static,
    ) -> Self {
        self.exchange = Some((Box::new(allocate), Box::new(ready)));
        self
    }

    /// Starts the stream on `worker`.
    ///
    /// # Errors
    /// If the configuration cannot be.
    pub fn start(self, worker: &Worker) -> Result<Stream, ConfigError> {
        let (allocate, ready) = self.exchange.ok_or(ConfigError::NoExchange)?;
        let window = self.options.window.in_chunks()?;
        let stream_id = self.options.config.stream_id;
        let supply = Lone::new(stream_id, window, allocate, ready, self.max_age);
        let counters = Arc::new(Counters::default());
        let parts = self.options.engine(window, 0, None, supply, &counters)?;
        Ok(launch(worker, parts, counters, self.max_age))
    }
}

/// Builds a heap stream; from [`Stream::heaps`].
///
/// ```
/// use speadway::chunk::WhenFull;
/// use speadway::recv::readers::MemoryReader;
/// use speadway::recv::{Stream, Worker};
/// use speadway::ring::Ring;
/// use speadway::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue};
///
/// let items = [EncodeItem { id: 0x3300, value: ItemValue::Addressed(b"samples") }];
/// let packets = HeapEncoder::new(Flavour::default(), 1, 1472, &items, false)?.packets().concat();
///
/// let ring = Ring::new(4)?;
/// let stream = Stream::heaps()
///     .ring(&ring, WhenFull::Wait)
///     .reader(MemoryReader::new(packets))
///     .start(&Worker::new()?)?;
/// for heap in &ring {
///     println!("heap {}: {:?}", heap.cnt(), heap.items().collect::<Vec<_>>());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct HeapStreamBuilder {
    config: StreamConfig,
    allocator: Arc<dyn Allocator>,
    contiguous_only: bool,
    keep_payload_ranges: bool,
    ready: Option<Box<dyn Ready<Heap>>>,
    readers: Vec<Box<dyn Reader>>,
}

impl HeapStreamBuilder {
    /// How packets and heaps are treated.
    pub fn config(mut self, config: StreamConfig) -> Self {
        self.config = config;
        self
    }

    /// Where heaps' memory comes from: a [`MemoryPool`](crate::memory::MemoryPool) for heaps of
    /// known size, [`MmapAllocator`](crate::memory::MmapAllocator) for huge pages.
    pub fn allocator(mut self, allocator: Arc<dyn Allocator>) -> Self {
        self.allocator = allocator;
        self
    }

    /// Whether incomplete heaps are dropped (yes) or delivered too.
    pub fn contiguous_only(mut self, contiguous_only: bool) -> Self {
        self.contiguous_only = contiguous_only;
        self
    }

    /// Whether incomplete heaps say which bytes arrived (no).
    pub fn keep_payload_ranges(mut self, keep: bool) -> Self {
        self.keep_payload_ranges = keep;
        self
    }

    /// Pushes heaps to `ring`, and does as `when_full` says if there is no room.
    pub fn ring(self, ring: &Ring<Heap>, when_full: WhenFull) -> Self {
        self.callback(RingReady::new(ring, when_full))
    }

    /// Gives heaps to `ready`, on the worker.
    pub fn callback(mut self, ready: impl Ready<Heap> + 'static) -> Self {
        self.ready = Some(Box::new(ready));
        self
    }

    /// Adds a source of packets.
    pub fn reader(mut self, reader: impl Reader + 'static) -> Self {
        self.readers.push(Box::new(reader));
        self
    }

    /// Starts the stream on `worker`.
    ///
    /// # Errors
    /// If the configuration cannot be.
    pub fn start(self, worker: &Worker) -> Result<Stream, ConfigError> {
        let ready = self.ready.ok_or(ConfigError::NoExchange)?;
        let rules = self.config.rules()?;
        if self.readers.len() > MAX_READERS {
            return Err(ConfigError::TooManyReaders);
        }
        let options = HeapOptions {
            stream_id: self.config.stream_id,
            bug_compat: self.config.bug_compat,
            contiguous_only: self.contiguous_only,
            keep_payload_ranges: self.keep_payload_ranges,
            out_of_order: self.config.out_of_order,
            max_heap_size: self.config.max_heap_size,
        };
        let counters = Arc::new(Counters::default());
        let sink = HeapSink::new(self.allocator, ready, options, Arc::clone(&counters));
        let engine = Engine::new(rules, sink, Arc::clone(&counters));
        let parts = Parts { engine, sources: self.config.sources(self.readers) };
        Ok(launch(worker, parts, counters, None))
    }
}

/// Puts a stream on its worker.
fn launch<S: Sink + 'static>(
    worker: &Worker,
    parts: Parts<S>,
    counters: Arc<Counters>,
    max_age: Option<Duration>,
) -> Stream {
    let Parts { engine, sources } = parts;
    let shared = Arc::new(Shared::new(engine, counters));
    let count = sources.readers.len();
    let waker = worker.task_waker();
    shared.set_waker(Waker::from(Arc::clone(&waker)));
    let task = StreamTask::new(Arc::clone(&shared), sources, max_age);
    worker.add(Box::new(task), waker);
    Stream::new(shared, worker, count)
}

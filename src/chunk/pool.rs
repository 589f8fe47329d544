//! The free ring: where chunks wait to be filled, and where dropped chunks go back to.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Poll, Waker};

use super::Chunk;
use super::data::Body;
use crate::memory::{Allocator, Buffer, MemoryError};
use crate::ring::{CapacityError, Ring, TryPushError, Waiter};

/// A fixed set of chunks that circulate: taken by a stream or group, filled, handed to the
/// consumer, and returned here when the consumer drops them.
///
/// The way back always has room and never blocks. A chunk that comes back after [`close`] is freed.
/// Clones are handles to the same pool; several streams and groups may share one.
///
/// A pool exactly as large as the window works; every chunk beyond that is one that the data ring
/// or the consumer may hold without holding up the receiver.
///
/// ```
/// use speadway::chunk::ChunkPool;
/// // Eight chunks of 4 MiB, each for 64 heaps.
/// let pool = ChunkPool::zeroed(8, 4 << 20, 64)?;
/// let chunk = pool.try_take().expect("eight are free");
/// assert_eq!(pool.stats().free, 7);
/// drop(chunk);
/// assert_eq!(pool.stats().free, 8);
/// # Ok::<(), speadway::chunk::PoolError>(())
/// ```
///
/// [`close`]: Self::close
#[derive(Clone)]
pub struct ChunkPool {
    home: Arc<Home>,
}

/// The shared part of a pool; chunks outside hold it, chunks inside do not (no cycle).
pub(crate) struct Home {
    free: Ring<Box<Body>>,
    /// Chunks that belong here, inside or out; never above the ring's capacity, so that there is
    /// always room for all of them.
    owned: AtomicUsize,
    returned: AtomicU64,
    freed: AtomicU64,
}

/// Why a pool could not be made or take a chunk.
#[derive(Debug)]
#[non_exhaustive]
pub enum PoolError {
    /// The pool would hold no chunk, or absurdly many.
    Capacity(CapacityError),
    /// The memory for the chunks is not to be had.
    Memory(MemoryError),
    /// The pool has all the chunks it was made for; the chunk is given back.
    Full(Chunk),
    /// The pool is closed; the chunk is given back.
    Closed(Chunk),
    /// The chunk belongs to a pool already; the chunk is given back.
    NotYours(Chunk),
}

/// A pool's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Chunks that the pool may own.
    pub capacity: usize,
    /// Chunks that it owns, inside or out.
    pub owned: usize,
    /// Chunks waiting to be filled.
    pub free: usize,
    /// Chunks that came back, over the pool's life.
    pub returned: u64,
    /// Chunks that came back after the pool was closed, and were freed.
    pub freed: u64,
}

impl ChunkPool {
    /// An empty pool for up to `capacity` chunks, to be filled with [`add`](Self::add).
    ///
    /// # Errors
    /// [`PoolError::Capacity`] if `capacity` is 0 or absurd.
    pub fn new(capacity: usize) -> Result<Self, PoolError> {
        let free = Ring::new(capacity).map_err(PoolError::Capacity)?;
        let home = Home {
            free,
            owned: AtomicUsize::new(0),
            returned: AtomicU64::new(0),
            freed: AtomicU64::new(0),
        };
        Ok(Self { home: Arc::new(home) })
    }

    /// A pool of `chunks` chunks of fresh memory: `data` bytes and `heaps` presence flags each.
    ///
    /// # Errors
    /// If `chunks` is 0, or the memory is not to be had.
    pub fn zeroed(chunks: usize, data: usize, heaps: usize) -> Result<Self, PoolError> {
        Self::of(chunks, || Chunk::zeroed(data, heaps, 0))
    }

    /// As [`zeroed`](Self::zeroed), with the chunks' data from `allocator`: in huge pages, and
    /// touched beforehand.
    ///
    /// For chunks that are local to a stream's NUMA node, have them mapped there
    /// ([`MapOptions::node`](crate::memory::MapOptions::node)): left alone, the kernel takes a page from
    /// the node of the core that touches it first.
    ///
    /// ```
    /// use speadway::chunk::ChunkPool;
    /// use speadway::memory::{HugePages, MapOptions, MmapAllocator};
    ///
    /// let huge_pages = HugePages::Prefer;
    /// let options = MapOptions { huge_pages, populate: true, ..MapOptions::default() };
    /// let pool = ChunkPool::allocated(8, 4 << 20, 64, &MmapAllocator::new(options))?;
    /// assert_eq!(pool.stats().free, 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If `chunks` is 0, or the memory is not to be had.
    pub fn allocated(
        chunks: usize,
        data: usize,
        heaps: usize,
        allocator: &(impl Allocator + ?Sized),
    ) -> Result<Self, PoolError> {
        Self::of(chunks, || {
            let (data, present) = (allocator.allocate(data)?, Buffer::zeroed(heaps)?);
            Ok(Chunk::new(data, present, Buffer::default()))
        })
    }

    /// A pool that is full from the start.
    fn of(chunks: usize, make: impl Fn() -> Result<Chunk, MemoryError>) -> Result<Self, PoolError> {
        let pool = Self::new(chunks)?;
        for _ in 0..chunks {
            pool.add(make().map_err(PoolError::Memory)?)?;
        }
        Ok(pool)
    }

    /// Gives a chunk to the pool, for good.
    ///
    /// # Errors
    /// The chunk comes back in the error if the pool is full or closed, or if it belongs to a pool.
    pub fn add(&self, chunk: Chunk) -> Result<(), PoolError> {
        if chunk.is_pooled() {
            return Err(PoolError::NotYours(chunk));
        }
        let capacity = self.home.free.capacity();
        let reserve = |owned| (owned < capacity).then_some(owned + 1);
        if self.home.owned.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve).is_err() {
            return Err(PoolError::Full(chunk));
        }
        let Some(body) = chunk.into_body() else { return Ok(()) };
        match self.home.free.try_push(body) {
            Ok(()) => Ok(()),
            Err(TryPushError::Full(body) | TryPushError::Closed(body)) => {
                Err(PoolError::Closed(Chunk::from_body(body, Arc::clone(&self.home)).detach()))
            }
        }
    }

    /// A free chunk, if there is one.
    #[must_use]
    pub fn try_take(&self) -> Option<Chunk> {
        self.home.free.try_pop().ok().map(|body| self.adopt(body))
    }

    /// Waits for a free chunk; `None` once the pool is closed and empty.
    #[must_use]
    pub fn take(&self) -> Option<Chunk> {
        self.home.free.pop().ok().map(|body| self.adopt(body))
    }

    /// Closes the pool: chunks inside can still be taken, chunks that come back are freed, and who
    /// waits for one is told.
    pub fn close(&self) {
        self.home.free.close();
    }

    /// What the pool holds and has seen.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        PoolStats {
            capacity: self.home.free.capacity(),
            owned: self.home.owned.load(Ordering::Relaxed),
            free: self.home.free.len(),
            returned: self.home.returned.load(Ordering::Relaxed),
            freed: self.home.freed.load(Ordering::Relaxed),
        }
    }

    /// A free chunk, or `Pending` with `waker` called when one may have come back.
    pub(crate) fn poll_take(&self, waiter: &mut Waiter, waker: &Waker) -> Poll<Option<Chunk>> {
        match self.home.free.poll_pop(waiter, waker) {
            Poll::Ready(Ok(body)) => Poll::Ready(Some(self.adopt(body))),
            Poll::Ready(Err(_)) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn adopt(&self, body: Box<Body>) -> Chunk {
        Chunk::from_body(body, Arc::clone(&self.home))
    }
}

impl Home {
    /// Takes back a dropped chunk.
    pub(crate) fn take_back(&self, mut body: Box<Body>) {
        body.clear();
        self.returned.fetch_add(1, Ordering::Relaxed);
        if self.free.try_push(body).is_err() {
            // Only a closed ring refuses: there is room for every chunk that belongs here.
            self.freed.fetch_add(1, Ordering::Relaxed);
            self.forget_one();
        }
    }

    pub(crate) fn forget_one(&self) {
        self.owned.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for ChunkPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChunkPool").field(&self.stats()).finish()
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capacity(error) => write!(f, "a pool cannot hold that many chunks: {error}"),
            Self::Memory(error) => write!(f, "cannot allocate the pool's chunks: {error}"),
            Self::Full(_) => {
                f.write_str("the pool has all the chunks it was made for; make it with more room")
            }
            Self::Closed(_) => f.write_str("the pool is closed"),
            Self::NotYours(_) => {
                f.write_str("the chunk belongs to a pool; drop it to return it, or detach it first")
            }
        }
    }
}

impl std::error::Error for PoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Capacity(error) => Some(error),
            Self::Memory(error) => Some(error),
            _ => None,
        }
    }
}

//! A pool of buffers of one size.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::buffer::Home;
use super::storage::Storage;
use super::{Allocator, Buffer, MemoryError};
use crate::limit::LogLimit;

/// Keeps buffers of one size, so that a stream in its stride asks the system for nothing.
///
/// A request of `lower..=upper` bytes is answered with a buffer of `upper` bytes, of which the
/// requested length shows; any other request goes straight to the allocator underneath. A buffer
/// returns to the pool when it is dropped, on whichever thread, and is freed instead if the pool
/// already holds `max_free`. Bytes are not cleared in between.
///
/// Dropping the pool frees what it holds; buffers still out stay good and are freed as they are
/// dropped.
///
/// A stream whose pool runs dry allocates while packets wait. Size the pool for the heaps under
/// assembly, those queued for the consumer, those the consumer holds, and a few more.
///
/// ```
/// use std::sync::Arc;
/// use speadway::memory::{Allocator, HeapAllocator, MemoryPool};
///
/// let pool = MemoryPool::new(1000, 4096, 8, 2, Arc::new(HeapAllocator))?;
/// let buffer = pool.allocate(3000)?;
/// assert_eq!((buffer.len(), buffer.capacity()), (3000, 4096));
/// assert_eq!(pool.allocate(10)?.capacity(), 10); // outside 1000..=4096
/// let stats = pool.stats();
/// assert_eq!((stats.hits, stats.misses, stats.bypassed), (1, 0, 1));
/// # Ok::<(), speadway::memory::MemoryError>(())
/// ```
pub struct MemoryPool {
    shared: Arc<Shared>,
    lower: usize,
    upper: usize,
    inner: Arc<dyn Allocator>,
    warn_on_empty: AtomicBool,
}

/// What a pool has done so far, and what it holds.
///
/// `hits + misses = outstanding + returned + discarded + failed`, at any moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Requests answered with a buffer the pool held.
    pub hits: u64,
    /// Requests for which the pool was empty, so that a buffer had to be allocated.
    pub misses: u64,
    /// Requests for a length the pool does not keep.
    pub bypassed: u64,
    /// Misses for which the allocator underneath had no buffer.
    pub failed: u64,
    /// Buffers that came back and were kept.
    pub returned: u64,
    /// Buffers that came back and were freed: the pool was full, or gone.
    pub discarded: u64,
    /// Buffers held, ready for the next request.
    pub free: usize,
    /// Buffers of the pool that are in use.
    pub outstanding: usize,
}

/// The half of a pool that its buffers know.
struct Shared {
    max_free: usize,
    state: Mutex<State>,
}

struct State {
    free: Vec<Storage>,
    /// `free` is filled in when the statistics are asked for.
    stats: PoolStats,
    warnings: LogLimit,
    /// The pool was dropped: nobody will ask for these buffers again.
    closed: bool,
}

impl MemoryPool {
    /// A pool for lengths `lower..=upper` (bytes) that keeps up to `max_free` buffers of `upper`
    /// bytes, `initial` of them from the start, made by `inner`.
    ///
    /// # Errors
    ///
    /// [`MemoryError::InvalidPool`] if `lower > upper` or `initial > max_free`, and whatever `inner`
    /// says of the first buffers.
    pub fn new(
        lower: usize,
        upper: usize,
        max_free: usize,
        initial: usize,
        inner: Arc<dyn Allocator>,
    ) -> Result<Self, MemoryError> {
        if lower > upper {
            return Err(MemoryError::InvalidPool { reason: "lower must not exceed upper" });
        }
        if initial > max_free {
            return Err(MemoryError::InvalidPool { reason: "initial must not exceed max_free" });
        }
        let mut free = Vec::new();
        for _ in 0..initial {
            make_room(&mut free, 1)?;
            free.push(make_storage(&*inner, upper)?);
        }
        let state = State {
            free,
            stats: PoolStats::default(),
            warnings: LogLimit::default(),
            closed: false,
        };
        let shared = Arc::new(Shared { max_free, state: Mutex::new(state) });
        Ok(Self { shared, lower, upper, inner, warn_on_empty: AtomicBool::new(true) })
    }

    /// The least length that the pool keeps buffers for, in bytes.
    pub fn lower(&self) -> usize {
        self.lower
    }

    /// The greatest length that the pool keeps buffers for, and the capacity of each, in bytes.
    pub fn upper(&self) -> usize {
        self.upper
    }

    /// The most buffers that the pool holds free.
    pub fn max_free(&self) -> usize {
        self.shared.max_free
    }

    /// The allocator underneath.
    pub fn inner(&self) -> &Arc<dyn Allocator> {
        &self.inner
    }

    /// Whether a warning is logged when the pool is empty. It is at first.
    pub fn warn_on_empty(&self) -> bool {
        self.warn_on_empty.load(Ordering::Relaxed)
    }

    /// Says whether a warning is logged when the pool is empty, at most one in five seconds.
    pub fn set_warn_on_empty(&self, warn: bool) {
        self.warn_on_empty.store(warn, Ordering::Relaxed);
    }

    /// Makes buffers until the pool holds `free` of them, but at most [`max_free`](Self::max_free).
    /// For a thread that keeps the pool filled, so that none that receives has to allocate.
    ///
    /// # Errors
    ///
    /// Whatever the allocator underneath says.
    pub fn fill(&self, free: usize) -> Result<(), MemoryError> {
        let goal = free.min(self.shared.max_free);
        while self.shared.lock().free.len() < goal {
            let storage = make_storage(&*self.inner, self.upper)?; // takes a while: not locked
            let mut state = self.shared.lock();
            if state.free.len() < goal {
                make_room(&mut state.free, 1)?;
                state.free.push(storage);
            }
        }
        Ok(())
    }

    /// How many buffers the pool holds free.
    pub fn free(&self) -> usize {
        self.shared.lock().free.len()
    }

    /// What the pool has done so far, and what it holds.
    pub fn stats(&self) -> PoolStats {
        let state = self.shared.lock();
        PoolStats { free: state.free.len(), ..state.stats }
    }

    /// A buffer the pool holds, or `None` after counting the miss that is about to be made good.
    fn take(&self, len: usize) -> Result<Option<Storage>, MemoryError> {
        let mut state = self.shared.lock();
        let storage = state.free.pop();
        if storage.is_none() {
            // Room for every buffer there will be, so that dropping one never allocates.
            let buffers = state.stats.outstanding.saturating_add(1).min(self.shared.max_free);
            make_room(&mut state.free, buffers)?;
        }
        state.stats.outstanding += 1;
        match storage {
            Some(_) => state.stats.hits += 1,
            None => state.stats.misses += 1,
        }
        let warn = storage.is_none()
            && self.warn_on_empty()
            && state.warnings.pass(Instant::now()).is_some();
        let misses = state.stats.misses;
        drop(state);
        if warn {
            log::warn!(
                "memory pool is empty when allocating {len} bytes ({misses} times so far); \
                 make it larger or release buffers sooner"
            );
        }
        Ok(storage)
    }

    /// Allocates outside the lock, for the miss that `take` has counted.
    fn make_good(&self) -> Result<Storage, MemoryError> {
        make_storage(&*self.inner, self.upper).inspect_err(|_| {
            let mut state = self.shared.lock();
            state.stats.outstanding -= 1;
            state.stats.failed += 1;
        })
    }
}

impl Allocator for MemoryPool {
    fn allocate(&self, len: usize) -> Result<Buffer, MemoryError> {
        if !(self.lower..=self.upper).contains(&len) {
            self.shared.lock().stats.bypassed += 1;
            return self.inner.allocate(len);
        }
        let storage = match self.take(len)? {
            Some(storage) => storage,
            None => self.make_good()?,
        };
        Ok(Buffer::lent(storage, len, Arc::clone(&self.shared) as Arc<dyn Home>))
    }
}

impl Drop for MemoryPool {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let free = std::mem::take(&mut state.free);
        drop(state); // freeing takes a while, and buffers may be coming back meanwhile
        drop(free);
    }
}

impl fmt::Debug for MemoryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryPool")
            .field("lower", &self.lower)
            .field("upper", &self.upper)
            .field("max_free", &self.max_free())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Home for Shared {
    fn take_back(&self, storage: Storage) {
        let mut state = self.lock();
        state.stats.outstanding -= 1;
        if !state.closed && state.free.len() < self.max_free {
            state.stats.returned += 1;
            state.free.push(storage);
        } else {
            state.stats.discarded += 1;
            drop(state); // freeing takes a while
            drop(storage);
        }
    }
}

/// Sees that `free` can take `more` without allocating.
fn make_room(free: &mut Vec<Storage>, more: usize) -> Result<(), MemoryError> {
    free.try_reserve(more)
        .map_err(|_| MemoryError::OutOfMemory { len: more.saturating_mul(size_of::<Storage>()) })
}

/// Storage of at least `len` bytes. The allocator may be anybody's, so its answer is checked.
fn make_storage(inner: &dyn Allocator, len: usize) -> Result<Storage, MemoryError> {
    let buffer = inner.allocate(len)?;
    if buffer.len() < len {
        return Err(MemoryError::ShortBuffer { wanted: len, got: buffer.len() });
    }
    Ok(buffer.into_storage())
}

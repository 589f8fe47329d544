//! Where chunks come from and go to: callbacks, or a pool and a ring.

use std::task::{Poll, Waker};
use std::time::Instant;

use super::{Chunk, ChunkPool};
use crate::ring::{BurstPush, PollPush, Producer, Ring, Waiter};

/// An answer to "give me memory for a chunk".
#[derive(Debug)]
#[non_exhaustive]
pub enum Allocation {
    /// The memory.
    Chunk(Chunk),
    /// None now. The waker that came with the request is called when it is worth asking again;
    /// until then the stream is parked and the network holds the data back.
    NotYet,
    /// None for this id: its heaps are discarded, counted as `no_chunk`.
    Refused,
}

/// Gets the memory for a chunk. Closures `FnMut(u64, &Waker) -> Allocation` will do.
///
/// Called on a worker, by one thread at a time, with no lock held that another worker waits for.
pub trait Allocate: Send {
    /// Memory for chunk `id`. `waker` matters only for [`Allocation::NotYet`].
    fn allocate(&mut self, id: u64, waker: &Waker) -> Allocation;

    /// Nothing is waited for now: an answer "not yet" need not be followed up. More may be asked
    /// for later, by other members of a group.
    fn end(&mut self) {}
}

/// Takes what is finished: chunks in id order, or heaps. Closures
/// `FnMut(Chunk, &Waker) -> Result<(), Chunk>` will do.
///
/// Called on a worker, by one thread at a time, with no lock held that another worker waits for.
/// (Once all members of a group have ended, what is left is offered by whoever calls the waker.)
pub trait Ready<T = Chunk>: Send {
    /// Takes `item`, or gives it back and calls `waker` when it is worth offering again.
    ///
    /// # Errors
    /// The item, if it cannot be taken now.
    fn ready(&mut self, item: T, waker: &Waker) -> Result<(), T>;

    /// A batch is over, or the stream (the last of a group's) has to wait: what was taken since the
    /// last time should be passed on now. For those that do it for several at once; what wraps
    /// another has to hand it on.
    fn announce(&mut self) {}

    /// Nothing will follow.
    fn end(&mut self) {}
}

impl<F: FnMut(u64, &Waker) -> Allocation + Send> Allocate for F {
    fn allocate(&mut self, id: u64, waker: &Waker) -> Allocation {
        self(id, waker)
    }
}

impl<T, F: FnMut(T, &Waker) -> Result<(), T> + Send> Ready<T> for F {
    fn ready(&mut self, item: T, waker: &Waker) -> Result<(), T> {
        self(item, waker)
    }
}

/// What to do when a stream needs a chunk and the pool has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenEmpty {
    /// Park until one comes back; nothing is lost while the kernel's buffer holds.
    #[default]
    Wait,
    /// Go without: the heaps of that chunk id are discarded, counted as `no_chunk`.
    DropNewest,
    /// Take the oldest finished chunk that the consumer has not fetched yet; waits if there is none.
    RecycleOldest,
}

/// What to do when a chunk is finished and the data ring is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Park until the consumer has taken one.
    #[default]
    Wait,
    /// Return the finished chunk to its pool unseen.
    DropNewest,
    /// Return the oldest chunk in the ring to its pool, and put the finished one in.
    RecycleOldest,
}

/// The policies of a ring exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingPolicy {
    /// For the free ring.
    pub when_empty: WhenEmpty,
    /// For the data ring.
    pub when_full: WhenFull,
}

/// The ring form of the two callbacks: chunks are taken from `pool` and finished ones pushed to
/// `data`, whose end is that of its last producer.
#[must_use]
pub fn ring_exchange(
    pool: &ChunkPool,
    data: &Ring<Chunk>,
    policy: RingPolicy,
) -> (RingAllocate, RingReady) {
    let allocate = RingAllocate {
        pool: pool.clone(),
        data: data.clone(),
        when_empty: policy.when_empty,
        waiter: Waiter::default(),
    };
    (allocate, RingReady::new(data, policy.when_full))
}

/// [`Allocate`] from a [`ChunkPool`].
#[derive(Debug)]
pub struct RingAllocate {
    pool: ChunkPool,
    data: Ring<Chunk>,
    when_empty: WhenEmpty,
    waiter: Waiter,
}

/// [`Ready`] into a ring.
#[derive(Debug)]
pub struct RingReady<T = Chunk> {
    producer: Option<Producer<T>>,
    data: BurstPush<T>,
    when_full: WhenFull,
}

impl<T> RingReady<T> {
    /// Registers a producer of `data`.
    #[must_use]
    pub fn new(data: &Ring<T>, when_full: WhenFull) -> Self {
        Self { producer: Some(data.producer()), data: BurstPush::new(data), when_full }
    }
}

impl Allocate for RingAllocate {
    fn allocate(&mut self, _id: u64, waker: &Waker) -> Allocation {
        match self.when_empty {
            WhenEmpty::Wait => {}
            WhenEmpty::DropNewest => {
                return self.pool.try_take().map_or(Allocation::Refused, Allocation::Chunk);
            }
            WhenEmpty::RecycleOldest => {
                // The oldest goes back to its pool, which need not be ours; then ours is asked.
                if let Some(chunk) = self.pool.try_take() {
                    // Not waiting any more: the next wake-up is for another stream of the pool.
                    self.waiter.clear();
                    return Allocation::Chunk(chunk);
                }
                drop(self.data.try_pop());
            }
        }
        match self.pool.poll_take(&mut self.waiter, waker) {
            Poll::Ready(Some(chunk)) => Allocation::Chunk(chunk),
            Poll::Ready(None) => Allocation::Refused,
            Poll::Pending => Allocation::NotYet,
        }
    }

    fn end(&mut self) {
        // A place kept in the pool's queue would swallow the wake-up of the next stream.
        self.waiter.clear();
    }
}

impl<T: Send> Ready<T> for RingReady<T> {
    fn ready(&mut self, item: T, waker: &Waker) -> Result<(), T> {
        // A ring that somebody closed takes nothing more: dropping a chunk returns it to its pool.
        match self.when_full {
            WhenFull::Wait => match self.data.poll_push(item, waker) {
                PollPush::Pending(item) => Err(item),
                PollPush::Done | PollPush::Closed(_) => Ok(()),
            },
            WhenFull::DropNewest => {
                drop(self.data.ring().try_push(item));
                Ok(())
            }
            WhenFull::RecycleOldest => {
                drop(self.data.ring().force_push(item));
                Ok(())
            }
        }
    }

    fn announce(&mut self) {
        self.data.announce();
    }

    fn end(&mut self) {
        self.data.announce();
        self.data.clear();
        self.producer = None;
    }
}

/// Why a stream cannot go on for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParkReason {
    /// No free chunk.
    FreeRing,
    /// The data ring (or the ready callback) takes nothing.
    DataRing,
    /// Another member of the group still holds the oldest chunk.
    GroupWindow,
}

impl ParkReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 3] = [Self::FreeRing, Self::DataRing, Self::GroupWindow];

    /// The name used in counters and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FreeRing => "free_ring",
            Self::DataRing => "data_ring",
            Self::GroupWindow => "group_window",
        }
    }

    /// What is waited for and what would help, for the log.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::FreeRing => {
                "a free chunk: the consumer returns none, or the pool is smaller than the windows, \
                 the data ring and what the consumer holds"
            }
            Self::DataRing => "room in the data ring: the consumer takes nothing",
            Self::GroupWindow => {
                "another member of its lossless group, which still fills the oldest chunk"
            }
        }
    }
}

/// What an engine is told of the world while it works: whom to wake, and what time it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cx<'a> {
    pub(crate) waker: &'a Waker,
    pub(crate) now: Instant,
}

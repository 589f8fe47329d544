//! Bounded rings between threads, with every way of waiting.
//!
//! A [`Ring`] carries values (chunks, as a rule) from any number of producers to any number of
//! consumers, first in first out, and never holds more than its capacity. Handles are cheap clones.
//! Each end can be used in whichever way suits the caller, all at once on one ring:
//!
//! | | producer | consumer |
//! |---|---|---|
//! | at once or not at all | [`try_push`](Ring::try_push) | [`try_pop`](Ring::try_pop) |
//! | blocking | [`push`](Ring::push) | [`pop`](Ring::pop), [`iter`](Ring::iter) |
//! | blocking, for a while | [`push_timeout`](Ring::push_timeout) | [`pop_timeout`](Ring::pop_timeout) |
//! | async, on any executor | [`push_async`](Ring::push_async) | [`pop_async`](Ring::pop_async) |
//! | polled, without a future | [`poll_push`](Ring::poll_push) | [`poll_pop`](Ring::poll_pop) |
//! | a file descriptor to poll | [`space_fd`](Ring::space_fd) | [`data_fd`](Ring::data_fd) |
//! | recycling the oldest | [`force_push`](Ring::force_push) | |
//! | in bursts | [`BurstPush`] | |
//!
//! A ring ends when it is [closed](Ring::close), or when the last of its [producers](Ring::producer)
//! ends: pushes then fail at once and give their value back, and consumers take what is left and
//! then see [`Ended`]. A value whose push succeeded is never lost: it is delivered, evicted by
//! `force_push`, or dropped with the last handle of the ring.
//!
//! ```
//! use speadway::ring::Ring;
//! use std::thread;
//!
//! let ring = Ring::new(4)?;
//! let producer = ring.producer();
//! let sender = thread::spawn(move || {
//!     for i in 0..100 {
//!         producer.push(i)?;
//!     }
//!     Ok::<(), speadway::ring::Closed<i32>>(()) // the only producer ends here, and so the ring does
//! });
//! assert_eq!(ring.iter().sum::<i32>(), 4950);
//! sender.join().expect("the sender does not panic")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod burst;
mod error;
mod event;
#[cfg_attr(any(not(unix), speadway_loom), path = "no_fd.rs")]
mod fd;
mod gate;
#[cfg(all(test, speadway_loom))]
mod models;
mod park;
mod producer;
mod stats;
mod wait;

pub use burst::BurstPush;
pub use error::{CapacityError, Closed, Ended, TryPopError, TryPushError};
pub use event::Waiter;
#[cfg(all(unix, not(speadway_loom)))]
pub use fd::RingFd;
pub use producer::Producer;
pub use stats::RingStats;
pub use wait::{Iter, PollPush, PopFuture, PushFuture};

use crate::sync::{AtomicUsize, Queue};
use crossbeam_utils::CachePadded;
use event::Event;
use fd::Level;
use gate::Gate;
use stats::{Count, HighWater};
use std::fmt;
use std::mem::MaybeUninit;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A bounded ring of `T`, for many producers and many consumers; see the [module](self) for the ways
/// of using it.
///
/// - First in, first out. Each value is delivered to exactly one consumer.
/// - Pushing and popping take no lock, allocate nothing and make no system call unless somebody waits
///   at the other end. Waiters are served in the order they came, though one who does not wait may
///   get in between.
/// - Clones are handles of the same ring. `Send` and `Sync` whenever `T` is `Send`.
///
/// ```
/// use speadway::ring::{Ended, Ring};
///
/// let ring = Ring::new(2)?;
/// ring.push("first")?;
/// ring.push("second")?;
/// assert_eq!(ring.try_push("third").unwrap_err().into_inner(), "third");
/// ring.close();
/// assert_eq!(ring.pop(), Ok("first"));
/// assert_eq!(ring.pop(), Ok("second"));
/// assert_eq!(ring.pop(), Err(Ended));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Ring<T> {
    shared: Arc<Shared<T>>,
}

/// A handle that does not keep its ring; from [`Ring::downgrade`]. For values in a ring that have to
/// find their way to one, which would otherwise keep each other for ever.
pub struct WeakRing<T> {
    shared: Weak<Shared<T>>,
}

struct Shared<T> {
    gate: Gate,
    queue: Queue<T>,
    /// A value came, or the ring ended.
    data: Arc<Event>,
    /// Space came, or the ring was closed.
    space: Arc<Event>,
    data_level: Level,
    space_level: Level,
    /// Registered producers.
    producers: AtomicUsize,
    /// Each in cache lines of its own, as consumers write one and producers the other while all read the
    /// rest.
    pushes: CachePadded<Pushes>,
    popped: CachePadded<Count>,
}

/// What producers count.
#[derive(Default)]
struct Pushes {
    pushed: Count,
    evicted: Count,
    /// Pushes that found it full and did not wait.
    refused: Count,
    high_water: HighWater,
}

impl<T> Ring<T> {
    /// A ring that holds up to `capacity` values. All its memory is allocated here.
    ///
    /// # Errors
    /// [`CapacityError`] if the capacity is 0 or there is no memory for so many values.
    pub fn new(capacity: usize) -> Result<Self, CapacityError> {
        if capacity == 0 {
            return Err(CapacityError::Zero);
        }
        try_memory::<T>(capacity)?;
        let shared = Shared {
            gate: Gate::new(),
            queue: Queue::new(capacity),
            data: Arc::new(Event::new()),
            space: Arc::new(Event::new()),
            data_level: Level::new(),
            space_level: Level::new(),
            producers: AtomicUsize::new(0),
            pushes: CachePadded::default(),
            popped: CachePadded::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Push without waiting.
    ///
    /// # Errors
    /// [`TryPushError::Full`] or [`TryPushError::Closed`], with the value.
    pub fn try_push(&self, value: T) -> Result<(), TryPushError<T>> {
        let pushed = self.shared.offer(value);
        if let Err(TryPushError::Full(_)) = pushed {
            self.shared.pushes.refused.add(1);
        }
        pushed
    }

    /// Push without waiting; if the ring is full, the oldest value makes room and is given back.
    ///
    /// # Errors
    /// [`Closed`], with the value.
    ///
    /// ```
    /// let ring = speadway::ring::Ring::new(1)?;
    /// assert_eq!(ring.force_push(1), Ok(None));
    /// assert_eq!(ring.force_push(2), Ok(Some(1)));
    /// # Ok::<(), speadway::ring::CapacityError>(())
    /// ```
    pub fn force_push(&self, value: T) -> Result<Option<T>, Closed<T>> {
        let Some(under_way) = self.shared.enter() else { return Err(Closed(value)) };
        let evicted = self.shared.queue.force_push(value);
        if evicted.is_some() {
            self.shared.pushes.refused.add(1);
            self.shared.pushes.evicted.add(1);
        }
        self.shared.after_push(under_way);
        self.shared.announce();
        Ok(evicted)
    }

    /// Pop without waiting.
    ///
    /// # Errors
    /// [`TryPopError::Empty`] or [`TryPopError::Ended`].
    pub fn try_pop(&self) -> Result<T, TryPopError> {
        self.shared.take()
    }

    /// Close the ring: from now on pushes fail, and consumers take what is left and then see
    /// [`Ended`]. Everyone who waits is woken. A push that another thread has begun either is
    /// delivered or fails; none is stranded.
    ///
    /// True only the first time.
    pub fn close(&self) -> bool {
        self.shared.close()
    }

    /// Whether the ring has been closed. Values may be left in it.
    pub fn is_closed(&self) -> bool {
        self.shared.gate.is_closed()
    }

    /// How many values it holds. In a ring in use this is out of date at once.
    pub fn len(&self) -> usize {
        self.shared.queue.len()
    }

    /// How many values it can hold.
    pub fn capacity(&self) -> usize {
        self.shared.queue.capacity()
    }

    /// Whether it holds nothing; as [`len`](Self::len), out of date at once.
    pub fn is_empty(&self) -> bool {
        self.shared.queue.is_empty()
    }

    /// Whether it holds all it can; as [`len`](Self::len), out of date at once.
    pub fn is_full(&self) -> bool {
        self.shared.queue.is_full()
    }

    /// Whether both are handles of the same ring.
    pub fn same_ring(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// A handle that does not keep the ring.
    ///
    /// ```
    /// let ring = speadway::ring::Ring::<u8>::new(1)?;
    /// let weak = ring.downgrade();
    /// assert!(weak.upgrade().is_some_and(|same| same.same_ring(&ring)));
    /// drop(ring);
    /// assert!(weak.upgrade().is_none());
    /// # Ok::<(), speadway::ring::CapacityError>(())
    /// ```
    #[must_use]
    pub fn downgrade(&self) -> WeakRing<T> {
        WeakRing { shared: Arc::downgrade(&self.shared) }
    }

    /// What it has counted so far.
    pub fn stats(&self) -> RingStats {
        let shared = &*self.shared;
        RingStats {
            capacity: self.capacity(),
            len: self.len(),
            high_water: shared.pushes.high_water.get(),
            pushed: shared.pushes.pushed.get(),
            popped: shared.popped.get(),
            evicted: shared.pushes.evicted.get(),
            full_events: shared.pushes.refused.get() + shared.space.waits.get(),
            empty_events: shared.data.waits.get(),
            producer_wait: Duration::from_nanos(shared.space.waited.get()),
            consumer_wait: Duration::from_nanos(shared.data.waited.get()),
        }
    }
}

/// Refuse a capacity for which there is no memory: the queue itself would abort the process.
fn try_memory<T>(capacity: usize) -> Result<(), CapacityError> {
    // A slot of the queue is a stamp and a value.
    let mut trial = Vec::<(usize, MaybeUninit<T>)>::new();
    let reserved = trial.try_reserve_exact(capacity);
    // The compiler may take an allocation that nobody looks at to have succeeded.
    std::hint::black_box(&mut trial);
    reserved.map_err(|_| CapacityError::TooLarge { capacity })
}

impl<T> Shared<T> {
    fn enter(&self) -> Option<UnderWay<'_, T>> {
        // Lazily: one that was not let in must not be made, for it would leave when dropped.
        self.gate.enter().then(|| UnderWay { shared: self })
    }

    /// Push if there is space.
    fn offer(&self, value: T) -> Result<(), TryPushError<T>> {
        self.offer_quietly(value)?;
        self.announce();
        Ok(())
    }

    /// Push if there is space, but wake nobody: that has to follow, by
    /// [`announce`](Self::announce) or [`announce_burst`](Self::announce_burst).
    fn offer_quietly(&self, value: T) -> Result<(), TryPushError<T>> {
        let Some(under_way) = self.enter() else { return Err(TryPushError::Closed(value)) };
        match self.queue.push(value) {
            Ok(()) => {
                self.after_push(under_way);
                Ok(())
            }
            Err(value) => {
                drop(under_way);
                self.space_level.settle(|| self.has_space());
                Err(TryPushError::Full(value))
            }
        }
    }

    fn after_push(&self, under_way: UnderWay<'_, T>) {
        self.pushes.pushed.add(1);
        // Reading the length would only add steps to the models.
        if cfg!(not(speadway_loom)) {
            self.pushes.high_water.note(self.queue.len());
        }
        drop(under_way);
        self.space_level.settle(|| self.has_space());
    }

    /// Tell consumers of a new value.
    fn announce(&self) {
        self.data.notify_one(); // fences, for the level too
        self.data_level.raise();
    }

    /// Tell consumers of `values` values that came one after the other. Those that somebody has taken
    /// meanwhile concern nobody.
    fn announce_burst(&self, values: usize) {
        let left = self.queue.len();
        if left > 0 {
            self.data.notify(values.min(left)); // fences, for the level too
            self.data_level.raise();
        }
    }

    /// Pop if there is a value, and tell who waits for space.
    fn take(&self) -> Result<T, TryPopError> {
        let value = self.pop_silently()?;
        self.space.notify_one(); // fences, for the level too
        self.space_level.raise();
        Ok(value)
    }

    /// After a pop, tell as many as there is space for, if no more than a quarter of the ring is left.
    fn announce_run(&self) {
        // Before the length, which producers change all the time.
        if !self.space.anyone_waiting() && !self.space_level.is_open() {
            return;
        }
        let (capacity, len) = (self.queue.capacity(), self.queue.len());
        if len <= capacity / 4 {
            self.space.notify(capacity - len); // fences, for the level too
            self.space_level.raise();
        }
    }

    /// Pop if there is a value. Who waits for space has yet to be told.
    fn pop_silently(&self) -> Result<T, TryPopError> {
        let mut popped = self.queue.pop();
        if popped.is_none() && self.gate.is_settled() {
            // The last push may have come between the two looks; after this one, none can.
            popped = self.queue.pop();
            if popped.is_none() {
                return Err(TryPopError::Ended);
            }
        }
        self.data_level.settle(|| self.has_data());
        let value = popped.ok_or(TryPopError::Empty)?;
        self.popped.add(1);
        Ok(value)
    }

    fn close(&self) -> bool {
        let closing = self.gate.close();
        if closing.first {
            self.space.notify_all();
            self.space_level.raise();
            if closing.settled {
                self.announce_end();
            }
        }
        closing.first
    }

    /// Tell every consumer that nothing more will come.
    fn announce_end(&self) {
        self.data.notify_all();
        self.data_level.raise();
    }

    /// Whether a pop would not have to wait.
    fn has_data(&self) -> bool {
        !self.queue.is_empty() || self.gate.is_settled()
    }

    /// Whether a push would not have to wait.
    fn has_space(&self) -> bool {
        !self.queue.is_full() || self.gate.is_closed()
    }
}

/// A push that has been let in. Dropped when it is over, whether it succeeded or not.
struct UnderWay<'a, T> {
    shared: &'a Shared<T>,
}

impl<T> Drop for UnderWay<'_, T> {
    fn drop(&mut self) {
        if self.shared.gate.leave() {
            // Consumers who looked after the close saw a push under way and went to wait.
            self.shared.announce_end();
        }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Whoever still polls a descriptor of a ring without handles must not wait for ever.
        self.data_level.raise();
        self.space_level.raise();
    }
}

impl<T> Clone for Ring<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T> WeakRing<T> {
    /// The ring, if it has a handle left.
    #[must_use]
    pub fn upgrade(&self) -> Option<Ring<T>> {
        self.shared.upgrade().map(|shared| Ring { shared })
    }

    /// Whether it is a handle of `ring`.
    #[must_use]
    pub fn same_ring(&self, ring: &Ring<T>) -> bool {
        std::ptr::eq(self.shared.as_ptr(), Arc::as_ptr(&ring.shared))
    }
}

impl<T> Clone for WeakRing<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T> fmt::Debug for WeakRing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WeakRing").finish()
    }
}

impl<T> fmt::Debug for Ring<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("capacity", &self.capacity())
            .field("len", &self.len())
            .field("closed", &self.is_closed())
            .finish()
    }
}

#[cfg(all(test, not(speadway_loom)))]
mod tests;

//! The synchronisation primitives that the models replace.
//!
//! Code whose interleavings are model-checked (`RUSTFLAGS="--cfg speadway_loom"`) takes its mutexes,
//! atomics and queues from here: loom's under the models, the standard library's and crossbeam's
//! otherwise.

use std::sync::PoisonError;

// One list for all layers and configurations, none of which uses all of it.
#[allow(unused_imports)]
#[cfg(speadway_loom)]
pub(crate) use loom::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
};
#[allow(unused_imports)]
#[cfg(not(speadway_loom))]
pub(crate) use std::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
};

#[cfg(not(speadway_loom))]
pub(crate) use crossbeam_queue::ArrayQueue as Queue;
#[cfg(speadway_loom)]
pub(crate) use model_queue::Queue;

/// Lock `mutex` whether or not a thread panicked while it held it: for data that every critical
/// section leaves consistent.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bounded queue of the models, in place of crossbeam's `ArrayQueue` 0.3.14.
///
/// As there, a success is one read-modify-write, and "empty" and "full" are told by relaxed loads,
/// which may be out of date, after a fence: no ordering that the real queue does not give to those who
/// find it so. In the real queue a value's slot is claimed first and filled a moment later, but who
/// meets a claimed slot waits for it, so nobody can tell; here both are one step, as models cannot
/// spin.
#[cfg(speadway_loom)]
mod model_queue {
    use super::{AtomicUsize, Ordering, fence};
    use std::collections::VecDeque;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    pub(crate) struct Queue<T> {
        positions: AtomicUsize,
        /// Always as `positions` says: loom changes threads only at its own primitives. Not loom's
        /// mutex, which would lend the protocol orderings it does not have.
        values: Mutex<VecDeque<T>>,
        capacity: usize,
    }

    /// How many were ever pushed, and popped; in the two halves of a word.
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Positions(usize);

    impl Positions {
        const PUSHED: usize = 1 << (usize::BITS / 2);
        const POPPED: usize = 1;

        fn len(self) -> usize {
            self.0 / Self::PUSHED - self.0 % Self::PUSHED
        }
    }

    impl<T> Queue<T> {
        pub(crate) fn new(capacity: usize) -> Self {
            Self { positions: AtomicUsize::new(0), values: Mutex::new(VecDeque::new()), capacity }
        }

        /// Change the positions by what `step` says. `None` from it is a refusal, which must hold
        /// after a fence too.
        fn advance(&self, step: impl Fn(Positions) -> Option<usize>) -> Option<usize> {
            let mut seen = self.positions.load(Ordering::Relaxed);
            loop {
                let change = step(Positions(seen)).or_else(|| {
                    fence(Ordering::SeqCst);
                    seen = self.positions.load(Ordering::Relaxed);
                    step(Positions(seen))
                })?;
                let to = seen + change;
                match self.positions.compare_exchange(seen, to, Ordering::SeqCst, Ordering::Relaxed)
                {
                    Ok(_) => return Some(change),
                    Err(now) => seen = now,
                }
            }
        }

        fn values(&self) -> MutexGuard<'_, VecDeque<T>> {
            self.values.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn push(&self, value: T) -> Result<(), T> {
            let space = |at: Positions| (at.len() < self.capacity).then_some(Positions::PUSHED);
            match self.advance(space) {
                Some(_) => {
                    self.values().push_back(value);
                    Ok(())
                }
                None => Err(value),
            }
        }

        pub(crate) fn force_push(&self, value: T) -> Option<T> {
            let evict = Positions::PUSHED + Positions::POPPED;
            let room = |at: Positions| {
                Some(if at.len() < self.capacity { Positions::PUSHED } else { evict })
            };
            let changed = self.advance(room);
            let mut values = self.values();
            let evicted = if changed == Some(evict) { values.pop_front() } else { None };
            values.push_back(value);
            evicted
        }

        pub(crate) fn pop(&self) -> Option<T> {
            self.advance(|at| (at.len() > 0).then_some(Positions::POPPED))?;
            self.values().pop_front()
        }

        pub(crate) fn capacity(&self) -> usize {
            self.capacity
        }

        pub(crate) fn len(&self) -> usize {
            Positions(self.positions.load(Ordering::SeqCst)).len()
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.len() == 0
        }

        pub(crate) fn is_full(&self) -> bool {
            self.len() == self.capacity
        }
    }
}

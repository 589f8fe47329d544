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

/// The bounded queue of the models: `crossbeam_queue::ArrayQueue` step by step (crossbeam-queue
/// 0.3.14), with loom's atomics, so that a model sees every state between a claimed slot and its
/// filled one, and no ordering that the real queue does not give.
#[cfg(speadway_loom)]
mod model_queue {
    use super::{AtomicUsize, Ordering, fence};
    use std::sync::{Mutex, PoisonError};

    struct Slot<T> {
        stamp: AtomicUsize,
        // The standard mutex on purpose: the stamp already makes access exclusive, and loom's would
        // lend the protocol orderings it does not have.
        value: Mutex<Option<T>>,
    }

    impl<T> Slot<T> {
        fn swap(&self, value: Option<T>) -> Option<T> {
            let mut guard = self.value.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *guard, value)
        }
    }

    pub(crate) struct Queue<T> {
        head: AtomicUsize,
        tail: AtomicUsize,
        slots: Box<[Slot<T>]>,
        one_lap: usize,
    }

    impl<T> Queue<T> {
        pub(crate) fn new(capacity: usize) -> Self {
            let slot = |i| Slot { stamp: AtomicUsize::new(i), value: Mutex::new(None) };
            Self {
                head: AtomicUsize::new(0),
                tail: AtomicUsize::new(0),
                slots: (0..capacity).map(slot).collect(),
                one_lap: (capacity + 1).next_power_of_two(),
            }
        }

        fn index(&self, position: usize) -> usize {
            position & (self.one_lap - 1)
        }

        fn after(&self, position: usize) -> usize {
            if self.index(position) + 1 < self.slots.len() {
                position + 1
            } else {
                (position & !(self.one_lap - 1)).wrapping_add(self.one_lap)
            }
        }

        /// `on_full` gets the value and the tail; it gives the value back to try again.
        fn push_or_else(
            &self,
            mut value: T,
            on_full: impl Fn(T, usize) -> Result<T, T>,
        ) -> Result<(), T> {
            let mut tail = self.tail.load(Ordering::Relaxed);
            loop {
                let slot = &self.slots[self.index(tail)];
                let stamp = slot.stamp.load(Ordering::Acquire);
                if tail == stamp {
                    match self.tail.compare_exchange(
                        tail,
                        self.after(tail),
                        Ordering::SeqCst,
                        Ordering::Relaxed,
                    ) {
                        Ok(_) => {
                            slot.swap(Some(value));
                            slot.stamp.store(tail + 1, Ordering::Release);
                            return Ok(());
                        }
                        Err(now) => tail = now,
                    }
                    continue;
                }
                if stamp.wrapping_add(self.one_lap) == tail + 1 {
                    fence(Ordering::SeqCst);
                    value = on_full(value, tail)?;
                }
                loom::thread::yield_now();
                tail = self.tail.load(Ordering::Relaxed);
            }
        }

        pub(crate) fn push(&self, value: T) -> Result<(), T> {
            self.push_or_else(value, |value, tail| {
                let full = self.head.load(Ordering::Relaxed).wrapping_add(self.one_lap) == tail;
                if full { Err(value) } else { Ok(value) }
            })
        }

        pub(crate) fn force_push(&self, value: T) -> Option<T> {
            let evict = |value, tail: usize| {
                let new_tail = self.after(tail);
                let (head, new_head) =
                    (tail.wrapping_sub(self.one_lap), new_tail.wrapping_sub(self.one_lap));
                let moved =
                    self.head.compare_exchange(head, new_head, Ordering::SeqCst, Ordering::Relaxed);
                if moved.is_err() {
                    return Ok(value);
                }
                self.tail.store(new_tail, Ordering::SeqCst);
                let slot = &self.slots[self.index(tail)];
                let old = slot.swap(Some(value));
                slot.stamp.store(tail + 1, Ordering::Release);
                Err(old.expect("a full queue's slot holds a value"))
            };
            self.push_or_else(value, evict).err()
        }

        pub(crate) fn pop(&self) -> Option<T> {
            let mut head = self.head.load(Ordering::Relaxed);
            loop {
                let slot = &self.slots[self.index(head)];
                let stamp = slot.stamp.load(Ordering::Acquire);
                if head + 1 == stamp {
                    match self.head.compare_exchange(
                        head,
                        self.after(head),
                        Ordering::SeqCst,
                        Ordering::Relaxed,
                    ) {
                        Ok(_) => {
                            let value = slot.swap(None);
                            slot.stamp.store(head.wrapping_add(self.one_lap), Ordering::Release);
                            return value;
                        }
                        Err(now) => head = now,
                    }
                    continue;
                }
                if stamp == head {
                    fence(Ordering::SeqCst);
                    if self.tail.load(Ordering::Relaxed) == head {
                        return None;
                    }
                }
                loom::thread::yield_now();
                head = self.head.load(Ordering::Relaxed);
            }
        }

        pub(crate) fn capacity(&self) -> usize {
            self.slots.len()
        }

        pub(crate) fn len(&self) -> usize {
            let (tail, head) = (self.tail.load(Ordering::SeqCst), self.head.load(Ordering::SeqCst));
            match (self.index(tail), self.index(head)) {
                (t, h) if h < t => t - h,
                (t, h) if h > t => self.slots.len() - h + t,
                _ if tail == head => 0,
                _ => self.slots.len(),
            }
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.len() == 0
        }

        pub(crate) fn is_full(&self) -> bool {
            self.len() == self.slots.len()
        }
    }
}

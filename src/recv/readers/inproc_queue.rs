//! The two kinds of queue behind an [`InprocQueue`](super::InprocQueue): a ring, or one that grows.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::inproc::{PacketBytes, TryAddError};
use crate::ring::{CapacityError, Ring, TryPushError, Waiter};

/// A queue and how many readers it has.
pub(super) struct Shared<T> {
    kind: Kind<T>,
    readers: AtomicUsize,
}

enum Kind<T> {
    Bounded(Ring<T>),
    Unbounded(Mutex<Growing<T>>),
}

/// A queue that grows. The lock is held for a few instructions, and never while foreign code runs.
struct Growing<T> {
    items: VecDeque<T>,
    stopped: bool,
    /// Readers that found it empty.
    waiting: Vec<Waker>,
}

impl<T> Growing<T> {
    /// Whom to wake now that something has changed. All of them, as one that was woken may be gone
    /// before it looks; there is rarely more than one.
    fn wake_list(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.waiting)
    }
}

fn lock<T>(growing: &Mutex<Growing<T>>) -> MutexGuard<'_, Growing<T>> {
    growing.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Shared<T> {
    pub(super) fn unbounded() -> Self {
        let growing = Growing { items: VecDeque::new(), stopped: false, waiting: Vec::new() };
        Self { kind: Kind::Unbounded(Mutex::new(growing)), readers: AtomicUsize::new(0) }
    }

    pub(super) fn bounded(capacity: usize) -> Result<Self, CapacityError> {
        Ok(Self { kind: Kind::Bounded(Ring::new(capacity)?), readers: AtomicUsize::new(0) })
    }

    /// Adds `item`, or gives it back if the queue is stopped.
    pub(super) fn push(&self, item: T) -> Result<(), T> {
        match &self.kind {
            Kind::Bounded(ring) => ring.push(item).map_err(|closed| closed.0),
            Kind::Unbounded(growing) => Self::grow(growing, item),
        }
    }

    pub(super) fn try_push(&self, item: T) -> Result<(), TryPushError<T>> {
        match &self.kind {
            Kind::Bounded(ring) => ring.try_push(item),
            Kind::Unbounded(growing) => Self::grow(growing, item).map_err(TryPushError::Closed),
        }
    }

    pub(super) fn push_timeout(&self, item: T, timeout: Duration) -> Result<(), TryPushError<T>> {
        match &self.kind {
            Kind::Bounded(ring) => ring.push_timeout(item, timeout),
            Kind::Unbounded(_) => self.try_push(item),
        }
    }

    fn grow(growing: &Mutex<Growing<T>>, item: T) -> Result<(), T> {
        let wake = {
            let mut growing = lock(growing);
            if growing.stopped {
                return Err(item);
            }
            growing.items.push_back(item);
            growing.wake_list()
        };
        wake.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// The next item, or `None` if the queue is stopped and empty. If there is none now, `waker` is
    /// called when it is worth looking again.
    pub(super) fn poll_pop(&self, waiter: &mut Waiter, waker: &Waker) -> Poll<Option<T>> {
        match &self.kind {
            Kind::Bounded(ring) => ring.poll_pop(waiter, waker).map(Result::ok),
            Kind::Unbounded(growing) => {
                let mut growing = lock(growing);
                let item = growing.items.pop_front();
                if item.is_some() || growing.stopped {
                    return Poll::Ready(item);
                }
                if !growing.waiting.iter().any(|other| other.will_wake(waker)) {
                    growing.waiting.push(waker.clone());
                }
                Poll::Pending
            }
        }
    }

    pub(super) fn stop(&self) -> bool {
        match &self.kind {
            Kind::Bounded(ring) => ring.close(),
            Kind::Unbounded(growing) => {
                let (first, wake) = {
                    let mut growing = lock(growing);
                    (!std::mem::replace(&mut growing.stopped, true), growing.wake_list())
                };
                wake.into_iter().for_each(Waker::wake);
                first
            }
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        match &self.kind {
            Kind::Bounded(ring) => ring.is_closed(),
            Kind::Unbounded(growing) => lock(growing).stopped,
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.kind {
            Kind::Bounded(ring) => ring.len(),
            Kind::Unbounded(growing) => lock(growing).items.len(),
        }
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        match &self.kind {
            Kind::Bounded(ring) => Some(ring.capacity()),
            Kind::Unbounded(_) => None,
        }
    }

    pub(super) fn add_reader(&self) {
        self.readers.fetch_add(1, Ordering::Relaxed);
    }

    /// A reader has ended. Nobody is to wait for room that the last one will never make.
    pub(super) fn remove_reader(&self) {
        let was_last = self.readers.fetch_sub(1, Ordering::AcqRel) == 1;
        if was_last && let Kind::Bounded(ring) = &self.kind {
            ring.close();
        }
    }
}

impl From<TryPushError<PacketBytes>> for TryAddError {
    fn from(error: TryPushError<PacketBytes>) -> Self {
        match error {
            TryPushError::Full(packet) => Self::Full(packet),
            TryPushError::Closed(packet) => Self::Stopped(packet),
        }
    }
}

//! A member's engine behind its mutex, and the way others ask it to flush.

use std::ops::{Deref, DerefMut};
use std::sync::TryLockError;

use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering, fence};

/// Something that can be asked to release everything before a chunk id.
pub(crate) trait Flush: Send {
    /// What is left to do once the lock is free.
    type Rest;

    /// Releases everything before `target`. No callback of the user's is called, as the owner may
    /// be waiting for the lock.
    fn flush_until(&mut self, target: u64) -> Self::Rest;

    /// Does the rest, callbacks included.
    fn finish(rest: Self::Rest);
}

/// A value that one worker locks for a quantum at a time, and that others only ever try to lock.
///
/// Another thread asks for a flush by raising `flush_to`; if nobody holds the lock it performs the
/// flush itself, otherwise the holder does when it lets go. Nobody waits, and no request is lost:
/// the requester raises `flush_to`, fences and tries the lock; the holder unlocks, fences and reads
/// `flush_to`. One of them sees the other. (`models::flush_requests_are_not_lost` checks this.)
#[derive(Debug)]
pub(crate) struct Gate<T: Flush> {
    value: Mutex<T>,
    /// What others ask for.
    flush_to: AtomicU64,
    /// What was done; written while the lock is held.
    flushed: AtomicU64,
}

/// The locked value; letting go of it serves the requests that came meanwhile.
pub(crate) struct GateGuard<'a, T: Flush> {
    gate: &'a Gate<T>,
    guard: Option<MutexGuard<'a, T>>,
}

impl<T: Flush> Gate<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Mutex::new(value), flush_to: AtomicU64::new(0), flushed: AtomicU64::new(0) }
    }

    /// Locks the value. Called by the owner, who finds it locked only for the length of a flush,
    /// and by who stops the stream.
    pub(crate) fn lock(&self) -> GateGuard<'_, T> {
        let guard = self.value.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut guard = GateGuard { gate: self, guard: Some(guard) };
        guard.serve();
        guard
    }

    /// Asks for everything before `target` to be released: done on return if the value is idle,
    /// otherwise as soon as its holder lets go.
    pub(crate) fn request_flush(&self, target: u64) {
        self.flush_to.fetch_max(target, Ordering::SeqCst);
        self.settle();
    }

    /// Whether a request waits. For the holder, who may serve it before its quantum ends.
    #[inline]
    pub(crate) fn is_asked(&self) -> bool {
        self.flush_to.load(Ordering::Relaxed) > self.flushed.load(Ordering::Relaxed)
    }

    /// Serves requests until none is left or somebody else holds the lock, who then will.
    fn settle(&self) {
        loop {
            fence(Ordering::SeqCst);
            if !self.is_asked() {
                return;
            }
            let mut guard = match self.value.try_lock() {
                Ok(guard) => guard,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            let rest = self.serve(&mut guard);
            drop(guard);
            rest.into_iter().for_each(T::finish);
        }
    }

    fn serve(&self, value: &mut T) -> Option<T::Rest> {
        let target = self.flush_to.load(Ordering::Relaxed);
        if target <= self.flushed.load(Ordering::Relaxed) {
            return None;
        }
        let rest = value.flush_until(target);
        self.flushed.store(target, Ordering::Relaxed);
        Some(rest)
    }
}

impl<T: Flush> GateGuard<'_, T> {
    /// Serves requests now, with the lock held: it is the caller's own, nobody waits for it.
    pub(crate) fn serve(&mut self) {
        let gate = self.gate;
        gate.serve(self).into_iter().for_each(T::finish);
    }
}

impl<T: Flush> Drop for GateGuard<'_, T> {
    fn drop(&mut self) {
        drop(self.guard.take());
        // A flush may call back to the user, whose second panic while the first unwinds would abort
        // the process. A worker whose callback panicked locks again to end the stream: that serves.
        if !std::thread::panicking() {
            self.gate.settle();
        }
    }
}

impl<T: Flush> Deref for GateGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.guard.as_ref().unwrap_or_else(|| unreachable!("only drop takes the guard"))
    }
}

impl<T: Flush> DerefMut for GateGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_mut().unwrap_or_else(|| unreachable!("only drop takes the guard"))
    }
}

//! A value that a worker runs, and others in its place while it does not.

use std::ops::{Deref, DerefMut};
use std::sync::TryLockError;
use std::task::Waker;

use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering, fence, lock};

/// A value that belongs to a worker, and that a guest may have while the worker does not.
///
/// Neither ever waits for the other. The worker, if it finds the value taken, says that it wants it,
/// fences and looks again; a guest lets go, fences and looks whether it is wanted. One of them sees
/// the other, so that the worker is called whenever it was sent away.
/// (`models::a_worker_that_was_sent_away_is_called` checks this.)
#[derive(Debug)]
pub(crate) struct Seat<T> {
    value: Mutex<T>,
    /// The worker was sent away.
    wanted: AtomicBool,
    /// Calls the worker.
    waker: Waker,
}

/// The value, taken in the worker's place.
pub(crate) struct Guest<'a, T> {
    seat: &'a Seat<T>,
    guard: Option<MutexGuard<'a, T>>,
    /// Whether the worker has to go on where the guest left off.
    unfinished: bool,
}

impl<T> Seat<T> {
    pub(crate) fn new(value: T, waker: Waker) -> Self {
        Self { value: Mutex::new(value), wanted: AtomicBool::new(false), waker }
    }

    /// For the worker: the value, unless a guest has it, who calls the worker when letting go.
    pub(crate) fn own(&self) -> Option<MutexGuard<'_, T>> {
        if let Some(guard) = self.look() {
            return Some(guard);
        }
        self.wanted.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let guard = self.look()?;
        self.wanted.store(false, Ordering::Relaxed);
        Some(guard)
    }

    fn look(&self) -> Option<MutexGuard<'_, T>> {
        match self.value.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// For the worker when it ends: waits for a guest to leave.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        lock(&self.value)
    }

    /// For anybody else: the value, unless somebody has it or a panic has left it in disorder.
    pub(crate) fn visit(&self) -> Option<Guest<'_, T>> {
        let guard = self.value.try_lock().ok()?;
        Some(Guest { seat: self, guard: Some(guard), unfinished: false })
    }
}

impl<T> Guest<'_, T> {
    /// Calls the worker on leaving, to go on from here.
    pub(crate) fn leave_unfinished(mut self) {
        self.unfinished = true;
    }
}

impl<T> Drop for Guest<'_, T> {
    fn drop(&mut self) {
        drop(self.guard.take());
        fence(Ordering::SeqCst);
        let wanted = self.seat.wanted.load(Ordering::Relaxed)
            && self.seat.wanted.swap(false, Ordering::Relaxed);
        if wanted || self.unfinished {
            self.seat.waker.wake_by_ref();
        }
    }
}

impl<T> Deref for Guest<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.guard.as_ref().unwrap_or_else(|| unreachable!("only drop takes the guard"))
    }
}

impl<T> DerefMut for Guest<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_mut().unwrap_or_else(|| unreachable!("only drop takes the guard"))
    }
}

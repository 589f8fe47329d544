//! How many heaps are on their way, which `max_heaps` limits, and waiting for them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use speadway::send::SendError;

/// Heaps handed to a stream and not sent yet. Each heap of a list counts.
pub(super) struct Admission {
    max_heaps: usize,
    counts: Mutex<Counts>,
    finished: Condvar,
}

#[derive(Default)]
struct Counts {
    /// Heaps that were taken since the start.
    taken: u64,
    /// Of these, those that are done with. They finish in the order in which they were taken.
    finished: u64,
    /// Threads that wait.
    waiting: usize,
}

impl Admission {
    pub(super) fn new(max_heaps: usize) -> Self {
        Self { max_heaps, counts: Mutex::default(), finished: Condvar::new() }
    }

    /// Takes a place in the queue for each of `heaps`, if all find one.
    pub(super) fn take(&self, heaps: usize) -> Result<(), SendError> {
        let mut counts = self.lock();
        let in_flight = counts.taken - counts.finished;
        let room = (self.max_heaps as u64).saturating_sub(in_flight);
        if heaps as u64 > room {
            return Err(SendError::QueueFull);
        }
        counts.taken += heaps as u64;
        Ok(())
    }

    /// Gives back places that were taken last, for heaps that were not queued after all.
    pub(super) fn give_back(&self, heaps: usize) {
        self.lock().taken -= heaps as u64;
    }

    /// So many heaps are done with.
    pub(super) fn finish(&self, heaps: usize) {
        let mut counts = self.lock();
        counts.finished += heaps as u64;
        let wanted = counts.waiting > 0;
        drop(counts);
        if wanted {
            self.finished.notify_all();
        }
    }

    /// How many heaps were taken so far.
    pub(super) fn taken(&self) -> u64 {
        self.lock().taken
    }

    /// Waits for at most `timeout` until the first `heaps` heaps have finished; false if they have
    /// not.
    pub(super) fn wait(&self, heaps: u64, timeout: Duration) -> bool {
        let mut counts = self.lock();
        counts.waiting += 1;
        let (mut counts, _) = self
            .finished
            .wait_timeout_while(counts, timeout, |counts| counts.finished < heaps)
            .unwrap_or_else(PoisonError::into_inner);
        counts.waiting -= 1;
        counts.finished >= heaps
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

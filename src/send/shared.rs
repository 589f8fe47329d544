//! What a send stream's handle and its task share.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::request::SendError;
use crate::recv::Counter;

/// How often one who waits for the end looks whether to go on: nothing depends on it but promptness.
const LOOK: Duration = Duration::from_secs(1);

/// The state of a stream beside its queue.
pub(crate) struct Shared {
    pub(crate) stats: Counters,
    pub(crate) started: Instant,
    abort: AtomicBool,
    last_error: Mutex<Option<SendError>>,
    /// Since when the transport has taken nothing of what there is.
    stalled: Mutex<Option<Instant>>,
    ended: Mutex<bool>,
    end: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) heaps: Counter,
    pub(crate) packets: Counter,
    pub(crate) bytes: Counter,
    pub(crate) batches: Counter,
    pub(crate) would_block: Counter,
    pub(crate) errors: Counter,
}

/// A send stream's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SendStats {
    /// Heaps sent whole.
    pub heaps: u64,
    /// Packets sent.
    pub packets: u64,
    /// Bytes of packets sent: SPEAD headers included, those of the network not.
    pub bytes: u64,
    /// Calls to the transport that sent something.
    pub batches: u64,
    /// Times the transport had no room.
    pub would_block: u64,
    /// Heaps or lists of heaps that failed.
    pub errors: u64,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            stats: Counters::default(),
            started: Instant::now(),
            abort: AtomicBool::new(false),
            last_error: Mutex::default(),
            stalled: Mutex::default(),
            ended: Mutex::default(),
            end: Condvar::new(),
        }
    }

    fn lock_ended(&self) -> MutexGuard<'_, bool> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn abort(&self) {
        self.abort.store(true, Ordering::Release);
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.abort.load(Ordering::Acquire)
    }

    pub(crate) fn end(&self) {
        *self.lock_ended() = true;
        self.end.notify_all();
    }

    pub(crate) fn note_error(&self, error: &SendError) {
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(error.clone());
    }

    /// The transport takes nothing, or something again.
    pub(crate) fn note_stall(&self, stalled: bool) {
        let mut since = self.stalled.lock().unwrap_or_else(PoisonError::into_inner);
        *since = stalled.then(Instant::now);
    }

    /// The error that was noted last, once.
    pub(super) fn take_error(&self) -> Option<SendError> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits until the stream has ended. False if it was given up, which is considered whenever
    /// `look` has passed.
    pub(super) fn wait_for_end(&self, look: Duration, give_up: impl Fn() -> bool) -> bool {
        let mut ended = self.lock_ended();
        while !*ended {
            if give_up() {
                return false;
            }
            (ended, _) = self
                .end
                .wait_timeout(ended, look.min(LOOK))
                .unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    pub(super) fn is_stalled_for(&self, time: Duration) -> bool {
        let since = *self.stalled.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() >= time)
    }

    /// The transport is broken as a whole.
    pub(crate) fn fail(&self, error: io::Error) {
        log::error!("a send stream's transport does not work: {error}");
        self.note_error(&SendError::Transport(Arc::new(error)));
    }
}

impl Counters {
    pub(super) fn read(&self) -> SendStats {
        SendStats {
            heaps: self.heaps.get(),
            packets: self.packets.get(),
            bytes: self.bytes.get(),
            batches: self.batches.get(),
            would_block: self.would_block.get(),
            errors: self.errors.get(),
        }
    }
}

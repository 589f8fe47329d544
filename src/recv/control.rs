//! What a stream's task, its handle and its group share: requests, the answer, and the engine's gate.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::engine::{Engine, Sink};
use super::reader::Reader;
use super::stats::{Counters, StreamStats};
use super::worker::on_worker;
use crate::chunk::{Cx, Flush, Gate, Group, Laggard};

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// By its sender, the end of its sources, or `finish`: everything was delivered.
    Finished,
    /// By `stop`: what was not delivered is gone.
    Stopped,
    /// A callback panicked, or the last source failed; the text says how.
    Failed(String),
}

/// What a stream's task, its handle and its group share.
pub(crate) struct Shared<S: Sink> {
    pub(super) gate: Gate<Engine<S>>,
    counters: Arc<Counters>,
    pub(super) control: Control,
}

/// Requests to a stream's task, and its answer.
#[derive(Default)]
pub(super) struct Control {
    pub(super) stop: AtomicBool,
    /// The stop came from a callback: nobody waits who would free what is left.
    pub(super) stop_from_worker: AtomicBool,
    pub(super) finish: AtomicBool,
    waker: OnceLock<Waker>,
    pub(super) added: Mutex<Vec<Box<dyn Reader>>>,
    end: Mutex<Option<End>>,
    ended: Condvar,
}

/// A stream's handle, whatever it does with heaps.
pub(crate) trait StreamControl: Send + Sync {
    fn stop(&self);
    fn finish(&self);
    fn wait(&self) -> Option<End>;
    fn wait_timeout(&self, timeout: Duration) -> Option<End>;
    fn end(&self) -> Option<End>;
    fn stats(&self) -> StreamStats;
    fn add_reader(&self, reader: Box<dyn Reader>);
}

impl<S: Sink> Flush for Engine<S> {
    type Rest = Option<Arc<Group>>;

    fn flush_until(&mut self, target: u64) -> Self::Rest {
        self.sink().flush_until(target)
    }

    fn finish(rest: Self::Rest) {
        rest.into_iter().for_each(|group| group.publish_outside_quanta());
    }
}

impl<S: Sink> Laggard for Shared<S> {
    fn request_flush(&self, target: u64) {
        self.gate.request_flush(target);
    }
}

impl<S: Sink> Shared<S> {
    pub(crate) fn new(engine: Engine<S>, counters: Arc<Counters>) -> Self {
        Self { gate: Gate::new(engine), counters, control: Control::default() }
    }

    pub(crate) fn set_waker(&self, waker: Waker) {
        // Set once, before the task is added to its worker.
        let _ = self.control.waker.set(waker);
    }

    fn wake(&self) {
        if let Some(waker) = self.control.waker.get() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock_end().is_some()
    }

    fn lock_end(&self) -> std::sync::MutexGuard<'_, Option<End>> {
        self.control.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops what the stream holds, in the caller's thread.
    pub(super) fn abandon(&self) {
        let cx = Cx { waker: Waker::noop(), now: Instant::now() };
        self.gate.lock().abandon(&cx);
    }

    /// As [`abandon`](Self::abandon), once the stream has ended: the callbacks that this needs may
    /// panic, and neither the worker nor who waits for the stream may suffer.
    pub(super) fn abandon_through_panics(&self) {
        // Ends, because a callback that panicked is not called again for the same thing.
        while catch_unwind(AssertUnwindSafe(|| self.abandon())).is_err() {}
    }

    /// The first half of a stop: the task ends at its next turn. What it holds is dropped there if
    /// nobody will wait for that.
    pub(super) fn request_stop(&self, nobody_waits: bool) {
        self.control.stop_from_worker.fetch_or(nobody_waits, Ordering::Relaxed);
        self.control.stop.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn announce(&self, end: End) {
        self.lock_end().get_or_insert(end);
        self.drop_added();
        self.control.ended.notify_all();
    }

    /// Readers that come too late are not kept: their sockets would stay open, and fill.
    fn drop_added(&self) {
        let mut added = self.control.added.lock().unwrap_or_else(PoisonError::into_inner);
        let late = std::mem::take(&mut *added);
        drop(added);
        drop(late);
    }
}

impl<S: Sink> StreamControl for Shared<S> {
    fn stop(&self) {
        // On a worker waiting might be for oneself: there it is a request.
        let is_request = on_worker();
        self.request_stop(is_request);
        if !is_request && self.control.waker.get().is_some() {
            self.wait();
            self.abandon_through_panics();
        }
    }

    fn finish(&self) {
        self.control.finish.store(true, Ordering::Release);
        self.wake();
    }

    fn wait(&self) -> Option<End> {
        if on_worker() {
            return self.end();
        }
        let mut end = self.lock_end();
        while end.is_none() {
            end = self.control.ended.wait(end).unwrap_or_else(PoisonError::into_inner);
        }
        end.clone()
    }

    fn wait_timeout(&self, timeout: Duration) -> Option<End> {
        if on_worker() {
            return self.end();
        }
        let (end, _) = self
            .control
            .ended
            .wait_timeout_while(self.lock_end(), timeout, |end| end.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        end.clone()
    }

    fn end(&self) -> Option<End> {
        self.lock_end().clone()
    }

    fn stats(&self) -> StreamStats {
        self.counters.snapshot()
    }

    fn add_reader(&self, reader: Box<dyn Reader>) {
        self.control.added.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        // Whoever announces the end looks for added readers after that.
        if self.has_ended() {
            self.drop_added();
        }
        self.wake();
    }
}

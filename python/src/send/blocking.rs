//! Sending that waits until it is done.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use pyo3::prelude::*;
use speadway::send::SendError;

use super::enums;
use super::heap::Heap;
use super::reference::{self, How};
use super::stream::{Stream, Work};
use crate::args::Int;
use crate::errors::OrRaise;
use crate::waiting::wait;

/// A stream whose methods wait until the heaps have been sent.
#[pyclass(module = "speadway.send", extends = Stream, subclass, frozen)]
#[derive(Default)]
pub(crate) struct SyncStream;

impl SyncStream {
    /// An instance without a stream yet.
    pub(super) fn unstarted() -> PyClassInitializer<Self> {
        PyClassInitializer::from(Stream::default()).add_subclass(Self)
    }
}

#[pymethods]
impl SyncStream {
    /// Sends a heap, and returns the bytes of its packets.
    ///
    /// cnt: its number; negative (the default) for the next of the stream's sequence.
    /// substream_index: which of the stream's destinations it goes to.
    /// rate: bytes/s, 0 being unlimited; negative (the default) for the stream's rate.
    ///
    /// Raises BlockingIOError if other threads have `max_heaps` heaps in the queue, ValueError if
    /// the packets are too small for the heap, and OSError for what the system refuses.
    #[pyo3(signature = (heap, cnt = Int(-1), substream_index = Int(0), rate = -1.0))]
    fn send_heap(
        slf: &Bound<'_, Self>,
        heap: &Bound<'_, Heap>,
        cnt: Int<i64>,
        substream_index: Int<usize>,
        rate: f64,
    ) -> PyResult<u64> {
        let how = How { cnt: cnt.0, substream_index: substream_index.0, rate };
        let stream = slf.as_super();
        let packet_size = stream.get().running()?.packet_size;
        send(stream, Work::One(how.send(heap.get(), packet_size)?))
    }

    /// Sends a list of heaps, a `HeapReferenceList` or a sequence of `HeapReference`, and returns
    /// the bytes of all their packets. None is sent if one of them cannot be.
    ///
    /// mode: the order of packets, heap by heap or one of each in turn.
    fn send_heaps(
        slf: &Bound<'_, Self>,
        heaps: &Bound<'_, PyAny>,
        mode: &Bound<'_, PyAny>,
    ) -> PyResult<u64> {
        let mode = enums::group_mode(mode)?;
        let stream = slf.as_super();
        let packet_size = stream.get().running()?.packet_size;
        send(stream, Work::Many(reference::heaps(heaps, packet_size)?, mode))
    }
}

/// Sends heaps and waits. They are held here as well, so that it is this thread, which has the
/// GIL, that lets go of their memory.
fn send(stream: &Bound<'_, Stream>, work: Work) -> PyResult<u64> {
    let (py, stream) = (stream.py(), stream.get());
    // First of all: a forked child could send, as if it were the one that the stream is of.
    stream.check_process()?;
    let running = stream.running()?;
    let outcome = Arc::new(Outcome::new());
    let arrives = Arc::clone(&outcome);
    // As a rule that is all, as this thread sends them.
    py.detach(|| running.send(&work, move |result| arrives.fill(result))).or_raise()?;
    if let Some(result) = outcome.take() {
        return result.or_raise();
    }
    let result = wait(py, |timeout| match outcome.take_within(timeout) {
        Some(result) => Some(Ok(result)),
        None => stream.check_process().err().map(Err),
    })?;
    result?.or_raise()
}

/// Where the result of one call arrives, for the thread that made this.
struct Outcome {
    result: Mutex<Option<Result<u64, SendError>>>,
    waits: Thread,
}

impl Outcome {
    fn new() -> Self {
        Self { result: Mutex::default(), waits: thread::current() }
    }

    fn fill(&self, result: Result<u64, SendError>) {
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        self.waits.unpark();
    }

    fn take(&self) -> Option<Result<u64, SendError>> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn take_within(&self, timeout: Duration) -> Option<Result<u64, SendError>> {
        self.take().or_else(|| {
            thread::park_timeout(timeout);
            self.take()
        })
    }
}

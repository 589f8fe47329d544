//! `speadway.send.Stream`: what all send streams have in common.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use speadway::recv::Worker;
use speadway::send::transport::Transport;
use speadway::send::{GroupMode, HeapRef, SendError, SendStream, SendThread};

use super::admission::Admission;
use super::config::Options;
use crate::args::Int;
use crate::errors::OrRaise;
use crate::lifetime::{self, OfProcess, Stop};
use crate::waiting::Late;

/// How long a peer may take nothing before a stream that nobody holds any more gives up what is
/// left. Long for a consumer that is merely busy, short for somebody who waits for a program's end.
const STALLED: Duration = Duration::from_secs(5);

/// How often a stream that ends looks for signals and for progress.
const GLANCE: Duration = Duration::from_millis(100);

/// A stream that sends heaps. Made as one of the classes for a transport.
#[pyclass(module = "speadway.send", subclass, weakref, frozen)]
#[derive(Default)]
pub(crate) struct Stream {
    running: Late<OfProcess<Running>>,
}

/// A stream of the library, and what only Python's streams have.
pub(super) struct Running {
    core: SendStream,
    admission: Arc<Admission>,
    pub(super) packet_size: usize,
    /// Whether the other end can hold it up for ever.
    may_stall: bool,
    /// Queueing a heap and noting it are one step.
    queueing: Mutex<()>,
}

/// What the methods of a stream that send heaps do.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// They return when the heaps have been sent.
    Waiting,
    /// They return at once, and asyncio is told.
    Asynchronous,
}

/// Heaps to send.
#[derive(Clone)]
pub(super) enum Work {
    One(HeapRef),
    Many(Arc<[HeapRef]>, GroupMode),
}

impl Work {
    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(heaps, _) => heaps.len(),
        }
    }
}

impl Stream {
    /// To be called from `__init__` of the class that knows the transport. `kind` says whether its
    /// methods wait, `may_stall` whether the other end can hold it up for ever.
    pub(super) fn start(
        &self,
        worker: &Worker,
        transport: impl Transport + 'static,
        options: &Options,
        kind: Kind,
        may_stall: bool,
    ) -> PyResult<()> {
        let thread = match kind {
            // Everyone who sends waits.
            Kind::Waiting => SendThread::Caller,
            // The event loop has other things to do.
            Kind::Asynchronous => SendThread::Worker,
        };
        let config = options.core().thread(thread);
        let core = SendStream::start(worker, transport, config).or_raise()?;
        let running = Arc::new(Running {
            core,
            admission: Arc::new(Admission::new(options.max_heaps)),
            packet_size: options.max_packet_size,
            may_stall,
            queueing: Mutex::new(()),
        });
        lifetime::register(&running);
        self.running.init(OfProcess::new(running));
        Ok(())
    }

    pub(super) fn running(&self) -> PyResult<&Running> {
        Ok(self.running.get()?)
    }

    /// An error if this is another process than the one that the stream was made in: the worker's
    /// thread is not in it.
    pub(super) fn check_process(&self) -> PyResult<()> {
        if self.running.get()?.is_here() {
            return Ok(());
        }
        Err(PyRuntimeError::new_err(
            "the stream was made before fork(), in another process: make one after it",
        ))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        drop(self.running.take().and_then(OfProcess::into_inner));
    }
}

#[pymethods]
impl Stream {
    /// Has heaps without a number of their own get `next`, `next + step`, ...
    fn set_cnt_sequence(&self, next: Int<u64>, step: Int<u64>) -> PyResult<()> {
        if step.0 == 0 {
            return Err(PyValueError::new_err("step cannot be 0: heaps need different numbers"));
        }
        self.running()?.core.set_cnt_sequence(next.0, step.0);
        Ok(())
    }

    /// How many destinations there are.
    #[getter]
    fn num_substreams(&self) -> PyResult<usize> {
        Ok(self.running()?.core.substreams())
    }
}

impl Running {
    /// Queues heaps, all of them or none, and sends them from this thread if the stream does that and
    /// has nothing else to do. `done` is called by whoever has sent them, which holds the heaps no
    /// more then.
    pub(super) fn send(
        &self,
        work: &Work,
        done: impl FnOnce(Result<u64, SendError>) + Send + 'static,
    ) -> Result<(), SendError> {
        let heaps = work.len();
        let admission = Arc::clone(&self.admission);
        let finish = move |result| {
            admission.finish(heaps);
            done(result);
        };
        self.admission.take(heaps)?;
        let result = match work {
            Work::One(heap) => self.core.send_then(heap.clone(), finish),
            Work::Many(heaps, mode) => self.core.send_list_then(heaps, *mode, finish),
        };
        result.inspect_err(|_| self.admission.give_back(heaps))
    }

    /// As [`send`](Self::send), and calls `queued` before anything else is queued.
    pub(super) fn queue(
        &self,
        work: &Work,
        done: impl FnOnce(Result<u64, SendError>) + Send + 'static,
        queued: impl FnOnce(),
    ) -> Result<(), SendError> {
        let _in_order = self.queueing.lock().unwrap_or_else(PoisonError::into_inner);
        self.send(work, done)?;
        queued();
        Ok(())
    }

    /// How many heaps were queued so far.
    pub(super) fn queued(&self) -> u64 {
        let _in_order = self.queueing.lock().unwrap_or_else(PoisonError::into_inner);
        self.admission.taken()
    }

    /// Waits for at most `timeout` until the first `heaps` heaps have been sent or have failed;
    /// false if they have not.
    pub(super) fn wait_for(&self, heaps: u64, timeout: Duration) -> bool {
        self.admission.wait(heaps, timeout)
    }

    /// Sends what was queued, and ends the stream. Gives up if a peer takes nothing for long or
    /// `is_interrupted` says so.
    fn finish(&self, mut is_interrupted: impl FnMut() -> bool) {
        let (mut progress, mut since) = (self.core.stats().bytes, Instant::now());
        while !self.core.close_within(GLANCE) {
            let bytes = self.core.stats().bytes;
            if bytes != progress {
                (progress, since) = (bytes, Instant::now());
            }
            let stalled = self.may_stall && since.elapsed() >= STALLED;
            if stalled {
                log::warn!("a send stream ends with heaps unsent: its peer takes no more");
            }
            if stalled || is_interrupted() {
                return self.core.abort();
            }
        }
    }
}

impl Stop for Running {
    fn stop(&self) {
        self.finish(interrupted);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Somebody who holds the GIL may be what the peer waits for.
        let ended = Python::try_attach(|py| py.detach(|| self.finish(interrupted)));
        if ended.is_none() {
            self.finish(|| true); // the interpreter is gone
        }
    }
}

/// Whether there was a signal that Python makes an exception of, which nobody can be given here.
fn interrupted() -> bool {
    Python::try_attach(|py| {
        let signals = py.check_signals();
        signals.map_err(|error| error.write_unraisable(py, None)).is_err()
    })
    .unwrap_or(false)
}

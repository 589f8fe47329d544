//! `_Stream`: what all receive streams have in common.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};
use speadway::recv::{Reader, StreamHandle};

use super::config::{Settings, StreamConfig};
use super::stats::{StatSource, StreamStats};
use crate::errors::OrRaise;
use crate::lifetime::{self, OfProcess, Stop};
use crate::waiting::Late;

/// A receive stream: its readers and its end.
#[pyclass(name = "_Stream", module = "speadway.recv", subclass, weakref, frozen)]
#[derive(Default)]
pub(crate) struct StreamBase {
    running: Late<OfProcess<Running>>,
    /// Whether packets are lost while the stream waits.
    lossy: Arc<AtomicBool>,
}

/// A stream of the library, and what only Python's streams have.
pub(crate) struct Running {
    handle: StreamHandle,
    settings: Settings,
    stats: StatSource,
    start: Mutex<Start>,
    /// How the user's `stop` is done: at the rings first, so that nothing new is delivered.
    stop: Box<dyn Fn() + Send + Sync>,
}

/// Whether readers are added at once.
enum Start {
    /// They wait for `start()`.
    Awaited(VecDeque<NewReader>),
    /// `start()` has been called.
    Called,
    /// They do not wait.
    Implicit,
}

/// A reader that is to be added.
pub(crate) enum NewReader {
    Made(Box<dyn Reader>),
    /// Sockets are bound when the stream starts. If that fails the next `start()` tries again.
    Bind(Box<dyn Fn() -> PyResult<Box<dyn Reader>> + Send>),
}

impl Stop for Running {
    fn stop(&self) {
        (self.stop)();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        (self.stop)();
    }
}

impl Running {
    /// Whether it takes no more readers.
    pub(crate) fn has_ended(&self) -> bool {
        self.handle.end().is_some()
    }

    fn start(&self) -> MutexGuard<'_, Start> {
        self.start.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds readers in turn; from one that cannot be made on they stay in the queue.
    fn add_all(&self, readers: &mut VecDeque<NewReader>) -> PyResult<()> {
        while let Some(reader) = readers.pop_front() {
            let made = match reader {
                NewReader::Made(reader) => reader,
                NewReader::Bind(bind) => match bind() {
                    Ok(reader) => reader,
                    Err(error) => {
                        readers.push_front(NewReader::Bind(bind));
                        return Err(error);
                    }
                },
            };
            self.handle.add_reader(made).or_raise()?;
        }
        Ok(())
    }
}

impl StreamBase {
    /// To be called from `__init__` of the class that knows what kind of stream it is, with the
    /// settings that the stream was made with and where its statistics are. `stop` is called without
    /// the GIL.
    pub(crate) fn init(
        &self,
        handle: StreamHandle,
        settings: Settings,
        stats: StatSource,
        stop: impl Fn() + Send + Sync + 'static,
    ) {
        if self.running.get().is_ok() {
            return; // a second call of `__init__`: the first stream stays
        }
        let start = match settings.explicit_start {
            true => Start::Awaited(VecDeque::new()),
            false => Start::Implicit,
        };
        let (start, stop) = (Mutex::new(start), Box::new(stop));
        let running = Arc::new(Running { handle, settings, stats, start, stop });
        lifetime::register(&running);
        self.running.init(OfProcess::new(running));
    }

    pub(crate) fn running(&self) -> PyResult<&Arc<Running>> {
        Ok(self.running.get()?)
    }

    /// Whether packets are lost while the stream waits: true once it has such a reader.
    pub(crate) fn lossy(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.lossy)
    }

    /// As [`add`](Self::add), for a reader whose sender does not wait for the stream.
    pub(crate) fn add_lossy(&self, py: Python<'_>, reader: NewReader) -> PyResult<()> {
        self.lossy.store(true, Ordering::Relaxed);
        self.add(py, reader)
    }

    /// Adds a reader: now, or when the stream is started. After the end it is ignored.
    pub(crate) fn add(&self, py: Python<'_>, reader: NewReader) -> PyResult<()> {
        let running = self.running()?;
        match &mut *running.start() {
            Start::Called => {
                return Err(PyRuntimeError::new_err("Cannot add readers after explicit start"));
            }
            _ if running.has_ended() => return Ok(()),
            Start::Awaited(waiting) => {
                waiting.push_back(reader);
                return Ok(());
            }
            Start::Implicit => {}
        }
        py.detach(|| running.add_all(&mut VecDeque::from([reader])))
    }
}

impl Drop for StreamBase {
    fn drop(&mut self) {
        let running = self.running.take().and_then(OfProcess::into_inner);
        // That ends the stream, which may take a moment. Without an interpreter to detach from it is
        // dropped with the closure.
        let _ = Python::try_attach(move |py| py.detach(move || drop(running)));
    }
}

#[pymethods]
impl StreamBase {
    /// A copy of the configuration that the stream was made with.
    #[getter]
    fn config(&self, py: Python<'_>) -> PyResult<StreamConfig> {
        Ok(StreamConfig::with(self.running()?.settings.copy(py)))
    }

    /// The statistics as they are now. While the stream runs they may lag behind by a batch.
    #[getter]
    fn stats(&self) -> PyResult<StreamStats> {
        let running = self.running()?;
        Ok(running.stats.read(&running.handle.stats()))
    }

    /// Every counter there is, by name: what became of each packet and heap, how often and how long
    /// (in ns) the stream had to wait, and what the kernel dropped.
    #[getter]
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.running()?.handle.stats().counters().into_py_dict(py)
    }

    /// Starts a stream that was made with `explicit_start=True`: its sockets are bound now.
    /// `RuntimeError` if one cannot be; it is tried again by the next call.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let running = self.running()?;
        let start = std::mem::replace(&mut *running.start(), Start::Called);
        let Start::Awaited(mut waiting) = start else {
            *running.start() = start;
            return Ok(());
        };
        if running.has_ended() {
            return Ok(());
        }
        let added = py.detach(|| running.add_all(&mut waiting));
        if added.is_err() {
            *running.start() = Start::Awaited(waiting);
        }
        added
    }

    /// Stops the stream at once: nothing more is delivered, and what is in flight is dropped.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let running = self.running.get()?;
        if running.is_here() {
            py.detach(|| running.stop());
        }
        Ok(())
    }
}

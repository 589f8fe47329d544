//! `_Stream`: what all receive streams have in common.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};
use speadway::recv::readers::MemoryReader;
use speadway::recv::{Reader, StreamHandle};

use super::config::{Settings, StreamConfig};
use super::stats::{StatSource, StreamStats};
use crate::buffers::HeldBytes;
use crate::errors::OrRaise;
use crate::lifetime::{self, Stop};
use crate::waiting::Late;

/// A receive stream: its readers and its end.
#[pyclass(name = "_Stream", module = "speadway.recv", subclass, weakref, frozen)]
#[derive(Default)]
pub(crate) struct StreamBase {
    running: Late<Arc<Running>>,
}

/// A stream of the library, and what only Python's streams have.
pub(crate) struct Running {
    handle: StreamHandle,
    settings: Settings,
    stats: StatSource,
    /// Readers that wait for `start`; `None` once started.
    waiting: Mutex<Option<Vec<MakeReader>>>,
    /// How the user's `stop` is done: at the rings first, so that nothing new is delivered.
    stop: Box<dyn Fn() + Send + Sync>,
}

/// Makes a reader: sockets are bound when the stream starts.
pub(crate) type MakeReader = Box<dyn FnOnce() -> PyResult<Box<dyn Reader>> + Send>;

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
        let waiting = Mutex::new(settings.explicit_start.then(Vec::new));
        let running = Arc::new(Running { handle, settings, stats, waiting, stop: Box::new(stop) });
        lifetime::register(&running);
        self.running.init(running);
    }

    pub(crate) fn running(&self) -> PyResult<&Arc<Running>> {
        self.running.get()
    }

    /// Adds a reader: now, or when the stream is started. After the end it is ignored.
    pub(crate) fn add(&self, py: Python<'_>, make: MakeReader) -> PyResult<()> {
        let running = self.running.get()?;
        if running.handle.end().is_some() {
            return Ok(());
        }
        let mut waiting = running.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *waiting {
            Some(waiting) => {
                waiting.push(make);
                Ok(())
            }
            None => {
                drop(waiting);
                let reader = py.detach(make)?;
                running.handle.add_reader(reader).or_raise()
            }
        }
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

    /// Receives the packets in `buffer`, then ends the stream.
    fn add_buffer_reader(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<()> {
        let bytes = HeldBytes::readable(buffer)?;
        self.add(py, Box::new(move || Ok(Box::new(MemoryReader::new(bytes)))))
    }

    /// Starts a stream that was made with `explicit_start=True`.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let running = self.running.get()?;
        let waiting = running.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let waiting = waiting.ok_or_else(|| PyRuntimeError::new_err("already started"))?;
        for make in waiting {
            let reader = py.detach(make)?;
            running.handle.add_reader(reader).or_raise()?;
        }
        Ok(())
    }

    /// Stops the stream at once: nothing more is delivered.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let running = self.running.get()?;
        py.detach(|| running.stop());
        Ok(())
    }
}

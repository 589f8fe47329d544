//! `recv.Stream`: heaps, one by one.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::OnceLock;
use std::time::Duration;

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use speadway::heap::Heap as Core;
use speadway::recv::Stream as CoreStream;
use speadway::ring::{Ended, Ring, RingFd, TryPopError};

use super::base::StreamBase;
use super::config::StreamConfig;
use super::heap;
use super::outlet::Outlet;
use super::ring_config::{RingSettings, RingStreamConfig};
use super::stats::StatSource;
use crate::args::Maybe;
use crate::errors::{Empty, OrRaise, Stopped};
use crate::patience::Patience;
use crate::thread_pool::ThreadPool;
use crate::waiting::{Late, wait};

/// A stream that delivers heaps, one by one, through a ring: `get()` them or iterate.
///
/// The stream ends when a sender or a reader ends it: what was received is still there to get, and
/// then `get()` raises `Stopped`. `stop()` ends it at once.
#[pyclass(module = "speadway.recv", extends = StreamBase, subclass, frozen)]
pub(crate) struct Stream {
    ring: Late<HeapRing>,
}

struct HeapRing {
    ring: Ring<Core>,
    settings: RingSettings,
    patience: Patience,
    fd: OnceLock<RingFd>,
    shown: PyOnceLock<Py<Ringbuffer>>,
}

/// The ring of heaps that wait for `get()`.
#[pyclass(module = "speadway.recv", name = "Ringbuffer", weakref, frozen)]
pub(crate) struct Ringbuffer {
    ring: Ring<Core>,
}

#[pymethods]
impl Ringbuffer {
    /// Heaps in it now.
    fn size(&self) -> usize {
        self.ring.len()
    }

    /// Heaps that have room in it.
    fn capacity(&self) -> usize {
        self.ring.capacity()
    }
}

impl HeapRing {
    /// The next heap, or the end, or `None` after `time`.
    fn pop(&self, time: Duration) -> Result<Option<Core>, Ended> {
        let found = self.patience.look(|| match self.ring.try_pop() {
            Err(TryPopError::Empty) => None,
            popped => Some(popped),
        });
        match found.unwrap_or_else(|| self.ring.pop_timeout(time)) {
            Ok(heap) => Ok(Some(heap)),
            Err(TryPopError::Empty) => Ok(None),
            Err(TryPopError::Ended) => Err(Ended),
        }
    }
}

fn stopped() -> PyErr {
    Stopped::new_err("ring buffer has been stopped")
}

impl Stream {
    /// The next heap, waiting for it; `None` at the end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let ring = self.ring.get()?;
        let popped = match ring.ring.try_pop() {
            Err(TryPopError::Empty) => wait(py, |time| ring.pop(time).transpose())?.ok(),
            popped => popped.ok(),
        };
        popped.map(|core| heap::into_python(py, core)).transpose()
    }
}

#[pymethods]
impl Stream {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyAny>,
        _kwargs: Option<&Bound<'_, PyAny>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(StreamBase::default()).add_subclass(Self { ring: Late::default() })
    }

    #[pyo3(signature = (thread_pool, config = Maybe::LeftOut, ring_config = Maybe::LeftOut))]
    fn __init__(
        slf: &Bound<'_, Self>,
        thread_pool: &Bound<'_, ThreadPool>,
        config: Maybe<Bound<'_, StreamConfig>>,
        ring_config: Maybe<Bound<'_, RingStreamConfig>>,
    ) -> PyResult<()> {
        let base = slf.as_super().get();
        let settings = StreamConfig::given(slf.py(), config.given().as_ref())?;
        let ring_config = ring_config.given().map(|config| config.get().settings()).transpose()?;
        let ring_settings = ring_config.unwrap_or_default();
        let ring = Ring::new(ring_settings.heaps).or_raise()?;
        let RingSettings { contiguous_only, keep_payload_ranges, .. } = ring_settings;
        let outlet = Outlet::new(&ring, contiguous_only, base.lossy());
        let stream = CoreStream::heaps()
            .config(settings.core())
            .allocator(settings.allocator()?)
            .contiguous_only(false) // the outlet drops incomplete ones, to say so
            .keep_payload_ranges(keep_payload_ranges && !contiguous_only)
            .callback(outlet)
            .start(&thread_pool.get().worker()?)
            .or_raise()?;
        let closing = ring.clone();
        let stats = StatSource::heaps(settings.stats.clone());
        base.init(stream.handle(), settings, stats, move || {
            closing.close();
            stream.stop();
        });
        slf.get().ring.init(HeapRing {
            ring,
            settings: ring_settings,
            patience: Patience::default(),
            fd: OnceLock::new(),
            shown: PyOnceLock::new(),
        });
        Ok(())
    }

    /// The next heap: waits for it. `Stopped` at the end of the stream.
    fn get(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.next(py)?.ok_or_else(stopped)
    }

    /// The next heap, if there is one now; `Empty` if not, and `Stopped` at the end of the stream.
    fn get_nowait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.ring.get()?.ring.try_pop() {
            Ok(core) => heap::into_python(py, core),
            Err(TryPopError::Empty) => Err(Empty::new_err("ring buffer is empty")),
            Err(TryPopError::Ended) => Err(stopped()),
        }
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.next(py)?.ok_or_else(|| PyStopIteration::new_err(()))
    }

    /// A descriptor that is readable while there is a heap to get or the stream has ended. Only for
    /// polling: do not read from it.
    #[getter]
    fn fd(&self) -> PyResult<RawFd> {
        let ring = self.ring.get()?;
        if let Some(fd) = ring.fd.get() {
            return Ok(fd.as_raw_fd());
        }
        let fd = ring.ring.data_fd().or_raise()?;
        Ok(ring.fd.get_or_init(|| fd).as_raw_fd())
    }

    /// The ring of heaps that wait for `get()`.
    #[getter]
    fn ringbuffer(&self, py: Python<'_>) -> PyResult<Py<Ringbuffer>> {
        let ring = self.ring.get()?;
        let make = || Py::new(py, Ringbuffer { ring: ring.ring.clone() });
        Ok(ring.shown.get_or_try_init(py, make)?.clone_ref(py))
    }

    /// A copy of the configuration of the ring.
    #[getter]
    fn ring_config(&self) -> PyResult<RingStreamConfig> {
        Ok(RingStreamConfig::with(self.ring.get()?.settings))
    }

    /// The class of `ringbuffer`.
    #[classattr]
    #[pyo3(name = "Ringbuffer")]
    fn ringbuffer_class(py: Python<'_>) -> Bound<'_, PyType> {
        py.get_type::<Ringbuffer>()
    }
}

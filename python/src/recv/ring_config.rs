//! `recv.RingStreamConfig`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::args::{Int, Truth, set_keywords};
use crate::waiting::Late;

/// Heaps in a stream's ring unless told otherwise, as in the reference.
const DEFAULT_HEAPS: usize = 4;

/// How a stream hands over heaps. Given by keywords; each is also an attribute, which may be changed
/// until a stream is made with it (streams take a copy).
#[pyclass(module = "speadway.recv", subclass, weakref, frozen)]
pub(crate) struct RingStreamConfig {
    settings: Late<Mutex<RingSettings>>,
}

/// What a `RingStreamConfig` says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingSettings {
    pub(crate) heaps: usize,
    pub(crate) contiguous_only: bool,
    pub(crate) keep_payload_ranges: bool,
}

impl Default for RingSettings {
    fn default() -> Self {
        Self { heaps: DEFAULT_HEAPS, contiguous_only: true, keep_payload_ranges: false }
    }
}

impl RingStreamConfig {
    /// The settings as they are now.
    pub(crate) fn settings(&self) -> PyResult<RingSettings> {
        Ok(*self.lock()?)
    }

    /// A configuration with these settings.
    pub(crate) fn with(settings: RingSettings) -> Self {
        let late = Late::default();
        late.init(Mutex::new(settings));
        Self { settings: late }
    }

    fn lock(&self) -> PyResult<MutexGuard<'_, RingSettings>> {
        Ok(self.settings.get()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
impl RingStreamConfig {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { settings: Late::default() }
    }

    #[pyo3(signature = (**kwargs))]
    fn __init__(slf: &Bound<'_, Self>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        slf.get().settings.init(Mutex::default());
        set_keywords(slf, kwargs)
    }

    /// Heaps in the ring, unless `heaps` says otherwise.
    #[classattr]
    #[pyo3(name = "DEFAULT_HEAPS")]
    fn default_heaps() -> usize {
        DEFAULT_HEAPS
    }

    /// How many finished heaps the stream holds for `get` (4). When it is full, the stream waits.
    #[getter]
    fn heaps(&self) -> PyResult<usize> {
        Ok(self.lock()?.heaps)
    }

    #[setter]
    fn set_heaps(&self, value: Int<usize>) -> PyResult<()> {
        if value.0 == 0 {
            return Err(PyValueError::new_err("heaps must be at least 1"));
        }
        self.lock()?.heaps = value.0;
        Ok(())
    }

    /// Whether incomplete heaps are dropped (True), or handed over as `IncompleteHeap`.
    #[getter]
    fn contiguous_only(&self) -> PyResult<bool> {
        Ok(self.lock()?.contiguous_only)
    }

    #[setter]
    fn set_contiguous_only(&self, value: Truth) -> PyResult<()> {
        self.lock()?.contiguous_only = value.0;
        Ok(())
    }

    /// Whether incomplete heaps keep their payload and say which bytes of it arrived (False).
    #[getter]
    fn incomplete_keep_payload_ranges(&self) -> PyResult<bool> {
        Ok(self.lock()?.keep_payload_ranges)
    }

    #[setter]
    fn set_incomplete_keep_payload_ranges(&self, value: Truth) -> PyResult<()> {
        self.lock()?.keep_payload_ranges = value.0;
        Ok(())
    }
}

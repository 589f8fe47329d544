//! `recv.RingStreamConfig`.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::attributes::{Attributes, attributes};
use super::config::not_zero;
use crate::args::{Int, Truth, set_keywords};

/// Heaps in a stream's ring unless told otherwise, as in the reference.
const DEFAULT_HEAPS: usize = 4;

/// How a stream hands over heaps. Given by keywords; each is also an attribute, which may be changed
/// until a stream is made with it (streams take a copy).
#[pyclass(module = "speadway.recv", subclass, weakref, frozen)]
pub(crate) struct RingStreamConfig {
    attributes: Attributes<RingSettings>,
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
        Ok(*self.attributes.lock()?)
    }

    /// A configuration with these settings.
    pub(crate) fn with(settings: RingSettings) -> Self {
        Self { attributes: Attributes::with(settings) }
    }
}

#[pymethods]
impl RingStreamConfig {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { attributes: Attributes::default() }
    }

    #[pyo3(signature = (**kwargs))]
    fn __init__(slf: &Bound<'_, Self>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        slf.get().attributes.init(RingSettings::default());
        set_keywords(slf, kwargs)
    }

    /// Heaps in the ring, unless `heaps` says otherwise.
    #[classattr]
    #[pyo3(name = "DEFAULT_HEAPS")]
    fn default_heaps() -> usize {
        DEFAULT_HEAPS
    }
}

attributes!(RingStreamConfig {
    /// How many finished heaps the stream holds for `get` (4). When it is full, the stream waits.
    heaps, set_heaps: Int<usize> => usize,
        |all| all.heaps,
        |all, value| all.heaps = not_zero(value.0, "heaps")?;

    /// Whether incomplete heaps are dropped (True), or handed over as `IncompleteHeap`.
    contiguous_only, set_contiguous_only: Truth => bool,
        |all| all.contiguous_only,
        |all, value| all.contiguous_only = value.0;

    /// Whether incomplete heaps keep their payload and say which bytes of it arrived (False).
    incomplete_keep_payload_ranges, set_incomplete_keep_payload_ranges: Truth => bool,
        |all| all.keep_payload_ranges,
        |all, value| all.keep_payload_ranges = value.0;
});

//! `recv.ChunkStreamGroupConfig`.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};
use speadway::chunk::{Eviction, RingPolicy};
use speadway::recv::DEFAULT_MAX_CHUNKS;

use super::attributes::{Attributes, attributes};
use super::chunk_config::age;
use super::chunk_exchange::{name_of_empty, name_of_full, when_empty, when_full};
use super::config::not_zero;
use crate::args::{Int, set_keywords};
use crate::enums::Enumeration;

/// `ChunkStreamGroupConfig.EvictionMode`, numbered as [`MODES`].
static EVICTION_MODE: Enumeration = Enumeration::new(
    "speadway.recv",
    "ChunkStreamGroupConfig.EvictionMode",
    &["LOSSY", "LOSSLESS"],
);
const MODES: [Eviction; 2] = [Eviction::Eager, Eviction::Lossless];

/// How a group of streams fills chunks together. Given by keywords; each is also an attribute, which
/// may be changed until a group is made with it (groups take a copy).
#[pyclass(module = "speadway.recv", subclass, weakref, frozen)]
pub(crate) struct ChunkStreamGroupConfig {
    attributes: Attributes<GroupSettings>,
}

/// What a `ChunkStreamGroupConfig` says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupSettings {
    pub(crate) max_chunks: usize,
    pub(crate) eviction: Eviction,
    pub(crate) max_age: Option<Duration>,
    pub(crate) max_age_in_lossless: Option<Duration>,
    pub(crate) policy: RingPolicy,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            max_chunks: DEFAULT_MAX_CHUNKS,
            eviction: Eviction::default(),
            max_age: None,
            max_age_in_lossless: None,
            policy: RingPolicy::default(),
        }
    }
}

impl ChunkStreamGroupConfig {
    /// The settings as they are now.
    pub(crate) fn settings(&self) -> PyResult<GroupSettings> {
        Ok(*self.attributes.lock()?)
    }

    /// A configuration with these settings.
    pub(crate) fn with(settings: GroupSettings) -> Self {
        Self { attributes: Attributes::with(settings) }
    }
}

#[pymethods]
impl ChunkStreamGroupConfig {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { attributes: Attributes::default() }
    }

    #[pyo3(signature = (**kwargs))]
    fn __init__(slf: &Bound<'_, Self>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        slf.get().attributes.init(GroupSettings::default());
        set_keywords(slf, kwargs)
    }

    /// Chunks in a group's window, unless `max_chunks` says otherwise.
    #[classattr]
    #[pyo3(name = "DEFAULT_MAX_CHUNKS")]
    fn default_max_chunks() -> usize {
        DEFAULT_MAX_CHUNKS
    }

    /// What happens when the window has to move and a member still fills its oldest chunk.
    #[classattr]
    #[pyo3(name = "EvictionMode")]
    fn eviction_mode_class(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
        EVICTION_MODE.class(py)
    }

    /// `EvictionMode.LOSSY`: a slow member loses its old chunks. `LOSSLESS`: the others wait for it.
    #[getter]
    fn eviction_mode<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let eviction = self.attributes.lock()?.eviction;
        EVICTION_MODE.member(py, MODES.iter().position(|&mode| mode == eviction).unwrap_or(0))
    }

    #[setter]
    fn set_eviction_mode(&self, mode: &Bound<'_, PyAny>) -> PyResult<()> {
        let eviction = MODES[EVICTION_MODE.number(mode)?];
        self.attributes.lock()?.eviction = eviction;
        Ok(())
    }

    /// What to do when a chunk is needed and the free ring is empty: as in `ChunkStreamConfig`.
    #[getter(when_empty)]
    fn get_when_empty(&self) -> PyResult<&'static str> {
        Ok(name_of_empty(self.attributes.lock()?.policy.when_empty))
    }

    #[setter(when_empty)]
    fn set_when_empty(&self, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let policy = when_empty(name)?;
        self.attributes.lock()?.policy.when_empty = policy;
        Ok(())
    }

    /// What to do when a chunk is finished and the data ring is full: as in `ChunkStreamConfig`.
    #[getter(when_full)]
    fn get_when_full(&self) -> PyResult<&'static str> {
        Ok(name_of_full(self.attributes.lock()?.policy.when_full))
    }

    #[setter(when_full)]
    fn set_when_full(&self, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let policy = when_full(name)?;
        self.attributes.lock()?.policy.when_full = policy;
        Ok(())
    }
}

attributes!(ChunkStreamGroupConfig {
    /// How many consecutive chunks are open at a time (2). Members' windows must not be larger.
    max_chunks, set_max_chunks: Int<usize> => usize,
        |all| all.max_chunks,
        |all, value| all.max_chunks = not_zero(value.0, "max_chunks")?;

    /// Hands over a chunk that has been open for so many seconds though nothing newer arrives (None:
    /// off). In a lossless group that can lose data, so there it is `max_age_in_lossless`.
    max_age, set_max_age: Option<f64> => Option<f64>,
        |all| all.max_age.map(|age| age.as_secs_f64()),
        |all, seconds| all.max_age = age("max_age", seconds)?;

    /// As `max_age`, for lossless groups: what arrives later for such a chunk is lost.
    max_age_in_lossless, set_max_age_in_lossless: Option<f64> => Option<f64>,
        |all| all.max_age_in_lossless.map(|age| age.as_secs_f64()),
        |all, seconds| all.max_age_in_lossless = age("max_age_in_lossless", seconds)?;
});

//! `recv.StreamStatConfig`, and the names and modes of a stream's statistics.

use std::sync::Arc;

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::args::{Int, Maybe, Text};
use crate::enums::Enumeration;
use crate::waiting::Late;

/// `StreamStatConfig.Mode`, numbered as [`StatMode`].
pub(crate) static MODE: Enumeration =
    Enumeration::new("speadway.recv", "StreamStatConfig.Mode", &["COUNTER", "MAXIMUM"]);

/// The statistics that every stream has, in the reference's order.
const BUILT_IN: [(&str, StatMode); 9] = [
    ("heaps", StatMode::Counter),
    ("incomplete_heaps_evicted", StatMode::Counter),
    ("incomplete_heaps_flushed", StatMode::Counter),
    ("packets", StatMode::Counter),
    ("batches", StatMode::Counter),
    ("max_batch", StatMode::Maximum),
    ("single_packet_heaps", StatMode::Counter),
    ("search_dist", StatMode::Counter),
    ("worker_blocked", StatMode::Counter),
];

/// The index of the first statistic of the user's.
pub(crate) const FIRST_CUSTOM: usize = BUILT_IN.len();

/// How two values of a statistic become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatMode {
    Counter,
    Maximum,
}

impl StatMode {
    pub(crate) fn combine(self, a: u64, b: u64) -> u64 {
        match self {
            Self::Counter => a.wrapping_add(b),
            Self::Maximum => a.max(b),
        }
    }

    /// The mode that an argument names; a counter if none is given.
    pub(crate) fn from_member(member: Maybe<Bound<'_, PyAny>>) -> PyResult<Self> {
        match member.given().map(|member| MODE.number(&member)).transpose()? {
            Some(1) => Ok(Self::Maximum),
            _ => Ok(Self::Counter),
        }
    }
}

/// A statistic's name and mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) name: Arc<str>,
    pub(crate) mode: StatMode,
}

/// The statistics of a stream, in the order of their indices. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatList(Arc<[Stat]>);

impl Default for StatList {
    fn default() -> Self {
        let stat = |&(name, mode): &(&str, StatMode)| Stat { name: name.into(), mode };
        Self(BUILT_IN.iter().map(stat).collect())
    }
}

impl StatList {
    /// This list and one more statistic.
    pub(crate) fn with(&self, name: &str, mode: StatMode) -> Self {
        let added = Stat { name: name.into(), mode };
        Self(self.0.iter().cloned().chain([added]).collect())
    }

    pub(crate) fn stats(&self) -> &[Stat] {
        &self.0
    }

    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|stat| &*stat.name == name)
    }

    /// As Python shows it.
    pub(crate) fn to_python(&self) -> Vec<StreamStatConfig> {
        self.0.iter().cloned().map(StreamStatConfig::from_stat).collect()
    }

    /// Adds a statistic of the user's and says its index.
    pub(crate) fn add(&mut self, name: &str, mode: StatMode) -> PyResult<usize> {
        if self.index(name).is_some() {
            return Err(PyValueError::new_err(format!("A statistic called {name} already exists")));
        }
        *self = self.with(name, mode);
        Ok(self.0.len() - 1)
    }

    /// The index of a statistic that there has to be.
    pub(crate) fn known(&self, name: &str) -> PyResult<usize> {
        self.index(name)
            .ok_or_else(|| PyIndexError::new_err(format!("{name} is not a known statistic name")))
    }
}

/// The name of a statistic, and whether values are added up or the largest counts.
#[pyclass(module = "speadway.recv", subclass, weakref, frozen)]
pub(crate) struct StreamStatConfig {
    stat: Late<Stat>,
}

impl StreamStatConfig {
    fn from_stat(stat: Stat) -> Self {
        let late = Late::default();
        late.init(stat);
        Self { stat: late }
    }
}

#[pymethods]
impl StreamStatConfig {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { stat: Late::default() }
    }

    #[pyo3(signature = (name, mode = Maybe::LeftOut))]
    fn __init__(&self, name: Text, mode: Maybe<Bound<'_, PyAny>>) -> PyResult<()> {
        self.stat.init(Stat { name: name.0.into(), mode: StatMode::from_member(mode)? });
        Ok(())
    }

    /// How values are combined: `COUNTER` adds, `MAXIMUM` keeps the largest.
    #[classattr]
    #[pyo3(name = "Mode")]
    fn mode_class(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
        MODE.class(py)
    }

    /// The name.
    #[getter]
    fn name(&self) -> PyResult<&str> {
        Ok(&self.stat.get()?.name)
    }

    /// How values are combined, a `StreamStatConfig.Mode`.
    #[getter]
    fn mode<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        MODE.member(py, self.stat.get()?.mode as usize)
    }

    /// Combines two values as the mode says.
    fn combine(&self, a: Int<u64>, b: Int<u64>) -> PyResult<u64> {
        Ok(self.stat.get()?.mode.combine(a.0, b.0))
    }

    // Of another type it has no opinion: it is not taken here, and Python asks the other.
    fn __eq__(&self, other: &Self) -> PyResult<bool> {
        Ok(self.stat.get()? == other.stat.get()?)
    }

    fn __repr__(&self) -> PyResult<String> {
        let stat = self.stat.get()?;
        Ok(format!("StreamStatConfig({:?}, {:?})", stat.name, stat.mode))
    }
}

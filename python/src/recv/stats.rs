//! `recv.StreamStats`, and the statistics that a placement of the user's keeps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyIndexError, PyKeyError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList};
use speadway::recv::StreamStats as Core;

use super::stat_config::{FIRST_CUSTOM, StatList, StatMode, StreamStatConfig};
use crate::args::{Int, Text};

/// Totals of the user's statistics, which are those of a list from [`FIRST_CUSTOM`] on. One thread
/// at a time merges, any thread reads.
#[derive(Debug)]
pub(crate) struct CustomStats {
    list: StatList,
    totals: Box<[AtomicU64]>,
}

impl CustomStats {
    pub(crate) fn new(list: StatList) -> Self {
        let totals = list.stats()[FIRST_CUSTOM..].iter().map(|_| AtomicU64::new(0)).collect();
        Self { list, totals }
    }

    /// How many statistics a batch has: the built-in ones and the user's.
    pub(crate) fn batch_len(&self) -> usize {
        self.list.stats().len()
    }

    /// Merges the user's part of a batch's statistics into the totals and clears the batch for the
    /// next. `batch` is of length [`batch_len`](Self::batch_len), built-in statistics first.
    pub(crate) fn merge(&self, batch: &mut [u64]) {
        let stats = self.list.stats();
        let custom = stats.iter().zip(batch.iter()).skip(FIRST_CUSTOM);
        for ((stat, &value), total) in custom.zip(&self.totals) {
            let merged = stat.mode.combine(total.load(Ordering::Relaxed), value);
            total.store(merged, Ordering::Relaxed);
        }
        batch.fill(0);
    }

    fn totals(&self) -> impl Iterator<Item = u64> {
        self.totals.iter().map(|total| total.load(Ordering::Relaxed))
    }
}

/// Where a stream's statistics come from.
#[derive(Clone, Debug)]
pub(crate) struct StatSource {
    /// All that are shown.
    list: StatList,
    custom: Arc<CustomStats>,
}

impl StatSource {
    /// The statistics of a heap stream: those of its configuration.
    pub(crate) fn heaps(list: StatList) -> Self {
        Self { custom: Arc::new(CustomStats::new(list.clone())), list }
    }

    /// The statistics of a chunk stream: those of its configuration, then `too_old_heaps` and
    /// `rejected_heaps`.
    pub(crate) fn chunks(configured: StatList) -> Self {
        let list = configured
            .with("too_old_heaps", StatMode::Counter)
            .with("rejected_heaps", StatMode::Counter);
        Self { list, custom: Arc::new(CustomStats::new(configured)) }
    }

    /// All that are shown, which is what the stream's configuration says.
    pub(crate) fn list(&self) -> StatList {
        self.list.clone()
    }

    /// The user's part.
    pub(crate) fn custom(&self) -> &Arc<CustomStats> {
        &self.custom
    }

    /// What `core` and the user's statistics say now.
    pub(crate) fn read(&self, core: &Core) -> StreamStats {
        let built_in = [
            core.heaps,
            core.incomplete_heaps_evicted,
            core.incomplete_heaps_flushed,
            core.packets,
            core.batches,
            core.max_batch,
            core.single_packet_heaps,
            core.search_dist,
            core.worker_blocked,
        ];
        let of_chunks = [core.too_old_heaps, core.rejected_heaps];
        let all = built_in.into_iter().chain(self.custom.totals()).chain(of_chunks);
        let values = all.take(self.list.stats().len()).collect();
        StreamStats { list: self.list.clone(), values: Mutex::new(values) }
    }
}

/// A stream's statistics at one moment: a sequence and a mapping at once.
///
/// Indices are those of `config` (and, for those that every stream has, of
/// `speadway.recv.stream_stat_indices`), keys are names. Statistics of streams with the same
/// configuration can be added.
#[pyclass(module = "speadway.recv", subclass, weakref, frozen)]
pub(crate) struct StreamStats {
    list: StatList,
    values: Mutex<Vec<u64>>,
}

/// How a statistic is named in `stats[key]`.
enum Key {
    Index(usize),
    Name(String),
}

impl<'a, 'py> FromPyObject<'a, 'py> for Key {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match object.extract::<Text>() {
            Ok(name) => Ok(Self::Name(name.0)),
            Err(_) => object.extract::<Int<usize>>().map(|index| Self::Index(index.0)),
        }
    }
}

impl StreamStats {
    fn values(&self) -> MutexGuard<'_, Vec<u64>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, key: Key) -> PyResult<usize> {
        match key {
            Key::Index(at) if at < self.list.stats().len() => Ok(at),
            Key::Index(at) => {
                Err(PyIndexError::new_err(format!("there is no statistic with index {at}")))
            }
            Key::Name(name) => self.list.index(&name).ok_or_else(|| PyKeyError::new_err(name)),
        }
    }

    /// The sums and maxima of this and `other`.
    fn combined(&self, other: &Self) -> PyResult<Vec<u64>> {
        if self.list != other.list {
            return Err(PyValueError::new_err("config must match to add stats together"));
        }
        // One after the other: they may be the same object.
        let ours = self.values().clone();
        let theirs = other.values().clone();
        let modes = self.list.stats().iter().map(|stat| stat.mode);
        Ok(modes.zip(ours.iter().zip(&theirs)).map(|(mode, (&a, &b))| mode.combine(a, b)).collect())
    }

    fn iterate<'py>(list: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyIterator>> {
        list.as_any().try_iter()
    }
}

/// Getters and setters of the statistics that every stream has.
macro_rules! attributes {
    ($($(#[$doc:meta])* $name:ident $set:ident = $index:literal,)+) => {
        #[pymethods]
        impl StreamStats {
            $(
                $(#[$doc])*
                #[getter]
                fn $name(&self) -> u64 {
                    self.values()[$index]
                }

                #[setter]
                fn $set(&self, value: Int<u64>) {
                    self.values()[$index] = value.0;
                }
            )+
        }
    };
}

attributes! {
    /// Heaps completed, pushed out or flushed.
    heaps set_heaps = 0,
    /// Heaps pushed out by newer ones before they were whole.
    incomplete_heaps_evicted set_incomplete_heaps_evicted = 1,
    /// Heaps that were not whole when the stream ended.
    incomplete_heaps_flushed set_incomplete_heaps_flushed = 2,
    /// Well-formed packets.
    packets set_packets = 3,
    /// Batches of packets.
    batches set_batches = 4,
    /// Packets in the largest batch.
    max_batch set_max_batch = 5,
    /// Packets that are a whole heap.
    single_packet_heaps set_single_packet_heaps = 6,
    /// Slots looked at to find packets' heaps.
    search_dist set_search_dist = 7,
    /// Times that the stream found its ring of heaps full.
    worker_blocked set_worker_blocked = 8,
}

#[pymethods]
impl StreamStats {
    /// Names and modes, in the order of the indices.
    #[getter]
    fn config(&self) -> Vec<StreamStatConfig> {
        self.list.to_python()
    }

    fn __len__(&self) -> usize {
        self.list.stats().len()
    }

    fn __getitem__(&self, key: Key) -> PyResult<u64> {
        let at = self.at(key)?;
        Ok(self.values()[at])
    }

    fn __setitem__(&self, key: Key, value: Int<u64>) -> PyResult<()> {
        let at = self.at(key)?;
        self.values()[at] = value.0;
        Ok(())
    }

    fn __contains__(&self, name: Text) -> bool {
        self.list.index(&name.0).is_some()
    }

    /// The value with this name, or `default`.
    #[pyo3(signature = (name, default = None, /))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        name: Text,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.list.index(&name.0) {
            Some(at) => Ok(Some(self.values()[at].into_pyobject(py)?.into_any())),
            None => Ok(default),
        }
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.keys(py)
    }

    /// An iterator over the names.
    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        let names = self.list.stats().iter().map(|stat| &*stat.name);
        Self::iterate(&PyList::new(py, names.collect::<Vec<_>>())?)
    }

    /// An iterator over the values.
    #[pyo3(name = "values")]
    fn iter_values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        Self::iterate(&PyList::new(py, self.values().iter())?)
    }

    /// An iterator over (name, value).
    fn items<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        let values = self.values().clone();
        let names = self.list.stats().iter().map(|stat| &*stat.name);
        Self::iterate(&PyList::new(py, names.zip(values).collect::<Vec<_>>())?)
    }

    fn __add__(&self, other: &Bound<'_, Self>) -> PyResult<Self> {
        let values = Mutex::new(self.combined(other.get())?);
        Ok(Self { list: self.list.clone(), values })
    }

    fn __iadd__(&self, other: &Bound<'_, Self>) -> PyResult<()> {
        let values = self.combined(other.get())?;
        *self.values() = values;
        Ok(())
    }

    fn __repr__(&self) -> String {
        let values = self.values();
        let shown = self.list.stats().iter().zip(values.iter());
        let shown: Vec<_> = shown.map(|(stat, value)| format!("{}: {value}", stat.name)).collect();
        format!("<StreamStats {}>", shown.join(", "))
    }

    /// Statistics come from a stream's `stats`.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        Err(PyTypeError::new_err("StreamStats cannot be made: read a stream's `stats`"))
    }
}

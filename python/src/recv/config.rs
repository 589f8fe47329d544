//! `recv.StreamConfig`.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use speadway::memory::{Allocator, CopyMode, HeapAllocator};
use speadway::recv::{DEFAULT_MAX_HEAPS, StreamConfig as Core};
use speadway::wire::BugCompat;

use super::attributes::{Attributes, attributes};
use super::stat_config::{StatList, StatMode, StreamStatConfig};
use crate::args::{Int, Maybe, Text, Truth, set_keywords};
use crate::memory::MemoryAllocator;

/// Copies payload through the caches.
pub(crate) const MEMCPY_STD: i64 = 0;
/// Copies large payloads past the caches.
pub(crate) const MEMCPY_NONTEMPORAL: i64 = 1;

/// How a stream treats packets and heaps. Given by keywords; each is also an attribute, which may be
/// changed until a stream is made with it (streams take a copy).
#[pyclass(module = "speadway.recv", subclass, weakref, frozen)]
pub(crate) struct StreamConfig {
    attributes: Attributes<Settings>,
}

/// What a `StreamConfig` says.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) max_heaps: usize,
    pub(crate) substreams: usize,
    pub(crate) bug_compat: BugCompat,
    pub(crate) memcpy: i64,
    /// `None` if the user said so, which means the default.
    pub(crate) memory_allocator: Option<Py<MemoryAllocator>>,
    pub(crate) stop_on_stop_item: bool,
    pub(crate) allow_unsized_heaps: bool,
    pub(crate) allow_out_of_order: bool,
    pub(crate) stream_id: u64,
    pub(crate) explicit_start: bool,
    pub(crate) stats: StatList,
}

impl Settings {
    fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(Self {
            max_heaps: DEFAULT_MAX_HEAPS,
            substreams: 1,
            bug_compat: BugCompat::NONE,
            memcpy: MEMCPY_STD,
            memory_allocator: Some(MemoryAllocator::make(py)?),
            stop_on_stop_item: true,
            allow_unsized_heaps: true,
            allow_out_of_order: false,
            stream_id: 0,
            explicit_start: false,
            stats: StatList::default(),
        })
    }

    /// A copy that shares the allocator.
    pub(crate) fn copy(&self, py: Python<'_>) -> Self {
        let memory_allocator = self.memory_allocator.as_ref().map(|one| one.clone_ref(py));
        Self { memory_allocator, stats: self.stats.clone(), ..*self }
    }

    /// What a stream makes of them that fills chunks: heaps have to say their length.
    pub(crate) fn for_chunks(self) -> Self {
        Self { allow_unsized_heaps: false, ..self }
    }

    /// Where heaps' memory comes from, as the library has it.
    pub(crate) fn allocator(&self) -> PyResult<Arc<dyn Allocator>> {
        match &self.memory_allocator {
            Some(allocator) => allocator.get().core(),
            None => Ok(Arc::new(HeapAllocator)),
        }
    }

    /// What the library's streams need to know. A stream ends with the first of its readers that
    /// ends, as in the reference.
    pub(crate) fn core(&self) -> Core {
        Core::default()
            .max_heaps(self.max_heaps)
            .substreams(self.substreams)
            .bug_compat(self.bug_compat)
            .stop_on_stop_item(self.stop_on_stop_item)
            .allow_unsized_heaps(self.allow_unsized_heaps)
            .allow_out_of_order(self.allow_out_of_order)
            .stream_id(self.stream_id)
            .end_with_first_reader(true)
            .copy_mode(match self.memcpy {
                MEMCPY_NONTEMPORAL => CopyMode::NonTemporal,
                _ => CopyMode::Cached,
            })
    }
}

impl StreamConfig {
    /// The settings as they are now.
    pub(crate) fn settings(&self, py: Python<'_>) -> PyResult<Settings> {
        Ok(self.attributes.lock()?.copy(py))
    }

    /// The settings of the `config` argument of a stream, or the defaults.
    pub(crate) fn given(py: Python<'_>, config: Option<&Bound<'_, Self>>) -> PyResult<Settings> {
        config.map_or_else(|| Settings::new(py), |config| config.get().settings(py))
    }

    /// A configuration with these settings.
    pub(crate) fn with(settings: Settings) -> Self {
        Self { attributes: Attributes::with(settings) }
    }
}

/// `value`, unless it is zero.
pub(crate) fn not_zero(value: usize, name: &str) -> PyResult<usize> {
    match value {
        0 => Err(PyValueError::new_err(format!("{name} cannot be 0"))),
        value => Ok(value),
    }
}

#[pymethods]
impl StreamConfig {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { attributes: Attributes::default() }
    }

    #[pyo3(signature = (**kwargs))]
    fn __init__(slf: &Bound<'_, Self>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        slf.get().attributes.init(Settings::new(slf.py())?);
        set_keywords(slf, kwargs)
    }

    /// Heaps under assembly per substream, unless `max_heaps` says otherwise.
    #[classattr]
    #[pyo3(name = "DEFAULT_MAX_HEAPS")]
    fn default_max_heaps() -> usize {
        DEFAULT_MAX_HEAPS
    }

    /// Deviations of the sender, as the sum of `BUG_COMPAT_*` (0).
    #[getter]
    fn bug_compat(&self) -> PyResult<u32> {
        Ok(self.attributes.lock()?.bug_compat.bits())
    }

    #[setter]
    fn set_bug_compat(&self, value: Int<u32>) -> PyResult<()> {
        let bits = BugCompat::from_bits(value.0)
            .map_err(|_| PyValueError::new_err("unknown compatibility bits in bug_compat"))?;
        self.attributes.lock()?.bug_compat = bits;
        Ok(())
    }

    /// How payload is copied to chunks: `MEMCPY_STD` or `MEMCPY_NONTEMPORAL`.
    #[getter]
    fn memcpy(&self) -> PyResult<i64> {
        Ok(self.attributes.lock()?.memcpy)
    }

    #[setter]
    fn set_memcpy(&self, value: Int<i64>) -> PyResult<()> {
        if ![MEMCPY_STD, MEMCPY_NONTEMPORAL].contains(&value.0) {
            return Err(PyValueError::new_err(format!("Unknown memcpy function {}", value.0)));
        }
        self.attributes.lock()?.memcpy = value.0;
        Ok(())
    }

    /// Where heaps' memory comes from. Chunk streams do not use it.
    #[getter]
    fn memory_allocator(&self, py: Python<'_>) -> PyResult<Option<Py<MemoryAllocator>>> {
        Ok(self.attributes.lock()?.memory_allocator.as_ref().map(|one| one.clone_ref(py)))
    }

    #[setter]
    fn set_memory_allocator(&self, value: Option<&Bound<'_, MemoryAllocator>>) -> PyResult<()> {
        if let Some(value) = value {
            value.get().core()?; // complains now if it was not initialised
        }
        let value = value.map(|value| value.clone().unbind());
        let old = std::mem::replace(&mut self.attributes.lock()?.memory_allocator, value);
        drop(old); // after the lock: it may run Python code
        Ok(())
    }

    /// The names and modes of the statistics, in the order of their indices.
    #[getter]
    fn stats(&self) -> PyResult<Vec<StreamStatConfig>> {
        Ok(self.attributes.lock()?.stats.to_python())
    }

    /// Adds a statistic and returns its index. A placement may write to it (see
    /// `ChunkStreamConfig.place`); values of batches are combined as `mode` says.
    #[pyo3(signature = (name, mode = Maybe::LeftOut))]
    fn add_stat(&self, name: Text, mode: Maybe<Bound<'_, PyAny>>) -> PyResult<usize> {
        let mode = StatMode::from_member(mode)?;
        self.attributes.lock()?.stats.add(&name.0, mode)
    }

    /// The index of a statistic; `IndexError` if there is none with this name.
    fn get_stat_index(&self, name: Text) -> PyResult<usize> {
        self.attributes.lock()?.stats.known(&name.0)
    }

    /// The index that the next statistic added will have.
    fn next_stat_index(&self) -> PyResult<usize> {
        Ok(self.attributes.lock()?.stats.stats().len())
    }
}

attributes!(StreamConfig {
    /// Heaps under assembly per substream (4): a heap that is not whole is given up when so many
    /// newer ones of its substream have begun.
    max_heaps, set_max_heaps: Int<usize> => usize,
        |all| all.max_heaps,
        |all, value| all.max_heaps = not_zero(value.0, "max_heaps")?;

    /// Substreams (1): heaps are told apart by their count modulo this number.
    substreams, set_substreams: Int<usize> => usize,
        |all| all.substreams,
        |all, value| all.substreams = not_zero(value.0, "substreams")?;

    /// Whether a stream-stop item ends the stream (True).
    stop_on_stop_item, set_stop_on_stop_item: Truth => bool,
        |all| all.stop_on_stop_item,
        |all, value| all.stop_on_stop_item = value.0;

    /// Whether packets may leave out their heap's length (True). Chunk streams never allow it.
    allow_unsized_heaps, set_allow_unsized_heaps: Truth => bool,
        |all| all.allow_unsized_heaps,
        |all, value| all.allow_unsized_heaps = value.0;

    /// Whether a heap's packets may arrive in any order (False).
    allow_out_of_order, set_allow_out_of_order: Truth => bool,
        |all| all.allow_out_of_order,
        |all, value| all.allow_out_of_order = value.0;

    /// A number of the user's that chunks carry (0).
    stream_id, set_stream_id: Int<u64> => u64,
        |all| all.stream_id,
        |all, value| all.stream_id = value.0;

    /// Whether the stream waits for `start()` before it receives (False).
    explicit_start, set_explicit_start: Truth => bool,
        |all| all.explicit_start,
        |all, value| all.explicit_start = value.0;
});

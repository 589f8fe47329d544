//! `recv.ChunkStreamConfig`.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use speadway::chunk::RingPolicy;
use speadway::recv::DEFAULT_MAX_CHUNKS;

use super::attributes::{Attributes, attributes};
use super::chunk_exchange::{name_of_empty, name_of_full, when_empty, when_full};
use super::config::not_zero;
use super::layout::Layout;
use super::place::{CPlace, PlaceFunction};
use super::stats::CustomStats;
use crate::args::{Int, Several, Truth, set_keywords};

/// How a stream fills chunks. Given by keywords; each is also an attribute, which may be changed
/// until a stream is made with it (streams take a copy).
#[pyclass(module = "speadway.recv", subclass, weakref, frozen)]
pub(crate) struct ChunkStreamConfig {
    attributes: Attributes<ChunkSettings>,
}

/// What a `ChunkStreamConfig` says.
#[derive(Clone)]
pub(crate) struct ChunkSettings {
    items: Vec<u64>,
    pub(crate) max_chunks: usize,
    place: Option<Placer>,
    pub(crate) max_heap_extra: usize,
    /// Payload bytes per presence flag; 0 for presence per heap, or as a layout says.
    pub(crate) packet_presence: u64,
    pub(crate) deduplicate: bool,
    pub(crate) max_jump: Option<u64>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) policy: RingPolicy,
}

/// What decides where heaps go.
#[derive(Clone)]
pub(crate) enum Placer {
    Function(Arc<PlaceFunction>),
    Layout(Arc<Py<Layout>>),
}

/// A placement for the library: one that members of a group can be checked against, or any.
pub(crate) enum Placing {
    Layout(speadway::chunk::Layout),
    Function(CPlace),
}

/// A heap may bring this many bytes of `extra` at most, in bytes: 64 MiB, far more than a heap's
/// metadata; without a bound a mistake in units would take all memory.
const MAX_HEAP_EXTRA: usize = 64 << 20;

impl Default for ChunkSettings {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            max_chunks: DEFAULT_MAX_CHUNKS,
            place: None,
            max_heap_extra: 0,
            packet_presence: 0,
            deduplicate: false,
            max_jump: None,
            max_age: None,
            policy: RingPolicy::default(),
        }
    }
}

impl ChunkSettings {
    /// How a stream with these settings places heaps; it merges its statistics into `stats`.
    pub(crate) fn placing(&self, stats: &Arc<CustomStats>) -> PyResult<Placing> {
        if self.max_heap_extra > MAX_HEAP_EXTRA {
            return Err(PyValueError::new_err(format!(
                "max_heap_extra is {} bytes, and at most {MAX_HEAP_EXTRA} are possible",
                self.max_heap_extra
            )));
        }
        match &self.place {
            None => Err(PyValueError::new_err(
                "chunk_config.place is not set: give ChunkStreamConfig a Layout or a placement \
                 function",
            )),
            Some(Placer::Layout(layout)) => Ok(Placing::Layout(layout.get().core()?.clone())),
            Some(Placer::Function(function)) => {
                let (items, stats) = (self.items.clone(), Arc::clone(stats));
                let function = Arc::clone(function);
                Ok(Placing::Function(CPlace::new(function, items, self.max_heap_extra, stats)))
            }
        }
    }
}

impl ChunkStreamConfig {
    /// The settings as they are now.
    pub(crate) fn settings(&self) -> PyResult<ChunkSettings> {
        Ok(self.attributes.lock()?.clone())
    }
}

#[pymethods]
impl ChunkStreamConfig {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { attributes: Attributes::default() }
    }

    #[pyo3(signature = (**kwargs))]
    fn __init__(slf: &Bound<'_, Self>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        slf.get().attributes.init(ChunkSettings::default());
        set_keywords(slf, kwargs)
    }

    /// Chunks in a stream's window, unless `max_chunks` says otherwise.
    #[classattr]
    #[pyo3(name = "DEFAULT_MAX_CHUNKS")]
    fn default_max_chunks() -> usize {
        DEFAULT_MAX_CHUNKS
    }

    /// What decides where heaps go: a `Layout`, or a tuple whose first element is a capsule with a C
    /// function (a `scipy.LowLevelCallable` is one), which is called on the stream's thread, without
    /// the GIL, with a `chunk_place_data` (see `speadway.recv.numba`) and its size.
    ///
    /// The capsule's name must be `void (void *, size_t)`, or `void (void *, size_t, void *)` for a
    /// function that gets the capsule's context too. What it answers is checked against the chunk's
    /// size. Streams of one group must not be placed on the same bytes.
    #[getter]
    fn place<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.attributes.lock()?.place.as_ref().map(|place| match place {
            Placer::Function(function) => function.tuple().bind(py).clone().into_any(),
            Placer::Layout(layout) => layout.bind(py).clone().into_any(),
        }))
    }

    #[setter]
    fn set_place(&self, place: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let place = place.map(Placer::new).transpose()?;
        let old = std::mem::replace(&mut self.attributes.lock()?.place, place);
        drop(old); // after the lock: it may run Python code
        Ok(())
    }

    /// Marks presence per packet instead of per heap: flag `heap_index + offset // payload_size`,
    /// with the packet's payload offset. `payload_size` is that of all packets but a heap's last.
    /// Returns the configuration.
    fn enable_packet_presence(slf: Py<Self>, payload_size: Int<u64>) -> PyResult<Py<Self>> {
        if payload_size.0 == 0 {
            return Err(PyValueError::new_err("payload_size must not be zero"));
        }
        slf.get().attributes.lock()?.packet_presence = payload_size.0;
        Ok(slf)
    }

    /// Marks presence per heap, as is the default. Returns the configuration.
    fn disable_packet_presence(slf: Py<Self>) -> PyResult<Py<Self>> {
        slf.get().attributes.lock()?.packet_presence = 0;
        Ok(slf)
    }

    /// Payload bytes per presence flag, or 0 if presence is marked per heap.
    #[getter]
    fn packet_presence_payload_size(&self) -> PyResult<u64> {
        Ok(self.attributes.lock()?.packet_presence)
    }

    /// What to do when a chunk is needed and the free ring is empty: `"wait"` for one (the network
    /// holds the data back as long as it can), `"drop_newest"`: go without, so that the heaps of that
    /// chunk are lost, or `"recycle_oldest"`: take the oldest from the data ring. For members of a
    /// group it is set on the group.
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

    /// What to do when a chunk is finished and the data ring is full: `"wait"` for room,
    /// `"drop_newest"`: return the finished chunk to its free ring unseen, or `"recycle_oldest"`:
    /// return the oldest in the ring and put the finished one in. For members of a group it is set on
    /// the group.
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

attributes!(ChunkStreamConfig {
    /// Ids of the items whose immediate values a placement function is given ([]). A `Layout` needs
    /// none.
    items, set_items: Several<Int<u64>> => Vec<u64>,
        |all| all.items.clone(),
        |all, ids| all.items = ids.0.into_iter().map(|id| id.0).collect();

    /// How many consecutive chunks are open at a time (2): the reach of reordering between heaps.
    max_chunks, set_max_chunks: Int<usize> => usize,
        |all| all.max_chunks,
        |all, value| all.max_chunks = not_zero(value.0, "max_chunks")?;

    /// How many bytes a placement function may write to `extra` per heap (0).
    max_heap_extra, set_max_heap_extra: Int<usize> => usize,
        |all| all.max_heap_extra,
        |all, value| all.max_heap_extra = value.0;

    /// Whether a heap is dropped whose place in its chunk another heap has filled (False).
    deduplicate, set_deduplicate: Truth => bool,
        |all| all.deduplicate,
        |all, value| all.deduplicate = value.0;

    /// Protects the window against corrupt chunk ids (None: off): ids more than so many chunks
    /// outside the window are not believed until several in a row agree, nor is the very first until
    /// a second does.
    max_jump, set_max_jump: Option<Int<u64>> => Option<u64>,
        |all| all.max_jump,
        |all, chunks| all.max_jump = chunks.map(|chunks| chunks.0);

    /// Hands over a chunk that has been open for so many seconds though nothing newer arrives (None:
    /// off). For members of a group it is set on the group.
    max_age, set_max_age: Option<f64> => Option<f64>,
        |all| all.max_age.map(|age| age.as_secs_f64()),
        |all, seconds| all.max_age = age("max_age", seconds)?;
});

impl Placer {
    fn new(place: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(layout) = place.cast::<Layout>() {
            layout.get().core()?; // complains now if it was not initialised
            return Ok(Self::Layout(Arc::new(layout.clone().unbind())));
        }
        let tuple = match place.cast::<PyTuple>() {
            Ok(tuple) => tuple.clone(),
            Err(_) => {
                let kind = place.get_type().name()?;
                let refuse = |_| {
                    PyTypeError::new_err(format!(
                        "place must be a Layout, a tuple with a capsule, or None, not {kind}"
                    ))
                };
                let elements = place.try_iter().map_err(refuse)?;
                PyTuple::new(place.py(), elements.collect::<PyResult<Vec<_>>>()?)?
            }
        };
        Ok(Self::Function(Arc::new(PlaceFunction::new(&tuple)?)))
    }
}

/// An age in seconds, which has to be a positive time.
pub(crate) fn age(name: &str, seconds: Option<f64>) -> PyResult<Option<Duration>> {
    let Some(seconds) = seconds else { return Ok(None) };
    match Duration::try_from_secs_f64(seconds) {
        Ok(age) if !age.is_zero() => Ok(Some(age)),
        _ => Err(PyValueError::new_err(format!("{name} must be a positive time, not {seconds} s"))),
    }
}

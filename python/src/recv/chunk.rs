//! `recv.Chunk`, and how it travels through rings.
//!
//! A chunk of the library ([`Core`]) is made over the exported memory of a Python chunk when that is
//! first put in a ring, and used again for every later trip. While it travels it carries the Python
//! chunk and what belongs to it as its tag, so that who takes it out of a ring gets the same object.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use speadway::chunk::Chunk as Core;
use speadway::memory::Buffer;
use speadway::ring::{Ring, WeakRing};

use super::chunk_ring::put_now;
use crate::args::Int;
use crate::buffers::{HeldBytes, lend};
use crate::waiting::Late;

/// A large buffer that collects the payload of many heaps.
///
/// All arguments are keywords, and attributes too:
///
/// * `data`: writable, C-contiguous memory for the payload;
/// * `present`: the same, with one byte per heap (or packet), 1 for those that arrived whole;
/// * `extra`: the same, for what the placement writes beside the payload, or `None`;
/// * `chunk_id`, `stream_id`: set by the stream that fills the chunk.
///
/// While a chunk is in a ring, or being filled, `data`, `present` and `extra` are `None`, and nothing
/// else may write to their memory. Taken out of a ring it is the same object again.
///
/// As a context manager a chunk returns to its free ring on exit: `with ring.get() as chunk: ...`.
/// Views of its memory must not be used after that.
#[pyclass(module = "speadway.recv", subclass, weakref, frozen)]
pub(crate) struct Chunk {
    state: Late<Mutex<State>>,
}

/// Nothing of Python's is called or dropped while this is locked: that could run any code.
struct State {
    chunk_id: i64,
    stream_id: u64,
    fields: Fields,
    /// Made over the memory of `fields`; gone when one of them is replaced.
    core: Option<Core>,
    home: Option<WeakRing<Core>>,
}

/// What `data`, `present` and `extra` are.
type Fields = [Option<Field>; 3];

const DATA: usize = 0;
const PRESENT: usize = 1;
const EXTRA: usize = 2;

struct Field {
    object: Py<PyAny>,
    memory: Arc<HeldBytes>,
}

impl Field {
    fn new(object: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        if object.is_none() {
            return Ok(None);
        }
        let memory = Arc::new(HeldBytes::writable(object)?);
        Ok(Some(Self { object: object.clone().unbind(), memory }))
    }
}

/// The tag of a chunk of the library that is one of Python's.
struct Tag(Mutex<Option<Passenger>>);

/// Who travels with a chunk while it is in a ring or a window.
struct Passenger {
    chunk: Py<Chunk>,
    fields: Fields,
    home: Option<WeakRing<Core>>,
}

fn tag(core: &Core) -> Option<MutexGuard<'_, Option<Passenger>>> {
    let Tag(passenger) = core.tag()?.downcast_ref()?;
    Some(passenger.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Takes note that `core` was taken from the free ring `home`. Needs no GIL.
pub(crate) fn set_home(core: &Core, home: &Ring<Core>) {
    let Some(mut passenger) = tag(core) else { return };
    if let Some(passenger) = &mut *passenger
        && !passenger.home.as_ref().is_some_and(|known| known.same_ring(home))
    {
        passenger.home = Some(home.downgrade());
    }
}

/// Returns a chunk that nobody wants to the free ring that it came from, with nothing present. Needs
/// no GIL; if it has no ring it is dropped.
pub(crate) fn send_home(mut core: Core) {
    let home = tag(&core).and_then(|passenger| passenger.as_ref()?.home.as_ref()?.upgrade());
    core.clear();
    if let Some(home) = home {
        // If the ring is full or closed the chunk goes, as one whose ring has gone.
        drop(home.try_push(core));
    }
}

/// The Python chunk of `core`, which has been taken out of a ring.
pub(crate) fn arrive(py: Python<'_>, core: Core) -> PyResult<Py<Chunk>> {
    let passenger = tag(&core).and_then(|mut passenger| passenger.take());
    let Passenger { chunk, mut fields, home } = passenger
        .ok_or_else(|| PyRuntimeError::new_err("the chunk in the ring is not Python's"))?;
    let mut state = chunk.bind(py).get().state()?;
    state.chunk_id = core.id() as i64; // what `depart` made of a negative one becomes it again
    state.stream_id = core.stream_id();
    state.home = home;
    std::mem::swap(&mut state.fields, &mut fields);
    let replaced = state.core.replace(core);
    drop(state);
    drop((fields, replaced)); // set while the chunk was away, if anything
    Ok(chunk)
}

/// Makes `chunk` ready for a ring: it loses its memory until it [arrives](arrive) again.
pub(crate) fn depart(chunk: &Bound<'_, Chunk>) -> PyResult<Core> {
    let mut state = chunk.get().state()?;
    if state.fields[DATA].is_none() {
        return Err(not_set("data"));
    }
    if state.fields[PRESENT].is_none() {
        return Err(not_set("present"));
    }
    let mut core = state.core.take().unwrap_or_else(|| over(&state.fields));
    core.set_ids(state.chunk_id as u64, state.stream_id);
    let fields = std::mem::take(&mut state.fields);
    let home = state.home.take();
    drop(state);
    if let Some(mut passenger) = tag(&core) {
        *passenger = Some(Passenger { chunk: chunk.clone().unbind(), fields, home });
    }
    Ok(core)
}

fn not_set(field: &str) -> PyErr {
    PyValueError::new_err(format!("{field} buffer is not set, or the chunk is in a ring"))
}

/// A chunk of the library over the memory of `fields`.
fn over(fields: &Fields) -> Core {
    let [data, present, extra] = fields
        .each_ref()
        .map(|field| field.as_ref().map_or_else(Buffer::default, |field| lend(&field.memory)));
    let mut core = Core::filled(data, present, extra);
    core.set_tag(Some(Box::new(Tag(Mutex::new(None)))));
    core
}

impl Chunk {
    fn state(&self) -> PyResult<MutexGuard<'_, State>> {
        Ok(self.state.get()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn field(&self, py: Python<'_>, at: usize) -> PyResult<Option<Py<PyAny>>> {
        Ok(self.state()?.fields[at].as_ref().map(|field| field.object.clone_ref(py)))
    }

    fn set_field(&self, at: usize, object: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut field = Field::new(object)?;
        let mut state = self.state()?;
        std::mem::swap(&mut state.fields[at], &mut field);
        let core = state.core.take();
        drop(state);
        drop((field, core));
        Ok(())
    }

    fn memory(&self, at: usize) -> PyResult<Option<Arc<HeldBytes>>> {
        Ok(self.state()?.fields[at].as_ref().map(|field| Arc::clone(&field.memory)))
    }

    /// How many flags there are in `present`, and how many are set.
    fn flags(&self) -> PyResult<(usize, usize)> {
        let present = self.memory(PRESENT)?.ok_or_else(|| not_set("present"))?;
        let flags = (*present).as_ref();
        Ok((flags.len(), flags.iter().filter(|&&flag| flag != 0).count()))
    }
}

#[pymethods]
impl Chunk {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { state: Late::default() }
    }

    #[pyo3(signature = (*, chunk_id = Int(-1), stream_id = Int(0), present = None, data = None, extra = None))]
    fn __init__(
        &self,
        chunk_id: Int<i64>,
        stream_id: Int<u64>,
        present: Option<&Bound<'_, PyAny>>,
        data: Option<&Bound<'_, PyAny>>,
        extra: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let field = |object: Option<&Bound<'_, PyAny>>| object.map_or(Ok(None), Field::new);
        self.state.init(Mutex::new(State {
            chunk_id: chunk_id.0,
            stream_id: stream_id.0,
            fields: [field(data)?, field(present)?, field(extra)?],
            core: None,
            home: None,
        }));
        Ok(())
    }

    /// The chunk's number in its sequence; -1 before a stream has filled it.
    #[getter]
    fn chunk_id(&self) -> PyResult<i64> {
        Ok(self.state()?.chunk_id)
    }

    #[setter]
    fn set_chunk_id(&self, id: Int<i64>) -> PyResult<()> {
        self.state()?.chunk_id = id.0;
        Ok(())
    }

    /// The stream that opened the chunk, by its configured id; `contributions` tells all.
    #[getter]
    fn stream_id(&self) -> PyResult<u64> {
        Ok(self.state()?.stream_id)
    }

    #[setter]
    fn set_stream_id(&self, id: Int<u64>) -> PyResult<()> {
        self.state()?.stream_id = id.0;
        Ok(())
    }

    /// The memory of the payload.
    #[getter]
    fn data(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.field(py, DATA)
    }

    #[setter]
    fn set_data(&self, object: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set_field(DATA, object)
    }

    /// One byte per heap (or packet): 1 if it arrived whole.
    #[getter]
    fn present(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.field(py, PRESENT)
    }

    #[setter]
    fn set_present(&self, object: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set_field(PRESENT, object)
    }

    /// What the placement wrote beside the payload.
    #[getter]
    fn extra(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.field(py, EXTRA)
    }

    #[setter]
    fn set_extra(&self, object: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set_field(EXTRA, object)
    }

    /// How many heaps (or packets) are present: the flags in `present` that are not 0.
    #[getter]
    fn n_present(&self) -> PyResult<usize> {
        Ok(self.flags()?.1)
    }

    /// How many heaps (or packets) are missing.
    #[getter]
    fn n_missing(&self) -> PyResult<usize> {
        let (flags, present) = self.flags()?;
        Ok(flags - present)
    }

    /// How many heaps (or packets) each stream made present, by the streams' ids; streams that gave
    /// nothing are left out.
    #[getter]
    fn contributions(&self) -> PyResult<BTreeMap<u64, u64>> {
        let state = self.state()?;
        let contributions = state.core.iter().flat_map(|core| core.contributions());
        Ok(contributions.map(|given| (given.stream_id, given.units)).collect())
    }

    /// `data` as an array of numpy's: `view("i2", (256, -1))`. Nothing is copied, so the array must
    /// not be used once the chunk has been recycled.
    #[pyo3(signature = (dtype = None, shape = None))]
    fn view<'py>(
        &self,
        py: Python<'py>,
        dtype: Option<&Bound<'py, PyAny>>,
        shape: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let data = self.field(py, DATA)?.ok_or_else(|| not_set("data"))?;
        let options = PyDict::new(py);
        if let Some(dtype) = dtype {
            options.set_item("dtype", dtype)?;
        } else {
            options.set_item("dtype", "u1")?;
        }
        let flat = py.import("numpy")?.call_method("frombuffer", (data,), Some(&options))?;
        match shape {
            Some(shape) => flat.call_method1("reshape", (shape,)),
            None => Ok(flat),
        }
    }

    /// Returns the chunk to the free ring that its stream took it from.
    ///
    /// Raises `ValueError` if no stream ever filled it or it has been returned already, and
    /// `speadway.Full` if the ring has no room. Once the ring has been stopped, nothing happens.
    fn recycle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let state = slf.get().state()?;
        if state.fields[DATA].is_none() {
            return Err(not_set("data"));
        }
        let home = state.home.clone().ok_or_else(|| {
            PyValueError::new_err("the chunk has no free ring to return to: no stream filled it")
        })?;
        drop(state);
        home.upgrade().map_or(Ok(()), |ring| put_free(&ring, slf))
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(slf: &Bound<'_, Self>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        let is_here = slf.get().state()?.fields[DATA].is_some();
        if is_here {
            slf.call_method0("recycle")?; // which a subclass may have replaced
        }
        Ok(())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let name = slf.get_type().name()?;
        let id = slf.get().chunk_id()?;
        Ok(match slf.get().flags() {
            Ok((flags, present)) => format!("<{name} {id}: {present} of {flags} present>"),
            Err(_) => format!("<{name} {id}, without buffers>"),
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(state) = self.state.get().ok().and_then(|state| state.try_lock().ok()) else {
            return Ok(());
        };
        state.fields.iter().flatten().try_for_each(|field| {
            visit.call(&field.object)?;
            field.memory.traverse(&visit)
        })
    }

    fn __clear__(&self) {
        if let Ok(mut state) = self.state() {
            let gone = (std::mem::take(&mut state.fields), state.core.take());
            drop(state);
            drop(gone);
        }
    }
}

/// Puts `chunk` in a free ring, with nothing present. If the ring is full it raises; if it has been
/// stopped the chunk stays where it is.
pub(crate) fn put_free(ring: &Ring<Core>, chunk: &Bound<'_, Chunk>) -> PyResult<()> {
    let mut core = depart(chunk)?;
    core.clear();
    match put_now(chunk.py(), ring, core) {
        Err(error) if error.is_instance_of::<crate::errors::Stopped>(chunk.py()) => Ok(()),
        other => other,
    }
}

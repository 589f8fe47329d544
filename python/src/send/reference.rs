//! `HeapReference` and `HeapReferenceList`: heaps, and how to send each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PySlice;
use speadway::send::HeapRef;

use super::heap::Heap;
use crate::args::{Int, elements};
use crate::errors::OrRaise;
use crate::waiting::Late;

/// How a heap is to be sent.
#[derive(Clone, Copy)]
pub(super) struct How {
    pub(super) cnt: i64,
    pub(super) substream_index: usize,
    pub(super) rate: f64,
}

impl How {
    /// `heap`, to be sent like this in packets of at most `packet_size` bytes.
    pub(super) fn send(&self, heap: &Heap, packet_size: usize) -> PyResult<HeapRef> {
        let core = heap.core()?;
        core.check(packet_size).or_raise()?;
        let mut reference = HeapRef::from(core).substream(self.substream_index);
        // Negative ones mean that the stream chooses.
        if let Ok(cnt) = u64::try_from(self.cnt) {
            reference = reference.cnt(cnt);
        }
        if self.rate >= 0.0 {
            // An infinite rate is none to keep.
            reference = reference.rate(if self.rate.is_finite() { self.rate } else { 0.0 });
        }
        Ok(reference)
    }
}

/// A heap in a list of heaps to send, with its number, destination and rate.
#[pyclass(module = "speadway.send", subclass, weakref, frozen)]
pub(crate) struct HeapReference {
    inner: Late<Inner>,
}

struct Inner {
    heap: Py<Heap>,
    how: Mutex<How>,
}

impl HeapReference {
    fn how(&self) -> PyResult<MutexGuard<'_, How>> {
        Ok(self.inner.get()?.how.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
impl HeapReference {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { inner: Late::default() }
    }

    #[pyo3(signature = (heap, *, cnt = Int(-1), substream_index = Int(0), rate = -1.0))]
    fn __init__(
        &self,
        heap: Py<Heap>,
        cnt: Int<i64>,
        substream_index: Int<usize>,
        rate: f64,
    ) -> PyResult<()> {
        let how = How { cnt: cnt.0, substream_index: substream_index.0, rate };
        self.inner.init(Inner { heap, how: Mutex::new(how) });
        Ok(())
    }

    /// The heap.
    #[getter]
    fn heap(&self, py: Python<'_>) -> PyResult<Py<Heap>> {
        Ok(self.inner.get()?.heap.clone_ref(py))
    }

    /// The heap's number; negative if the stream gives it one.
    #[getter]
    fn cnt(&self) -> PyResult<i64> {
        Ok(self.how()?.cnt)
    }

    #[setter]
    fn set_cnt(&self, cnt: Int<i64>) -> PyResult<()> {
        self.how()?.cnt = cnt.0;
        Ok(())
    }

    /// Which of the stream's destinations it goes to.
    #[getter]
    fn substream_index(&self) -> PyResult<usize> {
        Ok(self.how()?.substream_index)
    }

    #[setter]
    fn set_substream_index(&self, index: Int<usize>) -> PyResult<()> {
        self.how()?.substream_index = index.0;
        Ok(())
    }

    /// Its own rate in bytes/s, 0 being unlimited; negative for that of the stream.
    #[getter]
    fn rate(&self) -> PyResult<f64> {
        Ok(self.how()?.rate)
    }

    #[setter]
    fn set_rate(&self, rate: f64) -> PyResult<()> {
        self.how()?.rate = rate;
        Ok(())
    }
}

/// A list of heaps to send, made once to be sent many times. It keeps what the references said
/// when it was made.
#[pyclass(module = "speadway.send", subclass, weakref, frozen)]
pub(crate) struct HeapReferenceList {
    list: Late<List>,
}

struct List {
    entries: Vec<(Py<Heap>, How)>,
    ready: Mutex<Option<Ready>>,
}

/// The list as the library takes it, for as long as nothing changes.
struct Ready {
    heaps: Arc<[HeapRef]>,
    packet_size: usize,
    changes: u64,
}

impl List {
    fn new(entries: Vec<(Py<Heap>, How)>) -> Self {
        Self { entries, ready: Mutex::new(None) }
    }

    fn heaps(&self, packet_size: usize) -> PyResult<Arc<[HeapRef]>> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = Heap::changes();
        if let Some(ready) = &*ready
            && (ready.packet_size, ready.changes) == (packet_size, changes)
        {
            return Ok(Arc::clone(&ready.heaps));
        }
        let heaps = self.entries.iter().map(|(heap, how)| how.send(heap.get(), packet_size));
        let heaps: Arc<[HeapRef]> = heaps.collect::<PyResult<Vec<_>>>()?.into();
        *ready = Some(Ready { heaps: Arc::clone(&heaps), packet_size, changes });
        Ok(heaps)
    }
}

#[pymethods]
impl HeapReferenceList {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { list: Late::default() }
    }

    fn __init__(&self, py: Python<'_>, heaps: &Bound<'_, PyAny>) -> PyResult<()> {
        let entry = |reference: &HeapReference| {
            let inner = reference.inner.get()?;
            Ok((inner.heap.clone_ref(py), *reference.how()?))
        };
        self.list.init(List::new(each(heaps, entry)?));
        Ok(())
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.list.get()?.entries.len())
    }

    /// Part of the list.
    fn __getitem__(&self, py: Python<'_>, slice: &Bound<'_, PySlice>) -> PyResult<Self> {
        let entries = &self.list.get()?.entries;
        let picked = slice.indices(entries.len().try_into()?)?;
        let (mut at, mut part) = (picked.start, Vec::with_capacity(picked.slicelength));
        for _ in 0..picked.slicelength {
            // Within the list: that is what `indices` says.
            let (heap, how) = &entries[at as usize];
            part.push((heap.clone_ref(py), *how));
            at += picked.step;
        }
        let list = Late::default();
        list.init(List::new(part));
        Ok(Self { list })
    }
}

/// The heaps of a `HeapReferenceList`, or of a sequence of `HeapReference`s, to be sent in packets
/// of at most `packet_size` bytes.
pub(super) fn heaps(object: &Bound<'_, PyAny>, packet_size: usize) -> PyResult<Arc<[HeapRef]>> {
    if let Ok(list) = object.cast::<HeapReferenceList>() {
        return list.get().list.get()?.heaps(packet_size);
    }
    let heap_ref = |reference: &HeapReference| {
        reference.how()?.send(reference.inner.get()?.heap.get(), packet_size)
    };
    Ok(each(object, heap_ref)?.into())
}

/// What `make` makes of each reference of a sequence of them.
fn each<T>(
    sequence: &Bound<'_, PyAny>,
    make: impl Fn(&HeapReference) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    let refuse = || PyTypeError::new_err("a sequence of HeapReference is needed");
    let mut made = Vec::with_capacity(sequence.len().unwrap_or(0));
    for reference in elements(sequence)? {
        made.push(make(reference?.cast::<HeapReference>().map_err(|_| refuse())?.get())?);
    }
    Ok(made)
}

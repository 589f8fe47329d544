//! `recv.Heap` and `recv.IncompleteHeap`.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use speadway::heap::{Heap as Core, HeapStatus};

use super::raw_item::RawItem;
use crate::flavour::Flavour;
use crate::raw_descriptor::RawDescriptor;

/// A heap that was received whole (or, if its length was never said, without gaps).
#[pyclass(module = "speadway.recv", subclass, weakref, frozen)]
pub(crate) struct Heap {
    core: Core,
}

/// A heap of which something is missing: only its immediate items are there.
#[pyclass(module = "speadway.recv", subclass, weakref, frozen)]
pub(crate) struct IncompleteHeap {
    core: Core,
}

/// The Python object for a heap.
pub(super) fn into_python(py: Python<'_>, core: Core) -> PyResult<Py<PyAny>> {
    match core.status() {
        HeapStatus::Incomplete => Ok(Py::new(py, IncompleteHeap { core })?.into_any()),
        _ => Ok(Py::new(py, Heap { core })?.into_any()),
    }
}

/// What both kinds have.
macro_rules! common {
    ($name:ident) => {
        #[pymethods]
        impl $name {
            #[new]
            #[pyo3(signature = (*_args, **_kwargs))]
            fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
                let name = stringify!($name);
                Err(PyTypeError::new_err(format!("{name} cannot be made: streams deliver it")))
            }

            /// The heap's number as its sender counts.
            #[getter]
            fn cnt(&self) -> u64 {
                self.core.cnt()
            }

            /// The flavour that the sender used.
            #[getter]
            fn flavour(&self) -> Flavour {
                Flavour::from_core(self.core.flavour())
            }

            /// Whether the heap starts a stream.
            fn is_start_of_stream(&self) -> bool {
                self.core.is_start_of_stream()
            }

            /// Whether the heap ends a stream.
            fn is_end_of_stream(&self) -> bool {
                self.core.is_end_of_stream()
            }
        }
    };
}

common!(Heap);
common!(IncompleteHeap);

impl Heap {
    /// The heap as the library has it.
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }
}

#[pymethods]
impl Heap {
    /// The items, without descriptors: addressed ones by their place in the payload, then immediate
    /// ones by value.
    fn get_items<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let core = &slf.get().core;
        let items = core.items().map(|item| Bound::new(slf.py(), RawItem::of(slf, core, &item)));
        PyList::new(slf.py(), items.collect::<PyResult<Vec<_>>>()?)
    }

    /// The descriptors that the heap carries, as `RawDescriptor`. Those that cannot be read are left
    /// out, and logged.
    fn get_descriptors(&self) -> Vec<RawDescriptor> {
        let decoded = self.core.descriptors().filter_map(|descriptor| match descriptor {
            Ok(descriptor) => Some(RawDescriptor::from_core(descriptor)),
            Err(error) => {
                log::info!("a descriptor in heap {} is left out: {error}", self.core.cnt());
                None
            }
        });
        decoded.collect()
    }
}

#[pymethods]
impl IncompleteHeap {
    /// The immediate items, by value.
    fn get_items(&self) -> Vec<RawItem> {
        let len = self.core.flavour().heap_address_bytes().into();
        self.core.items().filter_map(|item| RawItem::immediate(&item, len)).collect()
    }

    /// The length of the payload in bytes as its sender gave it; -1 if it was never said.
    #[getter]
    fn heap_length(&self) -> i64 {
        self.core.length().and_then(|length| i64::try_from(length).ok()).unwrap_or(-1)
    }

    /// Bytes of payload that arrived.
    #[getter]
    fn received_length(&self) -> u64 {
        self.core.received_length()
    }

    /// Which bytes arrived, as a list of (start, end). Empty unless the stream was told to keep it
    /// (`incomplete_keep_payload_ranges`).
    #[getter]
    fn payload_ranges(&self) -> Vec<(u64, u64)> {
        self.core.payload_ranges().to_vec()
    }
}

//! `speadway.send.Heap`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use speadway::item::Bytes;
use speadway::send::Heap as Core;
use speadway::wire::{self, ctrl, ids};

use super::descriptor;
use crate::args::{Int, Maybe, Truth};
use crate::buffers::HeldBytes;
use crate::errors::OrRaise;
use crate::flavour::Flavour;
use crate::waiting::Late;

/// How often a heap was changed that something else held as well. As long as this stays, so do
/// heaps that are held.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// Items to send together.
///
/// The memory of items is not copied but referenced until the heap is gone and sent: what changes
/// there before it is sent is sent, and a buffer cannot be resized meanwhile.
#[pyclass(module = "speadway.send", subclass, weakref, frozen)]
pub(crate) struct Heap {
    inner: Late<Inner>,
}

struct Inner {
    flavour: Py<Flavour>,
    core: Mutex<Arc<Core>>,
}

impl Heap {
    /// The heap as it is now.
    pub(crate) fn core(&self) -> PyResult<Arc<Core>> {
        Ok(Arc::clone(&*self.lock()?))
    }

    /// A number that stays the same while no heap that somebody holds is changed.
    pub(crate) fn changes() -> u64 {
        CHANGES.load(Ordering::Acquire)
    }

    fn lock(&self) -> PyResult<MutexGuard<'_, Arc<Core>>> {
        Ok(self.inner.get()?.core.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the heap. One that is being sent is not changed but replaced.
    fn change<R>(&self, change: impl FnOnce(&mut Core) -> R) -> PyResult<R> {
        let mut core = self.lock()?;
        if Arc::get_mut(&mut core).is_none() {
            CHANGES.fetch_add(1, Ordering::AcqRel);
        }
        Ok(change(Arc::make_mut(&mut core)))
    }
}

#[pymethods]
impl Heap {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { inner: Late::default() }
    }

    #[pyo3(signature = (flavour = Maybe::LeftOut))]
    fn __init__(&self, py: Python<'_>, flavour: Maybe<Py<Flavour>>) -> PyResult<()> {
        let flavour = match flavour {
            Maybe::Given(flavour) => flavour,
            Maybe::LeftOut => Py::new(py, Flavour::from_core(wire::Flavour::default()))?,
        };
        let core = Mutex::new(Arc::new(Core::new(flavour.get().core()?)));
        self.inner.init(Inner { flavour, core });
        Ok(())
    }

    /// The variant of the protocol that the heap is sent in.
    #[getter]
    fn flavour<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Flavour>> {
        Ok(self.inner.get()?.flavour.bind(py).clone())
    }

    /// Whether every packet carries all item pointers, so that packets may arrive in any order.
    #[getter]
    fn repeat_pointers(&self) -> PyResult<bool> {
        Ok(self.lock()?.repeats_pointers())
    }

    #[setter]
    fn set_repeat_pointers(&self, repeat: Truth) -> PyResult<()> {
        self.change(|core| core.set_repeat_pointers(repeat.0))
    }

    /// Adds an item: something with an `id`, with `to_buffer()`, which gives memory that is
    /// C-contiguous, and with `allow_immediate()`, which says whether a short value may go in the
    /// item pointer.
    fn add_item(&self, item: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = item.py();
        let id = item_id(&item.getattr(intern!(py, "id"))?)?;
        let buffer = item.call_method0(intern!(py, "to_buffer"))?;
        let Truth(allow_immediate) =
            item.call_method0(intern!(py, "allow_immediate"))?.extract()?;
        let bytes = Bytes::Shared(Arc::new(HeldBytes::readable(&buffer)?));
        let added = self.change(|core| {
            if allow_immediate { core.add_live(id, bytes) } else { core.add_item(id, bytes) }
        })?;
        added.or_raise()
    }

    /// Adds a descriptor: something with `to_raw(flavour)`, such as a `Descriptor` or an `Item`.
    fn add_descriptor(&self, descriptor: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = descriptor.py();
        let flavour = self.inner.get()?.flavour.bind(py);
        let raw = descriptor.call_method1(intern!(py, "to_raw"), (flavour,))?;
        let read = descriptor::read(&raw)?;
        self.change(|core| core.add_descriptor(&read))?.or_raise()
    }

    /// Makes this a heap that starts the stream.
    fn add_start(&self) -> PyResult<()> {
        self.control(ctrl::STREAM_START)
    }

    /// Makes this a heap that ends the stream.
    fn add_end(&self) -> PyResult<()> {
        self.control(ctrl::STREAM_STOP)
    }
}

impl Heap {
    fn control(&self, value: u64) -> PyResult<()> {
        self.change(|core| core.add_immediate(ids::STREAM_CTRL, value))?.or_raise()
    }
}

/// The id of an item to send. Ids up to 4 are those of pointers that every packet has.
fn item_id(object: &Bound<'_, PyAny>) -> PyResult<u64> {
    let Int(id) = object.extract::<Int<i128>>()?;
    let usable = u64::try_from(id).ok().filter(|id| *id > ids::PAYLOAD_LENGTH);
    usable.ok_or_else(|| {
        let least = ids::PAYLOAD_LENGTH + 1;
        PyValueError::new_err(format!("Item ID out of range: {id}, the least is {least}"))
    })
}

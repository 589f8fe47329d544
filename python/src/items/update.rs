//! What a received heap does to a group of items.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use speadway::heap::{Item, ItemKind};
use speadway::wire::ids;

use super::plan::{Plan, Received};
use crate::recv::Heap;

/// Does what `ItemGroup.update` does. `None` if the heap is not one of ours.
///
/// Values of the usual types are set here. For anything else, and for items whose class does some of
/// it in its own way, their methods are called.
#[pyfunction]
pub(crate) fn update_items<'py>(
    group: &Bound<'py, PyAny>,
    heap: &Bound<'py, PyAny>,
    new_order: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let py = group.py();
    let Ok(own) = heap.cast::<Heap>() else { return Ok(None) };
    let core = own.get().core();
    if core.descriptors().next().is_some() {
        group.call_method1(intern!(py, "_add_descriptors"), (heap,))?;
    }
    let by_id = group.getattr(intern!(py, "_by_id"))?;
    let by_id = by_id.cast::<PyDict>()?;
    let mut update = Update { heap, core, new_order, raw_items: None };
    let updated = PyDict::new(py);
    for (at, received) in core.items().enumerate() {
        if received.id <= ids::STREAM_CTRL {
            continue;
        }
        let Some(item) = by_id.get_item(received.id)? else {
            group.call_method1(intern!(py, "_warn_of_unknown"), (received.id,))?;
            continue;
        };
        update.set(&item, at, &received)?;
        updated.set_item(item.getattr(intern!(py, "name"))?, &item)?;
    }
    Ok(Some(updated))
}

struct Update<'a, 'py> {
    heap: &'a Bound<'py, PyAny>,
    core: &'a speadway::heap::Heap,
    new_order: &'a Bound<'py, PyAny>,
    /// Made when an item's method needs one.
    raw_items: Option<Bound<'py, PyList>>,
}

impl<'py> Update<'_, 'py> {
    /// Sets the value of an item, number `at` of the heap, and raises its version by 2.
    fn set(&mut self, item: &Bound<'py, PyAny>, at: usize, received: &Item<'_>) -> PyResult<()> {
        let py = item.py();
        let version = intern!(py, "version");
        let steps = match self.value(item, received)? {
            Some(value) => {
                item.setattr(intern!(py, "_value"), value)?;
                2
            }
            None => {
                let arguments = (self.raw_item(at)?, self.new_order);
                item.call_method1(intern!(py, "set_from_raw"), arguments)?;
                1
            }
        };
        item.setattr(version, item.getattr(version)?.add(steps)?)
    }

    /// The value, unless the item has to make it.
    fn value(
        &self,
        item: &Bound<'py, PyAny>,
        received: &Item<'_>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = item.py();
        // A group may hold items of a class that is not ours.
        match item.getattr_opt(intern!(py, "_is_plain"))? {
            Some(plain) if plain.is_truthy()? => {}
            _ => return Ok(None),
        }
        let attribute = intern!(py, "_plan");
        let mut plan = item.getattr(attribute)?;
        let usable = match plan.cast_exact::<Plan>() {
            Ok(plan) => plan.get().fits(item, self.new_order)?,
            Err(_) => false,
        };
        if !usable {
            plan = Bound::new(py, Plan::new(item, self.new_order)?)?.into_any();
            item.setattr(attribute, &plan)?;
        }
        let received = Received {
            kind: received.kind,
            immediate_size: self.core.flavour().heap_address_bytes().into(),
            writable: self.writable(received.kind),
            owner: self.heap,
        };
        plan.cast_exact::<Plan>()?.get().value(&received)
    }

    /// Where an item's bytes are, for writing.
    fn writable(&self, kind: ItemKind<'_>) -> *mut u8 {
        let ItemKind::Addressed(bytes) = kind else { return std::ptr::null_mut() };
        // The item lies in the payload; where is known from the addresses.
        let start = bytes.as_ptr().addr() - self.core.payload().as_ptr().addr();
        self.core.buffer().as_ptr().cast_mut().wrapping_add(start)
    }

    fn raw_item(&mut self, at: usize) -> PyResult<Bound<'py, PyAny>> {
        let py = self.heap.py();
        let items = match self.raw_items.take() {
            Some(items) => items,
            None => {
                let items = self.heap.call_method0(intern!(py, "get_items"))?;
                items.cast_into::<PyList>()?
            }
        };
        self.raw_items.insert(items).get_item(at)
    }
}

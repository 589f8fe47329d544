//! `RawItem`: an item of a received heap, as bytes.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::ops::Range;
use std::sync::atomic::AtomicU8;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use speadway::heap::{Heap as Core, Item, ItemKind};

use super::heap::Heap;

/// An item of a received heap. Its bytes are there through the buffer protocol, as an array of one
/// axis of unsigned bytes, without a copy: `numpy.asarray(item)`. They stay for as long as the item or
/// what was made of it.
#[pyclass(module = "speadway.recv", subclass, weakref, frozen)]
pub(crate) struct RawItem {
    /// The item's id.
    #[pyo3(get)]
    id: u64,
    value: Value,
}

enum Value {
    /// The number, and its last `len` bytes, big-endian. Python may write to them.
    Immediate { number: u64, bytes: [AtomicU8; 8], len: usize },
    /// Bytes of the heap's payload.
    Addressed { heap: Py<Heap>, range: Range<usize> },
}

impl RawItem {
    /// An item with an immediate value of `len` bytes; `None` for addressed ones.
    pub(super) fn immediate(item: &Item<'_>, len: usize) -> Option<Self> {
        let ItemKind::Immediate(number) = item.kind else { return None };
        let bytes = number.to_be_bytes().map(AtomicU8::new);
        Some(Self { id: item.id, value: Value::Immediate { number, bytes, len: len.min(8) } })
    }

    /// An item of `heap`, which `core` is the heart of.
    pub(super) fn of(heap: &Bound<'_, Heap>, core: &Core, item: &Item<'_>) -> Self {
        let len = usize::from(core.flavour().heap_address_bytes());
        if let Some(immediate) = Self::immediate(item, len) {
            return immediate;
        }
        let range = match item.kind {
            ItemKind::Addressed(bytes) => {
                let start = bytes.as_ptr().addr() - core.payload().as_ptr().addr();
                start..start + bytes.len()
            }
            ItemKind::Immediate(_) => 0..0,
        };
        Self { id: item.id, value: Value::Addressed { heap: heap.clone().unbind(), range } }
    }
}

#[pymethods]
impl RawItem {
    /// Whether the value was in the item pointer itself.
    #[getter]
    fn is_immediate(&self) -> bool {
        matches!(self.value, Value::Immediate { .. })
    }

    /// The number in the item pointer; without meaning (0) if the value is bytes of the payload.
    #[getter]
    fn immediate_value(&self) -> u64 {
        match self.value {
            Value::Immediate { number, .. } => number,
            Value::Addressed { .. } => 0,
        }
    }

    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("there is nowhere to describe the buffer"));
        }
        let (start, len) = match &slf.get().value {
            Value::Immediate { bytes, len, .. } => {
                (bytes[8 - len..].as_ptr().cast::<u8>().cast_mut(), *len)
            }
            Value::Addressed { heap, range } => {
                let buffer = heap.get().core().buffer();
                // SAFETY: the range lies in the payload, which is in the buffer.
                let start = unsafe { buffer.as_ptr().add(range.start) };
                (start.cast_mut(), range.len())
            }
        };
        let len =
            ffi::Py_ssize_t::try_from(len).map_err(|e| PyBufferError::new_err(e.to_string()))?;
        // SAFETY: `view` is for us to fill. The memory is `slf`'s, or of a heap that `slf` keeps
        // alive; it neither moves nor goes while `slf`, which the view refers to, is there. It may be
        // written to: atomics, and a buffer that nothing writes to any more but those who write
        // through views, to which the rules of the buffer protocol apply.
        let filled =
            unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start.cast(), len, 0, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

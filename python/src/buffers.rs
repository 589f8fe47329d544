//! The memory of Python objects, held by Rust.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use pyo3::{PyTraverseError, PyVisit, ffi};
use speadway::memory::Buffer;

/// Bytes of a Python object, which stays exported (it cannot be resized) for as long as they are
/// held. May be dropped on any thread: what happens then to the object waits for the GIL.
pub(crate) struct HeldBytes {
    ptr: NonNull<u8>,
    len: usize,
    view: Py<PyMemoryView>,
}

// SAFETY: the memory is exported, so it stays where it is until the view is dropped, and only read
// through this value. That nobody writes to it meanwhile is the caller's affair, as for any user of
// the buffer protocol.
unsafe impl Send for HeldBytes {}
// SAFETY: as above; a shared value only reads.
unsafe impl Sync for HeldBytes {}

impl HeldBytes {
    /// The bytes of `object`, which must be C-contiguous. What is not raises whatever its own type
    /// raises: `BufferError`, or `ValueError` for arrays of numpy.
    pub(crate) fn readable(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::export(object, ffi::PyBUF_C_CONTIGUOUS)
    }

    /// The bytes of `object`, which must be C-contiguous and writable; otherwise as
    /// [`readable`](Self::readable).
    pub(crate) fn writable(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::export(object, ffi::PyBUF_C_CONTIGUOUS | ffi::PyBUF_WRITABLE)
    }

    fn export(object: &Bound<'_, PyAny>, flags: c_int) -> PyResult<Self> {
        let view = PyMemoryView::from(object)?;
        // If this is refused, the object itself says better why, and in the terms of its type.
        let (ptr, len) =
            memory(&view, flags).map_err(|error| memory(object, flags).err().unwrap_or(error))?;
        Ok(Self { ptr, len, view: view.unbind() })
    }

    /// Shows the garbage collector what is held.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.view)
    }
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: exported for as long as `self` lives; see the invariant at `Send`.
        unsafe { slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

/// Where the memory of `object` is and how long, if it can be exported in the way that `flags` ask
/// for. It is not kept.
fn memory(object: &Bound<'_, PyAny>, flags: c_int) -> PyResult<(NonNull<u8>, usize)> {
    let mut view = MaybeUninit::<ffi::Py_buffer>::zeroed();
    // SAFETY: the GIL is held, `object` is alive and `view` is room for a view.
    if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), flags) } != 0 {
        return Err(PyErr::fetch(object.py()));
    }
    // SAFETY: the call succeeded, so `view` is filled.
    let view = unsafe { view.assume_init_mut() };
    let ptr = NonNull::new(view.buf.cast::<u8>()).unwrap_or(NonNull::dangling());
    let len = usize::try_from(view.len).unwrap_or(0); // lengths are not negative
    // SAFETY: a view that is filled has to be released, which is done once.
    unsafe { ffi::PyBuffer_Release(view) };
    Ok((ptr, len))
}

/// The memory of `held`, which was exported [writable](HeldBytes::writable), for the receiver to
/// write to.
pub(crate) fn lend(held: &Arc<HeldBytes>) -> Buffer {
    // SAFETY: the memory is exported writable and stays until the last handle of `held` is dropped,
    // one of which the buffer owns. That nothing else uses it meanwhile is what the documentation of
    // `Chunk` asks of users; who does not keep to it sees torn data, as with every writer behind the
    // buffer protocol.
    unsafe { Buffer::from_raw(held.ptr, held.len, Box::new(Arc::clone(held))) }
}

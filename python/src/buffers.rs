//! The memory of Python objects, held by Rust.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use speadway::memory::Buffer;

/// Bytes of a Python object, which stays exported (it cannot be resized) for as long as they are
/// held. May be dropped on any thread: what happens then to the object waits for the GIL.
pub(crate) struct HeldBytes {
    ptr: NonNull<u8>,
    len: usize,
    _view: Py<PyMemoryView>,
}

// SAFETY: the memory is exported, so it stays where it is until the view is dropped, and only read
// through this value. That nobody writes to it meanwhile is the caller's affair, as for any user of
// the buffer protocol.
unsafe impl Send for HeldBytes {}
// SAFETY: as above; a shared value only reads.
unsafe impl Sync for HeldBytes {}

impl HeldBytes {
    /// The bytes of `object`, which must be C-contiguous.
    pub(crate) fn readable(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::export(object)
    }

    /// The bytes of `object`, which must be C-contiguous and writable. What is not raises whatever
    /// its own type raises: `BufferError`, or `ValueError` for arrays of numpy.
    pub(crate) fn writable(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        demand(object, ffi::PyBUF_C_CONTIGUOUS | ffi::PyBUF_WRITABLE)?;
        Self::export(object)
    }

    fn export(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let refuse = |why: &str| {
            let kind = object.get_type().name().map_or_else(|_| "object".into(), |n| n.to_string());
            PyBufferError::new_err(format!("the memory of this {kind} {why}"))
        };
        let view = PyMemoryView::from(object)?;
        let buffer = PyUntypedBuffer::get(view.as_any())?;
        if !buffer.is_c_contiguous() {
            return Err(refuse("is not C-contiguous: pass a copy of it"));
        }
        let ptr = NonNull::new(buffer.buf_ptr().cast::<u8>()).unwrap_or(NonNull::dangling());
        let len = buffer.len_bytes();
        // The view's own export of the object keeps the memory; this one is not needed.
        buffer.release(object.py());
        Ok(Self { ptr, len, _view: view.unbind() })
    }
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: exported for as long as `self` lives; see the invariant at `Send`.
        unsafe { slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

/// Raises what `object` raises if it cannot be exported in the way that `flags` ask for.
fn demand(object: &Bound<'_, PyAny>, flags: std::ffi::c_int) -> PyResult<()> {
    let mut view = MaybeUninit::<ffi::Py_buffer>::zeroed();
    // SAFETY: the GIL is held, `object` is alive and `view` is room for a view.
    if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), flags) } != 0 {
        return Err(PyErr::fetch(object.py()));
    }
    // SAFETY: the call succeeded, so `view` is filled and has to be released, which is done once.
    unsafe { ffi::PyBuffer_Release(view.as_mut_ptr()) };
    Ok(())
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

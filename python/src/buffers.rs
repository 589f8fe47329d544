//! The memory of Python objects, held by Rust.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::slice;

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::PyBufferError;
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
        Self::export(object, false)
    }

    fn export(object: &Bound<'_, PyAny>, writable: bool) -> PyResult<Self> {
        let refuse = |why: &str| {
            let kind = object.get_type().name().map_or_else(|_| "object".into(), |n| n.to_string());
            PyBufferError::new_err(format!("the memory of this {kind} {why}"))
        };
        let view = PyMemoryView::from(object)?;
        let buffer = PyUntypedBuffer::get(view.as_any())?;
        if !buffer.is_c_contiguous() {
            return Err(refuse("is not C-contiguous: pass a copy of it"));
        }
        if writable && buffer.readonly() {
            return Err(refuse("is read-only: pass something that can be written to"));
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

/// The writable C-contiguous memory of `object`, for the receiver to write to.
pub(crate) fn writable(object: &Bound<'_, PyAny>) -> PyResult<Buffer> {
    let held = HeldBytes::export(object, true)?;
    let (ptr, len) = (held.ptr, held.len);
    // SAFETY: the memory is exported writable and stays until `held` is dropped with the buffer.
    // That nothing else uses it meanwhile is what the documentation of `Chunk` asks of users; who
    // does not keep to it sees torn data, as with every writer behind the buffer protocol.
    Ok(unsafe { Buffer::from_raw(ptr, len, Box::new(held)) })
}

//! Sockets of Python's.
#![allow(unsafe_code)]

use std::os::fd::{BorrowedFd, RawFd};

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;

/// A socket, or whatever has a `fileno()`. What is made of it duplicates the descriptor.
pub(super) struct Socket(RawFd);

impl<'a, 'py> FromPyObject<'a, 'py> for Socket {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let fd = object.call_method0(intern!(object.py(), "fileno"))?.extract::<RawFd>()?;
        if fd < 0 {
            return Err(PyTypeError::new_err("the socket is closed"));
        }
        Ok(Self(fd))
    }
}

impl Socket {
    /// What `adopt` makes of the socket. Called with the GIL, so that no other Python code closes
    /// it meanwhile.
    pub(super) fn adopt<T, E: std::fmt::Display>(
        &self,
        adopt: impl FnOnce(BorrowedFd<'_>) -> Result<T, E>,
    ) -> PyResult<T> {
        // SAFETY: the object that the number was just asked of keeps it open for this call. If it
        // lied, the system calls on it fail or concern another file, as with any file object.
        let fd = unsafe { BorrowedFd::borrow_raw(self.0) };
        adopt(fd).map_err(|error| PyTypeError::new_err(error.to_string()))
    }
}

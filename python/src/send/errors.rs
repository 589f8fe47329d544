//! What errors of sending are raised as: `OSError` with the number of what went wrong.

use std::io;

use pyo3::exceptions::{PyMemoryError, PyOSError, PyValueError};
use pyo3::prelude::*;
use speadway::send::{SendConfigError, SendError};
use speadway::wire::{DescriptorEncodeError, EncodeError};

use crate::errors::IntoPyErr;

/// `OSError`, or the subclass of it that Python has for this number.
fn os_error(number: i32, message: String) -> PyErr {
    PyOSError::new_err((number, message))
}

impl IntoPyErr for SendError {
    fn into_py_err(self) -> PyErr {
        let message = self.to_string();
        match self {
            Self::QueueFull => os_error(libc::EAGAIN, message),
            Self::Encode(EncodeError::HeapCnt { .. }) => os_error(libc::EINVAL, message),
            Self::Encode(error) => error.into_py_err(),
            Self::Transport(error) => os_error(number(&error), message),
            Self::Closed | Self::Aborted => os_error(libc::ECANCELED, message),
            _ => os_error(libc::EINVAL, message),
        }
    }
}

/// The system's number for what a transport said.
fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or_else(|| match error.kind() {
        // The library's in-process queue was stopped; the system's own error would have a number.
        io::ErrorKind::BrokenPipe => libc::ECANCELED,
        io::ErrorKind::WriteZero => libc::EPIPE,
        _ => libc::EIO,
    })
}

impl IntoPyErr for EncodeError {
    fn into_py_err(self) -> PyErr {
        PyValueError::new_err(self.to_string())
    }
}

impl IntoPyErr for DescriptorEncodeError {
    fn into_py_err(self) -> PyErr {
        PyValueError::new_err(self.to_string())
    }
}

impl IntoPyErr for SendConfigError {
    fn into_py_err(self) -> PyErr {
        match self {
            Self::QueueTooLarge(_) => PyMemoryError::new_err(self.to_string()),
            _ => PyValueError::new_err(self.to_string()),
        }
    }
}

//! Exceptions, and what Rust errors become.
//!
//! The types are the reference's: arguments that cannot be are `ValueError`, what the system refuses
//! on the receiving side is `RuntimeError`.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use speadway::net::NetError;
use speadway::recv::ConfigError;
use speadway::recv::readers::{PcapError, PcapFilterError};
use speadway::ring::CapacityError;

create_exception!(speadway, Stopped, PyException, "The queue, ring or stream has been stopped.");
create_exception!(speadway, Empty, PyException, "Nothing is there now.");
create_exception!(speadway, Full, PyException, "There is no room now.");

/// How an error of the library is raised in Python.
pub(crate) trait IntoPyErr {
    fn into_py_err(self) -> PyErr;
}

impl IntoPyErr for ConfigError {
    fn into_py_err(self) -> PyErr {
        match self {
            Self::GroupStarted | Self::GroupClosed | Self::TooManyReaders => {
                PyRuntimeError::new_err(self.to_string())
            }
            _ => PyValueError::new_err(self.to_string()),
        }
    }
}

impl IntoPyErr for NetError {
    fn into_py_err(self) -> PyErr {
        PyRuntimeError::new_err(self.to_string())
    }
}

impl IntoPyErr for PcapError {
    fn into_py_err(self) -> PyErr {
        PyRuntimeError::new_err(self.to_string())
    }
}

impl IntoPyErr for PcapFilterError {
    fn into_py_err(self) -> PyErr {
        PyRuntimeError::new_err(self.to_string())
    }
}

impl IntoPyErr for std::io::Error {
    fn into_py_err(self) -> PyErr {
        PyRuntimeError::new_err(self.to_string())
    }
}

impl IntoPyErr for CapacityError {
    fn into_py_err(self) -> PyErr {
        PyValueError::new_err(self.to_string())
    }
}

/// Raises an error of the library: `result.or_raise()?`.
pub(crate) trait OrRaise<T> {
    fn or_raise(self) -> PyResult<T>;
}

impl<T, E: IntoPyErr> OrRaise<T> for Result<T, E> {
    fn or_raise(self) -> PyResult<T> {
        self.map_err(IntoPyErr::into_py_err)
    }
}

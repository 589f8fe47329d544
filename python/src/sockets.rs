//! Sockets of Python's, and host names.
#![allow(unsafe_code)]

use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::BorrowedFd;

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;

use crate::args::Int;

/// Calls `adopt`, which duplicates the descriptor, on that of a socket or whatever else has
/// `fileno()`. What is no such socket is a `TypeError`, as in the reference.
pub(crate) fn adopt<T, E: ToString>(
    socket: &Bound<'_, PyAny>,
    adopt: impl FnOnce(BorrowedFd<'_>) -> Result<T, E>,
) -> PyResult<T> {
    let refuse = |why: String| {
        let shown = socket.repr().map_or_else(|_| "this".to_owned(), |text| text.to_string());
        PyTypeError::new_err(format!("{shown} is not a suitable socket: {why}"))
    };
    let number = socket.call_method0("fileno").map_err(|error| refuse(error.to_string()))?;
    let number = number.extract::<Int<i32>>().map_err(|error| refuse(error.to_string()))?.0;
    if number < 0 {
        return Err(refuse("it is closed".to_owned()));
    }
    // SAFETY: not -1, and only used while `socket`, which owns it, is referred to. Should another
    // thread close it meanwhile, the system refuses to duplicate it, or duplicates what took its
    // number, which is then checked like any other.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    adopt(fd).map_err(|error| refuse(error.to_string()))
}

/// The first address of `host`. May take long: to be called without the GIL.
pub(crate) fn resolve(host: &str, port: u16) -> PyResult<SocketAddr> {
    let unknown = |why: &dyn std::fmt::Display| {
        PyRuntimeError::new_err(format!("cannot resolve '{host}': Host not found ({why})"))
    };
    let mut addresses = (host, port).to_socket_addrs().map_err(|error| unknown(&error))?;
    addresses.next().ok_or_else(|| unknown(&"it has no address"))
}

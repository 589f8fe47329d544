//! Where heaps are sent: host names and ports as Python has them, and their addresses.

use std::net::{IpAddr, SocketAddr};

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PySequence;

use crate::args::{Int, Text, elements};
use crate::sockets;

/// A sequence of pairs of host and port.
pub(super) struct Endpoints(Vec<(String, u16)>);

impl<'a, 'py> FromPyObject<'a, 'py> for Endpoints {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        elements(&object)?.map(|pair| endpoint(&pair?)).collect::<PyResult<_>>().map(Self)
    }
}

fn endpoint(pair: &Bound<'_, PyAny>) -> PyResult<(String, u16)> {
    let refuse = || PyTypeError::new_err("an endpoint is a pair (host, port)");
    let pair = pair.cast::<PySequence>().ok().filter(|pair| matches!(pair.len(), Ok(2)));
    let pair = pair.ok_or_else(refuse)?;
    let Text(host) = pair.get_item(0)?.extract()?;
    let Int(port) = pair.get_item(1)?.extract()?;
    Ok((host, port))
}

impl Endpoints {
    /// The addresses, the first of each host if it has several. Called without the GIL.
    pub(super) fn resolve(&self) -> PyResult<Vec<SocketAddr>> {
        self.0.iter().map(|(host, port)| resolve(host, *port)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The address of a host that is of this one. Called without the GIL.
pub(super) fn resolve_interface(host: &str) -> PyResult<IpAddr> {
    Ok(resolve(host, 0)?.ip())
}

/// The address to send from to `destination`, on the interface that has it. Called without the GIL.
pub(super) fn source(interface: &str, destination: SocketAddr) -> PyResult<SocketAddr> {
    let address = resolve_interface(interface)?;
    if address.is_ipv4() != destination.is_ipv4() {
        return Err(PyRuntimeError::new_err(format!(
            "cannot send to {destination} from {address}, which is of another family"
        )));
    }
    Ok(SocketAddr::new(address, 0))
}

fn resolve(host: &str, port: u16) -> PyResult<SocketAddr> {
    sockets::resolve(if host.is_empty() { "localhost" } else { host }, port)
}

/// An error unless there are destinations, all of one address family, which is that of `local` if
/// there is a socket already.
pub(super) fn check_family(destinations: &[SocketAddr], local: Option<SocketAddr>) -> PyResult<()> {
    let Some(&first) = destinations.first() else {
        return Err(PyValueError::new_err("Endpoint list must be non-empty"));
    };
    let of = local.unwrap_or(first);
    match destinations.iter().find(|other| other.is_ipv4() != of.is_ipv4()) {
        None => Ok(()),
        Some(other) => Err(PyValueError::new_err(format!(
            "Endpoint does not match protocol of the socket: {other} is of another family than {of}"
        ))),
    }
}

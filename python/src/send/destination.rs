//! Where heaps are sent: host names and ports as Python has them, and their addresses.

use std::net::{IpAddr, SocketAddr};

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PySequence, PyString};

use crate::args::Int;
use crate::sockets;

/// A sequence of pairs of host and port.
pub(super) struct Endpoints(Vec<(String, u16)>);

impl<'a, 'py> FromPyObject<'a, 'py> for Endpoints {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        sequence(&object)?
            .try_iter()?
            .map(|pair| endpoint(&pair?))
            .collect::<PyResult<_>>()
            .map(Self)
    }
}

fn sequence<'a, 'py>(object: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PySequence>> {
    let is_text = object.is_instance_of::<PyString>() || object.is_instance_of::<PyBytes>();
    let sequence = object.cast::<PySequence>().ok().filter(|_| !is_text);
    sequence.ok_or_else(|| PyTypeError::new_err("a sequence of pairs (host, port) is needed"))
}

fn endpoint(pair: &Bound<'_, PyAny>) -> PyResult<(String, u16)> {
    let pair = sequence(pair)?;
    if pair.len()? != 2 {
        return Err(PyTypeError::new_err("an endpoint is a pair (host, port)"));
    }
    let Host(host) = pair.get_item(0)?.extract()?;
    let Int(port) = pair.get_item(1)?.extract()?;
    Ok((host, port))
}

/// The name or address of a host, as `str` or `bytes`.
pub(super) struct Host(pub(super) String);

impl<'a, 'py> FromPyObject<'a, 'py> for Host {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match object.cast::<PyBytes>() {
            Ok(bytes) => Ok(Self(String::from_utf8_lossy(bytes.as_bytes()).into_owned())),
            Err(_) => object.extract().map(Self),
        }
    }
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

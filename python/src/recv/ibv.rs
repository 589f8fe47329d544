//! `recv.UdpIbvConfig`: checked as the reference does, though this build is without ibverbs.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::args::{Int, set_keywords};
use crate::sockets::resolve;
use crate::waiting::Late;

const DEFAULT_BUFFER_SIZE: usize = 16 << 20;
const DEFAULT_MAX_SIZE: usize = 9200;
const DEFAULT_MAX_POLL: i32 = 10;

/// What `add_udp_ibv_reader` needs to know. Given by keywords; each is also an attribute.
#[pyclass(module = "speadway.recv", subclass, weakref, frozen)]
pub(crate) struct UdpIbvConfig {
    settings: Late<Mutex<Settings>>,
}

#[derive(Clone)]
struct Settings {
    endpoints: Vec<(String, u16)>,
    interface_address: String,
    buffer_size: usize,
    max_size: usize,
    comp_vector: i32,
    max_poll: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            interface_address: String::new(),
            buffer_size: DEFAULT_BUFFER_SIZE,
            max_size: DEFAULT_MAX_SIZE,
            comp_vector: 0,
            max_poll: DEFAULT_MAX_POLL,
        }
    }
}

impl UdpIbvConfig {
    fn lock(&self) -> PyResult<MutexGuard<'_, Settings>> {
        Ok(self.settings.get()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The error that a reader with this configuration ends in.
    pub(crate) fn refuse(&self, py: Python<'_>) -> PyResult<()> {
        let settings = self.lock()?.clone();
        if settings.endpoints.is_empty() {
            return Err(PyValueError::new_err("endpoints is empty"));
        }
        if settings.interface_address.is_empty() {
            return Err(PyValueError::new_err("interface address has not been specified"));
        }
        py.detach(|| {
            for (host, port) in &settings.endpoints {
                require_v4("endpoint", host, *port)?;
            }
            require_v4("interface address", &settings.interface_address, 0)
        })?;
        Err(PyRuntimeError::new_err("this build is without ibverbs: use add_udp_reader instead"))
    }
}

fn require_v4(what: &str, host: &str, port: u16) -> PyResult<()> {
    match resolve(host, port)?.ip() {
        IpAddr::V4(_) => Ok(()),
        IpAddr::V6(_) => Err(PyValueError::new_err(format!("{what} is not an IPv4 address"))),
    }
}

#[pymethods]
impl UdpIbvConfig {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { settings: Late::default() }
    }

    #[pyo3(signature = (**kwargs))]
    fn __init__(slf: &Bound<'_, Self>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        slf.get().settings.init(Mutex::default());
        set_keywords(slf, kwargs)
    }

    /// The buffer, in bytes, unless `buffer_size` says otherwise.
    #[classattr]
    #[pyo3(name = "DEFAULT_BUFFER_SIZE")]
    fn default_buffer_size() -> usize {
        DEFAULT_BUFFER_SIZE
    }

    /// The largest packet, in bytes, unless `max_size` says otherwise.
    #[classattr]
    #[pyo3(name = "DEFAULT_MAX_SIZE")]
    fn default_max_size() -> usize {
        DEFAULT_MAX_SIZE
    }

    /// Polls in a row, unless `max_poll` says otherwise.
    #[classattr]
    #[pyo3(name = "DEFAULT_MAX_POLL")]
    fn default_max_poll() -> i32 {
        DEFAULT_MAX_POLL
    }

    /// Addresses and ports to receive from, a list of (host, port).
    #[getter]
    fn endpoints(&self) -> PyResult<Vec<(String, u16)>> {
        Ok(self.lock()?.endpoints.clone())
    }

    #[setter]
    fn set_endpoints(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let pairs: Vec<(String, Int<u16>)> = value.extract().map_err(|_| {
            PyTypeError::new_err(
                "endpoints must be a sequence of (host, port), each a str and an int",
            )
        })?;
        self.lock()?.endpoints = pairs.into_iter().map(|(host, port)| (host, port.0)).collect();
        Ok(())
    }

    /// The address of the interface.
    #[getter]
    fn interface_address(&self) -> PyResult<String> {
        Ok(self.lock()?.interface_address.clone())
    }

    #[setter]
    fn set_interface_address(&self, value: String) -> PyResult<()> {
        self.lock()?.interface_address = value;
        Ok(())
    }

    /// The buffer, in bytes; 0 means the default.
    #[getter]
    fn buffer_size(&self) -> PyResult<usize> {
        Ok(self.lock()?.buffer_size)
    }

    #[setter]
    fn set_buffer_size(&self, value: Int<usize>) -> PyResult<()> {
        self.lock()?.buffer_size = if value.0 == 0 { DEFAULT_BUFFER_SIZE } else { value.0 };
        Ok(())
    }

    /// The largest packet, in bytes.
    #[getter]
    fn max_size(&self) -> PyResult<usize> {
        Ok(self.lock()?.max_size)
    }

    #[setter]
    fn set_max_size(&self, value: Int<usize>) -> PyResult<()> {
        if value.0 == 0 {
            return Err(PyValueError::new_err("max_size must be positive"));
        }
        self.lock()?.max_size = value.0;
        Ok(())
    }

    /// The completion vector; negative to poll.
    #[getter]
    fn comp_vector(&self) -> PyResult<i32> {
        Ok(self.lock()?.comp_vector)
    }

    #[setter]
    fn set_comp_vector(&self, value: Int<i32>) -> PyResult<()> {
        self.lock()?.comp_vector = value.0;
        Ok(())
    }

    /// Polls in a row before others have their turn.
    #[getter]
    fn max_poll(&self) -> PyResult<i32> {
        Ok(self.lock()?.max_poll)
    }

    #[setter]
    fn set_max_poll(&self, value: Int<i32>) -> PyResult<()> {
        if value.0 < 1 {
            return Err(PyValueError::new_err("max_poll must be at least 1"));
        }
        self.lock()?.max_poll = value.0;
        Ok(())
    }
}

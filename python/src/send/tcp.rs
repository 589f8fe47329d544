//! `TcpStream`, for threads and for asyncio.

use std::io::ErrorKind;
use std::net::TcpStream as Connection;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use speadway::net::{NetError, adopt_tcp_stream, connect_tcp};
use speadway::send::transport::TcpTransport;

use super::asynchronous::{AsyncStream, Collected};
use super::blocking::SyncStream;
use super::config::Options;
use super::destination::{Endpoints, source};
use super::overload::Call;
use super::stream::{Kind, Stream};
use crate::args::{Int, Text};
use crate::errors::OrRaise;
use crate::sockets;
use crate::thread_pool::ThreadPool;
use crate::waiting::wait;

/// The send buffer asked for unless told otherwise, in bytes: the reference's.
const BUFFER_SIZE: usize = 208 * 1024;

/// Connecting is given up by the system (after two minutes on Linux, `tcp_syn_retries`), not by us.
const NEVER: Duration = Duration::from_secs(3600);

const FORMS: [&str; 2] = [
    "thread_pool, endpoints, config=StreamConfig(), buffer_size=212992, interface_address=''",
    "thread_pool, socket, config=StreamConfig()",
];

/// A call to make a connection.
struct Opening {
    endpoints: Endpoints,
    buffer_size: usize,
    interface_address: String,
}

fn opening<'py>(call: &Call<'_, 'py>) -> Option<(Bound<'py, ThreadPool>, Opening, Options)> {
    let names = ["thread_pool", "endpoints", "config", "buffer_size", "interface_address"];
    let given = call.bind(&names)?;
    let opening = Opening {
        endpoints: given.get(1)?,
        buffer_size: given.get_or(3, Int(BUFFER_SIZE))?.0,
        interface_address: given.get_or(4, Text::default())?.0,
    };
    Some((given.get(0)?, opening, given.config(2)?))
}

fn adoption<'py>(
    call: &Call<'_, 'py>,
) -> Option<(Bound<'py, ThreadPool>, Bound<'py, PyAny>, Options)> {
    let given = call.bind(&["thread_pool", "socket", "config"])?;
    Some((given.get(0)?, given.get(1)?, given.config(2)?))
}

impl Opening {
    fn check(&self) -> PyResult<()> {
        if self.endpoints.len() != 1 {
            return Err(PyValueError::new_err("endpoints must contain exactly one element"));
        }
        Ok(())
    }

    /// Connects, on a thread of its own so that signals can interrupt the wait for it.
    fn connect(self, py: Python<'_>) -> PyResult<Connection> {
        self.check()?;
        let (send, receive) = mpsc::channel();
        let connect = move || {
            // Nobody waits any more if there was a signal.
            let _ = send.send(self.connect_now());
        };
        let named = thread::Builder::new().name("speadway-connect".to_owned());
        named.spawn(connect).map_err(PyRuntimeError::new_err)?;
        let receive = Mutex::new(receive);
        wait(py, |timeout| match receive.lock().ok()?.recv_timeout(timeout) {
            Ok(connected) => Some(connected),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Some(Err(PyRuntimeError::new_err("connecting failed")))
            }
        })?
    }

    fn connect_now(&self) -> PyResult<Connection> {
        let destination = self.endpoints.resolve()?[0];
        let bind = match &*self.interface_address {
            "" => None,
            interface => Some(source(interface, destination)?),
        };
        connect_tcp(destination, bind, self.buffer_size, NEVER).map_err(refusal)
    }
}

/// A connection that was refused is an `OSError`, an address that is not of this host is not.
fn refusal(error: NetError) -> PyErr {
    let number = match error.kind() {
        ErrorKind::AddrNotAvailable => None,
        ErrorKind::TimedOut => Some(libc::ETIMEDOUT),
        _ => error.raw_os_error(),
    };
    match number {
        Some(number) => PyOSError::new_err((number, error.to_string())),
        None => PyRuntimeError::new_err(error.to_string()),
    }
}

/// Starts a stream on a connection that there is.
fn adopt(
    stream: &Bound<'_, Stream>,
    call: &Call<'_, '_>,
    forms: &[&str],
    kind: Kind,
) -> PyResult<()> {
    let (pool, socket, options) = adoption(call).ok_or_else(|| call.refuse("TcpStream", forms))?;
    let connection = sockets::adopt(&socket, adopt_tcp_stream)?;
    start(stream, &pool, connection, &options, kind)
}

fn start(
    stream: &Bound<'_, Stream>,
    pool: &Bound<'_, ThreadPool>,
    connection: Connection,
    options: &Options,
    kind: Kind,
) -> PyResult<()> {
    let transport = TcpTransport::new(connection).or_raise()?;
    stream.get().start(&pool.get().worker()?, transport, options, kind, true)
}

/// Sends heaps over a TCP connection.
///
/// TcpStream(thread_pool, endpoints, config, buffer_size, interface_address): connects to the one
///     endpoint, a pair of host and port, and waits for that. OSError if it is refused.
/// TcpStream(thread_pool, socket, config): sends on a duplicate of a connected socket.
///
/// buffer_size is that of the kernel's send buffer in bytes; 0 leaves the system's default.
#[pyclass(module = "speadway.send", extends = SyncStream, subclass, frozen)]
pub(crate) struct TcpStream;

#[pymethods]
impl TcpStream {
    #[classattr]
    const DEFAULT_BUFFER_SIZE: usize = BUFFER_SIZE;

    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyAny>,
        _kwargs: Option<&Bound<'_, PyAny>>,
    ) -> PyClassInitializer<Self> {
        SyncStream::unstarted().add_subclass(Self)
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let stream = slf.as_super().as_super();
        let call = Call::new(args, kwargs);
        match opening(&call) {
            Some((pool, opening, options)) => {
                start(stream, &pool, opening.connect(slf.py())?, &options, Kind::Waiting)
            }
            None => adopt(stream, &call, &FORMS, Kind::Waiting),
        }
    }
}

/// The native half of `speadway.send.asyncio.TcpStream`.
#[pyclass(module = "speadway.send", extends = AsyncStream, subclass, frozen)]
#[derive(Default)]
pub(crate) struct TcpStreamAsyncio {
    collected: Collected,
}

#[pymethods]
impl TcpStreamAsyncio {
    #[classattr]
    const DEFAULT_BUFFER_SIZE: usize = BUFFER_SIZE;

    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyAny>,
        _kwargs: Option<&Bound<'_, PyAny>>,
    ) -> PyClassInitializer<Self> {
        AsyncStream::unstarted().add_subclass(Self::default())
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let stream = slf.as_super();
        adopt(stream.as_super(), &Call::new(args, kwargs), &FORMS[1..], Kind::Asynchronous)?;
        stream.get().start(&slf.get().collected)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.collected.traverse(&visit)
    }

    fn __clear__(&self) {
        self.collected.clear();
    }
}

//! `UdpStream`, for threads and for asyncio.

use std::net::{IpAddr, SocketAddr};

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use speadway::net::{DEFAULT_SEND_BUFFER, Interface, UdpSendConfig};
use speadway::send::transport::UdpTransport;

use super::asynchronous::{AsyncStream, Collected};
use super::blocking::SyncStream;
use super::config::Options;
use super::destination::{Endpoints, check_family, resolve_interface, source};
use super::overload::Call;
use super::stream::{Kind, Stream};
use crate::args::{Int, Text};
use crate::errors::OrRaise;
use crate::sockets::adopt;
use crate::thread_pool::ThreadPool;

const FORMS: [&str; 5] = [
    "thread_pool, endpoints, config=StreamConfig(), buffer_size=524288, interface_address=''",
    "thread_pool, endpoints, config=StreamConfig(), buffer_size=524288, *, ttl",
    "thread_pool, endpoints, config=StreamConfig(), buffer_size=524288, *, ttl, interface_address",
    "thread_pool, endpoints, config=StreamConfig(), buffer_size=524288, *, ttl, interface_index",
    "thread_pool, socket, endpoints, config=StreamConfig()",
];

/// What multicast is sent with, if anything is said about it.
enum Multicast {
    Unsaid { interface_address: String },
    Ttl,
    Address(String),
    Index(u32),
}

/// A call to open a socket.
struct Opening {
    endpoints: Endpoints,
    options: Options,
    buffer_size: usize,
    ttl: i32,
    multicast: Multicast,
}

/// Starts a UDP stream as the arguments say.
fn start(
    stream: &Bound<'_, Stream>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
    kind: Kind,
) -> PyResult<()> {
    let py = stream.py();
    let call = Call::new(args, kwargs);
    let (pool, transport, options) = if let Some((pool, opening)) = opening(&call) {
        let transport = py.detach(|| opening.open())?;
        (pool, transport, opening.options)
    } else if let Some((pool, socket, endpoints, options)) = adoption(&call) {
        let destinations = py.detach(|| endpoints.resolve())?;
        let transport = adopt(&socket, |fd| UdpTransport::adopt(fd, &destinations, true))?;
        check_family(&destinations, Some(transport.sender().local_addr()))?;
        (pool, transport, options)
    } else {
        return Err(call.refuse("UdpStream", &FORMS));
    };
    stream.get().start(&pool.get().worker()?, transport, &options, kind, false)
}

fn opening<'py>(call: &Call<'_, 'py>) -> Option<(Bound<'py, ThreadPool>, Opening)> {
    let common = ["thread_pool", "endpoints", "config", "buffer_size"];
    let last: [&[&str]; 4] = [
        &["interface_address"],
        &["ttl"],
        &["ttl", "interface_address"],
        &["ttl", "interface_index"],
    ];
    last.iter().zip(0..).find_map(|(last, form)| {
        let given = call.bind(&[&common, *last].concat())?;
        let (ttl, multicast) = match form {
            0 => {
                let Text(interface_address) = given.get_or(4, Text::default())?;
                (1, Multicast::Unsaid { interface_address })
            }
            1 => (given.get::<Int<i32>>(4)?.0, Multicast::Ttl),
            2 => (given.get::<Int<i32>>(4)?.0, Multicast::Address(given.get::<Text>(5)?.0)),
            _ => (given.get::<Int<i32>>(4)?.0, Multicast::Index(given.get::<Int<u32>>(5)?.0)),
        };
        let opening = Opening {
            endpoints: given.get(1)?,
            options: given.config(2)?,
            buffer_size: given.get_or(3, Int(DEFAULT_SEND_BUFFER))?.0,
            ttl,
            multicast,
        };
        Some((given.get(0)?, opening))
    })
}

fn adoption<'py>(
    call: &Call<'_, 'py>,
) -> Option<(Bound<'py, ThreadPool>, Bound<'py, PyAny>, Endpoints, Options)> {
    let given = call.bind(&["thread_pool", "socket", "endpoints", "config"])?;
    Some((given.get(0)?, given.get(1)?, given.get(2)?, given.config(3)?))
}

impl Opening {
    /// Called without the GIL, as looking up names takes its time.
    fn open(&self) -> PyResult<UdpTransport> {
        let destinations = self.endpoints.resolve()?;
        check_family(&destinations, None)?;
        let first = destinations[0];
        let mut config = UdpSendConfig::to(first).send_buffer(self.buffer_size);
        match &self.multicast {
            Multicast::Unsaid { interface_address } => {
                if !interface_address.is_empty() {
                    config = config.bind(source(interface_address, first)?);
                }
            }
            Multicast::Ttl => require_multicast(&destinations, "a", |_| true)?,
            Multicast::Address(address) => {
                require_multicast(&destinations, "an IPv4", SocketAddr::is_ipv4)?;
                if !address.is_empty() {
                    config = config.interface(interface(resolve_interface(address)?)?);
                }
            }
            Multicast::Index(index) => {
                require_multicast(&destinations, "an IPv6", SocketAddr::is_ipv6)?;
                config = config.interface(Interface::Index(*index));
            }
        }
        let ttl = u8::try_from(self.ttl).map_err(|_| {
            PyIndexError::new_err(format!("a multicast TTL is from 0 to 255, not {}", self.ttl))
        })?;
        let transport =
            UdpTransport::open(&destinations, &config.multicast_ttl(ttl.into())).or_raise()?;
        let granted = transport.sender().send_buffer();
        if granted.is_short() {
            let advice = granted.sysctl_hint().unwrap_or_default();
            log::warn!(
                "a send buffer of {} bytes was asked for, {} were granted; {advice}",
                granted.requested,
                granted.granted
            );
        }
        Ok(transport)
    }
}

fn interface(address: IpAddr) -> PyResult<Interface> {
    match address {
        IpAddr::V4(address) => Ok(Interface::Addr(address)),
        IpAddr::V6(_) => Err(PyValueError::new_err("interface address is not an IPv4 address")),
    }
}

fn require_multicast(
    destinations: &[SocketAddr],
    which: &str,
    fits: impl Fn(&SocketAddr) -> bool,
) -> PyResult<()> {
    match destinations.iter().find(|address| !address.ip().is_multicast() || !fits(address)) {
        None => Ok(()),
        Some(address) => {
            let message = format!("endpoint is not {which} multicast address: {address}");
            Err(PyValueError::new_err(message))
        }
    }
}

/// Sends heaps as UDP packets. Each endpoint, a pair of host and port, is a substream.
///
/// UdpStream(thread_pool, endpoints, config, buffer_size, interface_address): sends from the
///     address of an interface, or any.
/// UdpStream(thread_pool, endpoints, config, buffer_size, ttl): multicast that passes through at
///     most `ttl` routers. With `interface_address` (IPv4) or `interface_index` (IPv6) it leaves
///     from that interface.
/// UdpStream(thread_pool, socket, endpoints, config): sends from a duplicate of a socket.
///
/// buffer_size is that of the kernel's send buffer in bytes; 0 leaves the system's default.
#[pyclass(module = "speadway.send", extends = SyncStream, subclass, frozen)]
pub(crate) struct UdpStream;

#[pymethods]
impl UdpStream {
    #[classattr]
    const DEFAULT_BUFFER_SIZE: usize = DEFAULT_SEND_BUFFER;

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
        start(slf.as_super().as_super(), args, kwargs, Kind::Waiting)
    }
}

/// The native half of `speadway.send.asyncio.UdpStream`.
#[pyclass(module = "speadway.send", extends = AsyncStream, subclass, frozen)]
#[derive(Default)]
pub(crate) struct UdpStreamAsyncio {
    collected: Collected,
}

#[pymethods]
impl UdpStreamAsyncio {
    #[classattr]
    const DEFAULT_BUFFER_SIZE: usize = DEFAULT_SEND_BUFFER;

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
        start(stream.as_super(), args, kwargs, Kind::Asynchronous)?;
        stream.get().start(&slf.get().collected)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.collected.traverse(&visit)
    }

    fn __clear__(&self) {
        self.collected.clear();
    }
}

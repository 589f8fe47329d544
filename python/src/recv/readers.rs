//! `_Stream.add_*_reader`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use speadway::net::{Interface, NetError, ReceiverConfig, UdpConfig};
use speadway::recv::Reader;
use speadway::recv::readers::{
    InprocReader, MemoryReader, PcapConfig, PcapFilter, PcapReader, TcpConfig, TcpReader, UdpReader,
};

use super::base::{NewReader, StreamBase};
use crate::args::{Int, Text, bind, or_default, required};
use crate::buffers::HeldBytes;
use crate::errors::OrRaise;
use crate::inproc::InprocQueue;
use crate::sockets::{adopt, resolve};

/// The largest UDP packet accepted, in bytes, unless told otherwise: the reference's.
const UDP_MAX_SIZE: usize = 9200;
/// The receive buffer asked for, in bytes, unless told otherwise: the reference's.
const UDP_BUFFER_SIZE: usize = 8 << 20;
/// The largest packet accepted over TCP, in bytes, unless told otherwise: the reference's.
const TCP_MAX_SIZE: usize = 65_536;
/// The receive buffer asked for with TCP, in bytes, unless told otherwise: the reference's.
const TCP_BUFFER_SIZE: usize = 208 << 10;

/// What a `max_size` of 0 stands for: no packet is that short, so none is received, as in the
/// reference.
const LEAST_MAX_SIZE: usize = 1;

/// What UDP readers have in common.
#[derive(Clone, Copy)]
struct Udp {
    max_size: usize,
    buffer_size: usize,
}

impl Udp {
    fn new<'py>(
        max_size: &Option<Bound<'py, PyAny>>,
        buffer_size: &Option<Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let max_size = or_default(max_size, Int(UDP_MAX_SIZE))?.0;
        let buffer_size = or_default(buffer_size, Int(UDP_BUFFER_SIZE))?.0;
        Ok(Self { max_size, buffer_size })
    }

    fn receiver(self) -> ReceiverConfig {
        ReceiverConfig::default().max_datagram(self.max_size.max(LEAST_MAX_SIZE))
    }

    fn reader(self, address: SocketAddr, interface: Interface) -> NewReader {
        let config = UdpConfig::new(address).interface(interface).recv_buffer(self.buffer_size);
        bound(move || UdpReader::bind_with(&config, &self.receiver()))
    }
}

/// A reader that `bind` makes when the stream starts.
fn bound<R: Reader + 'static>(
    bind: impl Fn() -> Result<R, NetError> + Send + 'static,
) -> NewReader {
    NewReader::Bind(Box::new(move || Ok(Box::new(bind().or_raise()?))))
}

fn made(reader: impl Reader + 'static) -> NewReader {
    NewReader::Made(Box::new(reader))
}

/// In which of its ways a function is called.
enum Overload {
    Port,
    Socket,
    Multicast,
}

impl Overload {
    /// By the type of the first argument, or by name.
    fn of(
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        socket: &str,
    ) -> PyResult<Self> {
        let named = |name| kwargs.map_or(Ok(false), |kwargs| kwargs.contains(name));
        if named("multicast_group")? {
            return Ok(Self::Multicast);
        }
        if named(socket)? {
            return Ok(Self::Socket);
        }
        Ok(match args.get_item(0) {
            Ok(first) if first.is_instance_of::<PyString>() => Self::Multicast,
            Ok(first) if !first.hasattr("__index__")? => Self::Socket,
            _ => Self::Port,
        })
    }
}

/// Where a reader on a port listens: any address of this host, unless there is a name.
fn local(py: Python<'_>, hostname: &str, port: u16) -> PyResult<SocketAddr> {
    match hostname {
        "" => Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        name => py.detach(|| resolve(name, port)),
    }
}

const ADD_UDP: &str = "add_udp_reader";

fn udp_on_port(
    py: Python<'_>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<NewReader> {
    let names = ["port", "max_size", "buffer_size", "bind_hostname"];
    let [port, max_size, buffer_size, hostname] = bind(ADD_UDP, names, args, kwargs)?;
    let port = required::<Int<u16>>(ADD_UDP, "port", &port)?.0;
    let udp = Udp::new(&max_size, &buffer_size)?;
    let address = local(py, &or_default(&hostname, Text::default())?.0, port)?;
    Ok(udp.reader(address, Interface::Any))
}

fn udp_on_socket(
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<NewReader> {
    let [socket, max_size] = bind(ADD_UDP, ["socket", "max_size"], args, kwargs)?;
    let socket: Bound<'_, PyAny> = required(ADD_UDP, "socket", &socket)?;
    let receiver = Udp::new(&max_size, &None)?.receiver();
    Ok(made(adopt(&socket, |fd| UdpReader::adopt(fd, &receiver))?))
}

fn udp_multicast(
    py: Python<'_>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<NewReader> {
    let by_index = match kwargs {
        Some(kwargs) if kwargs.contains("interface_index")? => true,
        _ => args.get_item(4).is_ok_and(|interface| !interface.is_instance_of::<PyString>()),
    };
    let interface_name = if by_index { "interface_index" } else { "interface_address" };
    let names = ["multicast_group", "port", "max_size", "buffer_size", interface_name];
    let [group, port, max_size, buffer_size, interface] = bind(ADD_UDP, names, args, kwargs)?;
    let Text(group) = required(ADD_UDP, "multicast_group", &group)?;
    let port = required::<Int<u16>>(ADD_UDP, "port", &port)?.0;
    let udp = Udp::new(&max_size, &buffer_size)?;
    let (address, interface) = if by_index {
        let index = or_default(&interface, Int(0))?.0;
        (group_v6(py, &group, port)?, Interface::Index(index))
    } else {
        group_v4(py, &group, port, &or_default(&interface, Text::default())?.0)?
    };
    Ok(udp.reader(address, interface))
}

fn group_v6(py: Python<'_>, group: &str, port: u16) -> PyResult<SocketAddr> {
    let address = py.detach(|| resolve(group, port))?;
    if !address.is_ipv6() || !address.ip().is_multicast() {
        let text = format!("{address}: endpoint is not an IPv6 multicast address");
        return Err(PyValueError::new_err(text));
    }
    Ok(address)
}

/// A unicast address will do if it is that of the interface.
fn group_v4(
    py: Python<'_>,
    group: &str,
    port: u16,
    interface: &str,
) -> PyResult<(SocketAddr, Interface)> {
    let not_v4 = |what: &str| PyValueError::new_err(format!("{what} is not an IPv4 address"));
    let IpAddr::V4(interface) = local(py, interface, 0)?.ip() else {
        return Err(not_v4("interface address"));
    };
    let group = if group.is_empty() {
        SocketAddr::from((interface, port))
    } else {
        py.detach(|| resolve(group, port))?
    };
    match group.ip() {
        IpAddr::V4(ip) if ip.is_multicast() || ip == interface => {
            Ok((group, Interface::Addr(interface)))
        }
        IpAddr::V4(_) => Err(PyValueError::new_err(
            "endpoint is not multicast and does not match interface address",
        )),
        IpAddr::V6(_) => Err(not_v4("endpoint")),
    }
}

const ADD_TCP: &str = "add_tcp_reader";

fn tcp_config(max_size: &Option<Bound<'_, PyAny>>) -> PyResult<TcpConfig> {
    let max_size = or_default(max_size, Int(TCP_MAX_SIZE))?.0;
    Ok(TcpConfig::default().max_packet(max_size.max(LEAST_MAX_SIZE)))
}

fn tcp_on_port(
    py: Python<'_>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<NewReader> {
    let names = ["port", "max_size", "buffer_size", "bind_hostname"];
    let [port, max_size, buffer_size, hostname] = bind(ADD_TCP, names, args, kwargs)?;
    let port = required::<Int<u16>>(ADD_TCP, "port", &port)?.0;
    let buffer_size = or_default(&buffer_size, Int(TCP_BUFFER_SIZE))?.0;
    let config = tcp_config(&max_size)?.recv_buffer(buffer_size);
    let address = local(py, &or_default(&hostname, Text::default())?.0, port)?;
    Ok(bound(move || TcpReader::listen(address, &config)))
}

fn tcp_on_socket(
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<NewReader> {
    let [acceptor, max_size] = bind(ADD_TCP, ["acceptor", "max_size"], args, kwargs)?;
    let acceptor: Bound<'_, PyAny> = required(ADD_TCP, "acceptor", &acceptor)?;
    let config = tcp_config(&max_size)?;
    Ok(made(adopt(&acceptor, |fd| TcpReader::adopt_listener(fd, &config))?))
}

#[pymethods]
impl StreamBase {
    /// Receives the packets that lie one after the other in `buffer` (C-contiguous), then ends the
    /// stream. What is no packet ends it too.
    fn add_buffer_reader(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<()> {
        self.add(py, made(MemoryReader::new(HeldBytes::readable(buffer)?)))
    }

    /// Receives UDP packets, in one of these ways:
    ///
    /// - `(port, max_size=9200, buffer_size=8388608, bind_hostname='')`: sent to a port, and to the
    ///   address or multicast group that `bind_hostname` names, if it does;
    /// - `(socket, max_size=9200)`: from a duplicate of a UDP socket;
    /// - `(multicast_group, port, max_size=9200, buffer_size=8388608, interface_address='0.0.0.0')`:
    ///   sent to an IPv4 group, on the interface with this address;
    /// - `(multicast_group, port, max_size=9200, buffer_size=8388608, interface_index=0)`: sent to an
    ///   IPv6 group, on the interface with this index.
    ///
    /// Packets longer than `max_size` bytes are discarded. `buffer_size` is the socket's, in bytes; 0
    /// leaves it to the system. `RuntimeError` if a name has no address or the socket cannot be
    /// bound.
    #[pyo3(signature = (*args, **kwargs))]
    fn add_udp_reader(
        &self,
        py: Python<'_>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let reader = match Overload::of(args, kwargs, "socket")? {
            Overload::Port => udp_on_port(py, args, kwargs)?,
            Overload::Socket => udp_on_socket(args, kwargs)?,
            Overload::Multicast => udp_multicast(py, args, kwargs)?,
        };
        self.add_lossy(py, reader)
    }

    /// Receives the packets of one TCP connection, which ends the stream when it ends. In one of
    /// these ways:
    ///
    /// - `(port, max_size=65536, buffer_size=212992, bind_hostname='')`: listens on a port;
    /// - `(acceptor, max_size=65536)`: takes the connection from a duplicate of a listening socket.
    ///
    /// Packets longer than `max_size` bytes are skipped. `buffer_size` is the socket's, in bytes; 0
    /// leaves it to the system. `RuntimeError` if a name has no address or the socket cannot be
    /// bound.
    #[pyo3(signature = (*args, **kwargs))]
    fn add_tcp_reader(
        &self,
        py: Python<'_>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let reader = match Overload::of(args, kwargs, "acceptor")? {
            Overload::Port => tcp_on_port(py, args, kwargs)?,
            Overload::Socket | Overload::Multicast => tcp_on_socket(args, kwargs)?,
        };
        self.add(py, reader)
    }

    /// Receives the UDP packets of a pcap or pcapng file, then ends the stream. `filter` is an
    /// expression in the language of tcpdump: addresses, networks, ports and ranges of ports, with
    /// `and`, `or`, `not` and parentheses. `RuntimeError` if the file or the expression cannot be
    /// read.
    #[pyo3(
        signature = (filename, filter = Text::default()),
        text_signature = "($self, filename, filter='')"
    )]
    fn add_udp_pcap_file_reader(
        &self,
        py: Python<'_>,
        filename: Text,
        filter: Text,
    ) -> PyResult<()> {
        let reader = py.detach(|| {
            let filter = filter.0.parse::<PcapFilter>().or_raise()?;
            let config = PcapConfig::default().filter(filter);
            PcapReader::open(PathBuf::from(filename.0), config).or_raise()
        })?;
        self.add(py, made(reader))
    }

    /// Receives the packets of an `InprocQueue`; when that is stopped, the stream ends.
    fn add_inproc_reader(&self, py: Python<'_>, queue: &Bound<'_, InprocQueue>) -> PyResult<()> {
        self.add(py, made(InprocReader::new(queue.get().core()?)))
    }

    /// The largest UDP packet that is accepted, in bytes, unless `max_size` says otherwise.
    #[classattr]
    #[pyo3(name = "DEFAULT_UDP_MAX_SIZE")]
    fn default_udp_max_size() -> usize {
        UDP_MAX_SIZE
    }

    /// The buffer of UDP sockets, in bytes, unless `buffer_size` says otherwise.
    #[classattr]
    #[pyo3(name = "DEFAULT_UDP_BUFFER_SIZE")]
    fn default_udp_buffer_size() -> usize {
        UDP_BUFFER_SIZE
    }

    /// The largest packet that is accepted over TCP, in bytes, unless `max_size` says otherwise.
    #[classattr]
    #[pyo3(name = "DEFAULT_TCP_MAX_SIZE")]
    fn default_tcp_max_size() -> usize {
        TCP_MAX_SIZE
    }

    /// The buffer of TCP sockets, in bytes, unless `buffer_size` says otherwise.
    #[classattr]
    #[pyo3(name = "DEFAULT_TCP_BUFFER_SIZE")]
    fn default_tcp_buffer_size() -> usize {
        TCP_BUFFER_SIZE
    }
}

//! Opening the destinations.

use std::io;
use std::net::SocketAddr;
use std::task::Waker;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use speadway::net::{DEFAULT_SEND_BUFFER, Interface, PacketParts, UdpSendConfig, connect_tcp};
use speadway::recv::Watch;
use speadway::send::transport::{TcpTransport, Transport, UdpTransport};

use super::options::{Destination, Options};

/// How long to wait for a TCP receiver to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// All destinations as one transport, whatever kinds they are of.
pub(super) struct Destinations {
    parts: Vec<Box<dyn Transport>>,
    /// For each destination: the part that serves it, and which one it is there.
    routes: Vec<(usize, usize)>,
}

impl Destinations {
    /// Opens a socket for the UDP destinations of each address family, and a connection for each
    /// other.
    pub(super) fn open(options: &Options) -> Result<Self> {
        let (mut parts, mut routes): (Vec<Box<dyn Transport>>, _) = (Vec::new(), Vec::new());
        let mut udp: [(Option<usize>, Vec<SocketAddr>); 2] = Default::default();
        for destination in &options.destinations {
            let address = destination.resolve()?;
            check_bind(options, destination, address)?;
            if destination.is_tcp(&options.network) {
                routes.push((parts.len(), 0));
                parts.push(Box::new(connect(options, address)?));
                continue;
            }
            let (part, addresses) = &mut udp[usize::from(address.is_ipv6())];
            let part = *part.get_or_insert_with(|| {
                // Replaced as soon as all its destinations are known.
                parts.push(Box::new(Nothing));
                parts.len() - 1
            });
            routes.push((part, addresses.len()));
            addresses.push(address);
        }
        for (part, addresses) in udp {
            if let (Some(part), Some(&first)) = (part, addresses.first()) {
                let transport = UdpTransport::open(&addresses, &udp_config(options, first));
                parts[part] = Box::new(transport.map_err(|error| anyhow!("{error}"))?);
            }
        }
        Ok(Self { parts, routes })
    }
}

fn check_bind(options: &Options, destination: &Destination, address: SocketAddr) -> Result<()> {
    match options.network.bind {
        Some(bind) if bind.is_ipv4() != address.is_ipv4() => bail!(
            "--bind {} cannot reach {destination}: one is an IPv4 address, the other IPv6",
            bind.ip()
        ),
        _ => Ok(()),
    }
}

pub(super) fn udp_config(options: &Options, destination: SocketAddr) -> UdpSendConfig {
    let network = &options.network;
    let config = UdpSendConfig::to(destination)
        .multicast_ttl(network.ttl)
        .send_buffer(network.buffer.unwrap_or(DEFAULT_SEND_BUFFER))
        .interface(network.interface.as_deref().map_or(Interface::Any, interface))
        .gso(!options.sending.no_gso);
    network.bind.into_iter().fold(config, UdpSendConfig::bind)
}

fn connect(options: &Options, address: SocketAddr) -> Result<TcpTransport> {
    let network = &options.network;
    let buffer = network.buffer.unwrap_or(0);
    let stream = connect_tcp(address, network.bind, buffer, CONNECT_TIMEOUT)
        .map_err(|error| anyhow!("{error}"))?;
    TcpTransport::new(stream).with_context(|| format!("cannot send to {address}"))
}

/// An interface by address, index or name.
fn interface(text: &str) -> Interface {
    if let Ok(address) = text.parse() {
        Interface::Addr(address)
    } else if let Ok(index) = text.parse() {
        Interface::Index(index)
    } else {
        Interface::Name(text.to_owned())
    }
}

impl Transport for Destinations {
    fn substreams(&self) -> usize {
        self.routes.len()
    }

    fn attach(&mut self, watch: &mut Watch<'_>) -> io::Result<()> {
        self.parts.iter_mut().try_for_each(|part| part.attach(watch))
    }

    fn detach(&mut self, watch: &mut Watch<'_>) -> bool {
        // All or none.
        self.parts.len() == 1 && self.parts[0].detach(watch)
    }

    fn send(&mut self, substream: usize, packets: &[PacketParts<'_>]) -> io::Result<usize> {
        let (part, at) = self.routes[substream];
        self.parts[part].send(at, packets)
    }

    fn wait_for_room(&mut self, waker: &Waker) -> bool {
        self.parts.iter_mut().any(|part| part.wait_for_room(waker))
    }

    fn drain(&mut self) -> io::Result<bool> {
        let mut drained = true;
        for part in &mut self.parts {
            drained &= part.drain()?;
        }
        Ok(drained)
    }

    fn set_kernel_rate(&mut self, bytes_per_second: f64) -> io::Result<()> {
        // Heaps go to the destinations in turn, so that each socket has its share of the rate.
        let each = bytes_per_second / self.routes.len() as f64;
        for (at, part) in self.parts.iter_mut().enumerate() {
            let served = self.routes.iter().filter(|(part, _)| *part == at).count();
            part.set_kernel_rate(each * served as f64)?;
        }
        Ok(())
    }

    fn finish(&mut self) {
        self.parts.iter_mut().for_each(|part| part.finish());
    }
}

/// A transport to nowhere.
struct Nothing;

impl Transport for Nothing {
    fn substreams(&self) -> usize {
        0
    }

    fn attach(&mut self, _watch: &mut Watch<'_>) -> io::Result<()> {
        Ok(())
    }

    fn send(&mut self, _substream: usize, _packets: &[PacketParts<'_>]) -> io::Result<usize> {
        Err(io::ErrorKind::NotConnected.into())
    }
}

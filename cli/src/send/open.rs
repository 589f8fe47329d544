//! Opening the destinations.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use speadway::net::{DEFAULT_SEND_BUFFER, UdpSendConfig, connect_tcp};
use speadway::send::transport::{JointTransport, TcpTransport, Transport, UdpTransport};

use super::options::{Destination, Options};

/// How long to wait for a TCP receiver to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a socket for the UDP destinations of each address family, and a connection for each other:
/// all as one transport, with a substream for each destination.
pub(super) fn open(options: &Options) -> Result<JointTransport> {
    let mut parts: Vec<Box<dyn Transport>> = Vec::new();
    let mut udp: [Vec<SocketAddr>; 2] = Default::default();
    // Which substream serves a destination: known once those of the parts before are counted.
    let (mut served_udp, mut served_tcp) = (Vec::new(), Vec::new());
    for (number, destination) in options.destinations.iter().enumerate() {
        let address = destination.resolve()?;
        check_bind(options, destination, address)?;
        if destination.is_tcp(&options.network) {
            parts.push(Box::new(connect(options, address)?));
            served_tcp.push(number);
        } else {
            let family = usize::from(address.is_ipv6());
            served_udp.push((family, number));
            udp[family].push(address);
        }
    }
    for addresses in udp {
        if let Some(&first) = addresses.first() {
            let transport = UdpTransport::open(&addresses, &udp_config(options, first));
            parts.push(Box::new(transport.map_err(|error| anyhow!("{error}"))?));
        }
    }
    // In the order of the parts: connections, then IPv4, then IPv6.
    served_udp.sort_by_key(|&(family, _)| family);
    let served = served_tcp.into_iter().chain(served_udp.into_iter().map(|(_, number)| number));
    let mut order = vec![0; options.destinations.len()];
    served.enumerate().for_each(|(substream, number)| order[number] = substream);
    Ok(JointTransport::new(parts).reorder(&order))
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
        .send_buffer(network.sockets.buffer.unwrap_or(DEFAULT_SEND_BUFFER))
        .interface(network.sockets.interface())
        .gso(!options.sending.no_gso);
    network.bind.into_iter().fold(config, UdpSendConfig::bind)
}

fn connect(options: &Options, address: SocketAddr) -> Result<TcpTransport> {
    let network = &options.network;
    let buffer = network.sockets.buffer.unwrap_or(0);
    let stream = connect_tcp(address, network.bind, buffer, CONNECT_TIMEOUT)
        .map_err(|error| anyhow!("{error}"))?;
    TcpTransport::new(stream).with_context(|| format!("cannot send to {address}"))
}

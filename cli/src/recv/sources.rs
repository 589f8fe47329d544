//! Opening the sources that were named.

use std::path::Path;

use anyhow::{Result, anyhow};
use serde::Serialize;
use speadway::net::{DEFAULT_MAX_DATAGRAM, DEFAULT_RECV_BUFFER, ReceiverConfig, UdpConfig};
use speadway::recv::Reader;
use speadway::recv::readers::{
    Connections, PcapConfig, PcapCounts, PcapReader, TcpConfig, TcpReader, UdpReader,
};

use super::options::Network;
use crate::endpoint::{HostPort, Source};

/// An open source.
pub(super) struct Opened {
    pub(super) about: About,
    pub(super) reader: Box<dyn Reader>,
}

/// What is known of an open source.
#[derive(Clone, Debug, Serialize)]
pub(super) struct About {
    /// The source as it could be named again: with the port that the system chose, for one.
    pub(super) source: String,
    /// The receive buffer that the kernel granted, in bytes.
    pub(super) recv_buffer: Option<usize>,
    /// What has become of the frames of a capture.
    #[serde(skip)]
    pub(super) frames: Option<PcapCounts>,
}

/// Opens a source.
pub(super) fn open(source: &Source, network: &Network) -> Result<Opened> {
    match source {
        Source::Udp(at) => open_udp(at, network),
        Source::Tcp(at) => open_tcp(at, network),
        Source::Pcap(path, port) => open_pcap(source, path, *port),
    }
}

fn open_udp(at: &HostPort, network: &Network) -> Result<Opened> {
    let mut config = UdpConfig::new(at.resolve()?)
        .recv_buffer(network.sockets.buffer.unwrap_or(DEFAULT_RECV_BUFFER))
        .reuse_port(network.reuse_port)
        .interface(network.sockets.interface());
    for &sender in &network.source_filter {
        config = config.source(sender);
    }
    let receiver =
        ReceiverConfig::default().max_datagram(network.max_packet.unwrap_or(DEFAULT_MAX_DATAGRAM));
    let reader = UdpReader::bind_with(&config, &receiver).map_err(|error| anyhow!("{error}"))?;
    let about = About {
        source: format!("udp://{}", reader.local_addr()),
        recv_buffer: Some(reader.recv_buffer().granted),
        frames: None,
    };
    Ok(Opened { about, reader: Box::new(reader) })
}

fn open_tcp(at: &HostPort, network: &Network) -> Result<Opened> {
    let defaults = TcpConfig::default();
    let config = TcpConfig::default()
        .recv_buffer(network.sockets.buffer.unwrap_or(defaults.recv_buffer))
        .max_packet(network.max_packet.unwrap_or(defaults.max_packet))
        .connections(if network.reconnect { Connections::Many } else { Connections::One });
    let reader = TcpReader::listen(at.resolve()?, &config).map_err(|error| anyhow!("{error}"))?;
    let about = About {
        source: format!("tcp://{}", reader.local_addr()),
        recv_buffer: reader.recv_buffer().map(|buffer| buffer.granted),
        frames: None,
    };
    Ok(Opened { about, reader: Box::new(reader) })
}

fn open_pcap(source: &Source, path: &Path, port: Option<u16>) -> Result<Opened> {
    let config = port.into_iter().fold(PcapConfig::default(), PcapConfig::port);
    let reader = PcapReader::open(path, config).map_err(|error| anyhow!("{error}"))?;
    let about =
        About { source: source.to_string(), recv_buffer: None, frames: Some(reader.counts()) };
    Ok(Opened { about, reader: Box::new(reader) })
}

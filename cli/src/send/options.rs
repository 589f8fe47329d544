//! The options of `speadway send`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use speadway::send::{
    DEFAULT_BURST_RATE_RATIO, DEFAULT_BURST_SIZE, DEFAULT_MAX_HEAPS, DEFAULT_MAX_PACKET_SIZE,
    Pacing, SendConfig,
};
use speadway::wire::{BugCompat, Flavour};

use super::capture::CaptureName;
use super::pattern::WORD;
use crate::endpoint::HostPort;
use crate::network::Sockets;
use crate::units;

/// The largest UDP payload over IPv4.
const MAX_DATAGRAM: usize = 65507;

/// Send a stream of heaps, as fast as it goes or at a rate.
///
/// A DESTINATION is HOST:PORT or udp://HOST:PORT (HOST may be a multicast group), or tcp://HOST:PORT
/// to connect to a receiver. With several, each is a substream: heaps go to them in turn.
///
/// Each destination gets the descriptors first, in a heap of their own, and a stop heap last. It
/// ends with --heaps, --seconds or Ctrl-C, after the heaps that wait already; a second Ctrl-C drops
/// those.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where packets go
    #[arg(required = true, value_name = "DESTINATION")]
    pub(super) destinations: Vec<Destination>,
    #[command(flatten)]
    pub(super) content: Content,
    #[command(flatten)]
    pub(super) replay: Replay,
    #[command(flatten)]
    pub(super) sending: Sending,
    #[command(flatten)]
    pub(super) network: Network,
    #[command(flatten)]
    pub(super) output: Output,
}

/// What is sent.
#[derive(Debug, Args)]
#[command(next_help_heading = "Heaps")]
pub(super) struct Content {
    /// Payload of a heap in bytes
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = units::size)]
    pub(super) heap_size: usize,
    /// Items that share a heap's payload
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) items: usize,
    /// Heaps with data to send, to all destinations together [default: no end]
    #[arg(long, value_name = "N")]
    pub(super) heaps: Option<u64>,
    /// Give every heap values of its own, which `recv --verify` checks
    #[arg(long)]
    pub(super) verify: bool,
    /// Add an immediate item that counts heaps, as chunk receivers need it
    #[arg(long, value_name = "ID", value_parser = units::number)]
    pub(super) sequence_item: Option<u64>,
    /// How much the sequence item grows from one heap to the next
    #[arg(long, value_name = "N", default_value = "1", value_parser = units::number)]
    pub(super) step: u64,
    /// Send the descriptors again after so many heaps to each destination [default: only first]
    #[arg(long, value_name = "N")]
    pub(super) descriptors: Option<u64>,
    /// Deviate from the protocol as PySPEAD 0.5.2 does
    #[arg(long)]
    pyspead: bool,
    /// Bits of a heap address: a multiple of 8
    #[arg(long, value_name = "BITS", default_value_t = 40)]
    addr_bits: u8,
}

/// A capture instead of heaps.
#[derive(Debug, Args)]
#[command(next_help_heading = "Replay")]
pub(super) struct Replay {
    /// Send the UDP datagrams of a capture (those sent to one port with #PORT) as they are, all to
    /// every destination
    #[arg(long, value_name = "FILE[#PORT]", conflicts_with_all = MAKING)]
    pub(super) pcap: Option<CaptureName>,
    /// How many times faster than they were captured; 0: as fast as it goes
    #[arg(long, value_name = "X", default_value = "1", value_parser = speed, requires = "pcap")]
    pub(super) speed: f64,
}

/// What says how heaps are made and sent, which those of a capture have been already.
const MAKING: [&str; 15] = [
    "heap_size",
    "items",
    "heaps",
    "verify",
    "sequence_item",
    "step",
    "descriptors",
    "pyspead",
    "addr_bits",
    "packet",
    "rate",
    "burst",
    "burst_rate_ratio",
    "pacing",
    "pin",
];

/// How fast it is sent.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sending")]
pub(super) struct Sending {
    /// The largest packet in bytes, without the headers of the network
    #[arg(long, value_name = "SIZE", default_value_t = DEFAULT_MAX_PACKET_SIZE, value_parser = units::size)]
    packet: usize,
    /// Gb/s of packets, without the headers of the network; 0: as fast as it goes
    #[arg(long, value_name = "GBPS", default_value = "0", value_parser = units::gigabits_or_zero)]
    rate: f64,
    /// Bytes sent in one go before looking at the clock
    #[arg(long, value_name = "SIZE", default_value_t = DEFAULT_BURST_SIZE, value_parser = units::size)]
    burst: usize,
    /// How much faster than --rate it may be to make up for delays; more than the default keeps the
    /// rate on a busy machine, in bursts
    #[arg(long, value_name = "RATIO", default_value_t = DEFAULT_BURST_RATE_RATIO)]
    burst_rate_ratio: f64,
    /// Who keeps the rate: this program, or the kernel, evenly, for which the interface needs the fq
    /// queueing discipline: by a rate for the socket, or by a time for each packet (also with etf)
    #[arg(long, value_name = "HOW", value_enum, default_value = "software")]
    pacing: How,
    /// Heaps that may wait to be sent
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_HEAPS)]
    pub(super) max_heaps: usize,
    /// Hand packets to the kernel one by one, not in trains, as hardware sends them
    #[arg(long)]
    pub(super) no_gso: bool,
    /// Core to pin the sending thread to
    #[arg(long, value_name = "CORE")]
    pub(super) pin: Option<usize>,
}

/// How the rate is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum How {
    Software,
    Kernel,
    DepartureTimes,
}

/// Which way it is sent.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(super) struct Network {
    /// Connect over TCP to destinations that do not say udp://
    #[arg(long)]
    pub(super) tcp: bool,
    /// Local address to send from, perhaps with a port
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = bind)]
    pub(super) bind: Option<SocketAddr>,
    /// Networks that multicast may pass through
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..256))]
    pub(super) ttl: u32,
    #[command(flatten)]
    pub(super) sockets: Sockets,
}

/// What is shown, and for how long.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct Output {
    /// End after this time, in seconds
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub(super) seconds: Option<Duration>,
    /// Write the result as a JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Show nothing but the result
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// Show the progress though standard error is no terminal
    #[arg(long)]
    pub(super) progress: bool,
}

/// A receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    /// As it was written, for TCP or not; `None` leaves it to --tcp.
    tcp: Option<bool>,
    at: HostPort,
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (tcp, rest) = match text.split_once("://") {
            Some(("udp", rest)) => (Some(false), rest),
            Some(("tcp", rest)) => (Some(true), rest),
            Some((scheme, _)) => return Err(format!("`{scheme}` is neither udp nor tcp")),
            None => (None, text),
        };
        // A host that is left out is fine for receivers, which listen everywhere.
        let named =
            rest.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port != "0");
        match rest.parse() {
            Ok(at) if named => Ok(Self { tcp, at }),
            _ => Err("use HOST:PORT, udp://HOST:PORT or tcp://HOST:PORT, with IPv6 addresses in \
                      brackets"
                .to_owned()),
        }
    }
}

impl Destination {
    pub(super) fn is_tcp(&self, network: &Network) -> bool {
        self.tcp.unwrap_or(network.tcp)
    }

    pub(super) fn resolve(&self) -> Result<SocketAddr> {
        self.at.resolve()
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at.fmt(f)
    }
}

impl Options {
    /// Refuses what cannot be, before anything is opened.
    pub(super) fn check(&self) -> Result<()> {
        let content = &self.content;
        if content.items == 0 {
            bail!("--items has to be at least 1");
        }
        let unit = content.items.saturating_mul(WORD);
        if content.heap_size == 0 || !content.heap_size.is_multiple_of(unit) {
            bail!("--heap-size has to be a multiple of {unit} B: {WORD} B for each of --items");
        }
        if content.descriptors == Some(0) {
            bail!("--descriptors has to be at least 1; leave it out to send them only first");
        }
        let any_tcp = self.destinations.iter().any(|to| to.is_tcp(&self.network));
        let any_udp = self.destinations.iter().any(|to| !to.is_tcp(&self.network));
        let packet = self.sending.packet;
        if any_udp && packet > MAX_DATAGRAM {
            bail!("--packet {packet} is more than UDP can carry: at most {MAX_DATAGRAM} B");
        }
        let is_paced = self.sending.pacing != How::Software;
        if is_paced && (any_tcp || !self.sending.has_rate()) {
            bail!("--pacing by the kernel needs a --rate, and is for UDP only");
        }
        Ok(())
    }

    pub(super) fn flavour(&self) -> Result<Flavour> {
        let flavour = Flavour::new(self.content.addr_bits).context("--addr-bits")?;
        let bug_compat =
            if self.content.pyspead { BugCompat::PYSPEAD_0_5_2 } else { BugCompat::NONE };
        Ok(flavour.with_bug_compat(bug_compat))
    }
}

impl Sending {
    pub(super) fn has_rate(&self) -> bool {
        self.rate > 0.0
    }

    pub(super) fn config(&self) -> SendConfig {
        let pacing = match self.pacing {
            How::Software => Pacing::Software,
            How::Kernel => Pacing::Kernel,
            How::DepartureTimes => Pacing::DepartureTimes,
        };
        SendConfig::default()
            .max_packet_size(self.packet)
            .rate(self.rate * 1e9 / 8.0)
            .burst_size(self.burst)
            .burst_rate_ratio(self.burst_rate_ratio)
            .max_heaps(self.max_heaps)
            .pacing(pacing)
    }
}

/// Reads how much faster something is to be.
fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok().filter(|speed: &f64| speed.is_finite() && *speed >= 0.0);
    speed.ok_or_else(|| "not a factor; examples: 1, 0.5, 10, 0".to_owned())
}

/// Reads a local address, with any port unless there is one.
fn bind(text: &str) -> Result<SocketAddr, String> {
    let bare = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 0));
    bare.or_else(|_| text.parse())
        .map_err(|_| "not an address of this host; examples: 10.0.0.1, 10.0.0.1:7000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_need_a_host_and_a_port() {
        for good in ["host:1", "udp://239.1.2.3:7148", "tcp://[::1]:7148"] {
            assert!(good.parse::<Destination>().is_ok(), "{good}");
        }
        for bad in ["", "7148", ":7148", "host", "host:0", "::1:7148", "ftp://host:1", "udp://:1"] {
            assert!(bad.parse::<Destination>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_read() {
        assert_eq!(bind("::1"), Ok("[::1]:0".parse().unwrap()));
        assert_eq!(bind("10.0.0.1:7"), Ok("10.0.0.1:7".parse().unwrap()));
        assert!(bind("host").is_err());
    }
}

//! The options that `bench master` and `bench local` share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use speadway::net::{DEFAULT_RECV_BUFFER, DEFAULT_SEND_BUFFER};
use speadway::send::DEFAULT_BURST_SIZE;
use speadway::wire::MIN_PACKET_SIZE;

use super::campaign::Settings;
use super::protocol::{Endpoint, Receiving, Wait};
use crate::endpoint::HostPort;
use crate::units;

/// The largest UDP payload over IPv4.
const MAX_DATAGRAM: usize = 65507;

/// Everything that says what is measured, and how.
#[derive(Clone, Debug, Args)]
pub(super) struct Measurement {
    #[command(flatten)]
    pub(super) workload: Workload,
    #[command(flatten)]
    pub(super) receiving: Tuning,
    #[command(flatten)]
    pub(super) sending: Sending,
    #[command(flatten)]
    pub(super) search: SearchOptions,
    #[command(flatten)]
    pub(super) output: Output,
}

/// What is sent and received.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Workload")]
pub(super) struct Workload {
    /// Payload of a heap, in bytes
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = units::size)]
    pub(super) heap_size: usize,
    /// The largest packet, in bytes of UDP payload; several sizes are measured one after the other
    #[arg(long, value_name = "SIZE,...", default_value = "8972", value_delimiter = ',', value_parser = units::size)]
    pub(super) packet: Vec<usize>,
    /// Payload of a chunk, in bytes, rounded down to whole heaps
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = units::size)]
    pub(super) chunk: usize,
    /// Chunks that are open at a time, for each stream
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(super) window: usize,
    /// Chunks of memory for each stream [default: --window and 4 more]
    #[arg(long, value_name = "N")]
    pub(super) chunks: Option<usize>,
    /// Streams to each agent, on ports that the system chooses; --endpoint instead says where
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "endpoints")]
    pub(super) streams: usize,
    /// Where a stream is received: an address of an agent's host or a multicast group, and for a
    /// group perhaps the agent's interface to join it on; once for each stream
    #[arg(long = "endpoint", value_name = "ADDR:PORT[@IFACE]")]
    pub(super) endpoints: Vec<EndpointOption>,
}

/// How the agents receive.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Receiving")]
pub(super) struct Tuning {
    /// Cores of each agent's host to pin receiving threads to, one thread each, which the agent's
    /// streams take in turn [default: a thread for each stream, not pinned]
    #[arg(long, value_name = "CORE,...", value_delimiter = ',')]
    pub(super) pin: Vec<usize>,
    /// Receive buffer to ask the kernel for, for each stream, in bytes
    #[arg(long, value_name = "SIZE", default_value_t = DEFAULT_RECV_BUFFER, value_parser = units::size)]
    buffer: usize,
    /// Do not let the kernel merge packets
    #[arg(long)]
    no_gro: bool,
    /// Never sleep while waiting for packets
    #[arg(long, conflicts_with = "coalesce")]
    spin: bool,
    /// Wait this much longer for more packets before receiving any
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    coalesce: Option<Duration>,
    /// Put chunks in huge pages if the host has any
    #[arg(long)]
    huge_pages: bool,
    /// Copy large payloads past the caches, for chunks that do not fit there
    #[arg(long)]
    non_temporal: bool,
}

/// How the master sends.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Sending")]
pub(super) struct Sending {
    /// Cores to pin sending threads to, one thread each, which the streams take in turn
    /// [default: a thread for each stream, not pinned]
    #[arg(long, value_name = "CORE,...", value_delimiter = ',')]
    pub(super) send_pin: Vec<usize>,
    /// Hand packets to the kernel one by one, not in trains, as hardware sends them
    #[arg(long)]
    pub(super) no_gso: bool,
    /// Send buffer to ask the kernel for, for each stream, in bytes
    #[arg(long, value_name = "SIZE", default_value_t = DEFAULT_SEND_BUFFER, value_parser = units::size)]
    pub(super) send_buffer: usize,
    /// Bytes sent in one go before looking at the clock
    #[arg(long, value_name = "SIZE", default_value_t = DEFAULT_BURST_SIZE, value_parser = units::size)]
    pub(super) burst: usize,
    /// Interfaces that multicast leaves from, which the streams take in turn [default: as routed]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub(super) send_interface: Vec<String>,
    /// Networks that multicast may pass through
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..256))]
    pub(super) ttl: u32,
}

/// How the highest rate is searched.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Search")]
pub(super) struct SearchOptions {
    /// For how long each trial sends
    #[arg(long, value_name = "TIME", default_value = "1", value_parser = units::duration)]
    seconds: Duration,
    /// The lowest rate to try, of all streams together, in Gb/s
    #[arg(long, value_name = "GBPS", default_value_t = 0.0, value_parser = units::gigabits_or_zero)]
    low: f64,
    /// The highest rate to try, in Gb/s [default: as fast as the sender can]
    #[arg(long, value_name = "GBPS", value_parser = units::gigabits)]
    high: Option<f64>,
    /// How exactly the rate is wanted, in Gb/s [default: 2 % of the highest]
    #[arg(long, value_name = "GBPS", value_parser = units::gigabits)]
    interval: Option<f64>,
    /// How certain it is to be that the rate lies in the interval, from 0.5 to below 1
    #[arg(long, value_name = "P", default_value_t = 0.99)]
    confidence: f64,
    /// Trials of a search at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    max_trials: usize,
}

/// What is shown.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct Output {
    /// Write the result, with every trial, as one JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Draw the result as an SVG image
    #[arg(long, value_name = "FILE")]
    pub(super) plot: Option<PathBuf>,
    /// Do not show trials as they are made
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// Show trials as they are made though standard error is no terminal
    #[arg(long)]
    pub(super) progress: bool,
}

/// Where a stream is received, as written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EndpointOption {
    at: HostPort,
    interface: Option<String>,
}

impl FromStr for EndpointOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (at, interface) = match text.split_once('@') {
            Some((_, "")) => return Err("no interface is named behind the @".to_owned()),
            Some((at, interface)) => (at, Some(interface.to_owned())),
            None => (text, None),
        };
        if at.rsplit_once(':').is_none_or(|(host, _)| host.is_empty()) {
            return Err("name the address to send to, as in 10.0.0.1:7148".to_owned());
        }
        Ok(Self { at: at.parse()?, interface })
    }
}

impl EndpointOption {
    /// The endpoint, with its name looked up.
    pub(super) fn resolve(&self) -> Result<Endpoint> {
        let address: SocketAddr = self.at.resolve()?;
        if address.ip().is_unspecified() {
            bail!("{address} is no address to send to; name one of the agent's host");
        }
        if address.ip().is_multicast() && address.port() == 0 {
            bail!("{address} needs a port: the members of a multicast group share one");
        }
        Ok(Endpoint { address, interface: self.interface.clone() })
    }
}

impl Measurement {
    /// Refuses what cannot be, before anything is opened.
    pub(super) fn check(&self) -> Result<()> {
        let Workload { heap_size, packet, chunk, streams, .. } = &self.workload;
        if *heap_size == 0 || chunk < heap_size {
            bail!("--chunk {chunk} has to have room for a heap, and --heap-size must not be 0");
        }
        if *streams == 0 {
            bail!("--streams has to be at least 1");
        }
        let allowed = MIN_PACKET_SIZE..=MAX_DATAGRAM;
        if let Some(packet) = packet.iter().find(|packet| !allowed.contains(packet)) {
            bail!("--packet has to be from {MIN_PACKET_SIZE} to {MAX_DATAGRAM} B, not {packet}");
        }
        let SearchOptions { seconds, low, high, interval, confidence, max_trials } = &self.search;
        if seconds.is_zero() || seconds.as_secs() > 3600 {
            bail!("--seconds has to be above 0, and no more than an hour");
        }
        if high.is_some_and(|high| high <= *low) {
            bail!("--high has to be above --low, which is {low} Gb/s");
        }
        if interval.zip(*high).is_some_and(|(interval, high)| interval > high - low) {
            bail!("--interval is wider than what lies between --low and --high");
        }
        if !(0.5..1.0).contains(confidence) {
            bail!("--confidence has to be from 0.5 to below 1, not {confidence}");
        }
        if *max_trials == 0 {
            bail!("--max-trials has to be at least 1");
        }
        Ok(())
    }

    pub(super) fn seconds(&self) -> Duration {
        self.search.seconds
    }

    pub(super) fn settings(&self) -> Settings {
        let SearchOptions { low, high, interval, confidence, max_trials, .. } = self.search;
        Settings { low, high, interval, confidence, max_trials }
    }

    /// What an agent is told, for packets of up to `packet` bytes.
    pub(super) fn receiving(&self, streams: Vec<Endpoint>, packet: usize) -> Receiving {
        let (workload, tuning) = (&self.workload, &self.receiving);
        let wait = match tuning.coalesce {
            _ if tuning.spin => Wait::Spin,
            Some(time) => Wait::Coalesce(time.as_secs_f64()),
            None => Wait::Sleep,
        };
        Receiving {
            streams,
            heap_size: workload.heap_size,
            heaps_per_chunk: workload.heaps_per_chunk(),
            window: workload.window,
            chunks: workload.chunks(),
            packet,
            buffer: tuning.buffer,
            pin: tuning.pin.clone(),
            gro: !tuning.no_gro,
            wait,
            huge_pages: tuning.huge_pages,
            non_temporal: tuning.non_temporal,
        }
    }
}

impl Workload {
    pub(super) fn heaps_per_chunk(&self) -> u64 {
        (self.chunk / self.heap_size) as u64
    }

    pub(super) fn chunks(&self) -> usize {
        self.chunks.unwrap_or_else(|| self.window.saturating_add(4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        let read = |text: &str| text.parse::<EndpointOption>().map(|option| option.interface);
        assert_eq!(read("10.0.0.1:7148"), Ok(None));
        assert_eq!(read("239.1.2.3:7148@eth1"), Ok(Some("eth1".to_owned())));
        assert_eq!(read("[::1]:7148"), Ok(None));
        for bad in ["", "7148", ":7148", "10.0.0.1", "10.0.0.1:7148@", "10.0.0.1:x"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn endpoints_have_to_be_sendable_to() {
        let resolve = |text: &str| text.parse::<EndpointOption>().unwrap().resolve();
        assert_eq!(resolve("10.0.0.1:0").unwrap().address.port(), 0);
        assert!(resolve("0.0.0.0:7148").is_err());
        assert!(resolve("239.1.2.3:0").is_err());
    }
}

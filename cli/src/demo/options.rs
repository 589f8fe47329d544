//! What the demo is told, and what it makes of it.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use speadway::chunk::Eviction;
use speadway::wire::{Flavour, HeapPlan};

use super::sender;
use crate::choices::EvictionChoice;
use crate::units;

/// See it work: send and receive over loopback UDP in one process, and verify every byte.
///
/// Four ports of 127.0.0.1 receive a stream each; the streams are one group and fill the same
/// chunks. The sender never has more on the way than the sockets hold, so that nothing is lost on
/// any host. Exits with 1 if anything is missing or wrong.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// For how long to send, in seconds
    #[arg(long, value_name = "TIME", default_value = "2", value_parser = units::duration)]
    seconds: Duration,
    /// Send this many heaps instead, rounded up to as many for each port
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    heaps: Option<u64>,
    /// Send at this rate in Gb/s, all ports together [default: as fast as it goes]
    #[arg(long, value_name = "GBPS", value_parser = units::gigabits)]
    rate: Option<f64>,
    /// Ports, with a stream each
    #[arg(long, value_name = "N", default_value_t = 4)]
    ports: usize,
    /// Payload of a heap, in bytes
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = units::size)]
    heap_size: usize,
    /// UDP payload of a packet, in bytes: at most this
    #[arg(long, value_name = "SIZE", default_value = "8972", value_parser = units::size)]
    packet: usize,
    /// Heaps of each port that make a chunk
    #[arg(long, value_name = "N", default_value_t = 16)]
    chunk_heaps: u64,
    /// Chunks that are open at a time; at least 2
    #[arg(long, value_name = "N", default_value_t = 4)]
    window: usize,
    /// What happens to a stream that falls behind: it loses heaps, or the others wait for it
    #[arg(long, value_enum, default_value_t = EvictionChoice::Eager)]
    eviction: EvictionChoice,
    /// Receiving threads, which share the streams [default: 4, but no more than cores or ports]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Receive buffer to ask the kernel for, for each socket, in bytes
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = units::size)]
    buffer: usize,
    /// Damage one heap on purpose, to see that it is noticed
    #[arg(long, value_enum, value_name = "HOW")]
    damage: Option<Damage>,
    /// Show how it is going even if standard error is no terminal
    #[arg(long)]
    pub(super) progress: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// What to do to the damaged heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Damage {
    /// Do not send it
    Lose,
    /// Change one byte of it
    Corrupt,
}

/// When to stop sending.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Amount {
    Time(Duration),
    /// Rounds: one heap for each port.
    Rounds(u64),
}

/// Checked options.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) amount: Amount,
    pub(super) rate: Option<f64>,
    pub(super) ports: usize,
    pub(super) heap_size: usize,
    pub(super) packet: usize,
    pub(super) packets_per_heap: u64,
    pub(super) heaps_per_chunk: u64,
    pub(super) window: usize,
    pub(super) eviction: Eviction,
    pub(super) workers: usize,
    pub(super) buffer: usize,
    pub(super) damage: Option<Damage>,
}

/// What UDP over IPv4 carries at most: 65535 less the headers of both.
const MAX_PACKET: usize = 65_507;

/// Below this a heap is padded to have a byte for each packet that its items need.
const MIN_HEAP: usize = 64;

/// Room for all item pointers in the first packet.
const MIN_PACKET: usize = 128;

const MAX_PORTS: usize = 64;

impl Options {
    /// Checks the options against each other.
    pub(super) fn plan(&self) -> Result<Plan> {
        if !(1..=MAX_PORTS).contains(&self.ports) {
            bail!("--ports has to be from 1 to {MAX_PORTS}, not {}", self.ports);
        }
        if self.heap_size < MIN_HEAP {
            bail!("--heap-size has to be at least {MIN_HEAP} B, not {}", self.heap_size);
        }
        if !(MIN_PACKET..=MAX_PACKET).contains(&self.packet) {
            bail!("--packet has to be from {MIN_PACKET} to {MAX_PACKET} B, not {}", self.packet);
        }
        if self.window < 2 {
            bail!("--window has to be at least 2: the ports are not in step to the heap");
        }
        if self.workers == Some(0) {
            bail!("--workers has to be at least 1");
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = self.workers.unwrap_or_else(|| cores.min(4)).min(self.ports);
        let amount = match self.heaps {
            Some(0) => bail!("--heaps has to be at least 1"),
            Some(heaps) => Amount::Rounds(heaps.div_ceil(self.ports as u64)),
            None => Amount::Time(self.seconds),
        };
        Ok(Plan {
            amount,
            rate: self.rate,
            ports: self.ports,
            heap_size: self.heap_size,
            // As the packets are made: rounded down to a multiple of 8.
            packet: self.packet - self.packet % 8,
            packets_per_heap: packets_per_heap(self.heap_size, self.packet)?,
            heaps_per_chunk: self.chunk_heaps,
            window: self.window,
            eviction: self.eviction.into(),
            workers,
            buffer: self.buffer,
            damage: self.damage,
        })
    }
}

fn packets_per_heap(heap_size: usize, packet: usize) -> Result<u64> {
    let mut plan: HeapPlan = sender::heap_plan(Flavour::default(), 0, heap_size, packet)?;
    let mut header = Vec::new();
    let mut packets = 0;
    while plan.next_packet(&mut header).is_some() {
        header.clear();
        packets += 1;
    }
    Ok(packets)
}

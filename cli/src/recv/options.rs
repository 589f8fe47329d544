//! The options of `speadway recv`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use speadway::chunk::Eviction;
use speadway::memory::CopyMode;
use speadway::recv::{StreamConfig, WaitStrategy};
use speadway::wire::BugCompat;

use crate::choices::EvictionChoice;
use crate::endpoint::Source;
use crate::network::Sockets;
use crate::units;

/// Receive streams and show what arrives: chunks if --heap-size is given, else heaps.
///
/// A SOURCE is HOST:PORT, :PORT or PORT for UDP (HOST is a local address or a multicast group),
/// tcp://HOST:PORT to listen for a sender, or pcap:FILE for all UDP packets of a capture, with #PORT
/// behind it for those sent to one port. Each source is a stream of its own; in chunk mode they are
/// a group and fill the same chunks.
///
/// It ends when the senders end their streams, with --limit or --timeout, or with Ctrl-C, which
/// shows what has arrived so far; a second Ctrl-C drops that, and ends it even if nobody reads what
/// it writes.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where packets come from
    #[arg(required = true, value_name = "SOURCE")]
    pub(super) sources: Vec<Source>,
    #[command(flatten)]
    pub(super) network: Network,
    #[command(flatten)]
    pub(super) streams: Streams,
    #[command(flatten)]
    pub(super) chunks: Chunks,
    #[command(flatten)]
    pub(super) heaps: Heaps,
    #[command(flatten)]
    pub(super) output: Output,
}

/// How packets are received.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(super) struct Network {
    #[command(flatten)]
    pub(super) sockets: Sockets,
    /// Receive multicast only from this sender; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub(super) source_filter: Vec<IpAddr>,
    /// The largest packet that is accepted, in bytes [default: 9200; 65536 over TCP]
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub(super) max_packet: Option<usize>,
    /// Let other sockets receive on the same port
    #[arg(long)]
    pub(super) reuse_port: bool,
    /// Take another TCP connection when one has ended
    #[arg(long)]
    pub(super) reconnect: bool,
}

/// How streams treat packets, and the threads they run on.
#[derive(Debug, Args)]
#[command(next_help_heading = "Streams")]
pub(super) struct Streams {
    /// Heaps under assembly at a time, for each substream
    #[arg(long, value_name = "N", default_value_t = speadway::recv::DEFAULT_MAX_HEAPS)]
    max_heaps: usize,
    /// Senders that number their heaps apart (by heap count modulo N)
    #[arg(long, value_name = "N", default_value_t = 1)]
    substreams: usize,
    /// Accept a heap's packets in any order
    #[arg(long)]
    out_of_order: bool,
    /// Go on when a sender says that its stream ends
    #[arg(long)]
    no_stop: bool,
    /// Read descriptors as PySPEAD 0.5.2 writes them
    #[arg(long)]
    pyspead: bool,
    /// Put all sources on one stream
    #[arg(long)]
    pub(super) joint: bool,
    /// Receiving threads, which share the streams [default: one for each stream, up to the cores]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Cores to pin the receiving threads to, one thread each
    #[arg(long, value_name = "CORE,...", value_delimiter = ',')]
    pin: Vec<usize>,
    /// Never sleep while waiting for packets: takes the core, and the least time
    #[arg(long, conflicts_with = "coalesce")]
    spin: bool,
    /// Wait this much longer for more packets before receiving any, which saves CPU time
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    coalesce: Option<Duration>,
    /// Copy large payloads to chunks past the caches, for chunks that do not fit there
    #[arg(long)]
    non_temporal: bool,
}

/// Chunk mode.
#[derive(Debug, Args)]
#[command(next_help_heading = "Chunks")]
pub(super) struct Chunks {
    /// Payload of a heap in bytes; collects heaps in chunks
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub(super) heap_size: Option<usize>,
    /// Item that orders the heaps: an immediate one, such as a timestamp; 1 is the heap count, which
    /// every heap has
    #[arg(long, value_name = "ID", default_value = "0x1600", value_parser = units::number)]
    pub(super) sequence_item: u64,
    /// How much the sequence item grows from one heap to the next
    #[arg(long, value_name = "N", default_value = "1", value_parser = units::number)]
    pub(super) step: u64,
    /// The sequence item at the start of chunk 0; earlier heaps are rejected
    #[arg(long, value_name = "N", default_value = "0", value_parser = units::number)]
    pub(super) origin: u64,
    /// Values of the sequence item that share a chunk
    #[arg(long, value_name = "N", default_value = "64", value_parser = units::number)]
    pub(super) heaps_per_chunk: u64,
    /// Another item that says where heaps go, such as an antenna: it takes COUNT values from FIRST
    /// (0), STEP (1) apart; may be repeated, the outermost first
    #[arg(long = "axis", value_name = "ITEM:COUNT[:FIRST[:STEP]]")]
    pub(super) axes: Vec<Axis>,
    /// Each stream fills its own part of the chunks
    #[arg(long)]
    pub(super) member_axis: bool,
    /// Chunks that are open at a time
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(super) window: usize,
    /// Chunks that one stream of several has open at a time [default: one less than --window]
    #[arg(long, value_name = "N")]
    pub(super) member_window: Option<usize>,
    /// What happens when a stream falls behind the others [default: eager; lossless for
    /// captures]
    #[arg(long, value_enum)]
    eviction: Option<EvictionChoice>,
    /// Hand over chunks that have been open this long though nothing newer arrives; what arrives for
    /// them later is lost, with --eviction lossless too [default: off]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub(super) max_age: Option<Duration>,
    /// Do not believe ids further than this many chunks outside the window, until several in a row
    /// agree; otherwise one corrupt id can make all that follow too old [default: off]
    #[arg(long, value_name = "CHUNKS")]
    pub(super) max_jump: Option<u64>,
    /// Chunks of memory in all [default: --window and 4 more]
    #[arg(long, value_name = "N")]
    pub(super) chunks: Option<usize>,
    /// Deliver a heap again whose place has been filled already
    #[arg(long)]
    pub(super) no_deduplicate: bool,
}

/// Heap mode.
#[derive(Debug, Args)]
#[command(next_help_heading = "Heaps")]
pub(super) struct Heaps {
    /// Show the values of items
    #[arg(long)]
    pub(super) values: bool,
    /// Elements shown of each value; 0: all
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(super) max_values: usize,
    /// Show the descriptors that heaps carry
    #[arg(long)]
    pub(super) descriptors: bool,
    /// Show incomplete heaps too
    #[arg(long)]
    pub(super) incomplete: bool,
}

/// What is shown, and for how long.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct Output {
    /// End after so many chunks or heaps
    #[arg(long, value_name = "N", aliases = ["chunks-limit", "heaps-limit"])]
    pub(super) limit: Option<u64>,
    /// End after this time, in seconds
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub(super) timeout: Option<Duration>,
    /// Show every chunk (heaps are shown anyway)
    #[arg(long)]
    pub(super) events: bool,
    /// Check the values that `speadway send --verify` sends; of chunks, those of a single stream
    #[arg(long)]
    pub(super) verify: bool,
    /// Show a digest (FNV-1a, 64 bits) of the bytes of every chunk or heap; what is missing in a
    /// chunk counts as zeros
    #[arg(long)]
    pub(super) hash: bool,
    /// Write the bytes of chunks (chunk-ID.bin, with zeros for what is missing, and chunk-ID.present
    /// with a byte for each heap) or heaps (heap-STREAM-COUNT.bin) to files in this directory
    #[arg(long, value_name = "DIR")]
    pub(super) write: Option<PathBuf>,
    /// Write one JSON object a line: "start", then "chunk" or "heap" events, then "end"
    #[arg(long)]
    pub(super) json: bool,
    /// Show nothing but the result
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// Show the progress though standard error is no terminal
    #[arg(long)]
    pub(super) progress: bool,
}

impl Options {
    /// What happens to a stream that falls behind. Captures wait for each other unless told
    /// otherwise: nobody sends them, so nothing is lost by waiting.
    pub(super) fn eviction(&self) -> Eviction {
        let captures = self.sources.iter().all(|source| matches!(source, Source::Pcap(..)));
        match self.chunks.eviction {
            Some(choice) => choice.into(),
            None if captures => Eviction::Lossless,
            None => Eviction::Eager,
        }
    }
}

/// An axis of the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    pub(super) item: u64,
    pub(super) count: usize,
    pub(super) first: u64,
    pub(super) step: u64,
}

impl std::str::FromStr for Axis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(':').map(units::number).collect::<Result<Vec<_>, _>>()?;
        let (item, count, first, step) = match parts[..] {
            [item, count] => (item, count, 0, 1),
            [item, count, first] => (item, count, first, 1),
            [item, count, first, step] => (item, count, first, step),
            _ => return Err("write ITEM:COUNT[:FIRST[:STEP]], as in 0x1601:4".to_owned()),
        };
        let count = usize::try_from(count).map_err(|_| "COUNT is too large".to_owned())?;
        Ok(Self { item, count, first, step })
    }
}

impl Streams {
    /// How stream `id` treats its packets.
    pub(super) fn config(&self, id: usize) -> StreamConfig {
        let bug_compat = if self.pyspead { BugCompat::PYSPEAD_0_5_2 } else { BugCompat::NONE };
        let copy_mode = if self.non_temporal { CopyMode::NonTemporal } else { CopyMode::Cached };
        StreamConfig::default()
            .copy_mode(copy_mode)
            .max_heaps(self.max_heaps)
            .substreams(self.substreams)
            .allow_out_of_order(self.out_of_order)
            .stop_on_stop_item(!self.no_stop)
            .bug_compat(bug_compat)
            .stream_id(id as u64)
    }

    /// The deviations that descriptors are read with.
    pub(super) fn bug_compat(&self) -> BugCompat {
        if self.pyspead { BugCompat::PYSPEAD_0_5_2 } else { BugCompat::NONE }
    }

    /// How many threads `streams` streams run on, and the core for each if they are pinned.
    pub(super) fn threads(&self, streams: usize) -> Result<Vec<Option<usize>>> {
        match (self.workers, self.pin.len()) {
            (Some(0), _) => bail!("--workers has to be at least 1"),
            (Some(workers), cores) if cores > 0 && workers != cores => bail!(
                "--pin names {cores} cores for {workers} threads; name one for each, or leave out \
                 --workers"
            ),
            (_, cores) if cores > 0 => {
                refuse_cores(&self.pin)?;
                Ok(self.pin.iter().copied().take(streams).map(Some).collect())
            }
            (workers, _) => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                Ok(vec![None; workers.unwrap_or(cores).min(streams)])
            }
        }
    }

    /// How the threads wait.
    pub(super) fn wait(&self) -> WaitStrategy {
        match self.coalesce {
            _ if self.spin => WaitStrategy::Spin,
            Some(time) => WaitStrategy::Coalesce(time),
            None => WaitStrategy::Sleep,
        }
    }
}

/// Refuses cores that this process may not run on, before anything is opened.
fn refuse_cores(cores: &[usize]) -> Result<()> {
    let Some(allowed) = core_affinity::get_core_ids() else { return Ok(()) };
    let allowed: Vec<usize> = allowed.iter().map(|core| core.id).collect();
    match cores.iter().find(|core| !allowed.contains(core)) {
        Some(core) => bail!("--pin: this process may use the cores {allowed:?}, not {core}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_read() {
        let axis = |item, count, first, step| Ok(Axis { item, count, first, step });
        assert_eq!("0x1601:4".parse(), axis(0x1601, 4, 0, 1));
        assert_eq!("0x1601:4:8:2".parse(), axis(0x1601, 4, 8, 2));
        for bad in ["", "1", "1:2:3:4:5", "a:2", "1:"] {
            assert!(bad.parse::<Axis>().is_err(), "{bad}");
        }
    }
}

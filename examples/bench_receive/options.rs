//! What can be said on the command line.

use std::str::FromStr;

use speadway::memory::CopyMode;
use speadway::recv::StreamConfig;

use crate::Result;

/// The workload and how to receive it. Sizes are in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Payload of a heap.
    pub(crate) heap: usize,
    /// Payload of a packet; a heap's last may be shorter.
    pub(crate) payload: usize,
    /// Data of a chunk.
    pub(crate) chunk: usize,
    /// Chunks that circulate.
    pub(crate) chunks: usize,
    /// Chunks that the window holds open.
    pub(crate) window: usize,
    /// Packets in memory, together.
    pub(crate) bytes: usize,
    /// Passes over the packets in memory, after one that warms up.
    pub(crate) passes: usize,
    /// Whether packets in memory and chunks are to be in huge pages.
    pub(crate) huge: bool,
    /// Whether large payloads are copied past the caches, by streams and the minimal loop.
    pub(crate) nontemporal: bool,
    /// The cores for workers, one to each; everything else stays on the first.
    pub(crate) cores: Vec<usize>,
    /// Streams, each with packets of its own.
    pub(crate) streams: usize,
    /// Whether streams are the members of a group that loses nothing.
    pub(crate) group: bool,
    /// The socket buffer to ask for.
    pub(crate) buffer: usize,
    /// Messages per receive call; 0 leaves it to the receiver.
    pub(crate) batch: usize,
    /// Whether the kernel may merge (`UDP_GRO`) or split (`UDP_SEGMENT`) datagrams.
    pub(crate) merge: bool,
    /// Whether trains are sent from where they are, without the kernel's copy. That is half of what
    /// sending takes; but receivers then find packets in pieces of a page, and not in the cache.
    pub(crate) splice: bool,
    /// Microseconds to gather packets for, after a wake-up.
    pub(crate) coalesce: u64,
    /// Heaps that a receiver sends to itself before it goes on; with 0, others send.
    pub(crate) burst: u64,
    /// Whether to compare what came with what was sent, where the way offers it.
    pub(crate) check: bool,
    /// Where to send to: a port of this host for each stream.
    pub(crate) ports: Vec<u16>,
    /// Heaps to send.
    pub(crate) heaps: u64,
    /// Payload bytes a second to send; 0 for as many as there can be.
    pub(crate) rate: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            heap: 65536,
            payload: 1416,
            chunk: 4 << 20,
            chunks: 8,
            window: 4,
            bytes: 256 << 20,
            passes: 3,
            huge: true,
            nontemporal: false,
            cores: Vec::new(),
            streams: 1,
            group: false,
            buffer: 4 << 20,
            batch: 0,
            merge: true,
            splice: false,
            coalesce: 0,
            burst: 0,
            check: false,
            ports: Vec::new(),
            heaps: 0,
            rate: 0.0,
        }
    }
}

fn list<T: FromStr>(text: &str) -> std::result::Result<Vec<T>, T::Err> {
    text.split(',').map(str::parse).collect()
}

impl Options {
    /// The core that threads besides workers stay on.
    pub(crate) fn core(&self) -> Option<core_affinity::CoreId> {
        self.cores.first().map(|&id| core_affinity::CoreId { id })
    }

    /// Which stream receives heap `number` of `heaps` from memory: members of a group take turns, others
    /// have a part each.
    pub(crate) fn member(&self, number: u64, heaps: u64) -> usize {
        let streams = self.streams as u64;
        let member = if self.group { number % streams } else { number * streams / heaps };
        member as usize
    }

    /// How a stream treats packets.
    pub(crate) fn stream_config(&self) -> StreamConfig {
        let mode = if self.nontemporal { CopyMode::NonTemporal } else { CopyMode::Cached };
        StreamConfig::default().copy_mode(mode)
    }

    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self::default();
        for argument in arguments {
            let Some((name, value)) = argument.split_once('=') else {
                return Err(format!("{argument} is not NAME=VALUE").into());
            };
            match name {
                "heap" => options.heap = value.parse()?,
                "payload" => options.payload = value.parse()?,
                "chunk" => options.chunk = value.parse()?,
                "chunks" => options.chunks = value.parse()?,
                "window" => options.window = value.parse()?,
                "bytes" => options.bytes = value.parse()?,
                "passes" => options.passes = value.parse()?,
                "huge" => options.huge = value == "1",
                "nontemporal" => options.nontemporal = value == "1",
                "core" => options.cores = list(value)?,
                "streams" => options.streams = value.parse()?,
                "group" => options.group = value == "1",
                "buffer" => options.buffer = value.parse()?,
                "batch" => options.batch = value.parse()?,
                "merge" => options.merge = value == "1",
                "splice" => options.splice = value == "1",
                "coalesce" => options.coalesce = value.parse()?,
                "burst" => options.burst = value.parse()?,
                "check" => options.check = value == "1",
                "port" => options.ports = list(value)?,
                "heaps" => options.heaps = value.parse()?,
                "rate" => options.rate = value.parse()?,
                _ => return Err(format!("nothing is called {name}").into()),
            }
        }
        if options.streams == 0 {
            return Err("somebody must receive".into());
        }
        if options.heap == 0 || options.payload == 0 || options.chunk % options.heap != 0 {
            return Err("heaps must fill a chunk, and packets carry something".into());
        }
        Ok(options)
    }
}

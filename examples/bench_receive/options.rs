//! What can be said on the command line.

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
    /// Whether large payloads are copied past the caches.
    pub(crate) nontemporal: bool,
    /// The core to stay on.
    pub(crate) core: Option<usize>,
    /// The socket buffer to ask for.
    pub(crate) buffer: usize,
    /// Messages per receive call; 0 leaves it to the receiver.
    pub(crate) batch: usize,
    /// Whether the kernel may merge (`UDP_GRO`) or split (`UDP_SEGMENT`) datagrams.
    pub(crate) merge: bool,
    /// Microseconds to gather packets for, after a wake-up.
    pub(crate) coalesce: u64,
    /// Where to send to: a port of this host.
    pub(crate) port: u16,
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
            core: None,
            buffer: 4 << 20,
            batch: 0,
            merge: true,
            coalesce: 0,
            port: 0,
            heaps: 0,
            rate: 0.0,
        }
    }
}

impl Options {
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
                "core" => options.core = Some(value.parse()?),
                "buffer" => options.buffer = value.parse()?,
                "batch" => options.batch = value.parse()?,
                "merge" => options.merge = value == "1",
                "coalesce" => options.coalesce = value.parse()?,
                "port" => options.port = value.parse()?,
                "heaps" => options.heaps = value.parse()?,
                "rate" => options.rate = value.parse()?,
                _ => return Err(format!("nothing is called {name}").into()),
            }
        }
        if options.heap == 0 || options.payload == 0 || options.chunk % options.heap != 0 {
            return Err("heaps must fill a chunk, and packets carry something".into());
        }
        Ok(options)
    }
}

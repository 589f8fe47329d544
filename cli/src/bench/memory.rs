//! `speadway bench mem`: from packets in memory to chunks, without a kernel in the way.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use serde::Serialize;
use speadway::chunk::{Chunk, ChunkPool, Chunks, Layout, RingPolicy};
use speadway::recv::readers::MemoryReader;
use speadway::recv::{Stream, Worker};
use speadway::ring::Ring;
use speadway::wire::ids::HEAP_CNT;
use speadway::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue};

use super::results::write_aligned;
use crate::units::{self, Bytes};

/// The item that carries the payload.
const SAMPLES: u64 = 0x4300;

/// Finished chunks that may wait to be looked at.
const RING: usize = 2;

/// Passes at least: their median is told, and how far they lie apart.
const PASSES: usize = 7;

/// Measure how fast packets in memory become chunks.
///
/// Without sockets and system calls, this is the cost of the receiver itself: decoding, placing and
/// the copy. Every heap size is combined with every packet size.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Payload of a heap, in bytes; several are measured one after the other
    #[arg(long, value_name = "SIZE,...", default_value = "64KiB", value_delimiter = ',', value_parser = units::size)]
    heap_size: Vec<usize>,
    /// The largest packet, in bytes; several are measured one after the other
    #[arg(long, value_name = "SIZE,...", default_value = "1472,8972", value_delimiter = ',', value_parser = units::size)]
    packet: Vec<usize>,
    /// Payload of a chunk, in bytes, rounded down to whole heaps
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = units::size)]
    chunk: usize,
    /// Chunks that are open at a time
    #[arg(long, value_name = "N", default_value_t = 4)]
    window: usize,
    /// Chunks of memory in all [default: --window and 4 more]
    #[arg(long, value_name = "N")]
    chunks: Option<usize>,
    /// Payload of all packets, in bytes, rounded down to whole chunks: more than the caches hold
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = units::size)]
    memory: usize,
    /// For how long to measure each combination
    #[arg(long, value_name = "TIME", default_value = "1", value_parser = units::duration)]
    seconds: Duration,
    /// Core to pin the receiving thread to
    #[arg(long, value_name = "CORE")]
    pin: Option<usize>,
    /// Write the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// One combination of sizes. Times are the median of all passes.
#[derive(Debug, Serialize)]
struct Row {
    heap_size: usize,
    packet: usize,
    /// Gb/s of payload.
    gigabits_per_second: f64,
    ns_per_packet: f64,
    ns_per_heap: f64,
    /// The slowest pass less the fastest, as part of the median.
    spread: f64,
    passes: usize,
}

/// Measures. It fails unless every heap arrives.
pub(super) fn run(options: &Options) -> Result<bool> {
    if options.window == 0 || options.chunk == 0 {
        bail!("--window and --chunk have to be above 0");
    }
    let worker = Worker::builder().name("receive");
    let worker = options.pin.into_iter().fold(worker, |worker, core| worker.pin(core));
    let worker = worker.start().context("cannot start the receiving thread; look at --pin")?;
    let mut rows = Vec::new();
    for &heap_size in &options.heap_size {
        for &packet in &options.packet {
            rows.push(Load::new(options, heap_size, packet)?.measure(&worker, options)?);
        }
    }
    let mut out = io::stdout().lock();
    if options.json {
        serde_json::to_writer(&mut out, &serde_json::json!({ "rows": rows }))?;
        writeln!(out)?;
    } else {
        write(&mut out, &rows)?;
    }
    Ok(true)
}

/// Packets to receive, and chunks to receive them into.
struct Load {
    layout: Layout,
    pool: ChunkPool,
    packets: Arc<Vec<u8>>,
    packet: usize,
    packet_count: u64,
    heaps: u64,
}

impl Load {
    fn new(options: &Options, heap_size: usize, packet: usize) -> Result<Self> {
        let per_chunk = (options.chunk.checked_div(heap_size).unwrap_or(0)) as u64;
        if per_chunk == 0 {
            bail!("--heap-size {heap_size} has to be above 0 and fit --chunk {}", options.chunk);
        }
        let layout = Layout::builder(HEAP_CNT, heap_size).heaps_per_chunk(per_chunk).build()?;
        let chunks = options.chunks.unwrap_or_else(|| options.window.saturating_add(4));
        if chunks < options.window {
            bail!("--chunks {chunks} is less than --window {}", options.window);
        }
        let pool = ChunkPool::zeroed(chunks, layout.chunk_size(), layout.heaps())
            .map_err(|error| anyhow!("{error}; use a smaller --chunk or fewer --chunks"))?;
        let heaps = (options.memory / layout.chunk_size()).max(1) as u64 * per_chunk;
        let payload = vec![0x5a; heap_size];
        let (mut packets, mut packet_count) = (Vec::new(), 0);
        for cnt in 0..heaps {
            let items = [EncodeItem { id: SAMPLES, value: ItemValue::Addressed(&payload) }];
            let heap = HeapEncoder::new(Flavour::default(), cnt, packet, &items, false)
                .context("such packets cannot be; look at --packet and --heap-size")?;
            for packet in heap.packets() {
                packets.extend_from_slice(&packet);
                packet_count += 1;
            }
        }
        Ok(Self { layout, pool, packets: Arc::new(packets), packet, packet_count, heaps })
    }

    fn measure(&self, worker: &Worker, options: &Options) -> Result<Row> {
        // Has the chunks' memory touched.
        self.pass(worker, options.window)?;
        let (start, mut times) = (Instant::now(), Vec::new());
        while times.len() < PASSES || start.elapsed() < options.seconds {
            times.push(self.pass(worker, options.window)?.as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        let heap_size = self.layout.heap_size();
        Ok(Row {
            heap_size,
            packet: self.packet,
            gigabits_per_second: (heap_size as u64 * self.heaps) as f64 * 8e-9 / median,
            ns_per_packet: median * 1e9 / self.packet_count as f64,
            ns_per_heap: median * 1e9 / self.heaps as f64,
            spread: (times[times.len() - 1] - times[0]) / median,
            passes: times.len(),
        })
    }

    /// Receives everything once; how long that took.
    fn pass(&self, worker: &Worker, window: usize) -> Result<Duration> {
        let ring: Ring<Chunk> = Ring::new(RING)?;
        let bytes = SharedBytes(Arc::clone(&self.packets));
        let start = Instant::now();
        let stream = Stream::chunks(self.layout.clone())
            .window(window)
            .ring(&self.pool, &ring, RingPolicy::default())
            .reader(MemoryReader::new(bytes))
            .start(worker)?;
        let mut chunks = Chunks::new(&ring);
        chunks.by_ref().for_each(drop);
        let time = start.elapsed();
        let present = chunks.tally().heaps_present;
        if present != self.heaps {
            bail!("{present} of {} heaps arrived:\n{}", self.heaps, stream.stats());
        }
        Ok(time)
    }
}

/// Bytes that several streams read one after the other.
struct SharedBytes(Arc<Vec<u8>>);

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn write(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    let heads = ["heap", "packet", "Gb/s", "ns/packet", "ns/heap", "spread", "passes"];
    let cells = |row: &Row| {
        [
            Bytes(row.heap_size as u64).to_string(),
            format!("{} B", row.packet),
            format!("{:.1}", row.gigabits_per_second),
            format!("{:.1}", row.ns_per_packet),
            format!("{:.0}", row.ns_per_heap),
            format!("{:.0} %", row.spread * 100.0),
            row.passes.to_string(),
        ]
    };
    let mut lines = vec![heads.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    write_aligned(out, &lines)
}

//! From memory, without a kernel.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use speadway::chunk::{Chunk, ChunkPool, Layout};
use speadway::memory::{Allocator, Buffer, HugePages, MapOptions, MmapAllocator};
use speadway::recv::readers::MemoryReader;
use speadway::ring::Ring;

use crate::Result;
use crate::load::{self, HEADER, NUMBER};
use crate::options::Options;
use crate::streams::{self, Streams};
use crate::system::cpu_seconds;

/// A pool of chunks whose pages are there.
pub(crate) fn pool(options: &Options, heaps: usize) -> Result<ChunkPool> {
    Ok(ChunkPool::allocated(options.chunks, options.chunk, heaps, &memory(options))?)
}

/// Memory whose pages are there, huge ones if possible: the peer's arrays have them too.
fn memory(options: &Options) -> MmapAllocator {
    let huge_pages = if options.huge { HugePages::Prefer } else { HugePages::No };
    MmapAllocator::new(MapOptions { huge_pages, populate: true, ..MapOptions::default() })
}

/// The packets of a stream, for a reader per pass.
#[derive(Clone)]
struct Packets(Arc<Buffer>);

impl AsRef<[u8]> for Packets {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Heaps for each stream, of `options.bytes` together, and how many they are.
fn packets(options: &Options) -> Result<(Vec<Packets>, u64)> {
    let (streams, heaps) = load::in_memory(options)?;
    let packets = streams.into_iter().map(|bytes| {
        let mut packets = memory(options).allocate(bytes.len())?;
        packets.copy_from_slice(&bytes);
        Ok(Packets(Arc::new(packets)))
    });
    Ok((packets.collect::<Result<_>>()?, heaps))
}

pub(crate) fn layout(options: &Options) -> Result<Layout> {
    let heaps = (options.chunk / options.heap) as u64;
    Ok(Layout::builder(NUMBER, options.heap).heaps_per_chunk(heaps).build()?)
}

/// Waits in the caller's thread for the chunks, and gives them back.
pub(crate) fn consume(ring: &Ring<Chunk>) -> u64 {
    ring.into_iter().map(|chunk| chunk.n_present()).sum()
}

/// Times passes of streams over packets in memory.
pub(crate) fn stream(options: &Options) -> Result<()> {
    let (packets, heaps) = packets(options)?;
    let layout = layout(options)?;
    let pool = pool(options, layout.heaps())?;
    let workers = streams::workers(options, |builder| builder)?;
    time(options, heaps, || {
        let ring = Ring::new(options.chunks)?;
        let readers = packets.iter().cloned().map(MemoryReader::new).collect();
        let streams = Streams::start(options, &layout, &workers, (&pool, &ring), readers)?;
        let received = consume(&ring);
        streams.wait();
        if received == heaps { Ok(()) } else { Err(format!("{received} of {heaps}").into()) }
    })
}

/// Writes the packets to standard output.
pub(crate) fn print_packets(options: &Options) -> Result<()> {
    for stream in load::in_memory(options)?.0 {
        std::io::stdout().write_all(&stream)?;
    }
    Ok(())
}

/// Times passes of `memcpy` over the same payloads to the same places.
pub(crate) fn copy(options: &Options) -> Result<()> {
    let (packets, heaps) = packets(options)?;
    let mut chunks = Chunks::new(options)?;
    time(options, heaps, || {
        let mut at = 0;
        for stream in &packets {
            let mut rest = stream.as_ref();
            while !rest.is_empty() {
                let payload = options.payload.min(options.heap - at % options.heap);
                let (packet, behind) = rest.split_at(HEADER + payload);
                at = chunks.store(at, &packet[HEADER..]);
                rest = behind;
            }
        }
        Ok(())
    })
}

/// Times passes of the least that receiving them takes: it finds where each packet ends and where
/// its heap's payload goes by what it says at fixed places, copies, and counts whole heaps. It trusts whatever
/// comes.
pub(crate) fn minimal(options: &Options) -> Result<()> {
    let (packets, heaps) = packets(options)?;
    let mut chunks = Chunks::new(options)?;
    time(options, heaps, || {
        let (mut bytes, mut whole) = (0, 0);
        for stream in &packets {
            let mut rest = stream.as_ref();
            while !rest.is_empty() {
                let packet = Minimal::decode(rest)?;
                let at = packet.number * options.heap as u64 + packet.offset;
                chunks.store((at % chunks.bytes()) as usize, packet.payload);
                bytes += packet.payload.len();
                if bytes == options.heap {
                    (bytes, whole) = (0, whole + 1);
                }
                rest = packet.behind;
            }
        }
        if whole == heaps { Ok(()) } else { Err(format!("{whole} of {heaps}").into()) }
    })
}

/// What the minimal loop wants to know of a packet.
struct Minimal<'a> {
    number: u64,
    offset: u64,
    payload: &'a [u8],
    behind: &'a [u8],
}

impl<'a> Minimal<'a> {
    #[inline]
    fn decode(bytes: &'a [u8]) -> Result<Self> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
            return Err("no packet".into());
        };
        let (words, _) = header.as_chunks();
        let value = |word: usize| u64::from_be_bytes(words[word]) & 0xffff_ffff_ffff;
        let (payload, behind) = rest.split_at(value(4) as usize);
        Ok(Self { number: value(5), offset: value(3), payload, behind })
    }
}

/// Chunks to copy to, without a stream.
struct Chunks {
    chunks: Vec<Chunk>,
    size: usize,
}

impl Chunks {
    fn new(options: &Options) -> Result<Self> {
        let pool = pool(options, layout(options)?.heaps())?;
        let chunks = std::iter::from_fn(|| pool.try_take()).collect();
        Ok(Self { chunks, size: options.chunk })
    }

    /// Bytes of all chunks.
    fn bytes(&self) -> u64 {
        (self.chunks.len() * self.size) as u64
    }

    /// Copies a payload to a place of the chunks together. Where the next goes.
    #[inline]
    fn store(&mut self, at: usize, payload: &[u8]) -> usize {
        let (chunk, start) = (at / self.size, at % self.size);
        let data = &mut self.chunks[chunk].data_mut()[start..start + payload.len()];
        data.copy_from_slice(payload);
        std::hint::black_box(data);
        let end = at + payload.len();
        if end == self.chunks.len() * self.size { 0 } else { end }
    }
}

/// Prints what each pass took, by the clock and of the processor.
fn time(options: &Options, heaps: u64, mut pass: impl FnMut() -> Result<()>) -> Result<()> {
    let (mut seconds, mut cpu) = (Vec::new(), Vec::new());
    for number in 0..=options.passes {
        let (start, used) = (Instant::now(), cpu_seconds());
        pass()?;
        if number > 0 || options.passes == 0 {
            seconds.push(start.elapsed().as_secs_f64());
            cpu.push(cpu_seconds() - used);
        }
    }
    let packets = heaps * options.heap.div_ceil(options.payload) as u64;
    let bytes = heaps * options.heap as u64;
    let (seconds, cpu) = (median(seconds), median(cpu));
    let nanos = 1e9 / packets as f64;
    println!(
        "{{\"heaps\": {heaps}, \"packets\": {packets}, \"bytes\": {bytes}, \"seconds\": {seconds:.6}, \
         \"packet_ns\": {:.2}, \"cpu_ns\": {:.2}}}",
        seconds * nanos,
        cpu * nanos
    );
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

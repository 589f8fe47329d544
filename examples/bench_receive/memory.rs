//! From memory, without a kernel.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use speadway::chunk::{Chunk, ChunkPool, Layout, RingPolicy};
use speadway::memory::Buffer;
use speadway::recv::readers::MemoryReader;
use speadway::recv::{Stream, Worker, WorkerBuilder};
use speadway::ring::Ring;

use crate::Result;
use crate::load::{self, HEADER, NUMBER};
use crate::options::Options;

/// A pool of chunks whose pages are there.
pub(crate) fn pool(options: &Options, heaps: usize) -> Result<ChunkPool> {
    let pool = ChunkPool::new(options.chunks)?;
    for _ in 0..options.chunks {
        pool.add(Chunk::new(touched(options.chunk)?, touched(heaps)?, Buffer::default()))?;
    }
    Ok(pool)
}

fn touched(len: usize) -> Result<Buffer> {
    let mut buffer = Buffer::zeroed(len)?;
    buffer.touch_pages();
    Ok(buffer)
}

pub(crate) fn layout(options: &Options) -> Result<Layout> {
    let heaps = (options.chunk / options.heap) as u64;
    Ok(Layout::builder(NUMBER, options.heap).heaps_per_chunk(heaps).build()?)
}

pub(crate) fn worker(options: &Options) -> WorkerBuilder {
    let builder = Worker::builder();
    match options.core {
        Some(core) => builder.pin(core),
        None => builder,
    }
}

/// Waits in the caller's thread for the chunks, and gives them back.
pub(crate) fn consume(ring: &Ring<Chunk>) -> u64 {
    ring.into_iter().map(|chunk| chunk.n_present()).sum()
}

/// Times passes of a stream over packets in memory.
pub(crate) fn stream(options: &Options) -> Result<()> {
    let (packets, heaps) = load::in_memory(options)?;
    let packets = Arc::<[u8]>::from(packets);
    let layout = layout(options)?;
    let pool = pool(options, layout.heaps())?;
    let worker = worker(options).start()?;
    time(options, heaps, || {
        let ring = Ring::new(options.chunks)?;
        let stream = Stream::chunks(layout.clone())
            .window(options.window)
            .ring(&pool, &ring, RingPolicy::default())
            .reader(MemoryReader::new(Arc::clone(&packets)))
            .start(&worker)?;
        let received = consume(&ring);
        stream.wait();
        if received == heaps { Ok(()) } else { Err(format!("{received} of {heaps}").into()) }
    })
}

/// Writes the packets to standard output.
pub(crate) fn print_packets(options: &Options) -> Result<()> {
    std::io::stdout().write_all(&load::in_memory(options)?.0)?;
    Ok(())
}

/// Times passes of `memcpy` over the same payloads to the same places.
pub(crate) fn copy(options: &Options) -> Result<()> {
    let (packets, heaps) = load::in_memory(options)?;
    let layout = layout(options)?;
    let pool = pool(options, layout.heaps())?;
    let mut chunks: Vec<Chunk> = std::iter::from_fn(|| pool.try_take()).collect();
    time(options, heaps, || {
        let (mut chunk, mut at, mut rest) = (0, 0, &packets[..]);
        while !rest.is_empty() {
            let in_heap = options.heap - at % options.heap;
            let payload = options.payload.min(in_heap);
            let (packet, behind) = rest.split_at(HEADER + payload);
            chunks[chunk].data_mut()[at..at + payload].copy_from_slice(&packet[HEADER..]);
            rest = behind;
            at += payload;
            if at == options.chunk {
                (chunk, at) = ((chunk + 1) % chunks.len(), 0);
            }
        }
        std::hint::black_box(&mut chunks);
        Ok(())
    })
}

/// Prints what each pass took.
fn time(options: &Options, heaps: u64, mut pass: impl FnMut() -> Result<()>) -> Result<()> {
    let mut seconds = Vec::new();
    for number in 0..=options.passes {
        let start = Instant::now();
        pass()?;
        if number > 0 || options.passes == 0 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    let packets = heaps * options.heap.div_ceil(options.payload) as u64;
    let bytes = heaps * options.heap as u64;
    let seconds = seconds[seconds.len() / 2];
    println!(
        "{{\"heaps\": {heaps}, \"packets\": {packets}, \"bytes\": {bytes}, \"seconds\": {seconds:.6}, \
         \"packet_ns\": {:.2}}}",
        seconds * 1e9 / packets as f64
    );
    Ok(())
}

//! Replays a capture into chunks, as if it came from the network.
//!
//! `cargo run --release --example pcap_replay -- tests/data/pcap/lo-2ports.pcap 4096` replays a
//! capture of heaps with 4096 bytes, numbered in item 0x1600 in steps of 4096.

use std::error::Error;

use speadway::chunk::{ChunkPool, Chunks, Layout, RingPolicy};
use speadway::recv::readers::{PcapConfig, PcapReader};
use speadway::recv::{Stream, StreamConfig, Worker};
use speadway::ring::Ring;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: pcap_replay FILE HEAP_SIZE")?;
    let heap_size: usize = arguments.next().ok_or("usage: pcap_replay FILE HEAP_SIZE")?.parse()?;

    let layout =
        Layout::builder(0x1600, heap_size).step(heap_size as u64).heaps_per_chunk(2).build()?;
    let pool = ChunkPool::zeroed(8, layout.chunk_size(), layout.heaps())?;
    let ring = Ring::new(4)?;

    let reader = PcapReader::open(&path, PcapConfig::default())?;
    let counts = reader.counts();
    let stream = Stream::chunks(layout)
        // The capture has several senders, each of which ends its own stream.
        .config(StreamConfig::default().stop_on_stop_item(false).max_heaps(8))
        .ring(&pool, &ring, RingPolicy::default())
        .reader(reader)
        .start(&Worker::new()?)?;

    let mut chunks = Chunks::new(&ring);
    for chunk in &mut chunks {
        println!("chunk {}: {} of {} heaps", chunk.id(), chunk.n_present(), chunk.present().len());
    }
    println!("{:?}\n{counts:?}\nended: {:?}", chunks.tally(), stream.wait());
    print!("{}", stream.stats());
    Ok(())
}

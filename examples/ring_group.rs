//! Two ports, one sequence of chunks: a group whose chunks circulate through a ring.
//!
//! `cargo run --release --example ring_group -- 127.0.0.1:7148 127.0.0.1:7149`, then send heaps of
//! 8 KiB with their number in item 0x1600 to the ports, each port its half of them.

use std::error::Error;

use speadway::chunk::{ChunkPool, Chunks, Eviction, Layout, RingPolicy};
use speadway::net::UdpConfig;
use speadway::recv::readers::UdpReader;
use speadway::recv::{Group, Member, StreamConfig, Worker};
use speadway::ring::Ring;

const HEAP_SIZE: usize = 8192;

fn main() -> Result<(), Box<dyn Error>> {
    let endpoints: Vec<String> = std::env::args().skip(1).collect();
    if endpoints.is_empty() {
        return Err("usage: ring_group ADDRESS:PORT ...".into());
    }

    // 256 consecutive heaps make a chunk of 2 MiB, whichever port they come by.
    let layout = Layout::builder(0x1600, HEAP_SIZE).heaps_per_chunk(256).build()?;
    // Four chunks are open in the window; four more may be in the ring or with us.
    let pool = ChunkPool::zeroed(8, layout.chunk_size(), layout.heaps())?;
    let ring = Ring::new(4)?;

    let mut group = Group::builder().window(4).eviction(Eviction::Eager).ring(
        &pool,
        &ring,
        RingPolicy::default(),
    );
    for (number, endpoint) in endpoints.iter().enumerate() {
        let reader = UdpReader::bind(&UdpConfig::new(endpoint.parse()?))?;
        if let Some(hint) = reader.recv_buffer().sysctl_hint() {
            eprintln!("{endpoint}: {hint}");
        }
        let member = Member::new(layout.clone())
            .window(3)
            .config(StreamConfig::default().stream_id(number as u64))
            .reader(reader);
        // A thread for each port; `.pin(core)` would keep it on a core of its own.
        let worker = Worker::builder().name(format!("port-{number}")).start()?;
        group = group.member(&worker, member);
    }
    let group = group.start()?;

    // Ends when all senders have sent their stop item.
    let mut chunks = Chunks::new(&ring);
    for chunk in &mut chunks {
        let sum: u64 = chunk.data().iter().map(|&byte| u64::from(byte)).sum();
        println!(
            "chunk {}: {} of {} heaps, sum {sum}, from {:?}",
            chunk.id(),
            chunk.n_present(),
            chunk.present().len(),
            chunk.contributions()
        );
    } // dropping the chunk returns it to the pool
    println!("{:?}", chunks.tally());
    for member in group.members() {
        print!("{}", member.stats());
    }
    Ok(())
}

//! A consumer that awaits chunks. The ring's futures need no particular runtime; this example
//! brings the smallest one that works.
//!
//! It sends to itself, so it needs no arguments: `cargo run --example async_consumer`.

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use speadway::chunk::{ChunkPool, Chunks, Layout, RingPolicy};
use speadway::recv::readers::MemoryReader;
use speadway::recv::{Stream, Worker};
use speadway::ring::Ring;
use speadway::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue};

const HEAP_SIZE: usize = 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let layout = Layout::builder(0x1600, HEAP_SIZE).heaps_per_chunk(10).build()?;
    let pool = ChunkPool::zeroed(4, layout.chunk_size(), layout.heaps())?;
    let ring = Ring::new(2)?;
    let stream = Stream::chunks(layout)
        .ring(&pool, &ring, RingPolicy::default())
        .reader(MemoryReader::new(packets(100)?))
        .start(&Worker::new()?)?;

    block_on(async {
        let mut chunks = Chunks::new(&ring).complete_only();
        while let Some(chunk) = chunks.next_async().await {
            println!("chunk {}: {} B", chunk.id(), chunk.data().len());
        }
        println!("{:?}", chunks.tally());
    });
    println!("the stream ended: {:?}", stream.wait());
    Ok(())
}

/// Runs a future on this thread, which sleeps while there is nothing to do.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        std::thread::park();
    }
}

/// The packets of some heaps, numbered in item 0x1600.
fn packets(heaps: u64) -> Result<Vec<u8>, Box<dyn Error>> {
    let payload = [1; HEAP_SIZE];
    let mut packets = Vec::new();
    for number in 0..heaps {
        let items = [
            EncodeItem { id: 0x1600, value: ItemValue::Immediate(number) },
            EncodeItem { id: 0x3300, value: ItemValue::Addressed(&payload) },
        ];
        let heap = HeapEncoder::new(Flavour::default(), number + 1, 1472, &items, false)?;
        packets.extend(heap.packets().concat());
    }
    Ok(packets)
}

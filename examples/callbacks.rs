//! Callbacks instead of a ring, over memory of the user's own: here one large mapping with huge
//! pages, as it might be registered with a GPU, cut into chunks.
//!
//! It sends a few heaps to itself, so it needs no arguments: `cargo run --example callbacks`.

use std::error::Error;
use std::sync::mpsc;
use std::task::Waker;

use speadway::chunk::{Allocation, Chunk, HeapContext, Placement};
use speadway::memory::{Buffer, HugePages, MapOptions};
use speadway::recv::readers::MemoryReader;
use speadway::recv::{Stream, Worker};
use speadway::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue};

const HEAP_SIZE: usize = 4096;
const HEAPS_PER_CHUNK: u64 = 16;
const TIMESTAMP: u64 = 0x1600;

fn main() -> Result<(), Box<dyn Error>> {
    // Called once per heap: where does it go?
    let place = |heap: &mut HeapContext<'_>| {
        let number = heap.item(TIMESTAMP)?;
        if heap.heap_length() != HEAP_SIZE as u64 {
            return None; // not data: counted as rejected
        }
        let index = (number % HEAPS_PER_CHUNK) as usize;
        Some(Placement::new(number / HEAPS_PER_CHUNK, index, index * HEAP_SIZE))
    };

    // Called once per chunk: memory, please. (`NotYet` would park the stream until the waker is
    // called; `Refused` discards the chunk's heaps.)
    let options =
        MapOptions { huge_pages: HugePages::Prefer, populate: true, ..MapOptions::default() };
    let allocate = move |id: u64, _waker: &Waker| {
        let memory = || -> Result<Chunk, Box<dyn Error>> {
            let data = Buffer::mapped(HEAP_SIZE * HEAPS_PER_CHUNK as usize, options)?;
            let present = Buffer::zeroed(HEAPS_PER_CHUNK as usize)?;
            Ok(Chunk::new(data, present, Buffer::zeroed(0)?))
        };
        memory().map_or_else(
            |error| {
                eprintln!("no memory for chunk {id}: {error}");
                Allocation::Refused
            },
            Allocation::Chunk,
        )
    };

    // Called once per chunk: here it is. (Returning the chunk in an error would mean "not now".)
    let (finished, results) = mpsc::channel();
    let ready = move |chunk: Chunk, _waker: &Waker| {
        // The receiver is gone only if nobody wants the chunk any more.
        let _ = finished.send((chunk.id(), chunk.n_present(), chunk.data()[0]));
        Ok(())
    };

    let stream = Stream::chunks(place)
        .window(2)
        .callbacks(allocate, ready)
        .reader(MemoryReader::new(packets(40)?))
        .start(&Worker::new()?)?;
    println!("the stream ended: {:?}", stream.wait());
    drop(stream);

    for (id, present, first) in results {
        println!("chunk {id}: {present} of {HEAPS_PER_CHUNK} heaps, first byte {first}");
    }
    Ok(())
}

/// The packets of some heaps, heap `n` filled with `n`.
fn packets(heaps: u64) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut packets = Vec::new();
    for number in 0..heaps {
        let payload = [number as u8; HEAP_SIZE];
        let items = [
            EncodeItem { id: TIMESTAMP, value: ItemValue::Immediate(number) },
            EncodeItem { id: 0x3300, value: ItemValue::Addressed(&payload) },
        ];
        let heap = HeapEncoder::new(Flavour::default(), number + 1, 1472, &items, false)?;
        packets.extend(heap.packets().concat());
    }
    Ok(packets)
}

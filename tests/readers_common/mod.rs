//! What the tests of the readers share.
#![allow(dead_code, reason = "each test file uses its part of it")]

use std::time::{Duration, Instant};

use speadway::chunk::{ChunkPool, Layout, ParkReason, RingPolicy, WhenFull};
use speadway::heap::Heap;
use speadway::recv::{Reader, Stream, StreamStats, Worker};
use speadway::ring::Ring;
use speadway::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue};

/// Long enough for anything that is going to happen, on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The payload of heap `n`: different in every heap and at every offset.
pub(crate) fn payload(n: u64, size: usize) -> Vec<u8> {
    (0..size).map(|at| (n * 131 + at as u64 * 7 + (at as u64 >> 8) * 13) as u8).collect()
}

/// The packets of heap `n`, whose number is in item 0x1600.
pub(crate) fn packets(n: u64, size: usize, max_packet: usize) -> Vec<Vec<u8>> {
    let payload = payload(n, size);
    let items = [
        EncodeItem { id: 0x1600, value: ItemValue::Immediate(n) },
        EncodeItem { id: 0x3300, value: ItemValue::Addressed(&payload) },
    ];
    HeapEncoder::new(Flavour::SPEAD_64_48, n + 1, max_packet, &items, false).unwrap().packets()
}

/// The packets of heaps `0..count`, one after the other.
pub(crate) fn heaps(count: u64, size: usize, max_packet: usize) -> Vec<Vec<u8>> {
    (0..count).flat_map(|n| packets(n, size, max_packet)).collect()
}

/// A stream of heaps from `reader`, with a ring for `ring` of them.
pub(crate) fn heap_stream(reader: impl Reader + 'static, ring: usize) -> (Stream, Ring<Heap>) {
    let ring = Ring::new(ring).unwrap();
    let stream = Stream::heaps()
        .ring(&ring, WhenFull::Wait)
        .reader(reader)
        .start(&Worker::new().unwrap())
        .unwrap();
    (stream, ring)
}

/// The next heap of the ring.
pub(crate) fn next(ring: &Ring<Heap>) -> Heap {
    ring.pop_timeout(PATIENCE).expect("a heap")
}

/// Every heap until the ring ends.
pub(crate) fn rest(ring: &Ring<Heap>) -> Vec<Heap> {
    std::iter::from_fn(|| match ring.pop_timeout(PATIENCE) {
        Ok(heap) => Some(heap),
        Err(speadway::ring::TryPopError::Ended) => None,
        Err(error) => panic!("the stream does not end: {error}"),
    })
    .collect()
}

/// Checks that these are heaps `numbers`, each of `size` bytes.
pub(crate) fn assert_heaps(
    heaps: &[Heap],
    numbers: impl IntoIterator<Item = u64>,
    size: impl Fn(u64) -> usize,
) {
    let numbers: Vec<u64> = numbers.into_iter().collect();
    let seen: Vec<u64> = heaps.iter().map(|heap| heap.cnt() - 1).collect();
    assert_eq!(seen, numbers);
    for (heap, n) in heaps.iter().zip(numbers) {
        assert!(heap.payload() == payload(n, size(n)), "the payload of heap {n}");
    }
}

/// Waits until `done`.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

/// How often the stream parked, for whatever reason.
pub(crate) fn parks(stream: &Stream) -> u64 {
    let stats = stream.stats();
    ParkReason::ALL.iter().map(|&reason| stats.parks(reason)).sum()
}

/// The counters of a stream that has ended, which balance.
pub(crate) fn final_stats(stream: &Stream) -> StreamStats {
    let stats = stream.stats();
    assert!(stats.packets_balance() && stats.heaps_balance(), "{stats}");
    stats
}

/// Receives heaps `0..count` of 64 bytes from `reader` as chunks of 8 through rings of 1, starting
/// to consume when the stream has parked, and checks every byte.
pub(crate) fn receive_chunks_parking(reader: impl Reader + 'static, count: u64) {
    let layout = Layout::builder(0x1600, 64).heaps_per_chunk(8).build().unwrap();
    let pool = ChunkPool::zeroed(2, layout.chunk_size(), layout.heaps()).unwrap();
    let ring = Ring::new(1).unwrap();
    let stream = Stream::chunks(layout)
        .window(1)
        .ring(&pool, &ring, RingPolicy::default())
        .reader(reader)
        .start(&Worker::new().unwrap())
        .unwrap();
    wait_until("the stream parks", || parks(&stream) > 0);
    for id in 0..count.div_ceil(8) {
        let chunk = ring.pop_timeout(PATIENCE).expect("a chunk");
        assert_eq!((chunk.id(), chunk.n_missing()), (id, 0));
        let expected: Vec<u8> = (id * 8..id * 8 + 8).flat_map(|n| payload(n, 64)).collect();
        assert!(chunk.data() == expected, "chunk {id}");
    }
    assert!(ring.pop_timeout(PATIENCE).is_err());
    let stats = final_stats(&stream);
    assert_eq!((stats.packets_discarded(), stats.packets_placed), (0, count));
}

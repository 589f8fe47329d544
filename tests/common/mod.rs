//! Streams made in memory, for the tests.
#![allow(dead_code)] // each test uses its part

use speadway::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue};

/// The item that numbers heaps.
pub(crate) const NUMBER: u64 = 0x1600;
/// The item with a heap's samples.
pub(crate) const SAMPLES: u64 = 0x3300;

/// The samples of heap `number`: different in every byte and heap.
pub(crate) fn samples(number: u64, size: usize) -> Vec<u8> {
    (0..size as u64).map(|k| (number * 31 + k * 7 + (k >> 8)) as u8).collect()
}

/// The packets of heap `number` (whose heap count is one more).
pub(crate) fn heap(number: u64, size: usize, packet: usize) -> Vec<Vec<u8>> {
    let samples = samples(number, size);
    let items = [
        EncodeItem { id: NUMBER, value: ItemValue::Immediate(number) },
        EncodeItem { id: SAMPLES, value: ItemValue::Addressed(&samples) },
    ];
    HeapEncoder::new(Flavour::default(), number + 1, packet, &items, true).unwrap().packets()
}

/// The packets of heaps `0..heaps`, one after the other.
pub(crate) fn stream(heaps: u64, size: usize, packet: usize) -> Vec<u8> {
    (0..heaps).flat_map(|number| heap(number, size, packet)).flatten().collect()
}

/// The packet that ends a stream.
pub(crate) fn stop(cnt: u64) -> Vec<u8> {
    HeapEncoder::stream_stop(Flavour::default(), cnt).unwrap().packets().concat()
}

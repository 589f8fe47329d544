//! The packets: heaps of one size, all pointers in every packet, as instruments send them.

use speadway::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue};

use crate::Result;
use crate::options::Options;

/// The item that numbers heaps.
pub(crate) const NUMBER: u64 = 0x1600;
const SAMPLES: u64 = 0x3300;

/// Bytes before a packet's payload: a header and six item pointers.
pub(crate) const HEADER: usize = 8 + 6 * 8;
/// Where in a packet the pointers with the heap's count and number end.
const COUNT_END: usize = 16;
const NUMBER_END: usize = 48;

/// The packets of one heap, to be numbered before each use.
pub(crate) struct HeapTemplate {
    pub(crate) bytes: Vec<u8>,
    /// Size of all packets but the last.
    pub(crate) packet: usize,
}

impl HeapTemplate {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let samples: Vec<u8> = (0..options.heap).map(|at| (at * 7 + (at >> 8)) as u8).collect();
        let items = [
            EncodeItem { id: NUMBER, value: ItemValue::Immediate(0) },
            EncodeItem { id: SAMPLES, value: ItemValue::Addressed(&samples) },
        ];
        let packet = HEADER + options.payload;
        let encoder = HeapEncoder::new(Flavour::SPEAD_64_48, 1, packet, &items, true)?;
        Ok(Self { bytes: encoder.packets().concat(), packet })
    }

    /// What is in every heap.
    pub(crate) fn payload(&self) -> Vec<u8> {
        self.bytes.chunks(self.packet).flat_map(|packet| &packet[HEADER..]).copied().collect()
    }

    /// Makes the packets those of heap `number`.
    pub(crate) fn set_number(&mut self, number: u64) {
        set_number(&mut self.bytes, self.packet, number);
    }
}

/// Makes packets of this size, but for a shorter last one, those of heap `number`.
pub(crate) fn set_number(packets: &mut [u8], size: usize, number: u64) {
    for packet in packets.chunks_mut(size) {
        packet[COUNT_END - 6..COUNT_END].copy_from_slice(&(number + 1).to_be_bytes()[2..]);
        packet[NUMBER_END - 6..NUMBER_END].copy_from_slice(&number.to_be_bytes()[2..]);
    }
}

/// The packet that ends a stream.
pub(crate) fn stop() -> Result<Vec<u8>> {
    Ok(HeapEncoder::stream_stop(Flavour::SPEAD_64_48, (1 << 40) - 1)?.packets().concat())
}

/// Heaps for each stream, one after the other, of `options.bytes` together, and how many they are.
pub(crate) fn in_memory(options: &Options) -> Result<(Vec<Vec<u8>>, u64)> {
    let mut heap = HeapTemplate::new(options)?;
    let heaps = (options.bytes / heap.bytes.len()).max(1) as u64;
    let mut streams = vec![Vec::new(); options.streams];
    for number in 0..heaps {
        heap.set_number(number);
        streams[options.member(number, heaps)].extend_from_slice(&heap.bytes);
    }
    Ok((streams, heaps))
}

//! A heap under assembly: which packets belong to it, and when it is whole.

use super::outcome::PacketDiscard;
use super::ranges::{Clash, RangeSet};
use crate::wire::{Packet, ctrl, ids};

/// What is known of a heap while its packets arrive. Where the payload goes is not its business.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    cnt: u64,
    flavour_bits: u8,
    length: Option<u64>,
    /// The smallest length that the packets so far allow.
    min_length: u64,
    received: u64,
    ranges: RangeSet,
    is_stop: bool,
}

impl Assembly {
    /// Starts over for the heap that `packet` belongs to; nothing is accepted yet.
    pub(crate) fn start(&mut self, packet: &Packet<'_>) {
        self.cnt = packet.heap_cnt();
        self.flavour_bits = packet.flavour_bits();
        self.length = None;
        self.min_length = 0;
        self.received = 0;
        self.ranges.clear();
        self.is_stop = false;
    }

    /// Accepts a packet of this heap, or says why not and changes nothing.
    pub(crate) fn accept(
        &mut self,
        packet: &Packet<'_>,
        out_of_order: bool,
    ) -> Result<(), PacketDiscard> {
        if packet.flavour_bits() != self.flavour_bits {
            return Err(PacketDiscard::FlavourInconsistent);
        }
        let length = self.agreed_length(packet)?;
        let start = packet.payload_offset();
        let end = start
            .checked_add(packet.payload().len() as u64)
            .filter(|&end| length.is_none_or(|length| end <= length))
            .ok_or(PacketDiscard::HeapOverflow)?;
        if out_of_order {
            self.ranges.insert(start, end).map_err(|clash| match clash {
                Clash::Duplicate => PacketDiscard::Duplicate,
                Clash::Overlap => PacketDiscard::Overlap,
            })?;
        } else if start != self.received {
            let repeated = start < self.received;
            return Err(if repeated { PacketDiscard::Duplicate } else { PacketDiscard::Gap });
        }
        self.received += end - start;
        self.length = length;
        self.min_length = self.min_length.max(end).max(length.unwrap_or(0));
        self.note_items(packet);
        Ok(())
    }

    /// The heap's length with what the packet says of it.
    fn agreed_length(&self, packet: &Packet<'_>) -> Result<Option<u64>, PacketDiscard> {
        match (self.length, packet.heap_length()) {
            (Some(known), Some(said)) if known != said => Err(PacketDiscard::LengthInconsistent),
            // An item that starts behind the length makes the heap impossible to complete.
            (_, Some(said)) if said < self.min_length => Err(PacketDiscard::LengthTooSmall),
            (known, said) => Ok(known.or(said)),
        }
    }

    fn note_items(&mut self, packet: &Packet<'_>) {
        for item in packet.items() {
            if !item.is_immediate() {
                self.min_length = self.min_length.max(item.value());
            } else if item.id() == ids::STREAM_CTRL && item.value() == ctrl::STREAM_STOP {
                self.is_stop = true;
            }
        }
    }

    pub(crate) fn cnt(&self) -> u64 {
        self.cnt
    }

    pub(crate) fn flavour_bits(&self) -> u8 {
        self.flavour_bits
    }

    /// The heap's length in bytes, once a packet has said it.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// The smallest length that the packets so far allow.
    pub(crate) fn min_length(&self) -> u64 {
        self.min_length
    }

    /// Bytes of payload received.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Whether the heap carries the item that ends the stream.
    pub(crate) fn is_stop(&self) -> bool {
        self.is_stop
    }

    /// Whether all has arrived. An item that starts behind the heap's end keeps it incomplete.
    pub(crate) fn is_complete(&self) -> bool {
        self.length == Some(self.received) && self.received == self.min_length
    }

    /// Whether what has arrived is without gaps up to the smallest possible length.
    pub(crate) fn is_contiguous(&self) -> bool {
        self.received == self.min_length
    }

    /// The received byte ranges (start, end).
    pub(crate) fn ranges(&self, out_of_order: bool) -> Vec<(u64, u64)> {
        if out_of_order {
            self.ranges.as_slice().to_vec()
        } else if self.received > 0 {
            vec![(0, self.received)]
        } else {
            Vec::new()
        }
    }
}

//! A heap under assembly: which packets belong to it, and when it is whole.

use super::outcome::PacketDiscard;
use super::ranges::{Clash, RangeSet};
use crate::wire::Packet;

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
    /// Starts over for the heap that `packet`, which is accepted, is the first to arrive of. With
    /// order required it has to be its first.
    #[inline]
    pub(crate) fn start(&mut self, packet: &Packet<'_>, out_of_order: bool) {
        let (start, received) = (packet.payload_offset(), packet.payload().len() as u64);
        self.cnt = packet.heap_cnt();
        self.flavour_bits = packet.flavour_bits();
        self.length = packet.heap_length();
        // The decoder saw to it that the payload ends within the heap, and 56 bits hold both.
        let end = self.length.unwrap_or(start + received);
        self.min_length = end.max(packet.items_end());
        self.received = received;
        self.is_stop = packet.is_stop();
        if out_of_order {
            self.ranges.start(start, start + received);
        }
    }

    /// Accepts another packet of this heap, or says why not and changes nothing.
    #[inline(always)]
    pub(crate) fn accept(
        &mut self,
        packet: &Packet<'_>,
        out_of_order: bool,
    ) -> Result<(), PacketDiscard> {
        if packet.flavour_bits() != self.flavour_bits {
            return Err(PacketDiscard::FlavourInconsistent);
        }
        let start = packet.payload_offset();
        // Both have at most 56 bits.
        let end = start + packet.payload().len() as u64;
        let length = self.agreed_length(packet, end)?;
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
        self.min_length = self.min_length.max(length.unwrap_or(end)).max(packet.items_end());
        self.is_stop |= packet.is_stop();
        Ok(())
    }

    /// Where the packet after the last would start, if none is missing.
    #[inline]
    pub(crate) fn next_offset(&self, out_of_order: bool) -> u64 {
        if out_of_order { self.ranges.end() } else { self.received }
    }

    /// Accepts `bytes` of payload at [`next_offset`](Self::next_offset), of packets that are like the
    /// last and end within the heap, whose length is known.
    #[inline]
    pub(crate) fn accept_next(&mut self, bytes: u64, out_of_order: bool) {
        if out_of_order {
            self.ranges.extend(bytes);
        }
        self.received += bytes;
    }

    /// The heap's length with what the packet says of it, whose payload ends at `end`.
    #[inline(always)]
    fn agreed_length(&self, packet: &Packet<'_>, end: u64) -> Result<Option<u64>, PacketDiscard> {
        let length = match (self.length, packet.heap_length()) {
            (Some(known), Some(said)) if known != said => {
                return Err(PacketDiscard::LengthInconsistent);
            }
            // An item that starts behind the length makes the heap impossible to complete.
            (_, Some(said)) if said < self.min_length => return Err(PacketDiscard::LengthTooSmall),
            (known, said) => known.or(said),
        };
        match length {
            Some(length) if end > length => Err(PacketDiscard::HeapOverflow),
            _ => Ok(length),
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

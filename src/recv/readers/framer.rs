//! Cuts packets out of a byte stream.

use std::collections::TryReserveError;

use super::refill::Refill;
use crate::heap::PacketDiscard;
use crate::wire::{Framing, Packet, frame};

/// The smallest buffer, in bytes: about what a receive window holds by default, so that one system
/// call fetches it.
const LEAST_BUFFER: usize = 256 << 10;

/// The bytes that say how many item pointers a packet has.
const HEADER: usize = 8;

/// How far to look on when no packet starts here: SPEAD is made of words of 8 bytes.
const RESYNC_STEP: usize = 8;

/// Packets from a byte stream, with what lies between them counted.
#[derive(Debug)]
pub(super) struct Framer {
    buffer: Refill,
    max_packet: usize,
    /// The size of the packet offered last and not yet taken.
    offered: usize,
    /// Bytes still to come of a packet that is too large.
    skip: usize,
    /// Whether the stream's next packet is being looked for; that has been counted.
    lost: bool,
}

/// What a byte stream goes on with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A packet, which is found again until it is [taken](Framer::taken).
    Packet(&'a [u8]),
    /// Something that is no packet, and has been left behind.
    Discard(PacketDiscard),
    /// Nothing whole: more bytes are needed.
    Nothing,
}

impl Framer {
    pub(super) fn new(max_packet: usize) -> Result<Self, TryReserveError> {
        let buffer = Refill::new(max_packet, LEAST_BUFFER)?;
        Ok(Self { buffer, max_packet, offered: 0, skip: 0, lost: false })
    }

    /// Where the next bytes of the stream go, once nothing whole is left; never empty then.
    pub(super) fn space(&mut self) -> &mut [u8] {
        self.buffer.space()
    }

    /// `count` bytes have been put in [`space`](Self::space).
    pub(super) fn filled(&mut self, count: usize) {
        self.buffer.filled(count);
    }

    /// Looks for the next packet.
    pub(super) fn find(&mut self) -> Found<'_> {
        loop {
            self.skip -= self.buffer.consume(self.skip);
            let there = self.buffer.data().len();
            let reason = match frame(self.buffer.data()) {
                Framing::Size(size) if size <= self.max_packet.min(there) => {
                    (self.offered, self.lost) = (size, false);
                    return Found::Packet(&self.buffer.data()[..size]);
                }
                _ if self.is_out_of_reach() => PacketDiscard::ItemsOverflow,
                Framing::Size(size) if size > self.max_packet => {
                    (self.skip, self.lost) = (size, false);
                    return Found::Discard(PacketDiscard::Truncated);
                }
                Framing::Size(_) | Framing::NeedMore(_) => return Found::Nothing,
                Framing::Invalid => self.what_is_wrong(PacketDiscard::BadMagic),
            };
            self.buffer.consume(RESYNC_STEP);
            if !std::mem::replace(&mut self.lost, true) {
                return Found::Discard(reason);
            }
        }
    }

    /// Whether what is there has more pointers than the largest packet has room for, so that its size
    /// might never be known. Only its header decides: how much has arrived makes no difference.
    fn is_out_of_reach(&self) -> bool {
        let Some(header) = self.buffer.data().get(..HEADER) else { return false };
        matches!(frame(header), Framing::NeedMore(prefix) if prefix > self.max_packet)
    }

    /// The packet that was found is done with.
    pub(super) fn taken(&mut self) {
        self.buffer.consume(std::mem::take(&mut self.offered));
    }

    /// The stream has ended: says what is wrong with a packet that was cut short, and gets ready for
    /// another stream.
    pub(super) fn finish(&mut self) -> Option<PacketDiscard> {
        self.skip -= self.buffer.consume(self.skip);
        let left = self.buffer.data();
        // What is too short for a header while a packet is looked for belongs to what was skipped.
        let counted = left.is_empty() || (self.lost && left.len() < RESYNC_STEP);
        let reason = (!counted).then(|| self.what_is_wrong(PacketDiscard::PayloadOverflow));
        self.buffer.clear();
        (self.offered, self.skip, self.lost) = (0, 0, false);
        reason
    }

    /// Why what is there is no packet; `otherwise` if only its framing is at fault.
    fn what_is_wrong(&self, otherwise: PacketDiscard) -> PacketDiscard {
        Packet::decode(self.buffer.data()).err().map_or(otherwise, PacketDiscard::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of SPEAD-64-48: heap count, heap length, payload offset and payload length.
    fn packet(payload: usize) -> Vec<u8> {
        let mut bytes = vec![0x53, 0x04, 2, 6, 0, 0, 0, 4];
        for (id, value) in [(1_u64, 1), (2, payload as u64), (3, 0), (4, payload as u64)] {
            bytes.extend((1 << 63 | id << 48 | value).to_be_bytes());
        }
        bytes.resize(bytes.len() + payload, 7);
        bytes
    }

    /// What is found in `stream`, given in pieces of `step` bytes: sizes of packets, and reasons.
    fn found(max_packet: usize, stream: &[u8], step: usize) -> Vec<Result<usize, PacketDiscard>> {
        let mut framer = Framer::new(max_packet).unwrap();
        let mut all = Vec::new();
        let mut rest = stream;
        loop {
            loop {
                match framer.find() {
                    Found::Packet(bytes) => {
                        all.push(Ok(bytes.len()));
                        framer.taken();
                    }
                    Found::Discard(reason) => all.push(Err(reason)),
                    Found::Nothing => break,
                }
            }
            if rest.is_empty() {
                all.extend(framer.finish().map(Err));
                return all;
            }
            let space = framer.space();
            let count = step.min(rest.len()).min(space.len());
            assert_ne!(count, 0, "no room for more");
            space[..count].copy_from_slice(&rest[..count]);
            framer.filled(count);
            rest = &rest[count..];
        }
    }

    /// As [`found`], which must not depend on how the stream is cut into pieces.
    fn found_anyhow(max_packet: usize, stream: &[u8]) -> Vec<Result<usize, PacketDiscard>> {
        let whole = found(max_packet, stream, usize::MAX);
        for step in [1, 3, 8, 41] {
            assert_eq!(found(max_packet, stream, step), whole, "in pieces of {step}");
        }
        whole
    }

    #[test]
    fn a_packet_is_found_again_until_it_is_taken() {
        let mut framer = Framer::new(1000).unwrap();
        let bytes = packet(5);
        framer.space()[..bytes.len()].copy_from_slice(&bytes);
        framer.filled(bytes.len());
        assert_eq!(framer.find(), Found::Packet(&bytes));
        assert_eq!(framer.find(), Found::Packet(&bytes));
        framer.taken();
        assert_eq!(framer.find(), Found::Nothing);
    }

    #[test]
    fn one_stretch_of_garbage_counts_once() {
        let garbage = [0xaa; 80];
        let stream = [&packet(3)[..], &garbage, &packet(4), &garbage, &packet(5)].concat();
        let bad = Err(PacketDiscard::BadMagic);
        assert_eq!(found_anyhow(1000, &stream), [Ok(43), bad, Ok(44), bad, Ok(45)]);
    }

    #[test]
    fn a_large_packet_is_skipped_and_counted() {
        let stream = [packet(10), packet(700_000), packet(20)].concat();
        let expected = [Ok(50), Err(PacketDiscard::Truncated), Ok(60)];
        assert_eq!(found(1000, &stream, usize::MAX), expected);
        assert_eq!(found(1000, &stream, 1001), expected);
        // The limit itself is not too large.
        assert_eq!(found_anyhow(60, &packet(20)), [Ok(60)]);
        assert_eq!(found_anyhow(59, &packet(20)), [Err(PacketDiscard::Truncated)]);
    }

    #[test]
    fn more_item_pointers_than_a_packet_can_have_are_garbage() {
        let mut stream = vec![0x53, 0x04, 2, 6, 0, 0, 0xff, 0xff];
        stream.extend(packet(8));
        assert_eq!(found_anyhow(1000, &stream), [Err(PacketDiscard::ItemsOverflow), Ok(48)]);
    }

    #[test]
    fn more_item_pointers_than_are_accepted_are_garbage_even_if_they_are_there() {
        let mut large = packet(24);
        large[7] = 8;
        large.splice(40..40, [0; 4 * 8]);
        let stream = [large, packet(8)].concat();
        assert_eq!(found_anyhow(71, &stream), [Err(PacketDiscard::ItemsOverflow), Ok(48)]);
        assert_eq!(found_anyhow(72, &stream), [Err(PacketDiscard::Truncated), Ok(48)]);
    }

    #[test]
    fn a_limit_below_any_packet_ends_nothing() {
        for limit in [1, 7, 8, 39] {
            let reasons = found_anyhow(limit, &[packet(8), packet(0)].concat());
            assert!(reasons.iter().all(Result::is_err), "{limit}: {reasons:?}");
            assert!(!reasons.is_empty(), "{limit}");
        }
    }

    #[test]
    fn a_packet_cut_short_at_the_end_is_counted() {
        let whole = packet(100);
        let cut = |at: usize| found_anyhow(1000, &[&whole[..], &whole[..at]].concat());
        assert_eq!(cut(0), [Ok(140)]);
        assert_eq!(cut(7), [Ok(140), Err(PacketDiscard::TooSmall)]);
        assert_eq!(cut(39), [Ok(140), Err(PacketDiscard::ItemsOverflow)]);
        assert_eq!(cut(139), [Ok(140), Err(PacketDiscard::PayloadOverflow)]);
    }

    #[test]
    fn the_tail_of_garbage_is_not_counted_again() {
        let stream = [&packet(0)[..], &[0; 21]].concat();
        assert_eq!(found_anyhow(1000, &stream), [Ok(40), Err(PacketDiscard::BadMagic)]);
    }

    #[test]
    fn the_next_stream_starts_afresh() {
        let mut framer = Framer::new(1000).unwrap();
        framer.space()[..16].copy_from_slice(&[0; 16]);
        framer.filled(16);
        assert_eq!(framer.find(), Found::Discard(PacketDiscard::BadMagic));
        assert_eq!(framer.find(), Found::Nothing);
        assert_eq!(framer.finish(), None);
        framer.space()[..8].copy_from_slice(&[0; 8]);
        framer.filled(8);
        assert_eq!(framer.find(), Found::Discard(PacketDiscard::BadMagic));
    }
}

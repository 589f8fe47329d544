//! Heaps to packets.

use super::flavour::Flavour;
use super::plan::{EncodeError, HeapPlan};
use super::pointer::ItemPointer;
use super::{ctrl, ids};

/// Padding is sent from here, in as many parts as it takes.
static ZEROS: [u8; 256] = [0; 256];
/// A packet size that any control heap fits.
const CONTROL_PACKET_SIZE: usize = 128;

/// An item to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EncodeItem<'a> {
    /// The item's id: above 4, and at most [`Flavour::max_id`].
    pub id: u64,
    /// Its value.
    pub value: ItemValue<'a>,
}

/// The value of an item to send, and how it travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ItemValue<'a> {
    /// In the item pointer; at most [`Flavour::max_value`].
    Immediate(u64),
    /// In the item pointer if the flavour has room for it there, as a big-endian number;
    /// otherwise in the payload.
    Inline(&'a [u8]),
    /// In the payload, wherever the items before it end.
    Addressed(&'a [u8]),
}

impl<'a> EncodeItem<'a> {
    /// The item of a heap that starts a stream.
    pub const STREAM_START: EncodeItem<'static> = control(ctrl::STREAM_START);
    /// The item of a heap that ends a stream.
    pub const STREAM_STOP: EncodeItem<'static> = control(ctrl::STREAM_STOP);

    /// A descriptor, as encoded by [`Descriptor::encode`](super::Descriptor::encode).
    pub const fn descriptor(encoded: &'a [u8]) -> Self {
        Self { id: ids::DESCRIPTOR, value: ItemValue::Addressed(encoded) }
    }

    /// The item's pointer, and what it adds to the payload.
    fn place(&self, flavour: Flavour, offset: u64) -> Result<(ItemPointer, &'a [u8]), EncodeError> {
        let immediate = |value| Ok((ItemPointer::immediate(flavour, self.id, value)?, &[][..]));
        match self.value {
            ItemValue::Immediate(value) => immediate(value),
            ItemValue::Inline(bytes) if bytes.len() <= flavour.heap_address_bytes().into() => {
                immediate(bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
            }
            ItemValue::Inline(bytes) | ItemValue::Addressed(bytes) => {
                Ok((ItemPointer::addressed(flavour, self.id, offset)?, bytes))
            }
        }
    }
}

const fn control(value: u64) -> EncodeItem<'static> {
    EncodeItem { id: ids::STREAM_CTRL, value: ItemValue::Immediate(value) }
}

/// Makes the packets of one heap, without copying its payload.
///
/// ```
/// use speadway::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue};
///
/// let samples = [0_u8; 4096];
/// let items = [EncodeItem { id: 0x4300, value: ItemValue::Addressed(&samples) }];
/// let mut heap = HeapEncoder::new(Flavour::SPEAD_64_48, 1, 1472, &items, false)?;
/// let mut header = Vec::new();
/// while let Some(payload) = heap.next_packet(&mut header) {
///     // Send `header` and the parts of `payload` with one vectored write.
///     assert!(header.len() + payload.byte_len() <= 1472);
///     for part in payload {
///         assert!(samples.as_ptr_range().contains(&part.as_ptr()));
///     }
///     header.clear();
/// }
/// # Ok::<(), speadway::wire::EncodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct HeapEncoder<'a> {
    plan: HeapPlan,
    /// The parts of the payload not yet sent, none of them empty.
    parts: Vec<&'a [u8]>,
    next_part: usize,
    /// How much of the next part was sent.
    part_offset: usize,
}

impl<'a> HeapEncoder<'a> {
    /// Starts encoding the heap made of these items, in this order. Packets have at most
    /// `max_packet_size` bytes, rounded down to a multiple of 8.
    ///
    /// If `repeat_pointers`, every packet carries all item pointers, so that a receiver that
    /// lost some packets of the heap still knows its items.
    ///
    /// # Errors
    /// If an item, the heap count or the heap's length does not fit the flavour, or if the
    /// packet size is too small. See [`EncodeError`].
    pub fn new(
        flavour: Flavour,
        heap_cnt: u64,
        max_packet_size: usize,
        items: &[EncodeItem<'a>],
        repeat_pointers: bool,
    ) -> Result<Self, EncodeError> {
        let mut pointers = Vec::with_capacity(items.len() + 1);
        let mut parts = Vec::new();
        let mut length = 0_usize;
        for item in items {
            let (pointer, part) = item.place(flavour, length as u64)?;
            pointers.push(pointer);
            if !part.is_empty() {
                parts.push(part);
            }
            // The same bytes may be listed many times, so that the sum has no natural limit.
            length = length.saturating_add(part.len());
        }
        let plan =
            HeapPlan::new(flavour, heap_cnt, max_packet_size, pointers, length, repeat_pointers)?;
        let mut padding = plan.payload_length() - length;
        while padding > 0 {
            let part = &ZEROS[..padding.min(ZEROS.len())];
            parts.push(part);
            padding -= part.len();
        }
        Ok(Self { plan, parts, next_part: 0, part_offset: 0 })
    }

    /// A heap that starts a stream.
    ///
    /// # Errors
    /// If the heap count does not fit the flavour.
    pub fn stream_start(flavour: Flavour, heap_cnt: u64) -> Result<Self, EncodeError> {
        Self::new(flavour, heap_cnt, CONTROL_PACKET_SIZE, &[EncodeItem::STREAM_START], false)
    }

    /// A heap that ends a stream.
    ///
    /// # Errors
    /// If the heap count does not fit the flavour.
    pub fn stream_stop(flavour: Flavour, heap_cnt: u64) -> Result<Self, EncodeError> {
        Self::new(flavour, heap_cnt, CONTROL_PACKET_SIZE, &[EncodeItem::STREAM_STOP], false)
    }

    /// The heap's payload in bytes, padding included.
    pub fn payload_length(&self) -> usize {
        self.plan.payload_length()
    }

    /// Whether all packets were taken.
    pub fn is_finished(&self) -> bool {
        self.plan.is_finished()
    }

    /// Appends the next packet's header and item pointers to `header`, and returns the payload
    /// that follows them; `None` once the heap is finished.
    pub fn next_packet(&mut self, header: &mut Vec<u8>) -> Option<PayloadParts<'_, 'a>> {
        let range = self.plan.next_packet(header)?;
        let (part, offset) = (self.next_part, self.part_offset);
        self.skip(range.len());
        let parts = self.parts.get(part..).unwrap_or_default();
        Some(PayloadParts { parts, offset, left: range.len() })
    }

    /// All packets not yet taken, each in one piece.
    pub fn packets(&self) -> Vec<Vec<u8>> {
        let mut heap = self.clone();
        let mut packets = Vec::new();
        let mut packet = Vec::new();
        while let Some(payload) = heap.next_packet(&mut packet) {
            for part in payload {
                packet.extend_from_slice(part);
            }
            packets.push(std::mem::take(&mut packet));
        }
        packets
    }

    /// Moves on by this many bytes of payload.
    fn skip(&mut self, mut bytes: usize) {
        while let Some(part) = self.parts.get(self.next_part) {
            let left = part.len() - self.part_offset;
            if bytes < left {
                self.part_offset += bytes;
                return;
            }
            bytes -= left;
            self.next_part += 1;
            self.part_offset = 0;
        }
    }
}

/// The payload of one packet, as an iterator over the parts of items that make it up.
///
/// The parts borrow from the items, not from the encoder: they may be kept while more packets
/// are made.
#[derive(Clone, Debug)]
pub struct PayloadParts<'h, 'a> {
    parts: &'h [&'a [u8]],
    /// Where to begin in the first part.
    offset: usize,
    /// Bytes still to come.
    left: usize,
}

impl PayloadParts<'_, '_> {
    /// Bytes in the parts still to come.
    pub fn byte_len(&self) -> usize {
        self.left
    }
}

impl<'a> Iterator for PayloadParts<'_, 'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.left == 0 {
            return None;
        }
        let (first, rest) = self.parts.split_first()?;
        let part = first.get(self.offset..)?;
        let part = part.get(..self.left).unwrap_or(part);
        self.parts = rest;
        self.offset = 0;
        self.left -= part.len();
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PointerError, packet::Packet};
    use super::*;

    fn encode(size: usize, items: &[EncodeItem<'_>]) -> Result<Vec<Vec<u8>>, EncodeError> {
        HeapEncoder::new(Flavour::default(), 1, size, items, false).map(|heap| heap.packets())
    }

    #[test]
    fn empty_heap_is_one_padded_packet() {
        let packets = encode(1472, &[]).unwrap();
        let packet = Packet::decode_datagram(&packets[0]).unwrap();
        assert_eq!(packets.len(), 1);
        assert_eq!(packet.payload(), [0]);
        let items: Vec<_> = packet.items().map(|item| (item.id(), item.value())).collect();
        assert_eq!(items, [(ids::NULL, 0)]);
    }

    #[test]
    fn control_heaps_are_told_apart() {
        let stop = HeapEncoder::stream_stop(Flavour::SPEAD_64_48, 5).unwrap().packets();
        let start = HeapEncoder::stream_start(Flavour::SPEAD_64_48, 5).unwrap().packets();
        assert!(Packet::decode_datagram(&stop[0]).unwrap().is_stop());
        let start = Packet::decode_datagram(&start[0]).unwrap();
        assert!(!start.is_stop());
        assert_eq!(start.immediate(ids::STREAM_CTRL), Some(ctrl::STREAM_START));
    }

    #[test]
    fn parts_outlive_the_packet_they_belong_to() {
        let value = [7; 100];
        let items = [EncodeItem { id: 0x1000, value: ItemValue::Addressed(&value) }];
        let mut heap = HeapEncoder::new(Flavour::default(), 1, 64, &items, false).unwrap();
        let mut header = Vec::new();
        let mut kept: Vec<&[u8]> = Vec::new();
        while let Some(payload) = heap.next_packet(&mut header) {
            kept.extend(payload);
        }
        assert!(heap.is_finished());
        assert_eq!(kept.concat(), value);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let immediate = |id, value| [EncodeItem { id, value: ItemValue::Immediate(value) }];
        assert_eq!(encode(63, &immediate(0x1000, 0)).map(|packets| packets.len()), Ok(2));
        assert_eq!(encode(55, &[]), Err(EncodeError::PacketSize { size: 48 }));
        assert_eq!(encode(64, &immediate(4, 0)), Err(EncodeError::ReservedId(4)));
        assert!(matches!(
            encode(64, &immediate(1 << 23, 0)),
            Err(EncodeError::Pointer(PointerError::Id { .. }))
        ));
        assert!(matches!(
            encode(64, &immediate(0x1000, 1 << 40)),
            Err(EncodeError::Pointer(PointerError::Value { .. }))
        ));
        let narrow = Flavour::new(8).unwrap();
        let long = [EncodeItem { id: 0x1000, value: ItemValue::Addressed(&[0; 256]) }];
        assert_eq!(
            HeapEncoder::new(narrow, 1, 64, &long, false).unwrap_err(),
            EncodeError::HeapTooLong { length: 256, max: 255 }
        );
        assert_eq!(
            HeapEncoder::new(narrow, 256, 64, &[], false).unwrap_err(),
            EncodeError::HeapCnt { heap_cnt: 256, max: 255 }
        );
    }

    #[test]
    fn repeating_leaves_room_for_a_null_pointer() {
        let item = EncodeItem { id: 0x1000, value: ItemValue::Immediate(1) };
        let repeat =
            |n, size| HeapEncoder::new(Flavour::default(), 1, size, &vec![item; n], true).err();
        assert_eq!(repeat(2, 72), None);
        assert_eq!(repeat(3, 72), Some(EncodeError::TooSmallToRepeat { items: 3, max: 2 }));
    }
}

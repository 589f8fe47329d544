//! How a heap is divided into packets.

use std::error::Error;
use std::fmt;
use std::ops::Range;

use super::flavour::Flavour;
use super::ids;
use super::packet::{HEADER_BYTES, MAGIC_VERSION};
use super::pointer::{ItemPointer, PointerError};

/// Header and the four pointers that every packet carries.
const PREFIX_BYTES: usize = HEADER_BYTES + 4 * 8;
/// The least payload of a packet that is not the last, so that pointers of the next one still
/// have a payload to travel with.
const MIN_PAYLOAD_BYTES: usize = 8;
/// The smallest packet size that can carry a heap: the prefix, one more pointer and 8 bytes of
/// payload.
pub const MIN_PACKET_SIZE: usize = PREFIX_BYTES + 8 + MIN_PAYLOAD_BYTES;
/// As many pointers as most packets carry at most are written together with the prefix.
const FEW_POINTERS: usize = 8;
/// What the header's 16-bit count leaves beside the four pointers of every packet.
const MAX_POINTERS: usize = u16::MAX as usize - 4;

/// The division of one heap into packets: their headers, and which bytes of the payload go in
/// each. It holds no payload, so a sender can keep it beside whatever owns the items.
///
/// Each packet carries as many of the item pointers not yet sent as it can, or all of them if
/// pointers are repeated, then payload up to the packet size. Only the last packet's payload may
/// end off a multiple of 8 bytes.
///
/// Every packet brings at least a byte of payload, as that is what a receiver tells the packets
/// of a heap apart by. A heap that has less is padded with zeros, told off from the last item by a
/// [`NULL`](ids::NULL) pointer: [`payload_length`](Self::payload_length) then exceeds the length
/// given.
///
/// [`HeapEncoder`](super::HeapEncoder) joins it with borrowed items.
///
/// ```
/// use speadway::wire::{Flavour, HeapPlan, ItemPointer};
///
/// let flavour = Flavour::SPEAD_64_48;
/// let pointers = vec![ItemPointer::addressed(flavour, 0x1000, 0)?];
/// let mut plan = HeapPlan::new(flavour, 1, 1056, pointers, 2000, false)?;
/// let mut header = Vec::new();
/// assert_eq!(plan.next_packet(&mut header), Some(0..1008));
/// assert_eq!(header.len(), 48);
/// assert_eq!(plan.next_packet(&mut header), Some(1008..2000));
/// assert_eq!(plan.next_packet(&mut header), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct HeapPlan<P = Vec<ItemPointer>> {
    pointers: P,
    division: Division,
}

impl<P: AsRef<[ItemPointer]>> HeapPlan<P> {
    /// Plans a heap whose items have these pointers, in this order, and this many bytes of
    /// payload in all. The pointers may be owned, borrowed or shared; nothing is allocated. Packets
    /// have at most `max_packet_size` bytes, rounded down to a multiple of 8.
    ///
    /// # Errors
    /// If the packet size is below [`MIN_PACKET_SIZE`] or does not hold the pointers to repeat,
    /// if an item has a reserved id, or if the heap count or length does not fit the flavour.
    pub fn new(
        flavour: Flavour,
        heap_cnt: u64,
        max_packet_size: usize,
        pointers: P,
        payload_length: usize,
        repeat_pointers: bool,
    ) -> Result<Self, EncodeError> {
        let shape = HeapShape { flavour, payload_length, repeat_pointers };
        let division = Division::new(&shape, heap_cnt, max_packet_size, pointers.as_ref())?;
        Ok(Self { pointers, division })
    }

    /// The heap's payload in bytes, padding included.
    pub fn payload_length(&self) -> usize {
        self.division.payload_length
    }

    /// The bytes of all packets that are still to come, headers included.
    pub fn remaining_bytes(&self) -> u64
    where
        P: Clone,
    {
        let (mut division, mut bytes) = (self.division.clone(), 0);
        while !division.is_finished() {
            let pointers = division.take_pointers(self.pointers.as_ref().len()).len();
            let part = division.take_payload(pointers);
            bytes += (PREFIX_BYTES + 8 * pointers + part.len()) as u64;
        }
        bytes
    }

    /// Whether all packets were taken.
    pub fn is_finished(&self) -> bool {
        self.division.is_finished()
    }

    /// Appends the next packet's header and item pointers to `header`, and returns which bytes
    /// of the heap's payload follow them; `None` once the heap is finished.
    pub fn next_packet(&mut self, header: &mut Vec<u8>) -> Option<Range<usize>> {
        self.division.next_packet(self.pointers.as_ref(), header)
    }
}

/// What is to be divided.
pub(crate) struct HeapShape {
    pub(crate) flavour: Flavour,
    pub(crate) payload_length: usize,
    pub(crate) repeat_pointers: bool,
}

/// A [`HeapPlan`] without the heap's item pointers, for a sender that has them elsewhere: every call
/// takes the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Division {
    flavour: Flavour,
    heap_cnt: u64,
    packet_size: usize,
    /// Tells padding off from the last item; follows the other pointers.
    null: Option<ItemPointer>,
    pointers_per_packet: usize,
    repeat_pointers: bool,
    payload_length: usize,
    next_pointer: usize,
    next_offset: usize,
}

impl Division {
    /// As [`HeapPlan::new`].
    #[inline]
    pub(crate) fn new(
        shape: &HeapShape,
        heap_cnt: u64,
        max_packet_size: usize,
        pointers: &[ItemPointer],
    ) -> Result<Self, EncodeError> {
        let &HeapShape { flavour, payload_length, repeat_pointers } = shape;
        let packet_size = max_packet_size - max_packet_size % 8;
        let pointers_per_packet = pointers_per_packet(packet_size)?;
        if repeat_pointers && pointers.len() >= pointers_per_packet {
            let max = pointers_per_packet - 1;
            return Err(EncodeError::TooSmallToRepeat { items: pointers.len(), max });
        }
        check_pointers(flavour, pointers)?;
        if heap_cnt > flavour.max_value() {
            return Err(EncodeError::HeapCnt { heap_cnt, max: flavour.max_value() });
        }
        let min_payload = min_payload(pointers.len(), pointers_per_packet);
        let padded_length = payload_length.max(min_payload);
        let max = flavour.max_value();
        if padded_length as u64 > max {
            return Err(EncodeError::HeapTooLong { length: padded_length as u64, max });
        }
        let null = (padded_length > payload_length)
            .then(|| ItemPointer::addressed(flavour, ids::NULL, payload_length as u64))
            .transpose()
            .map_err(EncodeError::Pointer)?;
        Ok(Self {
            flavour,
            heap_cnt,
            packet_size,
            null,
            pointers_per_packet,
            repeat_pointers,
            payload_length: padded_length,
            next_pointer: 0,
            next_offset: 0,
        })
    }

    /// Appends the header of a heap that is one packet without padding, as a division would, in less
    /// time. False if it is not, or cannot be sent, which [`new`](Self::new) tells apart.
    #[inline]
    pub(crate) fn write_whole(
        shape: &HeapShape,
        heap_cnt: u64,
        max_packet_size: usize,
        pointers: &[ItemPointer],
        header: &mut Vec<u8>,
    ) -> bool {
        let &HeapShape { flavour, payload_length, .. } = shape;
        let packet_size = max_packet_size - max_packet_size % 8;
        // A packet that is full of pointers has a NULL in the next.
        let room = packet_size.saturating_sub(PREFIX_BYTES + 8 * pointers.len());
        let is_one = payload_length > 0 && payload_length <= room && room > MIN_PAYLOAD_BYTES;
        let fits = heap_cnt <= flavour.max_value() && payload_length as u64 <= flavour.max_value();
        if !is_one
            || !fits
            || pointers.len() >= MAX_POINTERS
            || check_pointers(flavour, pointers).is_err()
        {
            return false;
        }
        let heap_length = payload_length as u64;
        let placement = Placement { heap_cnt, heap_length, payload: 0..payload_length };
        write_header(header, flavour, &placement, pointers, None);
        true
    }

    /// As [`HeapPlan::is_finished`].
    pub(crate) fn is_finished(&self) -> bool {
        self.next_offset >= self.payload_length
    }

    /// As [`HeapPlan::next_packet`].
    #[inline]
    pub(crate) fn next_packet(
        &mut self,
        own: &[ItemPointer],
        header: &mut Vec<u8>,
    ) -> Option<Range<usize>> {
        if self.is_finished() {
            return None;
        }
        let pointers = self.take_pointers(own.len());
        let payload = self.take_payload(pointers.len());
        let placement = Placement {
            heap_cnt: self.heap_cnt,
            heap_length: self.payload_length as u64,
            payload: payload.clone(),
        };
        let null = self.null.filter(|_| pointers.contains(&own.len()));
        let pointers = own.get(pointers.start..pointers.end.min(own.len())).unwrap_or_default();
        write_header(header, self.flavour, &placement, pointers, null);
        Some(payload)
    }

    /// Which bytes of the payload go in the next packet, beside so many pointers.
    fn take_payload(&mut self, pointers: usize) -> Range<usize> {
        let room = self.packet_size - PREFIX_BYTES - 8 * pointers;
        let start = self.next_offset;
        self.next_offset = self.payload_length.min(start.saturating_add(room));
        start..self.next_offset
    }

    /// Which pointers, of the heap's `own` and the one that tells padding off, go in the next packet.
    fn take_pointers(&mut self, own: usize) -> Range<usize> {
        let first = self.next_pointer;
        let all = own + usize::from(self.null.is_some());
        let last = all.min(first + self.pointers_per_packet);
        if !self.repeat_pointers {
            self.next_pointer = last;
        }
        first..last
    }
}

/// What the four pointers of every packet say.
pub(super) struct Placement {
    pub(super) heap_cnt: u64,
    pub(super) heap_length: u64,
    /// The part of the heap's payload that follows the header.
    pub(super) payload: Range<usize>,
}

/// Appends a packet's header and item pointers. Everything fits the flavour and the count of
/// pointers fits 16 bits: callers have checked.
#[inline]
pub(super) fn write_header(
    header: &mut Vec<u8>,
    flavour: Flavour,
    placement: &Placement,
    pointers: &[ItemPointer],
    null: Option<ItemPointer>,
) {
    let count = 4 + pointers.len() + usize::from(null.is_some());
    let [magic, version] = MAGIC_VERSION;
    let (id_bytes, address_bytes) = (flavour.item_id_bytes(), flavour.heap_address_bytes());
    let special = |id: u64, value: u64| 1 << 63 | id << flavour.heap_address_bits() | value;
    let mut words = [[0; 8]; PREFIX_BYTES / 8 + FEW_POINTERS];
    let prefix = [
        u64::from_be_bytes([magic, version, id_bytes, address_bytes, 0, 0, 0, 0]) | count as u64,
        special(ids::HEAP_CNT, placement.heap_cnt),
        special(ids::HEAP_LENGTH, placement.heap_length),
        special(ids::PAYLOAD_OFFSET, placement.payload.start as u64),
        special(ids::PAYLOAD_LENGTH, placement.payload.len() as u64),
    ];
    let (first, rest) = words.split_at_mut(prefix.len());
    for (place, word) in first.iter_mut().zip(prefix) {
        *place = word.to_be_bytes();
    }
    let few = pointers.len().min(FEW_POINTERS);
    for (place, pointer) in rest.iter_mut().zip(pointers) {
        *place = pointer.to_be_bytes();
    }
    header.extend_from_slice(words[..prefix.len() + few].as_flattened());
    for pointer in pointers[few..].iter().chain(&null) {
        header.extend_from_slice(&pointer.to_be_bytes());
    }
}

fn check_pointers(flavour: Flavour, pointers: &[ItemPointer]) -> Result<(), EncodeError> {
    let bits = flavour.heap_address_bits();
    let is_good =
        |pointer: &ItemPointer| !is_reserved(pointer.id()) && pointer.heap_address_bits() == bits;
    // One look at each, as nearly all are good.
    if pointers.iter().all(is_good) {
        return Ok(());
    }
    let reserved = pointers.iter().find(|pointer| is_reserved(pointer.id()));
    Err(reserved
        .map_or(EncodeError::MixedFlavours, |pointer| EncodeError::ReservedId(pointer.id())))
}

/// Whether items may not have this id: padding, or a pointer that every packet has anyway.
fn is_reserved(id: u64) -> bool {
    id <= ids::PAYLOAD_LENGTH
}

fn pointers_per_packet(packet_size: usize) -> Result<usize, EncodeError> {
    if packet_size < MIN_PACKET_SIZE {
        return Err(EncodeError::PacketSize { size: packet_size });
    }
    Ok(((packet_size - PREFIX_BYTES - MIN_PAYLOAD_BYTES) / 8).min(MAX_POINTERS))
}

/// The payload that the packets needed for the pointers must have: 8 bytes for all but the last,
/// which needs one. Counting a packet more when they are just full leaves room for a NULL.
fn min_payload(n_pointers: usize, pointers_per_packet: usize) -> usize {
    n_pointers / pointers_per_packet * MIN_PAYLOAD_BYTES + 1
}

/// Why a heap cannot be encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EncodeError {
    /// The packet size is below [`MIN_PACKET_SIZE`].
    PacketSize {
        /// The size asked for, rounded down to a multiple of 8 bytes.
        size: usize,
    },
    /// The pointers are to be repeated, but one packet does not hold them.
    TooSmallToRepeat {
        /// How many items there are.
        items: usize,
        /// How many a packet of the size asked for can repeat.
        max: usize,
    },
    /// An item has the id of padding or of a pointer that every packet has.
    ReservedId(u64),
    /// An item's id, value or place does not fit the flavour.
    Pointer(PointerError),
    /// A pointer was made for another flavour than that of the heap.
    MixedFlavours,
    /// The heap count does not fit the flavour.
    HeapCnt {
        /// The count asked for.
        heap_cnt: u64,
        /// The largest that fits.
        max: u64,
    },
    /// The payload, padding included, is longer than the flavour can tell.
    HeapTooLong {
        /// Its length in bytes.
        length: u64,
        /// The most that fits, in bytes.
        max: u64,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PacketSize { size } => {
                write!(
                    f,
                    "packet size is too small: {size} bytes, at least {MIN_PACKET_SIZE} needed"
                )
            }
            Self::TooSmallToRepeat { items, max } => write!(
                f,
                "packet size is too small to repeat item pointers: it holds {max} and there are {items}"
            ),
            Self::ReservedId(id) => {
                write!(f, "item id {id:#x} is reserved: ids up to {:#x} are", ids::PAYLOAD_LENGTH)
            }
            Self::Pointer(error) => error.fmt(f),
            Self::MixedFlavours => {
                f.write_str("an item pointer is of another flavour than its heap")
            }
            Self::HeapCnt { heap_cnt, max } => {
                write!(f, "heap count {heap_cnt} is over {max}, the largest of the flavour")
            }
            Self::HeapTooLong { length, max } => {
                write!(f, "heap of {length} bytes is longer than {max}, the most of the flavour")
            }
        }
    }
}

impl Error for EncodeError {}

impl From<PointerError> for EncodeError {
    fn from(error: PointerError) -> Self {
        Self::Pointer(error)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Packet sizes, counts and lengths about where they begin to fit.
        #[test]
        fn a_heap_that_is_written_whole_is_what_a_division_makes_of_it(
            bytes in 1_u8..8,
            values in vec((0_u64..200, any::<u64>(), any::<bool>()), 0..12),
            length in prop_oneof![0_usize..24, 0_usize..300],
            room in prop_oneof![0_usize..32, 0_usize..300],
            cnt in prop_oneof![0_u64..300, any::<u64>()],
            repeat_pointers in any::<bool>(),
            before in vec(any::<u8>(), 0..9),
        ) {
            let flavour = Flavour::new(bytes * 8).unwrap();
            let pointers: Vec<_> = values
                .iter()
                .map(|&(id, value, immediate)| match immediate {
                    true => ItemPointer::immediate(flavour, id, value & flavour.max_value()),
                    false => ItemPointer::addressed(flavour, id, value & flavour.max_value()),
                })
                .filter_map(Result::ok)
                .collect();
            let shape = HeapShape { flavour, payload_length: length, repeat_pointers };
            let size = PREFIX_BYTES + 8 * pointers.len() + room;
            let mut whole = before.clone();
            let is_whole = Division::write_whole(&shape, cnt, size, &pointers, &mut whole);

            let mut divided = before.clone();
            let is_one = Division::new(&shape, cnt, size, &pointers).is_ok_and(|mut division| {
                let payload = division.next_packet(&pointers, &mut divided);
                payload == Some(0..length) && division.is_finished() && division.null.is_none()
            });
            prop_assert_eq!(is_whole, is_one);
            prop_assert_eq!(whole, if is_one { divided } else { before });
        }
    }
}

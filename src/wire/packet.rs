//! Decoding one packet, the hot path.

use std::iter::FusedIterator;
use std::slice;

use super::decode_error::DecodeError;
use super::flavour::{Flavour, value_mask};
use super::pointer::ItemPointer;
use super::{ctrl, ids};

/// Set in a pointer whose value is immediate.
const IMMEDIATE: u64 = 1 << 63;

/// Bytes before the item pointers.
pub(super) const HEADER_BYTES: usize = 8;
/// Magic number 0x53 and protocol version 4.
pub(super) const MAGIC_VERSION: [u8; 2] = [0x53, 0x04];
/// A decoded packet, borrowing its bytes.
///
/// Exists only for bytes that obey every rule of [`DecodeError`], so its accessors cannot fail.
///
/// ```
/// use speadway::wire::{DecodeError, Packet};
///
/// // SPEAD-64-40: heap 1 of 2 bytes, payload offset 0, payload length 2.
/// let bytes = [
///     0x53, 0x04, 3, 5, 0, 0, 0, 4, //
///     0x80, 0, 1, 0, 0, 0, 0, 1, //
///     0x80, 0, 2, 0, 0, 0, 0, 2, //
///     0x80, 0, 3, 0, 0, 0, 0, 0, //
///     0x80, 0, 4, 0, 0, 0, 0, 2, //
///     0xaa, 0xbb,
/// ];
/// let packet = Packet::decode(&bytes)?;
/// assert_eq!(packet.heap_length(), Some(2));
/// assert_eq!(packet.payload(), [0xaa, 0xbb]);
/// assert_eq!(Packet::decode(&bytes[..41]).unwrap_err(), DecodeError::PayloadOverflow);
/// # Ok::<(), DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    bytes: &'a [u8],
    pointers: &'a [[u8; 8]],
    payload: &'a [u8],
    heap_cnt: u64,
    heap_length: u64,
    payload_offset: u64,
    items_end: u64,
    heap_address_bits: u8,
    stop: bool,
}

impl<'a> Packet<'a> {
    /// Decodes the packet at the start of `bytes`, which may go on after it.
    ///
    /// # Errors
    /// The first rule that the bytes break; never [`Empty`](DecodeError::Empty) or
    /// [`SizeMismatch`](DecodeError::SizeMismatch).
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (header, rest) = bytes.split_first_chunk().ok_or(DecodeError::TooSmall)?;
        let header = Header::decode(header)?;
        let (pointers, rest) =
            rest.split_at_checked(header.pointer_bytes()).ok_or(DecodeError::ItemsOverflow)?;
        let (pointers, _) = pointers.as_chunks::<8>();
        let specials = Specials::scan(pointers, header.heap_address_bits);
        if !specials.has_required() {
            return Err(DecodeError::MissingItems);
        }
        Self::assemble(bytes, pointers, rest, header.heap_address_bits, &specials.fields())
    }

    /// The packet whose pointers say this, with its payload at the start of `rest`.
    #[inline(always)]
    pub(super) fn assemble(
        bytes: &'a [u8],
        pointers: &'a [[u8; 8]],
        rest: &'a [u8],
        heap_address_bits: u8,
        fields: &Fields,
    ) -> Result<Self, DecodeError> {
        let payload = usize::try_from(fields.payload_length)
            .ok()
            .and_then(|length| rest.get(..length))
            .ok_or(DecodeError::PayloadOverflow)?;
        // Both terms have at most 56 bits: the sum cannot overflow.
        if fields.payload_offset + fields.payload_length > fields.heap_length {
            return Err(DecodeError::HeapOverflow);
        }
        let size = HEADER_BYTES + size_of_val(pointers) + payload.len();
        Ok(Self {
            bytes: bytes.get(..size).unwrap_or(bytes),
            pointers,
            payload,
            heap_cnt: fields.heap_cnt,
            heap_length: fields.heap_length,
            payload_offset: fields.payload_offset,
            items_end: fields.items_end,
            heap_address_bits,
            stop: fields.stop,
        })
    }

    /// Decodes `bytes` as one packet, no more and no less.
    ///
    /// # Errors
    /// As [`decode`](Self::decode), [`Empty`](DecodeError::Empty) if there are no bytes, and
    /// [`SizeMismatch`](DecodeError::SizeMismatch) if some are left over.
    #[inline]
    pub fn decode_datagram(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Err(DecodeError::Empty);
        }
        Self::decode(bytes)?.filling(bytes)
    }

    /// The packet, if nothing of `bytes` is left behind it.
    #[inline]
    pub(super) fn filling(self, bytes: &[u8]) -> Result<Self, DecodeError> {
        if self.size() == bytes.len() { Ok(self) } else { Err(DecodeError::SizeMismatch) }
    }

    /// Bits of a heap address: the XX of SPEAD-64-XX.
    #[inline]
    pub fn flavour_bits(&self) -> u8 {
        self.heap_address_bits
    }

    /// The packet's flavour, without bug compatibility as that is not on the wire.
    #[inline]
    pub fn flavour(&self) -> Flavour {
        Flavour::from_checked_bits(self.heap_address_bits)
    }

    /// The heap that the packet belongs to.
    #[inline]
    pub fn heap_cnt(&self) -> u64 {
        self.heap_cnt
    }

    /// Length of the heap's payload in bytes, if the packet tells.
    #[inline]
    pub fn heap_length(&self) -> Option<u64> {
        (self.heap_length != Fields::NO_LENGTH).then_some(self.heap_length)
    }

    /// Where the payload goes in the heap's, in bytes.
    #[inline]
    pub fn payload_offset(&self) -> u64 {
        self.payload_offset
    }

    /// The payload.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The whole packet, header and pointers included, without what followed it.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Size of the whole packet in bytes.
    #[inline]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// All item pointers, as they lie in memory.
    pub(super) fn raw_pointers(&self) -> &'a [[u8; 8]] {
        self.pointers
    }

    /// The largest address of an item that concerns the heap's contents, 0 if there is none: the
    /// heap cannot be shorter.
    #[inline]
    pub fn items_end(&self) -> u64 {
        self.items_end
    }

    /// All item pointers, as sent.
    #[inline]
    pub fn pointers(&self) -> Pointers<'a> {
        Pointers { iter: self.pointers.iter(), heap_address_bits: self.heap_address_bits }
    }

    /// The item pointers that concern the heap's contents: all but those with the ids of
    /// [`HEAP_CNT`](ids::HEAP_CNT) to [`PAYLOAD_LENGTH`](ids::PAYLOAD_LENGTH), whatever their
    /// mode. [`NULL`](ids::NULL) pointers are kept as they end the item before them.
    #[inline]
    pub fn items(&self) -> Items<'a> {
        Items(self.pointers())
    }

    /// The value of the last immediate item with this id, any id, if the packet has one.
    #[inline]
    pub fn immediate(&self, id: u64) -> Option<u64> {
        self.pointers()
            .rev()
            .find(|pointer| pointer.is_immediate() && pointer.id() == id)
            .map(ItemPointer::value)
    }

    /// Whether the packet ends the stream: it has an immediate
    /// [`STREAM_CTRL`](ids::STREAM_CTRL) item with value [`STREAM_STOP`](ctrl::STREAM_STOP).
    #[inline]
    pub fn is_stop(&self) -> bool {
        self.stop
    }
}

/// What the first 8 bytes of a packet say.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) heap_address_bits: u8,
    n_items: u16,
}

impl Header {
    #[inline]
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, DecodeError> {
        let [magic, version, id_bytes, address_bytes, _, _, n_high, n_low] = *bytes;
        if [magic, version] != MAGIC_VERSION {
            return Err(DecodeError::BadMagic);
        }
        if id_bytes == 0 || address_bytes == 0 {
            return Err(DecodeError::BadFlavour);
        }
        if u16::from(id_bytes) + u16::from(address_bytes) != 8 {
            return Err(DecodeError::Not64Bit);
        }
        Ok(Self {
            heap_address_bits: address_bytes * 8,
            n_items: u16::from_be_bytes([n_high, n_low]),
        })
    }

    /// Bytes of item pointers that follow the header.
    #[inline]
    pub(super) fn pointer_bytes(self) -> usize {
        usize::from(self.n_items) * 8
    }
}

/// What a packet's item pointers say about where it belongs.
pub(super) struct Fields {
    pub(super) heap_cnt: u64,
    pub(super) heap_length: u64,
    pub(super) payload_offset: u64,
    pub(super) payload_length: u64,
    pub(super) items_end: u64,
    pub(super) stop: bool,
}

impl Fields {
    /// Stands for "no HEAP_LENGTH": no value of at most 56 bits equals it.
    pub(super) const NO_LENGTH: u64 = u64::MAX;
}

/// The items that say where a packet belongs, found in one pass over its pointers.
struct Specials {
    /// Values by the two low bits of the id: 1, 2, 3, and 0 for id 4.
    values: [u64; 4],
    /// Bit `id & 3` is set once the id was seen.
    seen: u8,
    items_end: u64,
    stop: bool,
}

impl Specials {
    #[inline]
    fn scan(pointers: &[[u8; 8]], heap_address_bits: u8) -> Self {
        let shift = u32::from(heap_address_bits & 63);
        let mask = value_mask(heap_address_bits & 63);
        // With the mode bit complemented, an immediate has the plain id in its upper bits.
        let stop_pointer = ids::STREAM_CTRL << shift | ctrl::STREAM_STOP;
        let mut specials =
            Self { values: [0, 0, Fields::NO_LENGTH, 0], seen: 0, items_end: 0, stop: false };
        for &pointer in pointers {
            let pointer = u64::from_be_bytes(pointer) ^ IMMEDIATE;
            let id = (pointer & !IMMEDIATE) >> shift;
            let is_addressed = pointer & IMMEDIATE != 0;
            if !is_special(id) {
                if is_addressed {
                    specials.items_end = specials.items_end.max(pointer & mask);
                }
                specials.stop |= pointer == stop_pointer;
            } else if !is_addressed {
                // A repeated item counts with its last value.
                specials.values[(id & 3) as usize] = pointer & mask;
                specials.seen |= 1 << (id & 3);
            }
        }
        specials
    }

    #[inline]
    fn has_required(&self) -> bool {
        const REQUIRED: u8 = 1 << (ids::HEAP_CNT & 3)
            | 1 << (ids::PAYLOAD_OFFSET & 3)
            | 1 << (ids::PAYLOAD_LENGTH & 3);
        self.seen & REQUIRED == REQUIRED
    }

    #[inline]
    fn fields(&self) -> Fields {
        let value = |id: u64| self.values[(id & 3) as usize];
        Fields {
            heap_cnt: value(ids::HEAP_CNT),
            heap_length: value(ids::HEAP_LENGTH),
            payload_offset: value(ids::PAYLOAD_OFFSET),
            payload_length: value(ids::PAYLOAD_LENGTH),
            items_end: self.items_end,
            stop: self.stop,
        }
    }
}

/// Whether items with this id say where a packet belongs.
#[inline]
fn is_special(id: u64) -> bool {
    (ids::HEAP_CNT..=ids::PAYLOAD_LENGTH).contains(&id)
}

/// Iterator over all item pointers of a [`Packet`], in the order sent.
#[derive(Clone, Debug)]
pub struct Pointers<'a> {
    iter: slice::Iter<'a, [u8; 8]>,
    heap_address_bits: u8,
}

impl Pointers<'_> {
    #[inline]
    fn pointer(&self, bytes: &[u8; 8]) -> ItemPointer {
        ItemPointer::from_be_bytes(*bytes, self.heap_address_bits)
    }
}

impl Iterator for Pointers<'_> {
    type Item = ItemPointer;

    #[inline]
    fn next(&mut self) -> Option<ItemPointer> {
        let bytes = self.iter.next()?;
        Some(self.pointer(bytes))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.iter.size_hint()
    }

    #[inline]
    fn nth(&mut self, n: usize) -> Option<ItemPointer> {
        let bytes = self.iter.nth(n)?;
        Some(self.pointer(bytes))
    }
}

impl DoubleEndedIterator for Pointers<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<ItemPointer> {
        let bytes = self.iter.next_back()?;
        Some(self.pointer(bytes))
    }
}

impl ExactSizeIterator for Pointers<'_> {}
impl FusedIterator for Pointers<'_> {}

/// Iterator over the item pointers of a [`Packet`] that concern its heap's contents. See
/// [`Packet::items`].
#[derive(Clone, Debug)]
pub struct Items<'a>(Pointers<'a>);

impl Iterator for Items<'_> {
    type Item = ItemPointer;

    #[inline]
    fn next(&mut self) -> Option<ItemPointer> {
        self.0.find(|pointer| !is_special(pointer.id()))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.0.len()))
    }
}

impl FusedIterator for Items<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAP_CNT: u64 = 0x8000_0100_0000_0009;
    const HEAP_LENGTH: u64 = 0x8000_0200_0000_0004;
    const PAYLOAD_OFFSET: u64 = 0x8000_0300_0000_0001;
    const PAYLOAD_LENGTH: u64 = 0x8000_0400_0000_0003;

    /// A SPEAD-64-40 packet with a payload of 3 bytes.
    fn packet(pointers: &[u64]) -> Vec<u8> {
        let mut bytes = vec![0x53, 0x04, 3, 5, 0, 0, 0, pointers.len() as u8];
        bytes.extend(pointers.iter().flat_map(|pointer| pointer.to_be_bytes()));
        bytes.extend([1, 2, 3]);
        bytes
    }

    fn whole() -> Vec<u8> {
        packet(&[HEAP_CNT, HEAP_LENGTH, PAYLOAD_OFFSET, PAYLOAD_LENGTH])
    }

    fn error(bytes: &[u8]) -> Option<DecodeError> {
        Packet::decode_datagram(bytes).err()
    }

    #[test]
    fn each_rule_has_its_error() {
        let changed = |at: usize, byte: u8| {
            let mut bytes = whole();
            bytes[at] = byte;
            error(&bytes)
        };
        assert_eq!(error(&whole()), None);
        assert_eq!(error(&[]), Some(DecodeError::Empty));
        assert_eq!(error(&whole()[..7]), Some(DecodeError::TooSmall));
        assert_eq!(changed(0, 0x54), Some(DecodeError::BadMagic));
        assert_eq!(changed(1, 3), Some(DecodeError::BadMagic));
        assert_eq!(changed(2, 0), Some(DecodeError::BadFlavour));
        assert_eq!(changed(3, 0), Some(DecodeError::BadFlavour));
        assert_eq!(changed(3, 4), Some(DecodeError::Not64Bit));
        assert_eq!(changed(3, 255), Some(DecodeError::Not64Bit));
        assert_eq!(changed(7, 5), Some(DecodeError::ItemsOverflow));
        assert_eq!(changed(7, 3), Some(DecodeError::MissingItems));
        assert_eq!(error(&whole()[..42]), Some(DecodeError::PayloadOverflow));
        assert_eq!(changed(31, 2), Some(DecodeError::HeapOverflow));
        assert_eq!(changed(39, 2), Some(DecodeError::SizeMismatch));
    }

    #[test]
    fn heap_length_is_optional() {
        let bytes = packet(&[HEAP_CNT, PAYLOAD_OFFSET, PAYLOAD_LENGTH]);
        assert_eq!(Packet::decode(&bytes).unwrap().heap_length(), None);
    }

    #[test]
    fn the_last_of_repeated_items_counts() {
        let bytes = packet(&[
            HEAP_CNT,
            PAYLOAD_OFFSET,
            0x8000_0400_0000_0002,
            PAYLOAD_LENGTH,
            1,
            HEAP_CNT + 1,
        ]);
        let packet = Packet::decode_datagram(&bytes).unwrap();
        assert_eq!((packet.heap_cnt(), packet.payload().len()), (10, 3));
        assert_eq!(packet.immediate(ids::HEAP_CNT), Some(10));
        assert_eq!(packet.items().map(ItemPointer::raw).collect::<Vec<_>>(), [1]);
        assert_eq!(packet.pointers().len(), 6);
    }

    #[test]
    fn addressed_pointers_with_special_ids_are_nothing() {
        let addressed = HEAP_CNT & !(1 << 63);
        let bytes = packet(&[PAYLOAD_OFFSET, PAYLOAD_LENGTH, addressed]);
        assert_eq!(error(&bytes), Some(DecodeError::MissingItems));
        let bytes = packet(&[addressed, HEAP_CNT, PAYLOAD_OFFSET, PAYLOAD_LENGTH]);
        assert_eq!(Packet::decode(&bytes).unwrap().items().count(), 0);
    }

    #[test]
    fn only_an_immediate_stop_stops() {
        let with = |pointer| {
            let bytes = packet(&[HEAP_CNT, PAYLOAD_OFFSET, PAYLOAD_LENGTH, pointer]);
            Packet::decode(&bytes).unwrap().is_stop()
        };
        assert!(with(0x8000_0600_0000_0002));
        assert!(!with(0x8000_0600_0000_0000));
        assert!(!with(0x0000_0600_0000_0002));
    }

    #[test]
    fn bytes_may_go_on_after_a_packet() {
        let mut bytes = whole();
        bytes.extend(whole());
        let packet = Packet::decode(&bytes).unwrap();
        assert_eq!(packet.bytes(), whole());
        assert_eq!(error(&bytes), Some(DecodeError::SizeMismatch));
    }
}

//! Decoding the packets of a stream, most of which look like one of those before.

use super::decode_error::DecodeError;
use super::flavour::value_mask;
use super::ids;
use super::packet::{Fields, HEADER_BYTES, Packet};
use crate::paths;

/// Pointers are compared in blocks of this many, without a branch in between.
const BLOCK: usize = 4;

/// Packets with more item pointers than this are decoded without a shape. Instruments send 5 to 12.
const POINTERS_MAX: usize = 4 * BLOCK;

/// Shapes that are remembered: senders that do not repeat item pointers send two, one for a heap's
/// first packet and one for the others.
const SHAPES: usize = 2;

/// The header without its reserved bytes 4 and 5, which receivers ignore.
const HEADER_MASK: u64 = u64::from_ne_bytes([255, 255, 255, 255, 0, 0, 255, 255]);

/// Decodes packets as [`Packet::decode`] does, in less time if they have the *shape* of one of the
/// last: the same flavour and the same item pointers but for the values of immediate items.
///
/// ```
/// use speadway::wire::{Decoder, EncodeItem, Flavour, HeapEncoder, ItemValue};
/// let mut decoder = Decoder::default();
/// for number in 0..10 {
///     let items = [EncodeItem { id: 0x1600, value: ItemValue::Immediate(number) }];
///     let heap = HeapEncoder::new(Flavour::default(), number + 1, 1472, &items, true)?;
///     for bytes in heap.packets() {
///         assert_eq!(decoder.decode_datagram(&bytes)?.immediate(0x1600), Some(number));
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    shapes: [Shape; SHAPES],
    /// The one that the last packet had.
    current: usize,
}

impl Decoder {
    /// Decodes the packet at the start of `bytes`, which may go on after it.
    ///
    /// # Errors
    /// As [`Packet::decode`].
    #[inline(always)]
    pub fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Packet<'a>, DecodeError> {
        if paths::only_long() {
            return Packet::decode(bytes);
        }
        match self.shapes[self.current % SHAPES].match_with(bytes) {
            Some(packet) => packet,
            None => self.decode_other(bytes),
        }
    }

    /// Decodes `bytes` as one packet, no more and no less.
    ///
    /// # Errors
    /// As [`Packet::decode_datagram`].
    #[inline(always)]
    pub fn decode_datagram<'a>(&mut self, bytes: &'a [u8]) -> Result<Packet<'a>, DecodeError> {
        if bytes.is_empty() {
            return Err(DecodeError::Empty);
        }
        self.decode(bytes)?.filling(bytes)
    }

    /// What other packets of the heap of `last`, which must be the packet decoded last, look like.
    #[inline]
    pub(crate) fn siblings<'a>(&'a self, last: &Packet<'a>) -> Option<Siblings<'a>> {
        let shape = &self.shapes[self.current % SHAPES];
        let blocks = shape.blocks_of(last.bytes().get(HEADER_BYTES..)?)?;
        Some(Siblings { shape, blocks, known: &shape.fixed_in_heap[..blocks.len()] })
    }

    /// Decodes a packet that looks unlike the last.
    #[inline(never)]
    fn decode_other<'a>(&mut self, bytes: &'a [u8]) -> Result<Packet<'a>, DecodeError> {
        let other = (self.current + 1) % SHAPES;
        if let Some(packet) = self.shapes[other].match_with(bytes) {
            self.current = other;
            return packet;
        }
        let packet = Packet::decode(bytes)?;
        self.shapes[other] = Shape::of(&packet).unwrap_or_default();
        self.current = other;
        Ok(packet)
    }
}

/// What packets of one stream have in common, and where in them the rest is.
#[derive(Clone, Debug, Default)]
struct Shape {
    /// The first bytes, as they lie in memory, under `HEADER_MASK`.
    header: u64,
    /// Number of item pointers; 0 for the shape of no packet, as every packet has some.
    pointers: usize,
    /// Blocks that they take.
    blocks: usize,
    /// The pointers, as they lie in memory, where `fixed` has ones. Behind the last, `fixed` has
    /// none: whatever lies there in the packet is as it should be.
    values: [[u64; BLOCK]; POINTERS_MAX / BLOCK],
    fixed: [[u64; BLOCK]; POINTERS_MAX / BLOCK],
    /// As `fixed`, for packets that differ in nothing but where in the heap their payload goes.
    fixed_in_heap: [[u64; BLOCK]; POINTERS_MAX / BLOCK],
    /// Which pointer tells the heap's count, its length, and the payload's offset and length.
    heap_cnt: u8,
    heap_length: Option<u8>,
    payload_offset: u8,
    payload_length: u8,
    value_mask: u64,
    heap_address_bits: u8,
    stop: bool,
    items_end: u64,
}

impl Shape {
    /// The shape of `packet`, unless it has too many pointers to be remembered.
    fn of(packet: &Packet<'_>) -> Option<Self> {
        let pointers = packet.raw_pointers();
        if pointers.len() > POINTERS_MAX {
            return None;
        }
        let mut shape = Self {
            header: header_of(packet.bytes())?,
            pointers: pointers.len(),
            blocks: pointers.len().div_ceil(BLOCK),
            value_mask: value_mask(packet.flavour_bits()),
            heap_address_bits: packet.flavour_bits(),
            stop: packet.is_stop(),
            items_end: packet.items_end(),
            ..Self::default()
        };
        for (at, (raw, pointer)) in (0_u8..).zip(pointers.iter().zip(packet.pointers())) {
            // An address tells the heap's least length, and the control item may end the stream;
            // other values may be any.
            let free = pointer.is_immediate() && pointer.id() != ids::STREAM_CTRL;
            let fixed = if free { !shape.value_mask } else { u64::MAX };
            let (block, place) = (usize::from(at) / BLOCK, usize::from(at) % BLOCK);
            shape.fixed[block][place] = fixed.to_be();
            shape.fixed_in_heap[block][place] = u64::MAX;
            shape.values[block][place] = u64::from_ne_bytes(*raw) & fixed.to_be();
            if !pointer.is_immediate() {
                continue;
            }
            // The last of repeated items counts.
            match pointer.id() {
                ids::HEAP_CNT => shape.heap_cnt = at,
                ids::HEAP_LENGTH => shape.heap_length = Some(at),
                ids::PAYLOAD_OFFSET => shape.payload_offset = at,
                ids::PAYLOAD_LENGTH => shape.payload_length = at,
                _ => {}
            }
        }
        let place = usize::from(shape.payload_offset);
        shape.fixed_in_heap[place / BLOCK][place % BLOCK] = (!shape.value_mask).to_be();
        Some(shape)
    }

    /// Decodes the packet at the start of `bytes` if it has this shape.
    #[inline(always)]
    fn match_with<'a>(&self, bytes: &'a [u8]) -> Option<Result<Packet<'a>, DecodeError>> {
        if header_of(bytes)? != self.header {
            return None;
        }
        let behind_header = &bytes[HEADER_BYTES..];
        let blocks = self.blocks_of(behind_header)?;
        let mut differing = 0;
        for (block, (values, fixed)) in blocks.iter().zip(self.values.iter().zip(&self.fixed)) {
            differing |= difference(&words(block), values, fixed);
        }
        if differing != 0 {
            return None;
        }
        let (pointers, rest) = behind_header.split_at_checked(self.pointers * 8)?;
        let (pointers, _) = pointers.as_chunks::<8>();
        let value =
            |at: u8| Some(u64::from_be_bytes(*pointers.get(usize::from(at))?) & self.value_mask);
        let fields = Fields {
            heap_cnt: value(self.heap_cnt)?,
            heap_length: match self.heap_length {
                Some(at) => value(at)?,
                None => Fields::NO_LENGTH,
            },
            payload_offset: value(self.payload_offset)?,
            payload_length: value(self.payload_length)?,
            items_end: self.items_end,
            stop: self.stop,
        };
        Some(Packet::assemble(bytes, pointers, rest, self.heap_address_bits, &fields))
    }

    /// The pointers of a packet, rounded up to whole blocks. A packet whose payload ends before that
    /// is left to the slow path.
    #[inline(always)]
    fn blocks_of<'a>(&self, behind_header: &'a [u8]) -> Option<&'a [Block]> {
        let (blocks, _) = behind_header.as_chunks();
        blocks.get(..self.blocks)
    }
}

/// What is common to the packets of a heap that have one size and the same items.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Siblings<'a> {
    shape: &'a Shape,
    /// The pointers of one of them, and which of their bits all share.
    blocks: &'a [Block],
    known: &'a [[u64; BLOCK]],
}

impl Siblings<'_> {
    /// The payload offset of the packet that `bytes` start with, if it is one of these.
    #[inline(always)]
    pub(crate) fn offset_of(&self, bytes: &[u8]) -> Option<u64> {
        let shape = self.shape;
        if header_of(bytes)? != shape.header {
            return None;
        }
        let behind_header = &bytes[HEADER_BYTES..];
        let (blocks, _) = behind_header.as_chunks();
        let blocks: &[Block] = blocks.get(..self.blocks.len())?;
        let mut differing = 0;
        for (block, (sibling, known)) in blocks.iter().zip(self.blocks.iter().zip(self.known)) {
            differing |= difference(&words(block), &words(sibling), known);
        }
        if differing != 0 {
            return None;
        }
        let (pointers, _) = behind_header.as_chunks();
        let pointer = pointers.get(usize::from(shape.payload_offset))?;
        Some(u64::from_be_bytes(*pointer) & shape.value_mask)
    }
}

/// Some pointers as they lie in a packet.
type Block = [u8; 8 * BLOCK];

/// The pointers of a block, as they lie in memory.
#[inline(always)]
fn words(block: &Block) -> [u64; BLOCK] {
    let (pointers, _) = block.as_chunks::<8>();
    std::array::from_fn(|at| u64::from_ne_bytes(pointers[at]))
}

/// All bits under `mask` in which any two pointers differ; no branch is taken to find out.
#[inline(always)]
fn difference(some: &[u64; BLOCK], others: &[u64; BLOCK], mask: &[u64; BLOCK]) -> u64 {
    let pairs = some.iter().zip(others).zip(mask);
    pairs.fold(0, |all, ((one, other), mask)| all | ((one ^ other) & mask))
}

/// The first 8 bytes as they lie in memory, without those that are ignored.
#[inline]
fn header_of(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|header| u64::from_ne_bytes(*header) & HEADER_MASK)
}

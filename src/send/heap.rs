//! Heaps to send.

use std::ops::Range;
use std::sync::Arc;

use crate::item::{Bytes, Outgoing};
use crate::paths;
use crate::wire::{
    Descriptor, DescriptorEncodeError, Division, EncodeError, Flavour, HeapShape, ItemPointer,
    ctrl, ids,
};

/// A heap to send: items in the order they were added, over bytes that are shared, not copied.
///
/// It can be sent any number of times; its number is given when it is sent.
///
/// ```
/// use speadway::send::Heap;
/// use speadway::wire::Flavour;
///
/// let samples: Vec<u8> = vec![0; 8192];
/// let heap = Heap::new(Flavour::default())
///     .immediate(0x1600, 1234)? // in the item pointer itself
///     .item(0x3300, samples)?; // in the payload
/// assert_eq!(heap.payload_length(), 8192);
/// # Ok::<(), speadway::wire::EncodeError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Heap {
    flavour: Flavour,
    repeat_pointers: bool,
    pointers: Vec<ItemPointer>,
    /// Pointers whose value is read when the heap is sent, by their place among `pointers`.
    live: Vec<(usize, Bytes)>,
    /// The payload's pieces, in order, each with where it starts.
    pieces: Vec<(usize, Bytes)>,
    payload_length: usize,
}

impl Heap {
    /// An empty heap.
    #[must_use]
    pub fn new(flavour: Flavour) -> Self {
        Self { flavour, ..Self::default() }
    }

    /// The heap that starts a stream.
    #[must_use]
    pub fn stream_start(flavour: Flavour) -> Self {
        Self::control(flavour, ctrl::STREAM_START)
    }

    /// The heap that ends a stream.
    #[must_use]
    pub fn stream_stop(flavour: Flavour) -> Self {
        Self::control(flavour, ctrl::STREAM_STOP)
    }

    fn control(flavour: Flavour, value: u64) -> Self {
        let mut heap = Self::new(flavour);
        // Every flavour has room for these.
        heap.pointers.extend(ItemPointer::immediate(flavour, ids::STREAM_CTRL, value));
        heap
    }

    /// Whether every packet carries all item pointers, so that packets may arrive in any order.
    #[must_use]
    pub fn repeat_pointers(mut self, repeat: bool) -> Self {
        self.repeat_pointers = repeat;
        self
    }

    /// Adds an item whose value is in its pointer: below 2 to the power of the flavour's
    /// `heap_address_bits`.
    ///
    /// # Errors
    /// If the id or value does not fit.
    pub fn immediate(mut self, id: u64, value: u64) -> Result<Self, EncodeError> {
        self.add_immediate(id, value)?;
        Ok(self)
    }

    /// Adds an item whose value is in the payload.
    ///
    /// # Errors
    /// If the id does not fit, or the payload is longer than the flavour can tell.
    pub fn item(mut self, id: u64, value: impl Into<Bytes>) -> Result<Self, EncodeError> {
        self.push(id, value.into())?;
        Ok(self)
    }

    /// Adds an item whose value is in its pointer if it is short enough, right-justified, and
    /// otherwise in the payload.
    ///
    /// # Errors
    /// If the id does not fit, or the payload is longer than the flavour can tell.
    pub fn item_or_immediate(self, id: u64, value: impl Into<Bytes>) -> Result<Self, EncodeError> {
        let value = value.into();
        if value.len() > usize::from(self.flavour.heap_address_bytes()) {
            return self.item(id, value);
        }
        self.immediate(id, number(&value))
    }

    /// As [`immediate`](Self::immediate), without taking the heap.
    ///
    /// # Errors
    /// If the id or value does not fit.
    pub fn add_immediate(&mut self, id: u64, value: u64) -> Result<(), EncodeError> {
        self.pointers.push(ItemPointer::immediate(self.flavour, id, value)?);
        Ok(())
    }

    /// As [`item`](Self::item), without taking the heap.
    ///
    /// # Errors
    /// If the id does not fit, or the payload is longer than the flavour can tell.
    pub fn add_item(&mut self, id: u64, value: impl Into<Bytes>) -> Result<(), EncodeError> {
        self.push(id, value.into())
    }

    /// Adds an item as [`item_or_immediate`](Self::item_or_immediate) does, but reads a value in
    /// the item pointer each time the heap is sent: for memory that changes between sendings, such
    /// as a timestamp in a heap that is used again.
    ///
    /// # Errors
    /// If the id does not fit, or the payload is longer than the flavour can tell.
    pub fn add_live(&mut self, id: u64, value: impl Into<Bytes>) -> Result<(), EncodeError> {
        let value = value.into();
        if value.len() > usize::from(self.flavour.heap_address_bytes()) {
            return self.push(id, value);
        }
        self.add_immediate(id, 0)?;
        self.live.push((self.pointers.len() - 1, value));
        Ok(())
    }

    /// As [`descriptor`](Self::descriptor), without taking the heap.
    ///
    /// # Errors
    /// If the flavour cannot express it.
    pub fn add_descriptor(&mut self, descriptor: &Descriptor) -> Result<(), DescriptorEncodeError> {
        let bytes = descriptor.encode(self.flavour)?;
        // The id fits every flavour, and so does the offset unless the heap is too long anyway,
        // which is found when it is sent.
        let _ = self.push(ids::DESCRIPTOR, bytes.into());
        Ok(())
    }

    /// As [`repeat_pointers`](Self::repeat_pointers), without taking the heap.
    pub fn set_repeat_pointers(&mut self, repeat: bool) {
        self.repeat_pointers = repeat;
    }

    /// Whether every packet carries all item pointers.
    #[must_use]
    pub fn repeats_pointers(&self) -> bool {
        self.repeat_pointers
    }

    /// Adds a descriptor of an item.
    ///
    /// # Errors
    /// If the flavour cannot express it.
    pub fn descriptor(mut self, descriptor: &Descriptor) -> Result<Self, DescriptorEncodeError> {
        self.add_descriptor(descriptor)?;
        Ok(self)
    }

    /// A heap of what a [`HeapGenerator`](crate::item::HeapGenerator) selected.
    ///
    /// # Errors
    /// If something does not fit the flavour.
    pub fn from_outgoing(
        flavour: Flavour,
        items: impl IntoIterator<Item = Outgoing>,
    ) -> Result<Self, EncodeError> {
        items.into_iter().try_fold(Self::new(flavour), |heap, item| {
            if item.allow_immediate {
                heap.item_or_immediate(item.id, item.bytes)
            } else {
                heap.item(item.id, item.bytes)
            }
        })
    }

    fn push(&mut self, id: u64, value: Bytes) -> Result<(), EncodeError> {
        let start = self.payload_length;
        self.pointers.push(ItemPointer::addressed(self.flavour, id, start as u64)?);
        self.payload_length = start.checked_add(value.len()).ok_or_else(|| {
            EncodeError::HeapTooLong { length: u64::MAX, max: self.flavour.max_value() }
        })?;
        if !value.is_empty() {
            self.pieces.push((start, value));
        }
        Ok(())
    }

    /// The flavour.
    #[must_use]
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// The bytes of the addressed items.
    #[must_use]
    pub fn payload_length(&self) -> usize {
        self.payload_length
    }

    /// Whether the heap can be divided into packets of at most `packet_size` bytes.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn check(&self, packet_size: usize) -> Result<(), EncodeError> {
        self.divide(0, packet_size, &self.pointers).map(drop)
    }

    /// The heap's packets of at most `packet_size` bytes, as heap number `cnt`.
    ///
    /// # Errors
    /// If the packets are too small for the heap, or `cnt` is too large for the flavour.
    pub fn packets(self: &Arc<Self>, cnt: u64, packet_size: usize) -> Result<Packets, EncodeError> {
        Ok(Packets { heap: Arc::clone(self), plan: self.plan(cnt, packet_size)? })
    }

    /// The division into packets of at most `packet_size` bytes, as heap number `cnt`.
    #[inline]
    pub(crate) fn plan(&self, cnt: u64, packet_size: usize) -> Result<Plan, EncodeError> {
        let live = (!self.live.is_empty()).then(|| self.pointers_now());
        let division = self.divide(cnt, packet_size, live.as_deref().unwrap_or(&self.pointers))?;
        Ok(Plan { division, live })
    }

    /// Appends the header of the heap's only packet, as heap number `cnt`, if it has one of at most
    /// `packet_size` bytes which is all payload. Otherwise there is a [`plan`](Self::plan).
    #[inline]
    pub(crate) fn write_whole(&self, cnt: u64, packet_size: usize, header: &mut Vec<u8>) -> bool {
        self.live.is_empty()
            && !paths::only_long()
            && Division::write_whole(&self.shape(), cnt, packet_size, &self.pointers, header)
    }

    #[inline]
    fn divide(
        &self,
        cnt: u64,
        packet_size: usize,
        pointers: &[ItemPointer],
    ) -> Result<Division, EncodeError> {
        Division::new(&self.shape(), cnt, packet_size, pointers)
    }

    fn shape(&self) -> HeapShape {
        HeapShape {
            flavour: self.flavour,
            payload_length: self.payload_length,
            repeat_pointers: self.repeat_pointers,
        }
    }

    /// The item pointers, with the values that they have now.
    fn pointers_now(&self) -> Vec<ItemPointer> {
        let mut pointers = self.pointers.clone();
        for (at, value) in &self.live {
            // It has as many bytes as the flavour has room for, at most, so it fits.
            let now = ItemPointer::immediate(self.flavour, pointers[*at].id(), number(value));
            pointers[*at] = now.unwrap_or(pointers[*at]);
        }
        pointers
    }

    /// The piece of the payload that byte `at` is in; their number if it is in none (padding).
    #[inline]
    pub(crate) fn piece_at(&self, at: usize) -> usize {
        if at >= self.payload_length {
            return self.pieces.len();
        }
        // As most heaps have.
        if self.pieces.len() == 1 {
            return 0;
        }
        self.pieces.partition_point(|(start, _)| *start <= at).saturating_sub(1)
    }

    /// The part of piece `piece` that lies in `range` of the payload; empty if there is none.
    #[inline]
    pub(crate) fn cut(&self, piece: usize, range: &Range<usize>) -> &[u8] {
        let Some((start, bytes)) = self.pieces.get(piece) else { return &[] };
        let bytes: &[u8] = bytes;
        let from = range.start.saturating_sub(*start);
        let to = range.end.saturating_sub(*start).min(bytes.len());
        bytes.get(from..to).unwrap_or(&[])
    }
}

/// The division of a heap into packets.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    division: Division,
    /// The pointers of a heap with values that were read when it was planned.
    live: Option<Vec<ItemPointer>>,
}

impl Plan {
    /// Appends the next packet's header to `header`, and returns which bytes of the payload follow it;
    /// `heap` is the one that was planned. `None` once it is finished.
    #[inline]
    pub(crate) fn next_packet(
        &mut self,
        heap: &Heap,
        header: &mut Vec<u8>,
    ) -> Option<Range<usize>> {
        self.division.next_packet(self.live.as_deref().unwrap_or(&heap.pointers), header)
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.division.is_finished()
    }
}

/// The number in the bytes of an immediate value, which has at most 8.
fn number(value: &[u8]) -> u64 {
    value.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// The packets of a heap, each in one piece; made by [`Heap::packets`].
#[derive(Clone, Debug)]
pub struct Packets {
    heap: Arc<Heap>,
    plan: Plan,
}

impl Iterator for Packets {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut packet = Vec::new();
        let payload = self.plan.next_packet(&self.heap, &mut packet)?;
        let end = packet.len() + payload.len();
        packet.reserve_exact(payload.len());
        for piece in self.heap.piece_at(payload.start).. {
            let cut = self.heap.cut(piece, &payload);
            if cut.is_empty() {
                break;
            }
            packet.extend_from_slice(cut);
        }
        packet.resize(end, 0); // padding is zeros
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Packet;

    #[test]
    fn live_values_are_read_when_the_heap_is_sent() {
        use std::sync::atomic::{AtomicU8, Ordering};

        static MEMORY: [AtomicU8; 2] = [AtomicU8::new(0), AtomicU8::new(1)];
        /// Says something else each time it is read.
        struct Clock([[u8; 2]; 2]);
        impl AsRef<[u8]> for Clock {
            fn as_ref(&self) -> &[u8] {
                &self.0[usize::from(MEMORY[0].load(Ordering::Relaxed))]
            }
        }
        let mut heap = Heap::default();
        heap.add_live(0x1000, Bytes::Shared(Arc::new(Clock([[0, 7], [1, 8]])))).unwrap();
        let heap = Arc::new(heap);
        let value = || {
            let packet = heap.packets(1, 1472).unwrap().next().unwrap();
            Packet::decode_datagram(&packet).unwrap().immediate(0x1000)
        };
        assert_eq!(value(), Some(7));
        MEMORY[0].store(1, Ordering::Relaxed);
        assert_eq!(value(), Some(0x108));
    }

    #[test]
    fn packets_carry_the_payload_whole() {
        let mut heap = Heap::default();
        heap.add_item(0x1000, vec![1; 1000]).unwrap();
        heap.add_live(0x1001, vec![2; 1000]).unwrap();
        let heap = Arc::new(heap);
        heap.check(56).unwrap();
        assert_eq!(heap.check(55), Err(EncodeError::PacketSize { size: 48 }));
        let payload: Vec<u8> = heap
            .packets(1, 200)
            .unwrap()
            .flat_map(|packet| Packet::decode_datagram(&packet).unwrap().payload().to_vec())
            .collect();
        assert_eq!(payload, [vec![1; 1000], vec![2; 1000]].concat());
    }
}

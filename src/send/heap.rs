//! Heaps to send.

use std::ops::Range;

use crate::item::{Bytes, Outgoing};
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
        self.pointers.push(ItemPointer::immediate(self.flavour, id, value)?);
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
        let number = value.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
        self.immediate(id, number)
    }

    /// Adds a descriptor of an item.
    ///
    /// # Errors
    /// If the flavour cannot express it.
    pub fn descriptor(mut self, descriptor: &Descriptor) -> Result<Self, DescriptorEncodeError> {
        let bytes = descriptor.encode(self.flavour)?;
        // The id fits every flavour, and so does the offset unless the heap is too long anyway,
        // which is found when it is sent.
        let _ = self.push(ids::DESCRIPTOR, bytes.into());
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

    /// The item pointers, in order.
    pub(crate) fn pointers(&self) -> &[ItemPointer] {
        &self.pointers
    }

    /// The division into packets of at most `packet_size` bytes, as heap number `cnt`. It takes the
    /// heap's [pointers](Self::pointers).
    pub(crate) fn divide(&self, cnt: u64, packet_size: usize) -> Result<Division, EncodeError> {
        let shape = HeapShape {
            flavour: self.flavour,
            payload_length: self.payload_length,
            repeat_pointers: self.repeat_pointers,
        };
        Division::new(&shape, cnt, packet_size, &self.pointers)
    }

    /// The piece of the payload that byte `at` is in; their number if it is in none (padding).
    pub(crate) fn piece_at(&self, at: usize) -> usize {
        if at >= self.payload_length {
            return self.pieces.len();
        }
        self.pieces.partition_point(|(start, _)| *start <= at).saturating_sub(1)
    }

    /// The part of piece `piece` that lies in `range` of the payload; empty if there is none.
    pub(crate) fn cut(&self, piece: usize, range: &Range<usize>) -> &[u8] {
        let Some((start, bytes)) = self.pieces.get(piece) else { return &[] };
        let bytes: &[u8] = bytes;
        let from = range.start.saturating_sub(*start);
        let to = range.end.saturating_sub(*start).min(bytes.len());
        bytes.get(from..to).unwrap_or(&[])
    }
}

//! Finished heaps and their items.

use std::fmt;
use std::sync::Arc;

use super::Origin;
use crate::memory::Buffer;
use crate::wire::{Descriptor, DescriptorError, Flavour, ItemPointer, ctrl, ids};

/// A heap as it was received: its items, and the payload they lie in.
///
/// Items come addressed ones first, by offset, then immediates by value, as the reference orders
/// them. Cloning is cheap: clones share the payload.
#[derive(Clone)]
pub struct Heap {
    inner: Arc<Inner>,
}

struct Inner {
    cnt: u64,
    stream_id: u64,
    flavour: Flavour,
    status: HeapStatus,
    length: Option<u64>,
    received: u64,
    ranges: Vec<(u64, u64)>,
    payload: Buffer,
    entries: Vec<Entry>,
    origin: Origin,
}

/// Whether all of a heap arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeapStatus {
    /// All of it.
    Complete,
    /// Its length was never said, and what arrived has no gaps.
    Contiguous,
    /// Something is missing; only the immediate items are shown.
    Incomplete,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: u64,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Immediate(u64),
    /// Start and end in the payload.
    Addressed(usize, usize),
}

/// One item of a heap.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    /// The item's id.
    pub id: u64,
    /// Its value.
    pub kind: ItemKind<'a>,
}

/// An item's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind<'a> {
    /// A number carried in the item pointer itself, `heap_address_bits` wide.
    Immediate(u64),
    /// Bytes of the payload.
    Addressed(&'a [u8]),
}

/// The items of a heap, in order; from [`Heap::items`].
pub struct Items<'a> {
    heap: &'a Inner,
    at: usize,
}

/// What a heap is made of once its packets are in.
pub(crate) struct HeapParts {
    pub(crate) cnt: u64,
    pub(crate) stream_id: u64,
    pub(crate) flavour: Flavour,
    pub(crate) status: HeapStatus,
    pub(crate) length: Option<u64>,
    pub(crate) min_length: u64,
    pub(crate) received: u64,
    pub(crate) ranges: Vec<(u64, u64)>,
    pub(crate) payload: Buffer,
    pub(crate) origin: Origin,
}

impl Heap {
    /// Sorts out the item pointers of a heap. `pointers` is left empty, with its memory.
    pub(crate) fn new(parts: HeapParts, pointers: &mut Vec<ItemPointer>) -> Self {
        // Stable by mode and value: addressed items by offset, then immediates by value.
        pointers.sort_by_key(|pointer| (pointer.is_immediate(), pointer.value()));
        let entries = if parts.status == HeapStatus::Incomplete {
            immediates(pointers)
        } else {
            all_items(pointers, parts.min_length, parts.payload.len())
        };
        pointers.clear();
        let inner = Inner {
            cnt: parts.cnt,
            stream_id: parts.stream_id,
            flavour: parts.flavour,
            status: parts.status,
            length: parts.length,
            received: parts.received,
            ranges: parts.ranges,
            payload: parts.payload,
            entries,
            origin: parts.origin,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The heap's number as its sender counts.
    #[must_use]
    pub fn cnt(&self) -> u64 {
        self.inner.cnt
    }

    /// The id of the stream that received it, as configured.
    #[must_use]
    pub fn stream_id(&self) -> u64 {
        self.inner.stream_id
    }

    /// The flavour that the sender used.
    #[must_use]
    pub fn flavour(&self) -> Flavour {
        self.inner.flavour
    }

    /// Whether all of it arrived.
    #[must_use]
    pub fn status(&self) -> HeapStatus {
        self.inner.status
    }

    /// The length in bytes that the sender gave, if it did.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.inner.length
    }

    /// Bytes of payload that arrived.
    #[must_use]
    pub fn received_length(&self) -> u64 {
        self.inner.received
    }

    /// The byte ranges (start, end) that arrived; only for incomplete heaps, and only if the stream
    /// was told to keep them.
    #[must_use]
    pub fn payload_ranges(&self) -> &[(u64, u64)] {
        &self.inner.ranges
    }

    /// The payload. Of an incomplete heap the bytes outside
    /// [`payload_ranges`](Self::payload_ranges) are arbitrary.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.inner.payload
    }

    /// The memory that the payload is in, for those who hand it on to other languages.
    #[must_use]
    pub fn buffer(&self) -> &Buffer {
        &self.inner.payload
    }

    /// Where and when the heap's first packet was received, as far as the reader was asked.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.inner.origin
    }

    /// The items, without descriptors.
    #[must_use]
    pub fn items(&self) -> Items<'_> {
        Items { heap: &self.inner, at: 0 }
    }

    /// The value of the first item `id`.
    #[must_use]
    pub fn item(&self, id: u64) -> Option<ItemKind<'_>> {
        self.items().find(|item| item.id == id).map(|item| item.kind)
    }

    /// The descriptors that the heap carries, decoded.
    pub fn descriptors(&self) -> impl Iterator<Item = Result<Descriptor, DescriptorError>> {
        let inner = &*self.inner;
        inner.entries.iter().filter(|entry| entry.id == ids::DESCRIPTOR).filter_map(move |entry| {
            match inner.show(entry) {
                ItemKind::Addressed(bytes) => {
                    Some(Descriptor::decode(bytes, inner.flavour.bug_compat()))
                }
                ItemKind::Immediate(_) => None,
            }
        })
    }

    /// Whether the heap starts a stream.
    #[must_use]
    pub fn is_start_of_stream(&self) -> bool {
        self.has_control(ctrl::STREAM_START)
    }

    /// Whether the heap ends a stream.
    #[must_use]
    pub fn is_end_of_stream(&self) -> bool {
        self.has_control(ctrl::STREAM_STOP)
    }

    fn has_control(&self, value: u64) -> bool {
        self.items()
            .any(|item| item.id == ids::STREAM_CTRL && item.kind == ItemKind::Immediate(value))
    }
}

impl Inner {
    fn show(&self, entry: &Entry) -> ItemKind<'_> {
        match entry.place {
            Place::Immediate(value) => ItemKind::Immediate(value),
            Place::Addressed(start, end) => {
                ItemKind::Addressed(self.payload.get(start..end).unwrap_or(&[]))
            }
        }
    }
}

fn immediates(pointers: &[ItemPointer]) -> Vec<Entry> {
    let immediate = pointers.iter().filter(|p| p.is_immediate() && p.id() != ids::NULL);
    immediate.map(|p| Entry { id: p.id(), place: Place::Immediate(p.value()) }).collect()
}

/// An addressed item ends where the next addressed pointer (a NULL one too) points, or at the heap's
/// end. Items without bytes are dropped.
fn all_items(pointers: &[ItemPointer], min_length: u64, payload: usize) -> Vec<Entry> {
    let addressed = pointers.partition_point(|pointer| !pointer.is_immediate());
    let mut entries = Vec::with_capacity(pointers.len());
    for (at, pointer) in pointers[..addressed].iter().enumerate() {
        let next = pointers[..addressed].get(at + 1).map_or(min_length, |next| next.value());
        let clamp = |value: u64| usize::try_from(value).map_or(payload, |v| v.min(payload));
        let (start, end) = (clamp(pointer.value()), clamp(next));
        if start < end && pointer.id() != ids::NULL {
            entries.push(Entry { id: pointer.id(), place: Place::Addressed(start, end) });
        }
    }
    entries.extend(immediates(&pointers[addressed..]));
    entries
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            let entry = self.heap.entries.get(self.at)?;
            self.at += 1;
            if entry.id != ids::DESCRIPTOR {
                return Some(Item { id: entry.id, kind: self.heap.show(entry) });
            }
        }
    }
}

impl fmt::Debug for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap")
            .field("cnt", &self.cnt())
            .field("status", &self.status())
            .field("received", &self.received_length())
            .field("items", &self.items().map(|item| item.id).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ItemKind::Immediate(value) => write!(f, "{:#x}: {value}", self.id),
            ItemKind::Addressed(bytes) => write!(f, "{:#x}: {} B", self.id, bytes.len()),
        }
    }
}

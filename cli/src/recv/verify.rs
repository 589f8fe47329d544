//! Checking what `speadway send --verify` sends.

use std::fmt;

use serde::Serialize;
use speadway::chunk::{Chunk, HeapContext, Layout, Place, Placement};
use speadway::heap::{Heap, HeapStatus, ItemKind};

use crate::send::pattern;
use crate::units::{Count, Volume};

/// Wrong heaps that are told one by one.
const TOLD: u64 = 10;

/// What was checked.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Verified {
    /// Heaps with data that are as sent.
    right: u64,
    /// Heaps with data that are not.
    wrong: u64,
    /// Bytes of values looked at.
    bytes: u64,
}

/// Where a value is not as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// In chunks it is not known which item it is.
    item: Option<u64>,
    byte: usize,
}

/// Bytes of a heap's count in a chunk's `extra`.
pub(super) const COUNT_BYTES: usize = size_of::<u64>();

/// A layout whose chunks say which heap is where: what a heap has to look like depends on its count, and
/// that on nothing else in the chunk.
pub(super) struct Counted(pub(super) Layout);

impl Place for Counted {
    fn place(&mut self, heap: &mut HeapContext<'_>) -> Option<Placement> {
        let placement = self.0.place(heap)?;
        let cnt = heap.heap_cnt().to_ne_bytes();
        heap.extra()[..COUNT_BYTES].copy_from_slice(&cnt);
        Some(Placement { extra: (placement.index * COUNT_BYTES, COUNT_BYTES), ..placement })
    }
}

impl Verified {
    /// Checks a heap; heaps of descriptors alone and incomplete ones do not count.
    pub(super) fn check(&mut self, heap: &Heap) -> Option<Difference> {
        if heap.status() == HeapStatus::Incomplete {
            return None;
        }
        let (mut any, mut difference) = (false, None);
        for item in heap.items() {
            let (ItemKind::Addressed(value), Some(at)) =
                (item.kind, item.id.checked_sub(pattern::FIRST_ITEM))
            else {
                continue;
            };
            any = true;
            self.bytes += value.len() as u64;
            let found = pattern::difference(heap.cnt(), at, value);
            if difference.is_none() {
                difference = found.map(|byte| Difference { item: Some(item.id), byte });
            }
        }
        self.right += u64::from(any && difference.is_none());
        self.wrong += u64::from(difference.is_some());
        difference
    }

    /// Checks the heaps that are present in a chunk of a [`Counted`] layout; `tell` is called for those
    /// that are wrong, with their counts.
    pub(super) fn check_chunk(
        &mut self,
        chunk: &Chunk,
        heap_size: usize,
        mut tell: impl FnMut(u64, Difference),
    ) {
        let (counts, _) = chunk.extra().as_chunks::<COUNT_BYTES>();
        let heaps = chunk.data().chunks(heap_size).zip(counts).zip(chunk.present());
        for ((payload, cnt), _) in heaps.filter(|(_, present)| **present != 0) {
            let cnt = u64::from_ne_bytes(*cnt);
            self.bytes += payload.len() as u64;
            let found = pattern::difference_in_heap(cnt, payload);
            self.right += u64::from(found.is_none());
            self.wrong += u64::from(found.is_some());
            if let Some(byte) = found.filter(|_| self.is_telling()) {
                tell(cnt, Difference { item: None, byte });
            }
        }
    }

    /// Whether another wrong heap is worth telling: they may be very many.
    pub(super) fn is_telling(&self) -> bool {
        self.wrong <= TOLD
    }

    /// Whether something came, and all of it is as sent.
    pub(super) fn is_good(&self) -> bool {
        self.right > 0 && self.wrong == 0
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { right, wrong, bytes } = *self;
        if right == 0 && wrong == 0 {
            return f.write_str("nothing to verify came: send it with `speadway send --verify`");
        }
        write!(f, "verified {}: {}, {wrong} wrong", Volume(bytes), Count(right, "right heap"))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { item, byte } = self;
        match item {
            Some(item) => write!(f, "item {item:#06x}")?,
            None => f.write_str("the payload")?,
        }
        write!(f, " differs from what `speadway send --verify` sends at byte {byte}")
    }
}

//! Checking what `speadway send --verify` sends.

use std::fmt;

use serde::Serialize;
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
    item: u64,
    byte: usize,
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
                difference = found.map(|byte| Difference { item: item.id, byte });
            }
        }
        self.right += u64::from(any && difference.is_none());
        self.wrong += u64::from(difference.is_some());
        difference
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
        write!(
            f,
            "item {item:#06x} differs from what `speadway send --verify` sends at byte {byte}"
        )
    }
}

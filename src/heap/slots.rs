//! The heaps that a stream has under assembly.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::assembly::Assembly;
use crate::paths;

/// Up to this many slots a substream is searched by comparing; above, by hashing. Comparing a
/// cache line or two of counts beats hashing by far.
const SEARCHED_BY_COMPARING: usize = 32;

/// A fixed table of heaps under assembly: per substream (heap count modulo their number) a circle
/// of `max_heaps` slots. A new heap takes the next slot of its circle and pushes out whatever is in
/// it, so that a heap survives exactly `max_heaps - 1` newer heaps of its substream.
#[derive(Debug)]
pub(crate) struct SlotTable<H> {
    slots: Vec<Slot<H>>,
    /// The heap counts of the slots, apart for the search; meaningful where the slot is live.
    cnts: Vec<u64>,
    /// The slot filled last, per substream.
    heads: Vec<usize>,
    per_substream: usize,
    /// Where the last packet went: most packets follow one of their own heap.
    last: usize,
    index: Option<HashMap<u64, usize, BuildHasherDefault<FibonacciHasher>>>,
    /// Live slots that the index does not name, because a newer heap has the same count.
    hidden: usize,
    live: usize,
}

/// A slot with what is known of its heap and what the stream's kind keeps beside it.
#[derive(Debug, Default)]
pub(crate) struct Slot<H> {
    pub(crate) live: bool,
    pub(crate) assembly: Assembly,
    pub(crate) heap: H,
}

impl<H: Default> SlotTable<H> {
    /// `substreams` circles of `max_heaps` slots; both at least 1.
    pub(crate) fn new(substreams: usize, max_heaps: usize) -> Self {
        let total = substreams * max_heaps;
        let index = (max_heaps > SEARCHED_BY_COMPARING)
            .then(|| HashMap::with_capacity_and_hasher(2 * total, BuildHasherDefault::default()));
        Self {
            slots: (0..total).map(|_| Slot::default()).collect(),
            cnts: vec![0; total],
            heads: vec![0; substreams],
            per_substream: max_heaps,
            last: 0,
            index,
            hidden: 0,
            live: 0,
        }
    }

    #[inline]
    pub(crate) fn get(&mut self, slot: usize) -> &mut Slot<H> {
        &mut self.slots[slot]
    }

    /// The slot where the last packet went, if its heap is still there.
    #[inline]
    pub(crate) fn last(&mut self) -> Option<&mut Slot<H>> {
        self.slots.get_mut(self.last).filter(|slot| slot.live)
    }

    /// Heaps under assembly.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// The slot of heap `cnt`, and how many slots were looked at.
    #[inline]
    pub(crate) fn find(&mut self, cnt: u64) -> (Option<usize>, u64) {
        if self.cnts[self.last] == cnt && self.slots[self.last].live && !paths::only_long() {
            return (Some(self.last), 1);
        }
        self.find_other(cnt)
    }

    #[inline(never)]
    fn find_other(&mut self, cnt: u64) -> (Option<usize>, u64) {
        let found = match &self.index {
            Some(index) => (index.get(&cnt).copied(), 1),
            None => self.search(cnt),
        };
        if let Some(slot) = found.0 {
            self.last = slot;
        }
        found
    }

    fn search(&self, cnt: u64) -> (Option<usize>, u64) {
        let base = self.base(cnt);
        let circle = base..base + self.per_substream;
        for (looked, slot) in circle.enumerate() {
            if self.cnts[slot] == cnt && self.slots[slot].live {
                return (Some(slot), looked as u64 + 1);
            }
        }
        (None, self.per_substream as u64)
    }

    /// The slot that a new heap `cnt` takes. If it is live its heap has to be pushed out first.
    #[inline]
    pub(crate) fn next(&mut self, cnt: u64) -> usize {
        let base = self.base(cnt);
        let head = &mut self.heads[base / self.per_substream];
        *head += 1;
        if *head == self.per_substream {
            *head = 0;
        }
        base + *head
    }

    /// Puts heap `cnt` into a slot that [`next`](Self::next) named.
    #[inline]
    pub(crate) fn occupy(&mut self, slot: usize, cnt: u64) {
        debug_assert!(!self.slots[slot].live, "a slot is emptied before it is filled");
        self.slots[slot].live = true;
        self.cnts[slot] = cnt;
        self.last = slot;
        self.live += 1;
        if let Some(index) = &mut self.index
            && index.insert(cnt, slot).is_some()
        {
            self.hidden += 1;
        }
    }

    /// Empties a slot.
    #[inline]
    pub(crate) fn vacate(&mut self, slot: usize) {
        self.slots[slot].live = false;
        self.live -= 1;
        if self.index.is_some() {
            self.forget(slot);
        }
    }

    /// Takes an emptied slot from the index.
    #[inline(never)]
    fn forget(&mut self, slot: usize) {
        let cnt = self.cnts[slot];
        let Some(index) = &mut self.index else { return };
        if index.get(&cnt) != Some(&slot) {
            self.hidden -= 1;
            return;
        }
        index.remove(&cnt);
        if self.hidden > 0
            && let (Some(older), _) = self.search(cnt)
            && let Some(index) = &mut self.index
        {
            index.insert(cnt, older);
            self.hidden -= 1;
        }
    }

    /// The live slots, substream by substream, oldest first. For the end of a stream: it allocates.
    pub(crate) fn oldest_first(&self) -> Vec<usize> {
        let per = self.per_substream;
        let ages = |(substream, head): (usize, &usize)| {
            let head = *head;
            (1..=per).map(move |age| substream * per + (head + age) % per)
        };
        self.heads.iter().enumerate().flat_map(ages).filter(|&slot| self.slots[slot].live).collect()
    }

    #[inline]
    fn base(&self, cnt: u64) -> usize {
        match self.heads.len() {
            1 => 0,
            // Below the number of substreams, which is a usize.
            substreams => (cnt % substreams as u64) as usize * self.per_substream,
        }
    }
}

/// Multiplicative hashing by the golden ratio: heap counts are mostly consecutive.
#[derive(Default)]
struct FibonacciHasher(u64);

impl Hasher for FibonacciHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        // 2^64 / golden ratio.
        self.0 = (self.0 ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(table: &mut SlotTable<()>, cnt: u64) -> Option<u64> {
        let slot = table.next(cnt);
        let pushed_out = table.get(slot).live.then(|| table.cnts[slot]);
        if pushed_out.is_some() {
            table.vacate(slot);
        }
        table.occupy(slot, cnt);
        pushed_out
    }

    #[test]
    fn a_heap_survives_exactly_its_circle() {
        for max_heaps in [4, 100] {
            let mut table = SlotTable::new(1, max_heaps);
            for cnt in 0..max_heaps as u64 {
                assert_eq!(add(&mut table, cnt), None);
            }
            assert_eq!(add(&mut table, 1000), Some(0));
            assert_eq!(table.find(0).0, None);
            let oldest = table.find(1).0;
            assert!(oldest.is_some());
            assert_eq!(table.oldest_first().first().copied(), oldest);
            assert_eq!(table.live(), max_heaps);
        }
    }

    #[test]
    fn substreams_do_not_push_each_other_out() {
        let mut table = SlotTable::new(2, 2);
        add(&mut table, 0);
        for cnt in [1, 3, 5, 7] {
            add(&mut table, cnt);
        }
        assert!(table.find(0).0.is_some());
        assert!(table.find(3).0.is_none() && table.find(7).0.is_some());
    }

    #[test]
    fn a_hole_does_not_save_its_neighbour() {
        let mut table = SlotTable::new(1, 2);
        add(&mut table, 1);
        add(&mut table, 2);
        let done = table.find(2).0.unwrap();
        table.vacate(done);
        // The next slot in the circle is heap 1's, though heap 2's is free.
        assert_eq!(add(&mut table, 3), Some(1));
    }

    #[test]
    fn a_repeated_count_does_not_hide_the_older_heap_for_good() {
        for max_heaps in [4, 100] {
            let mut table = SlotTable::new(1, max_heaps);
            for _ in 0..3 {
                add(&mut table, 5);
            }
            for _ in 0..3 {
                let found = table.find(5).0.expect("one is left");
                assert!(table.get(found).live);
                table.vacate(found);
            }
            assert_eq!((table.find(5).0, table.live(), table.hidden), (None, 0, 0));
        }
    }

    #[test]
    fn repeated_counts_can_live_side_by_side() {
        for max_heaps in [4, 100] {
            let mut table = SlotTable::new(1, max_heaps);
            add(&mut table, 5);
            let first = table.find(5).0.unwrap();
            add(&mut table, 5);
            table.vacate(first);
            assert_ne!(table.find(5).0, None);
            assert_ne!(table.find(5).0, Some(first));
        }
    }
}

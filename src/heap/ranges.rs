//! Which bytes of a heap have arrived.

use crate::paths;

/// Sorted, disjoint, non-touching byte ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeSet {
    ranges: Vec<(u64, u64)>,
}

/// Why a range was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clash {
    /// It starts inside a range that is there.
    Duplicate,
    /// It runs into the next range.
    Overlap,
}

impl RangeSet {
    /// Forgets all ranges but this one; an empty one leaves no trace.
    #[inline]
    pub(crate) fn start(&mut self, start: u64, end: u64) {
        self.ranges.clear();
        if start < end {
            self.ranges.push((start, end));
        }
    }

    pub(crate) fn as_slice(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Where the last range ends; 0 if there is none.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        self.ranges.last().map_or(0, |range| range.1)
    }

    /// Makes the last range longer.
    #[inline]
    pub(crate) fn extend(&mut self, by: u64) {
        if let Some(last) = self.ranges.last_mut() {
            last.1 += by;
        }
    }

    /// Adds `start..end`. An empty range is accepted where nothing has been received, and leaves no
    /// trace.
    #[inline]
    pub(crate) fn insert(&mut self, start: u64, end: u64) -> Result<(), Clash> {
        // The usual packet continues the last range.
        if let Some(last) = self.ranges.last_mut()
            && start == last.1
            && !paths::only_long()
        {
            last.1 = end;
            return Ok(());
        }
        self.insert_between(start, end)
    }

    #[inline(never)]
    fn insert_between(&mut self, start: u64, end: u64) -> Result<(), Clash> {
        let next = self.ranges.partition_point(|range| range.0 <= start);
        let before = next.checked_sub(1);
        if before.is_some_and(|at| start < self.ranges[at].1) {
            return Err(Clash::Duplicate);
        }
        if self.ranges.get(next).is_some_and(|range| range.0 < end) {
            return Err(Clash::Overlap);
        }
        if start == end {
            return Ok(());
        }
        let touches_before = before.filter(|&at| self.ranges[at].1 == start);
        let touches_next = self.ranges.get(next).is_some_and(|range| range.0 == end);
        match (touches_before, touches_next) {
            (Some(at), true) => self.ranges[at].1 = self.ranges.remove(next).1,
            (Some(at), false) => self.ranges[at].1 = end,
            (None, true) => self.ranges[next].0 = start,
            (None, false) => self.ranges.insert(next, (start, end)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_bitmap(inserts in prop::collection::vec((0_u64..60, 0_u64..12), 0..60)) {
            let mut set = RangeSet::default();
            let mut bitmap = [false; 80];
            for (start, len) in inserts {
                let cells = start as usize..(start + len) as usize;
                let expected = if bitmap[start as usize] {
                    // The fast path extends the last range only from its very end, which is free.
                    Err(Clash::Duplicate)
                } else if bitmap[cells.clone()].contains(&true) {
                    Err(Clash::Overlap)
                } else {
                    bitmap[cells].fill(true);
                    Ok(())
                };
                prop_assert_eq!(set.insert(start, start + len), expected);
                let mut rebuilt = [false; 80];
                for &(from, to) in set.as_slice() {
                    prop_assert!(from < to);
                    rebuilt[from as usize..to as usize].fill(true);
                }
                prop_assert_eq!(rebuilt, bitmap);
                prop_assert!(set.as_slice().windows(2).all(|pair| pair[0].1 < pair[1].0));
            }
        }
    }
}

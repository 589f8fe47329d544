//! Raw access to the memory of chunks that are still being filled.
//!
//! This is the chunk write path's only `unsafe` file. A [`ChunkView`] is a chunk's addresses and
//! sizes, copied out when the chunk enters a window. Several members of a group may hold a view of
//! the same chunk; each writes other bytes of it.
#![allow(unsafe_code)]

use std::ptr::{NonNull, copy_nonoverlapping};
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

use super::Chunk;
use crate::memory::{CopyMode, copy};
use crate::paths;

/// The addresses of an open chunk, valid while the chunk is in the window that handed the view out.
///
/// # Invariants
/// Whoever stores a view (a [`Window`](super::window::Window) slot) drops it before the chunk
/// leaves the group's or the stream's table of open chunks, and every write happens while the
/// stream's engine is locked, which the release of the chunk also needs. Between view and consumer
/// lies the mutex of the table, so writes happen before the consumer's reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkView {
    data: NonNull<u8>,
    data_len: usize,
    present: NonNull<u8>,
    present_len: usize,
    extra: NonNull<u8>,
    extra_len: usize,
    claims: Option<NonNull<AtomicU16>>,
}

// SAFETY: a view is only addresses; what they may be used for is governed by the invariants above,
// which do not depend on the thread.
unsafe impl Send for ChunkView {}

impl ChunkView {
    /// The view of `chunk`, which the caller keeps alive and untouched while the view is in use.
    pub(crate) fn new(chunk: &mut Chunk, claims: Option<&Claims>) -> Self {
        let (data, present, extra) = chunk.buffers_mut();
        let (data_len, present_len, extra_len) = (data.len(), present.len(), extra.len());
        let claims = claims.map(|claims| {
            assert!(claims.table.len() >= present_len, "a claim table covers its chunk");
            NonNull::from(&claims.table[..]).cast()
        });
        Self {
            data: data.as_mut_ptr(),
            data_len,
            present: present.as_mut_ptr(),
            present_len,
            extra: extra.as_mut_ptr(),
            extra_len,
            claims,
        }
    }

    /// Whether a heap of `len` bytes at `offset`, with `units` presence flags from `index` on and
    /// `extra` (offset, length), lies within the chunk.
    pub(crate) fn holds(
        &self,
        (offset, len): (usize, u64),
        (index, units): (usize, usize),
        (extra, extra_len): (usize, usize),
    ) -> bool {
        let inside = |start: usize, len: usize, size: usize| {
            start.checked_add(len).is_some_and(|end| end <= size)
        };
        usize::try_from(len).is_ok_and(|len| inside(offset, len, self.data_len))
            && inside(index, units, self.present_len)
            && (extra_len == 0 || inside(extra, extra_len, self.extra_len))
    }

    /// Copies `bytes` to `offset` of the chunk's data. Nothing is written if they do not fit. Before
    /// other threads may look at it, copies have to be [settled](crate::memory::settle_copies).
    #[inline]
    pub(crate) fn write(&self, offset: usize, bytes: &[u8], mode: CopyMode) -> bool {
        if offset > self.data_len || bytes.len() > self.data_len - offset {
            return false;
        }
        // SAFETY: `offset` is at most `data_len`, so the address stays inside the allocation.
        let target = unsafe { self.data.add(offset) };
        // SAFETY: offset + len <= data_len was just checked, the chunk outlives the view, and
        // `bytes` is a packet in a receive buffer, which is never chunk memory. No other thread
        // writes these bytes: a lone stream has no other writer, and a group member writes a unit
        // only after it claimed it, or its user promised disjointness.
        unsafe {
            if paths::only_long() {
                copy_nonoverlapping(bytes.as_ptr(), target.as_ptr(), bytes.len());
            } else {
                let forced = paths::every_short().then_some(CopyMode::NonTemporal);
                copy(bytes, target.as_ptr(), forced.unwrap_or(mode));
            }
        }
        true
    }

    /// Copies a heap's `extra` bytes to `offset` of the chunk's `extra`, if they fit.
    pub(crate) fn write_extra(&self, offset: usize, bytes: &[u8]) -> bool {
        if offset > self.extra_len || bytes.len() > self.extra_len - offset {
            return false;
        }
        // SAFETY: `offset` is at most `extra_len`, so the address stays inside the allocation.
        let target = unsafe { self.extra.add(offset) };
        // SAFETY: as in `write`, for the `extra` buffer.
        unsafe { copy_nonoverlapping(bytes.as_ptr(), target.as_ptr(), bytes.len()) };
        true
    }

    /// Whether unit `index` is marked present; false outside the chunk.
    #[inline]
    pub(crate) fn is_present(&self, index: usize) -> bool {
        self.flag(index).is_some_and(|flag| flag.load(Ordering::Relaxed) != 0)
    }

    /// Marks unit `index` present; true if it was not present before.
    #[inline]
    pub(crate) fn mark(&self, index: usize) -> bool {
        let Some(flag) = self.flag(index) else { return false };
        // Only one member may write a unit, so load and store need not be one operation.
        let fresh = flag.load(Ordering::Relaxed) == 0;
        flag.store(1, Ordering::Relaxed);
        fresh
    }

    /// Claims unit `index` for `member`: true if it was free or already this member's, or if the
    /// chunk keeps no claims.
    #[inline]
    pub(crate) fn claim(&self, index: usize, member: u16) -> bool {
        let Some(claims) = self.claims else { return true };
        if index >= self.present_len {
            return false;
        }
        // SAFETY: index < present_len <= the table's length (checked in `new`).
        let claim = unsafe { claims.add(index) };
        // SAFETY: the table lives in the group's slot as long as the chunk does, and is only
        // resized while no member holds a view of it.
        let claim = unsafe { claim.as_ref() };
        let owner = member + 1; // 0 is "nobody's"
        match claim.compare_exchange(0, owner, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => true,
            Err(current) => current == owner,
        }
    }

    #[inline]
    fn flag(&self, index: usize) -> Option<&AtomicU8> {
        if index >= self.present_len {
            return None;
        }
        // SAFETY: index < present_len, so the address is inside the allocation.
        let flag = unsafe { self.present.add(index) };
        // SAFETY: a u8 has AtomicU8's layout, the chunk outlives the view, and while a chunk is
        // open its flags are only accessed through views, that is atomically.
        Some(unsafe { AtomicU8::from_ptr(flag.as_ptr()) })
    }
}

/// Which member of a group owns which unit of an open chunk. It belongs to the window's slot, not
/// to the chunk, and starts clean with each chunk.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    table: Vec<AtomicU16>,
}

impl Claims {
    /// Forgets all claims and makes room for `units` of them.
    pub(crate) fn reset(&mut self, units: usize) {
        if self.table.len() < units {
            self.table.resize_with(units, AtomicU16::default);
        }
        for claim in &mut self.table {
            *claim.get_mut() = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk() -> Chunk {
        Chunk::zeroed(64, 4, 8).unwrap()
    }

    #[test]
    fn writes_stay_inside() {
        let mut chunk = chunk();
        let view = ChunkView::new(&mut chunk, None);
        let write = |offset, bytes: &[u8]| view.write(offset, bytes, CopyMode::default());
        assert!(write(60, &[1, 2, 3, 4]));
        assert!(!write(61, &[1, 2, 3, 4]));
        assert!(!write(usize::MAX, &[1]));
        assert!(write(64, &[]));
        assert!(view.write_extra(7, &[9]) && !view.write_extra(8, &[9]));
        assert!(view.mark(3) && !view.mark(3) && !view.mark(4));
        assert_eq!(&chunk.data()[60..], [1, 2, 3, 4]);
        assert_eq!(chunk.present(), [0, 0, 0, 1]);
        assert_eq!(chunk.extra()[7], 9);
    }

    #[test]
    fn placements_are_bounded() {
        let mut chunk = chunk();
        let view = ChunkView::new(&mut chunk, None);
        assert!(view.holds((48, 16), (3, 1), (0, 8)));
        assert!(!view.holds((49, 16), (3, 1), (0, 0)));
        assert!(!view.holds((0, u64::MAX), (0, 1), (0, 0)));
        assert!(!view.holds((0, 16), (4, 1), (0, 0)));
        assert!(!view.holds((0, 16), (usize::MAX, 1), (0, 0)));
        assert!(!view.holds((0, 16), (0, 1), (1, 8)));
    }

    #[test]
    fn a_unit_has_one_owner() {
        let mut chunk = chunk();
        let mut claims = Claims::default();
        claims.reset(4);
        let view = ChunkView::new(&mut chunk, Some(&claims));
        assert!(view.claim(2, 0) && view.claim(2, 0));
        assert!(!view.claim(2, 1) && !view.claim(4, 0));
        claims.reset(4);
        let view = ChunkView::new(&mut chunk, Some(&claims));
        assert!(view.claim(2, 1));
    }
}

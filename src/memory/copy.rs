//! Copying payload to where it stays.
#![allow(unsafe_code)]

use std::ptr;

/// How payload is copied to chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CopyMode {
    /// Through the caches, where a consumer that is quick finds it, if it fits.
    #[default]
    Cached,
    /// Past the caches, for chunks that will have left them anyway when they are looked at, or that a
    /// device fetches: the memory is not read before it is written, and what is in the caches stays.
    ///
    /// Into 1 GiB of chunks, payloads of 1416, 4040 and 8912 bytes took 114, 300 and 469 ns, and 165, 472
    /// and 974 through the caches (Xeon, 2026-11); on a Zen 4 139, 239 and 362 ns, and 116, 350 and 582.
    /// Into 1 MiB it took twice as long. Payloads below 1 KiB, and processors other than x86-64, are
    /// copied as usual.
    NonTemporal,
}

/// Copies all of `from` to `to`.
///
/// It goes through them in order, a cache line of `to` at a time, and asks for what comes 2 KiB later,
/// since processors do not look ahead over the ends of pages. It does without the system's `memcpy`: on a
/// Zen 4 that of glibc 2.36 chooses string instructions from 2112 bytes on, and stores of 64 bytes
/// below, which mostly straddle cache lines (from memory to chunks, payloads of 8912 bytes took 790 ns
/// with it and 521 with a loop like this, 1416 bytes 131 and 98). On a Xeon the two are alike (763 and
/// 769, 130 and 131), but without looking ahead the loop takes 888 and 155 (2026-11).
///
/// # Safety
/// `to` is valid for writes of as many bytes as `from` has, and none of them is one of `from`.
#[inline(always)]
pub(crate) unsafe fn copy(from: &[u8], to: *mut u8, mode: CopyMode) {
    #[cfg(target_arch = "x86_64")]
    if from.len() >= x86::LINE {
        if mode == CopyMode::NonTemporal && from.len() >= x86::STREAMED_FROM {
            // SAFETY: as the caller promises.
            unsafe { x86::stream_lines(from, to) };
        } else {
            // SAFETY: as the caller promises, and there is a line.
            unsafe { x86::copy_lines(from, to) };
        }
        return;
    }
    let _ = mode;
    // SAFETY: as the caller promises.
    unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
}

/// Makes sure that what this thread has [copied](copy) in any mode is in memory before what it does
/// next: to be called before others may look at it.
#[inline]
pub(crate) fn settle_copies() {
    #[cfg(target_arch = "x86_64")]
    x86::fence();
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm_sfence, _mm_storeu_si128,
        _mm_stream_si128,
    };
    use std::ptr;

    /// Bytes of a cache line.
    pub(super) const LINE: usize = 64;
    /// Payloads this large are copied past the caches, if wanted: smaller ones are mostly parts of lines,
    /// which are read all the same. Tests have small ones.
    pub(super) const STREAMED_FROM: usize = if cfg!(test) { LINE } else { 1024 };
    /// Bytes of a register that every processor of this kind has.
    const WORD: usize = size_of::<__m128i>();
    /// How far it looks ahead. Of 0.5 to 4 KiB, 2 KiB and more were best.
    const AHEAD: usize = 2048;

    /// Copies at least a line: the first, then whole lines of `to`, then the last. The first and the
    /// last may overlap those between.
    ///
    /// # Safety
    /// As for [`copy`](super::copy), and there are at least `LINE` bytes.
    #[inline(always)]
    pub(super) unsafe fn copy_lines(from: &[u8], to: *mut u8) {
        let (start, last) = (from.as_ptr(), from.len() - LINE);
        // SAFETY: there is a line.
        unsafe { copy_line::<false>(start, to) };
        for at in (LINE - to as usize % LINE..last).step_by(LINE) {
            look_ahead(start, at);
            // SAFETY: a line from here ends before the last one does, thus within both.
            unsafe { copy_line::<false>(start.add(at), to.add(at)) };
        }
        // SAFETY: it is the last line of both.
        unsafe { copy_line::<false>(start.add(last), to.add(last)) };
    }

    /// Copies whole lines of `to` past the caches, and what is before and behind them as usual. (Lines
    /// that are written both ways take several times as long.)
    ///
    /// # Safety
    /// As for [`copy`](super::copy), and there are at least `LINE` bytes.
    #[inline]
    pub(super) unsafe fn stream_lines(from: &[u8], to: *mut u8) {
        let start = from.as_ptr();
        let first = (to as usize).wrapping_neg() % LINE;
        let end = first + (from.len() - first) / LINE * LINE;
        // SAFETY: less than a line, and there is one.
        unsafe { ptr::copy_nonoverlapping(start, to, first) };
        for at in (first..end).step_by(LINE) {
            look_ahead(start, at);
            // SAFETY: a line from here ends at `end` at the latest, within both; `to` and `first` are
            // where a line begins.
            unsafe { copy_line::<true>(start.add(at), to.add(at)) };
        }
        // SAFETY: what is left of both.
        unsafe { ptr::copy_nonoverlapping(start.add(end), to.add(end), from.len() - end) };
    }

    /// Asks for the line `AHEAD` of `at`, which may be behind what is copied: often it is the next
    /// packet's.
    #[inline(always)]
    fn look_ahead(start: *const u8, at: usize) {
        // SAFETY: a hint, which reads nothing; any address will do.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(at + AHEAD).cast()) };
    }

    /// Copies a line.
    ///
    /// # Safety
    /// `from` is valid for reads and `to` for writes of `LINE` bytes; to go past the caches, `to` is a
    /// multiple of `LINE`.
    #[inline(always)]
    unsafe fn copy_line<const PAST_CACHES: bool>(from: *const u8, to: *mut u8) {
        let words: [__m128i; LINE / WORD] = std::array::from_fn(|word| {
            // SAFETY: all words are within the line; an address need not be aligned.
            unsafe { _mm_loadu_si128(from.add(word * WORD).cast()) }
        });
        for (word, value) in words.into_iter().enumerate() {
            // SAFETY: as above; past the caches, all words are aligned as the line is.
            unsafe {
                let to = to.add(word * WORD).cast();
                if PAST_CACHES { _mm_stream_si128(to, value) } else { _mm_storeu_si128(to, value) }
            }
        }
    }

    #[inline(always)]
    pub(super) fn fence() {
        // SAFETY: every processor of this kind has it; it touches nothing.
        unsafe { _mm_sfence() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(len: usize, source: usize, target: usize, mode: CopyMode) {
        let from: Vec<u8> = (0..source + len).map(|at| (at % 251) as u8 + 1).collect();
        let mut to = vec![0; target + len + 100];
        let bytes = &from[source..];
        let place = &mut to[target..target + len];
        // SAFETY: the place is as long as the bytes, and another vector's.
        unsafe { copy(bytes, place.as_mut_ptr(), mode) };
        settle_copies();
        assert_eq!(&to[target..target + len], bytes);
        let others = to[..target].iter().chain(&to[target + len..]);
        assert!(others.into_iter().all(|&byte| byte == 0), "{len} bytes, {mode:?}");
    }

    #[test]
    fn all_lengths_and_alignments_are_copied_and_nothing_else() {
        for mode in [CopyMode::Cached, CopyMode::NonTemporal] {
            for len in (0..300).chain([511, 512, 513, 640]) {
                for (source, target) in [(0, 0), (1, 0), (0, 1), (7, 13), (16, 15), (3, 63)] {
                    check(len, source, target, mode);
                }
            }
            (0..64).for_each(|target| check(1500, 5, target, mode));
        }
    }
}

//! A buffer of fixed size between a byte stream and what is cut out of it.

use std::collections::TryReserveError;

/// Bytes that arrive at the back and are consumed at the front.
///
/// What is left is moved to the front only when the back has less than half the buffer free. With
/// pieces of at most half the buffer there is always room for the rest of the next one, and a byte
/// is moved at most once for each piece it waits for.
#[derive(Debug)]
pub(super) struct Refill {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Refill {
    /// A buffer for pieces of up to `piece` bytes, itself of at least `least` bytes. All its memory
    /// is allocated here.
    pub(super) fn new(piece: usize, least: usize) -> Result<Self, TryReserveError> {
        let size = piece.saturating_mul(2).max(least);
        // Only `vec!` gets zeroed memory from the system, untouched until it is used, but it would
        // abort the process if there were none: so try first.
        Vec::<u8>::new().try_reserve_exact(size)?;
        Ok(Self { buffer: vec![0; size], start: 0, end: 0 })
    }

    /// What has arrived and is not consumed.
    #[inline]
    pub(super) fn data(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Where the next bytes go; say how many did with [`filled`](Self::filled). Empty only if more
    /// than half the buffer waits to be consumed.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.clear();
        } else if self.end > self.buffer.len() / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.buffer[self.end..]
    }

    /// `count` bytes have been put in [`space`](Self::space).
    pub(super) fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buffer.len());
    }

    /// The first `count` bytes are done with, or all if there are fewer. Says how many were.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) -> usize {
        let consumed = count.min(self.end - self.start);
        self.start += consumed;
        consumed
    }

    /// Everything is done with.
    pub(super) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(refill: &mut Refill, bytes: &[u8]) -> usize {
        let space = refill.space();
        let count = bytes.len().min(space.len());
        space[..count].copy_from_slice(&bytes[..count]);
        refill.filled(count);
        count
    }

    #[test]
    fn keeps_bytes_in_order_and_always_has_room_for_a_piece() {
        let mut refill = Refill::new(7, 0).unwrap();
        let source: Vec<u8> = (0..=255).collect();
        let (mut at, mut seen) = (0, Vec::new());
        while seen.len() < source.len() {
            // Whatever is in it, a piece of 7 can be completed.
            assert!(refill.data().len() + refill.space().len() >= 7);
            at += put(&mut refill, &source[at..source.len().min(at + 3)]);
            if refill.data().len() >= 7 || at == source.len() {
                let piece = refill.data().len().min(7);
                seen.extend_from_slice(&refill.data()[..piece]);
                assert_eq!(refill.consume(piece), piece);
            }
        }
        assert_eq!(seen, source);
    }

    #[test]
    fn bytes_stay_where_they_are_while_there_is_room_behind_them() {
        let mut refill = Refill::new(4, 100).unwrap();
        put(&mut refill, &[1; 40]);
        refill.consume(39);
        refill.space();
        assert_eq!((refill.start, refill.end), (39, 40));
        put(&mut refill, &[2; 20]);
        refill.space();
        assert_eq!((refill.start, refill.end), (0, 21));
    }

    #[test]
    fn more_than_there_is_cannot_be_consumed() {
        let mut refill = Refill::new(8, 0).unwrap();
        put(&mut refill, b"abc");
        assert_eq!(refill.consume(5), 3);
        assert_eq!(refill.data(), b"");
    }

    #[test]
    fn absurd_sizes_are_refused() {
        assert!(Refill::new(usize::MAX, 0).is_err());
    }
}

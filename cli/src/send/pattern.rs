//! What `send --verify` puts into heaps and `recv --verify` looks for.
//!
//! Each item counts up in big-endian words of 32 bits. Where it starts depends on the heap's number
//! and the item alone, so that every heap can be checked by itself, whatever was lost before it.

/// The id of the first item; those of the others follow.
pub(crate) const FIRST_ITEM: u64 = 0x1000;

/// Bytes of an element.
pub(crate) const WORD: usize = 4;

/// The first word of item `item` (from 0) of heap `cnt`. Neighbours are far apart: payload that is a
/// packet or a heap off must not look right.
fn start(cnt: u64, item: u64) -> u32 {
    let mixed = (cnt ^ item.rotate_left(40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}

/// The value of an item: as many whole words as fit `bytes` bytes.
pub(crate) fn make(cnt: u64, item: u64, bytes: usize) -> Vec<u8> {
    let first = start(cnt, item);
    let mut value = vec![0; bytes / WORD * WORD];
    let (words, _) = value.as_chunks_mut::<WORD>();
    for (at, word) in words.iter_mut().enumerate() {
        *word = first.wrapping_add(at as u32).to_be_bytes();
    }
    value
}

/// Where `value` differs from the pattern first, in bytes; `None` if it is as sent.
pub(crate) fn difference(cnt: u64, item: u64, value: &[u8]) -> Option<usize> {
    let first = start(cnt, item);
    let (words, rest) = value.as_chunks::<WORD>();
    let is_right =
        |at: usize, word: &[u8; WORD]| *word == first.wrapping_add(at as u32).to_be_bytes();
    let wrong = words.iter().enumerate().position(|(at, word)| !is_right(at, word));
    // Nothing but whole words is sent.
    wrong.or_else(|| (!rest.is_empty()).then_some(words.len())).map(|at| at * WORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_right_and_anything_else_is_not() {
        let value = make(7, 2, 4003);
        assert_eq!(value.len(), 4000);
        assert_eq!(difference(7, 2, &value), None);
        assert_eq!(difference(8, 2, &value), Some(0));
        assert_eq!(difference(7, 1, &value), Some(0));
        assert_eq!(difference(7, 2, &value[..3999]), Some(3996));
        let mut changed = value;
        changed[2001] ^= 1;
        assert_eq!(difference(7, 2, &changed), Some(2000));
    }
}

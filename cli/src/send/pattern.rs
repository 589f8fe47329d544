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

/// Where the payload of a heap, which is its items one after the other, differs from the pattern first,
/// in bytes. An item is taken to end where the next one begins as it should.
pub(crate) fn difference_in_heap(cnt: u64, payload: &[u8]) -> Option<usize> {
    let (words, rest) = payload.as_chunks::<WORD>();
    let (mut item, mut expected) = (0, start(cnt, 0));
    for (at, word) in words.iter().enumerate() {
        let word = u32::from_be_bytes(*word);
        if word != expected && at > 0 {
            item += 1;
            expected = start(cnt, item);
        }
        if word != expected {
            return Some(at * WORD);
        }
        expected = expected.wrapping_add(1);
    }
    (!rest.is_empty()).then_some(words.len() * WORD)
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

    #[test]
    fn heaps_are_their_items_one_after_the_other() {
        for items in 1..4 {
            let values: Vec<_> = (0..items).map(|item| make(7, item, 4000)).collect();
            let mut payload = values.concat();
            assert_eq!(difference_in_heap(7, &payload), None);
            assert_eq!(difference_in_heap(8, &payload), Some(0));
            assert_eq!(difference_in_heap(7, &payload[1..]), Some(0));
            assert_eq!(difference_in_heap(7, &payload[..3999]), Some(3996));
            for at in [0, 2001, payload.len() - 1] {
                payload[at] ^= 1;
                assert_eq!(difference_in_heap(7, &payload), Some(at / WORD * WORD));
                payload[at] ^= 1;
            }
        }
        // Items in another order.
        let swapped = [make(7, 1, 8), make(7, 0, 8)].concat();
        assert_eq!(difference_in_heap(7, &swapped), Some(0));
    }
}

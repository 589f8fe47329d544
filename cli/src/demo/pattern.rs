//! What the demo's heaps contain: bytes that follow from which heap it is, and from nothing else.

/// An odd constant with well mixed bits (2^64 over the golden ratio), so that neighbouring words
/// and heaps have little in common.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The word that the content of heap `round` of port `port` starts with.
fn seed(port: usize, round: u64) -> u64 {
    // The finaliser of splitmix64: every bit of the heap's number changes about half of the seed.
    let mut z = (round << 8 ^ port as u64).wrapping_add(1).wrapping_mul(STEP);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Writes the content of a heap.
pub(super) fn fill(port: usize, round: u64, payload: &mut [u8]) {
    let mut word = seed(port, round);
    let (words, rest) = payload.as_chunks_mut();
    for bytes in words {
        *bytes = word.to_le_bytes();
        word = word.wrapping_add(STEP);
    }
    rest.copy_from_slice(&word.to_le_bytes()[..rest.len()]);
}

/// Where the content of a heap first differs from what [`fill`] wrote.
pub(super) fn first_difference(port: usize, round: u64, payload: &[u8]) -> Option<usize> {
    // Blocks are compared as a whole, without a branch for each word.
    const BLOCK: usize = 4096;
    let mut word = seed(port, round);
    for (at, block) in payload.chunks(BLOCK).enumerate() {
        let (words, rest) = block.as_chunks();
        let mut differ = 0;
        let mut expected = word;
        for &bytes in words {
            differ |= u64::from_le_bytes(bytes) ^ expected;
            expected = expected.wrapping_add(STEP);
        }
        if differ != 0 || *rest != expected.to_le_bytes()[..rest.len()] {
            return Some(at * BLOCK + difference_in(block, word));
        }
        word = expected;
    }
    None
}

fn difference_in(block: &[u8], first: u64) -> usize {
    let words = (0..).map(|at: u64| first.wrapping_add(at.wrapping_mul(STEP)).to_le_bytes());
    block.iter().zip(words.flatten()).position(|(&got, sent)| got != sent).unwrap_or(block.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_is_found() {
        let mut payload = vec![0; 2 * 4096 + 13];
        fill(3, 77, &mut payload);
        assert_eq!(first_difference(3, 77, &payload), None);
        for at in [0, 7, 8, 4095, 4096, 8191, 8192, 8199, 8200, 8204] {
            payload[at] ^= 0x10;
            assert_eq!(first_difference(3, 77, &payload), Some(at));
            payload[at] ^= 0x10;
        }
    }

    #[test]
    fn heaps_are_told_apart() {
        let mut payload = vec![0; 64];
        fill(1, 5, &mut payload);
        for (port, round) in [(0, 5), (2, 5), (1, 4), (1, 6), (5, 1)] {
            assert_eq!(first_difference(port, round, &payload), Some(0), "{port} {round}");
        }
    }
}

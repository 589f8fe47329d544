//! Where every decision of a simulated world comes from: a seed, or a string of bytes.

#[cfg(test)]
use proptest::prelude::Rng;
#[cfg(test)]
use proptest::test_runner::{RngAlgorithm, TestRng};

/// A stream of decisions. The same seed or bytes give the same decisions, for ever: `ChaCha20` is a
/// specified cipher, and the rest is arithmetic.
///
/// Zero always means the harmless choice, and it is what a string of bytes goes on with at its end,
/// so that a fuzzer's shorter strings are simpler worlds.
pub(super) enum Choices {
    #[cfg(test)]
    Seeded(Box<TestRng>),
    #[cfg_attr(test, allow(dead_code, reason = "for the fuzz targets"))]
    Scripted { bytes: Vec<u8>, at: usize },
}

impl Choices {
    #[cfg(test)]
    pub(super) fn seeded(seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self::Seeded(Box::new(TestRng::from_seed(RngAlgorithm::ChaCha, &key)))
    }

    #[cfg_attr(test, allow(dead_code, reason = "for the fuzz targets"))]
    pub(super) fn scripted(bytes: &[u8]) -> Self {
        Self::Scripted { bytes: bytes.to_vec(), at: 0 }
    }

    /// Whether nothing but zeros will follow.
    pub(super) fn is_exhausted(&self) -> bool {
        match self {
            #[cfg(test)]
            Self::Seeded(_) => false,
            Self::Scripted { bytes, at } => *at >= bytes.len(),
        }
    }

    /// A number below `n`, which is not zero.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        match self {
            #[cfg(test)]
            // The high half of the product: unbiased enough, and no loop.
            Self::Seeded(random) => {
                (u128::from(random.next_u64()) * u128::from(n)).wrapping_shr(64) as u64
            }
            Self::Scripted { bytes, at } => {
                let width = if n <= 1 << 8 { 1 } else { 3 };
                let end = bytes.len().min(*at + width);
                let word = bytes[(*at).min(end)..end].iter().fold(0, |n, &b| n << 8 | u64::from(b));
                *at = end;
                word % n
            }
        }
    }

    /// True in `percent` of 100 cases; zero means false.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        percent > 0 && self.below(100) >= 100 - percent
    }

    pub(super) fn between(&mut self, from: usize, to: usize) -> usize {
        from + self.below((to - from + 1) as u64) as usize
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

//! What the fuzz targets do with their bytes: nothing may panic, overflow or lie, whatever they are.
//!
//! The targets in `fuzz/` (`make fuzz`) call these under libFuzzer, with sanitizers; the tests here
//! replay the corpora and much that is like them.

mod capture;
mod descriptors;
mod heaps;
mod packet;
mod placement;
#[cfg(test)]
mod replay;

pub use crate::recv::readers::framing_fuzz::framing;
pub use crate::recv::world::world;
#[cfg(feature = "pcap")]
pub use capture::capture;
pub use descriptors::descriptors;
pub use heaps::heaps;
pub use packet::packet;
pub use placement::{layouts, placement};

/// Bytes that are taken from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// The next byte; zero at the end.
    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    fn number<const N: usize>(&mut self) -> u64 {
        let bytes = self.bytes(N);
        bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    /// Up to `count` bytes.
    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// The next piece, with its length before it; `None` at the end.
    fn piece(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let length = self.number::<2>() as usize;
        Some(self.bytes(length))
    }
}

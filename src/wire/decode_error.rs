//! The reasons why bytes are not a packet.

use std::error::Error;
use std::fmt;

/// Why bytes are not a packet.
///
/// Each reason has a dense [`index`](Self::index) and a stable [name](Self::as_str), so that a
/// receiver can count them.
///
/// ```
/// use speadway::wire::{DecodeError, Packet};
///
/// let mut counts = [0_u64; DecodeError::ALL.len()];
/// if let Err(reason) = Packet::decode_datagram(b"not a packet") {
///     counts[reason.index()] += 1;
/// }
/// assert_eq!(counts[DecodeError::BadMagic.index()], 1);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum DecodeError {
    /// There are no bytes at all.
    Empty,
    /// Fewer than the 8 bytes of a header.
    TooSmall,
    /// The first two bytes are not 0x53 0x04.
    BadMagic,
    /// The width of item ids or heap addresses is 0.
    BadFlavour,
    /// The widths do not add up to 64 bits.
    Not64Bit,
    /// The bytes end within the item pointers.
    ItemsOverflow,
    /// There is no immediate HEAP_CNT, PAYLOAD_OFFSET or PAYLOAD_LENGTH.
    MissingItems,
    /// The bytes end within the payload.
    PayloadOverflow,
    /// The payload's end lies beyond HEAP_LENGTH.
    HeapOverflow,
    /// The datagram goes on after the payload.
    SizeMismatch,
}

impl DecodeError {
    /// Every reason, in the order of [`index`](Self::index).
    pub const ALL: [Self; 10] = [
        Self::Empty,
        Self::TooSmall,
        Self::BadMagic,
        Self::BadFlavour,
        Self::Not64Bit,
        Self::ItemsOverflow,
        Self::MissingItems,
        Self::PayloadOverflow,
        Self::HeapOverflow,
        Self::SizeMismatch,
    ];

    /// A stable name in snake case, for counters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooSmall => "too_small",
            Self::BadMagic => "bad_magic",
            Self::BadFlavour => "bad_flavour",
            Self::Not64Bit => "not_64_bit",
            Self::ItemsOverflow => "items_overflow",
            Self::MissingItems => "missing_items",
            Self::PayloadOverflow => "payload_overflow",
            Self::HeapOverflow => "heap_overflow",
            Self::SizeMismatch => "size_mismatch",
        }
    }

    /// The reason's place in [`ALL`](Self::ALL).
    #[inline]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the packet is empty",
            Self::TooSmall => "the packet is smaller than its 8-byte header",
            Self::BadMagic => "the packet does not start with the SPEAD magic and version 0x5304",
            Self::BadFlavour => "the packet declares item ids or heap addresses of 0 bytes",
            Self::Not64Bit => "the packet is not of a SPEAD-64 flavour",
            Self::ItemsOverflow => "the packet ends within its item pointers",
            Self::MissingItems => {
                "the packet has no immediate HEAP_CNT, PAYLOAD_OFFSET or PAYLOAD_LENGTH"
            }
            Self::PayloadOverflow => "the packet ends within its payload",
            Self::HeapOverflow => "the packet's payload ends beyond the heap length it gives",
            Self::SizeMismatch => "the datagram is longer than the packet in it",
        })
    }
}

impl Error for DecodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_dense_and_distinct() {
        for (index, error) in DecodeError::ALL.into_iter().enumerate() {
            assert_eq!(error.index(), index);
            let same = DecodeError::ALL.iter().filter(|other| other.as_str() == error.as_str());
            assert_eq!(same.count(), 1);
        }
    }
}

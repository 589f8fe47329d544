//! What can become of a packet and of a heap: the vocabulary of the counters.

use crate::wire::DecodeError;

/// Declares an enum with a dense index and a stable counter name for every variant.
macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All of them, in the order of their counters.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// The stable name used in counters and reports.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The position in [`ALL`](Self::ALL).
            #[must_use]
            pub fn index(self) -> usize {
                self as usize
            }
        }
    };
}

reasons! {
    /// Why a packet did not reach its place.
    PacketDiscard {
        /// A datagram without a byte.
        Empty => "empty",
        /// Fewer than the 8 bytes of a header.
        TooSmall => "too_small",
        /// Magic number or version are not SPEAD's.
        BadMagic => "bad_magic",
        /// An item id or heap address of width 0.
        BadFlavour => "bad_flavour",
        /// The widths do not add up to 64 bits.
        Not64Bit => "not_64_bit",
        /// More item pointers than the packet has room for.
        ItemsOverflow => "items_overflow",
        /// No heap count, payload offset or payload length.
        MissingItems => "missing_items",
        /// The payload is longer than the packet.
        PayloadOverflow => "payload_overflow",
        /// The payload ends behind the heap's length.
        HeapOverflow => "heap_overflow",
        /// The datagram is longer than the packet in it.
        SizeMismatch => "size_mismatch",
        /// The datagram is longer than the reader's `max_packet`.
        Truncated => "truncated",
        /// No heap length where one is required.
        NoHeapLength => "no_heap_length",
        /// The first packet of a heap to arrive was not its first, and order is required.
        NotFirst => "not_first",
        /// The heap's length differs from what an earlier packet said.
        LengthInconsistent => "length_inconsistent",
        /// The heap's length is smaller than what earlier packets imply.
        LengthTooSmall => "length_too_small",
        /// The flavour differs from the heap's earlier packets.
        FlavourInconsistent => "flavour_inconsistent",
        /// The payload partly overlaps payload that was received.
        Overlap => "overlap",
        /// The payload was received before.
        Duplicate => "duplicate",
        /// The payload follows a gap, and order is required.
        Gap => "gap",
        /// The heap is larger than `max_heap_size`.
        HeapTooLarge => "heap_too_large",
        /// There is no memory for the heap.
        NoMemory => "no_memory",
        /// The heap's chunk has left the window.
        TooOld => "too_old",
        /// The placement said that the heap is not for a chunk.
        Rejected => "rejected",
        /// The placement lies outside the chunk.
        BadPlacement => "bad_placement",
        /// There was no chunk for the id.
        NoChunk => "no_chunk",
        /// Another heap filled the place already.
        PlaceTaken => "place_taken",
        /// The chunk id is too far off (`max_jump`).
        Doubtful => "doubtful",
        /// Part of the heap that ends the stream.
        StopItem => "stop_item",
        /// Received after the stream ended.
        AfterStop => "after_stop",
    }
}

reasons! {
    /// What became of a heap.
    HeapOutcome {
        /// Whole, and in its place: in a chunk, or handed to the consumer.
        Placed => "placed",
        /// Pushed out by newer heaps before it was whole.
        Evicted => "evicted",
        /// Not whole when the stream ended.
        Flushed => "flushed",
        /// Its chunk had left the window.
        TooOld => "too_old",
        /// The placement said that it is not for a chunk.
        Rejected => "rejected",
        /// Its placement lies outside the chunk.
        BadPlacement => "bad_placement",
        /// There was no chunk for its id.
        NoChunk => "no_chunk",
        /// Another heap filled its place already.
        PlaceTaken => "place_taken",
        /// Its chunk id is too far off (`max_jump`).
        Doubtful => "doubtful",
        /// Without payload: nothing to place.
        Empty => "empty",
        /// There is no memory for it, or it is larger than `max_heap_size`.
        NoMemory => "no_memory",
        /// It ended the stream.
        Stop => "stop",
    }
}

impl From<DecodeError> for PacketDiscard {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Empty => Self::Empty,
            DecodeError::TooSmall => Self::TooSmall,
            DecodeError::BadMagic => Self::BadMagic,
            DecodeError::BadFlavour => Self::BadFlavour,
            DecodeError::Not64Bit => Self::Not64Bit,
            DecodeError::ItemsOverflow => Self::ItemsOverflow,
            DecodeError::MissingItems => Self::MissingItems,
            DecodeError::PayloadOverflow => Self::PayloadOverflow,
            DecodeError::HeapOverflow => Self::HeapOverflow,
            DecodeError::SizeMismatch => Self::SizeMismatch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_dense_and_names_distinct() {
        for (at, reason) in PacketDiscard::ALL.iter().enumerate() {
            assert_eq!(reason.index(), at);
        }
        let mut names: Vec<_> = PacketDiscard::ALL.iter().map(|r| r.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PacketDiscard::ALL.len());
    }
}

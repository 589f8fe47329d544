//! Finding packets in a byte stream such as TCP's.

use super::ids;
use super::packet::{HEADER_BYTES, Header};
use super::pointer::ItemPointer;

/// What [`frame`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// The packet has this many bytes, perhaps more than are there yet.
    Size(usize),
    /// This many bytes in total, counted from the packet's start, are needed to tell.
    NeedMore(usize),
    /// No packet starts here. Look 8 bytes further to find the stream's next one.
    Invalid,
}

/// The size of the packet that starts at `bytes`, once its header and item pointers are there.
///
/// The size is that of the *first* immediate PAYLOAD_LENGTH, though
/// [`Packet::decode`](super::Packet::decode) goes by the last: existing senders and receivers of
/// TCP streams agree on it. A sender with any sense sends one.
///
/// ```
/// use speadway::wire::{Framing, frame};
///
/// assert_eq!(frame(&[0x53, 0x04]), Framing::NeedMore(8));
/// assert_eq!(frame(&[0x53, 0x04, 3, 5, 0, 0, 0, 4]), Framing::NeedMore(40));
/// assert_eq!(frame(b"nonsense"), Framing::Invalid);
/// ```
#[inline]
pub fn frame(bytes: &[u8]) -> Framing {
    let Some((header, rest)) = bytes.split_first_chunk() else {
        return Framing::NeedMore(HEADER_BYTES);
    };
    let Ok(header) = Header::decode(header) else {
        return Framing::Invalid;
    };
    let prefix = HEADER_BYTES + header.pointer_bytes();
    let Some(pointers) = rest.get(..header.pointer_bytes()) else {
        return Framing::NeedMore(prefix);
    };
    pointers
        .as_chunks()
        .0
        .iter()
        .map(|&bytes| ItemPointer::from_be_bytes(bytes, header.heap_address_bits))
        .find(|pointer| pointer.is_immediate() && pointer.id() == ids::PAYLOAD_LENGTH)
        .and_then(|pointer| usize::try_from(pointer.value()).ok()?.checked_add(prefix))
        .map_or(Framing::Invalid, Framing::Size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(n_items: u8, pointers: &[u64]) -> Vec<u8> {
        let mut bytes = vec![0x53, 0x04, 3, 5, 0, 0, 0, n_items];
        bytes.extend(pointers.iter().flat_map(|pointer| pointer.to_be_bytes()));
        bytes
    }

    #[test]
    fn the_first_payload_length_counts() {
        let bytes =
            packet(3, &[0x0000_0400_0000_0001, 0x8000_0400_0000_0010, 0x8000_0400_0000_0020]);
        assert_eq!(frame(&bytes), Framing::Size(8 + 3 * 8 + 0x10));
    }

    #[test]
    fn without_a_payload_length_there_is_no_packet() {
        assert_eq!(frame(&packet(0, &[])), Framing::Invalid);
        assert_eq!(frame(&packet(1, &[0x8000_0100_0000_0001])), Framing::Invalid);
    }

    #[test]
    fn pointers_are_awaited() {
        assert_eq!(frame(&packet(2, &[0x8000_0400_0000_0010])), Framing::NeedMore(24));
        assert_eq!(frame(&[]), Framing::NeedMore(8));
    }
}

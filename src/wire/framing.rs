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

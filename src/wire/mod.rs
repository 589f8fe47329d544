//! SPEAD on the wire: bytes to packets, item pointers and descriptors, and back.
//!
//! Everything here is a pure function of bytes. There is no I/O, no `unsafe`, and decoding
//! allocates nothing: a [`Packet`] borrows the bytes it was decoded from. No input makes it panic.
//!
//! A SPEAD packet is big-endian throughout:
//!
//! | bytes | field |
//! |---|---|
//! | 0-1 | magic and version, `0x53 0x04` |
//! | 2 | width of an item id in bytes, its mode bit included |
//! | 3 | width of a heap address in bytes |
//! | 4-5 | reserved: zero when sent, ignored when received |
//! | 6-7 | number of item pointers, N |
//! | 8.. | N item pointers of 8 bytes, then the payload |

pub mod ctrl;
pub mod ids;

mod flavour;
mod framing;
mod packet;
mod pointer;

pub use flavour::{BugCompat, BugCompatError, Flavour, FlavourError};
pub use framing::{Framing, frame};
pub use packet::{DecodeError, Items, Packet, Pointers};
pub use pointer::{ItemPointer, PointerError};

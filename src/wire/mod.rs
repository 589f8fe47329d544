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
//!
//! ```
//! use speadway::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue, Packet, ids};
//!
//! let items = [
//!     EncodeItem { id: 0x1600, value: ItemValue::Immediate(1234) },
//!     EncodeItem { id: 0x4300, value: ItemValue::Addressed(b"some samples") },
//! ];
//! let heap = HeapEncoder::new(Flavour::default(), 7, 1472, &items, false)?;
//! let bytes = heap.packets().remove(0);
//!
//! let packet = Packet::decode_datagram(&bytes)?;
//! assert_eq!(packet.heap_cnt(), 7);
//! assert_eq!(packet.immediate(0x1600), Some(1234));
//! assert_eq!(packet.payload(), b"some samples");
//! assert!(packet.items().all(|item| item.id() >= ids::FIRST_USER));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod ctrl;
pub mod ids;

mod decode_error;
mod decoder;
mod descriptor;
mod encode;
mod flavour;
mod framing;
mod item_type;
mod packet;
mod plan;
mod pointer;

pub use decode_error::DecodeError;
pub use decoder::Decoder;
pub use descriptor::{Descriptor, DescriptorEncodeError, DescriptorError, FormatField};
pub use encode::{EncodeItem, HeapEncoder, ItemValue, PayloadParts};
pub use flavour::{BugCompat, BugCompatError, Flavour, FlavourError};
pub use framing::{Framing, frame};
pub use item_type::{ByteOrder, Element, ItemType, NumpyHeaderError, NumpyType};
pub use packet::{Items, Packet, Pointers};
pub(crate) use plan::{Division, HeapShape};
pub use plan::{EncodeError, HeapPlan, MIN_PACKET_SIZE};
pub use pointer::{ItemPointer, PointerError};

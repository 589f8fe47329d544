//! Items with meaning: names, types and values over the bytes of heaps.
//!
//! A sender describes each of its items once (or now and then): id, name, shape and type of
//! elements, either a numpy type or fields packed bit by bit. From then on its heaps carry values.
//!
//! | type | what |
//! |---|---|
//! | [`ItemDescriptor`] | what is known about an item; makes values |
//! | [`ElementType`] | the type of an element, such as `<u4`, or 12 bits unsigned and 4 signed |
//! | [`Value`] | bytes of the right size, to be read as any type that fits: [`Sample`], [`Scalar`] |
//! | [`Item`] | a descriptor, a value, and its version |
//! | [`ItemGroup`] | items by id and name; [`update`](ItemGroup::update) takes over a received heap |
//! | [`HeapGenerator`] | what the next heap of a stream has to carry: [`Outgoing`] |
//! | [`Bytes`] | shared bytes, so that nothing is copied on the way out |
//!
//! What comes from the network is not trusted: a descriptor that makes no sense, or a value that does
//! not fit, is an error and changes nothing. Reading a value takes at most 16 bytes of memory for each
//! bit of it if it is read as numbers, and 32 as [`Scalar`]s; whatever a descriptor declares, a value
//! is never larger than the bytes that came.
//!
//! ```
//! use speadway::item::{ItemDescriptor, Scalar};
//!
//! let spectrum = ItemDescriptor::format(0x4300, "spectrum", "", &[None], &[('i', 4), ('i', 4)])?;
//! let value = spectrum.decode(b"\x1f\x8e")?;
//! assert_eq!(value.shape(), [2]);
//! assert_eq!(value.field::<i8>(0)?, [1, -8]);
//! assert_eq!(value.field::<f32>(1)?, [-1.0, -2.0]);
//! assert_eq!(value.to_scalars()?[..2], [Scalar::Signed(1), Scalar::Signed(-1)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bits;
mod bytes;
mod descriptor;
mod dtype;
mod encode;
mod error;
mod group;
mod outgoing;
mod sample;
mod shape;
mod update;
mod value;

pub use bytes::Bytes;
pub use descriptor::{DescriptorError, ItemDescriptor};
pub use dtype::{ElementType, ElementTypeError, Field, FieldKind};
pub use error::ValueError;
pub use group::{Item, ItemGroup, ItemKey};
pub use outgoing::{HeapGenerator, Outgoing, Select};
pub use sample::{Sample, Scalar};
pub use update::{Update, UpdateError};
pub use value::{Array, Order, Value};

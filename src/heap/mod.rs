//! Heaps: what packets add up to, and what can become of both.
//!
//! A [`Heap`] is delivered whole by a [heap stream](crate::recv::Stream::heaps), with its items and
//! descriptors. [`PacketDiscard`] and [`HeapOutcome`] are the vocabulary of the counters, and
//! [`Origin`] says where and when a packet was received.

mod assembly;
mod origin;
mod outcome;
mod ranges;
mod received;
mod slots;

pub(crate) use assembly::Assembly;
pub use origin::Origin;
pub use outcome::{HeapOutcome, PacketDiscard};
pub(crate) use received::HeapParts;
pub use received::{Heap, HeapStatus, Item, ItemKind, Items};
pub(crate) use slots::{Slot, SlotTable};

//! Heaps: under assembly, and finished.

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

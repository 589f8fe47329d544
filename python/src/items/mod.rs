//! The native half of the items: formats of packed bits, and values of received heaps.

mod bits;
mod plan;
mod update;

pub(crate) use bits::{pack_bits, unpack_bits};
pub(crate) use update::update_items;

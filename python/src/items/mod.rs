//! The native half of the items: formats of packed bits, and values of received heaps.

mod bits;

pub(crate) use bits::{pack_bits, unpack_bits};

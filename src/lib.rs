//! Receive SPEAD streams into chunks of memory.

pub mod chunk;
pub mod heap;
pub mod memory;
pub mod net;
pub mod recv;
pub mod ring;
mod sync;
pub mod wire;

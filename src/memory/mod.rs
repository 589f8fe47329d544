//! Where payload lives: owned byte buffers, the allocators that make them, and a pool that keeps them.
//!
//! A [`Buffer`] is a fixed block of bytes that knows how to give itself back: to the global
//! allocator, to the kernel ([`Buffer::mapped`]), to whoever lent the memory
//! ([`Buffer::from_raw`]), or to the [`MemoryPool`] it came from. Its bytes never move, so a
//! pointer to them stays good while the buffer itself travels between threads and structures.
//!
//! An [`Allocator`] decides which of these a stream uses:
//!
//! | allocator | memory | use it for |
//! |---|---|---|
//! | [`HeapAllocator`] | global allocator, or from 4 MiB on huge pages if possible; pages touched | the default |
//! | [`MmapAllocator`] | `mmap`, optionally huge pages, pre-faulted, of one NUMA node | chunks of many MiB |
//! | [`MemoryPool`] | reuses what another allocator made | heaps of a known size |
//!
//! ```
//! use std::sync::Arc;
//! use speadway::memory::{Allocator, HeapAllocator, MemoryPool};
//!
//! // Heaps are 60 to 64 KiB: keep up to 32 buffers of 64 KiB, 4 of them from the start.
//! let pool = MemoryPool::new(60 << 10, 64 << 10, 32, 4, Arc::new(HeapAllocator))?;
//! let mut buffer = pool.allocate(62 << 10)?;
//! buffer[0] = 7;
//! assert_eq!(buffer.len(), 62 << 10);
//! drop(buffer); // goes back to the pool
//! assert_eq!(pool.stats().free, 4);
//! # Ok::<(), speadway::memory::MemoryError>(())
//! ```

mod allocator;
mod buffer;
mod copy;
mod error;
mod mapping;
mod numa;
mod pool;
mod storage;

pub use allocator::{Allocator, HeapAllocator, MmapAllocator};
pub use buffer::Buffer;
pub use copy::CopyMode;
pub(crate) use copy::{copy, settle_copies};
pub use error::MemoryError;
pub use mapping::{HugePages, MapOptions};
pub use numa::node_of_core;
pub use pool::{MemoryPool, PoolStats};

#[cfg(test)]
mod tests;

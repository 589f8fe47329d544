//! Who makes buffers.

use super::{Buffer, MapOptions, MemoryError};

/// Makes buffers, for heaps and chunks.
///
/// Implement it to place payload somewhere special, with [`Buffer::from_raw`] where the memory is
/// not ours:
///
/// ```
/// use speadway::memory::{Allocator, Buffer, MemoryError};
///
/// /// Refuses what no sender of ours would send.
/// struct AtMost(usize);
///
/// impl Allocator for AtMost {
///     fn allocate(&self, len: usize) -> Result<Buffer, MemoryError> {
///         if len > self.0 {
///             return Err(MemoryError::TooLarge { len });
///         }
///         Buffer::zeroed(len)
///     }
/// }
/// assert!(AtMost(1 << 20).allocate(1 << 21).is_err());
/// ```
pub trait Allocator: Send + Sync {
    /// A buffer of `len` bytes. What is in them is unspecified.
    ///
    /// This may be called on a receiving thread, so it should not wait for anything.
    ///
    /// # Errors
    ///
    /// [`MemoryError`] if there is no such buffer.
    fn allocate(&self, len: usize) -> Result<Buffer, MemoryError>;
}

/// Buffers as [`Buffer::zeroed`] makes them, with every page touched. The default.
///
/// Touching the pages has the kernel find them when the buffer is made, not when the packets come.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeapAllocator;

impl Allocator for HeapAllocator {
    fn allocate(&self, len: usize) -> Result<Buffer, MemoryError> {
        let mut buffer = Buffer::zeroed(len)?;
        buffer.touch_pages();
        Ok(buffer)
    }
}

/// Buffers that are each a mapping of their own, zeroed.
///
/// Every buffer costs two system calls and is a whole number of pages, so this is for chunks, or
/// underneath a [`MemoryPool`](super::MemoryPool).
#[derive(Clone, Copy, Debug, Default)]
pub struct MmapAllocator {
    options: MapOptions,
}

impl MmapAllocator {
    /// Maps with these options.
    pub fn new(options: MapOptions) -> Self {
        Self { options }
    }

    /// The options it maps with.
    pub fn options(&self) -> MapOptions {
        self.options
    }
}

impl Allocator for MmapAllocator {
    fn allocate(&self, len: usize) -> Result<Buffer, MemoryError> {
        Buffer::mapped(len, self.options)
    }
}

//! The buffer: owned bytes that do not move.
#![allow(unsafe_code)]

use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use super::MemoryError;
use super::copy::{CopyMode, copy};
use super::mapping::{MapOptions, Mapping};
use super::storage::Storage;

/// Owned bytes of fixed length, at a fixed address.
///
/// A buffer dereferences to `[u8]`. Moving it does not move its bytes. Dropping it gives the memory
/// back to where it came from, which for a buffer of a [`MemoryPool`](super::MemoryPool) is the
/// pool.
///
/// ```
/// use speadway::memory::Buffer;
/// let mut buffer = Buffer::zeroed(1 << 20)?;
/// buffer[..4].copy_from_slice(b"data");
/// assert_eq!(&buffer[..5], b"data\0");
/// # Ok::<(), speadway::memory::MemoryError>(())
/// ```
pub struct Buffer {
    storage: Storage,
    /// Bytes shown, at most the capacity of the storage.
    len: usize,
    /// Takes the storage when the buffer is dropped.
    home: Option<Arc<dyn Home>>,
}

/// What storage goes back to. A trait, so that buffers need not know the pool.
pub(super) trait Home: Send + Sync {
    /// Takes the storage of a dropped buffer.
    fn take_back(&self, storage: Storage);
}

impl Buffer {
    /// `len` zeros, aligned to 64 bytes.
    ///
    /// From 4 MiB on they are in transparent huge pages, if the host lets programs ask for them
    /// (`/sys/kernel/mm/transparent_hugepage/enabled`); for reserved ones, or none, there is
    /// [`mapped`](Self::mapped).
    ///
    /// # Errors
    ///
    /// [`MemoryError::TooLarge`] if no block can be that long, [`MemoryError::OutOfMemory`] if there
    /// is none.
    pub fn zeroed(len: usize) -> Result<Self, MemoryError> {
        Storage::zeroed(len).map(Self::whole)
    }

    /// `len` zeros mapped from the kernel, aligned to a page.
    ///
    /// Meant for large buffers: the memory is a multiple of the page size, which for huge pages is
    /// megabytes.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Map`] or [`MemoryError::TooLarge`] if the kernel has no such memory,
    /// [`MemoryError::NoHugePages`] if
    /// [`HugePages::Require`](super::HugePages::Require) cannot be had, [`MemoryError::NoNode`] if the
    /// host has no such NUMA node, or none with memory.
    pub fn mapped(len: usize, options: MapOptions) -> Result<Self, MemoryError> {
        if len == 0 {
            return Ok(Self::default());
        }
        let mapping = Mapping::new(len, options)?;
        Ok(Self::whole(Storage::mapped(mapping, len)))
    }

    /// The bytes of a vector, not copied. They have whatever alignment the vector had.
    pub fn from_vec(vec: Vec<u8>) -> Self {
        Self::whole(Storage::from_vec(vec))
    }

    /// Memory that belongs to somebody else: shared memory, a device's buffer, an array of Python.
    ///
    /// `owner` is whatever keeps the memory alive; it is dropped when the buffer is, on whichever
    /// thread that happens. Use `Box::new(())` for memory that lives forever.
    ///
    /// # Safety
    ///
    /// From this call until `owner` is dropped:
    ///
    /// - `ptr` is valid for reads and writes of `len` bytes, all initialised;
    /// - nothing but the buffer reads or writes them, on any thread or in any other process;
    /// - `len` does not exceed `isize::MAX`.
    ///
    /// ```
    /// use std::ptr::NonNull;
    /// use speadway::memory::Buffer;
    ///
    /// let bytes: &'static mut [u8] = Box::leak(Box::new([0; 16]));
    /// let (ptr, len) = (NonNull::from(&mut *bytes).cast(), bytes.len());
    /// // SAFETY: the array is leaked, and `bytes` is not used again.
    /// let mut buffer = unsafe { Buffer::from_raw(ptr, len, Box::new(())) };
    /// buffer.fill(1);
    /// ```
    pub unsafe fn from_raw(ptr: NonNull<u8>, len: usize, owner: Box<dyn Send + Sync>) -> Self {
        // SAFETY: the caller promises what `owned_by` asks.
        Self::whole(unsafe { Storage::owned_by(ptr, len, owner) })
    }

    /// All of a storage.
    fn whole(storage: Storage) -> Self {
        let len = storage.capacity();
        Self { storage, len, home: None }
    }

    /// The first `len` bytes of a storage that goes home afterwards.
    pub(super) fn lent(storage: Storage, len: usize, home: Arc<dyn Home>) -> Self {
        let len = len.min(storage.capacity());
        Self { storage, len, home: Some(home) }
    }

    /// The storage alone. A buffer with a home keeps it, and goes there when the storage is dropped.
    pub(super) fn into_storage(mut self) -> Storage {
        if self.home.is_none() {
            return mem::replace(&mut self.storage, Storage::empty());
        }
        let (ptr, capacity) = (self.storage.ptr(), self.storage.capacity());
        // SAFETY: `ptr` is valid for `capacity` initialised bytes for as long as the buffer, which
        // is the owner here and out of everybody else's reach, is not dropped.
        unsafe { Storage::owned_by(ptr, capacity, Box::new(self)) }
    }

    /// Copies `bytes` to `offset`, if they fit.
    #[inline]
    pub(crate) fn put(&mut self, offset: usize, bytes: &[u8]) -> bool {
        let place = self.get_mut(offset..).and_then(|rest| rest.get_mut(..bytes.len()));
        let Some(place) = place else { return false };
        // SAFETY: the place is as long as the bytes, and borrowed exclusively.
        unsafe { copy(bytes, place.as_mut_ptr(), CopyMode::Cached) };
        true
    }

    /// Makes the kernel back every page now, rather than when the first packet lands on it.
    pub fn touch_pages(&mut self) {
        self.storage.touch_pages();
    }

    /// Bytes in the buffer.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes in the buffer.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes the buffer could have: more than [`len`](Self::len) if it came from a pool whose
    /// buffers are larger than what was asked for.
    pub fn capacity(&self) -> usize {
        self.storage.capacity()
    }

    /// Shows more or fewer of the bytes there are. Nothing is moved, written or freed, so bytes that
    /// come into view hold whatever was last written there.
    ///
    /// # Errors
    ///
    /// [`MemoryError::BeyondCapacity`] if there are fewer than `len`; the length stays.
    pub fn set_len(&mut self, len: usize) -> Result<(), MemoryError> {
        let capacity = self.capacity();
        if len > capacity {
            return Err(MemoryError::BeyondCapacity { len, capacity });
        }
        self.len = len;
        Ok(())
    }

    /// The address of the first byte. It stays until the buffer is dropped.
    ///
    /// The pointer may be read for [`capacity`](Self::capacity) bytes, and written to if nothing
    /// holds a slice of the bytes concerned and no other thread uses them.
    pub fn as_ptr(&self) -> *const u8 {
        self.storage.ptr().as_ptr()
    }

    /// The address of the first byte, for writing. It stays until the buffer is dropped; never null,
    /// though an empty buffer has nothing to point to.
    ///
    /// The pointer is good for [`capacity`](Self::capacity) bytes, even after the buffer has moved
    /// or been borrowed, as long as no slice taken from the buffer is in use at the same time.
    pub fn as_mut_ptr(&mut self) -> NonNull<u8> {
        self.storage.ptr()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.take_back(mem::replace(&mut self.storage, Storage::empty()));
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.storage.bytes(self.len)
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.storage.bytes_mut(self.len)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(vec: Vec<u8>) -> Self {
        Self::from_vec(vec)
    }
}

/// A buffer of no bytes.
impl Default for Buffer {
    fn default() -> Self {
        Self::whole(Storage::empty())
    }
}

/// Shows where and how long, not the bytes: there may be gigabytes.
impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("ptr", &self.as_ptr())
            .field("len", &self.len)
            .field("capacity", &self.capacity())
            .field("pooled", &self.home.is_some())
            .finish()
    }
}

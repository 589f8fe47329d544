//! Buffers from every origin: what they show, and that they give the memory back.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::memory::{
    Allocator, Buffer, HeapAllocator, HugePages, MapOptions, MemoryError, MmapAllocator,
};

/// Lengths around pages, cache lines and nothing at all.
const LENGTHS: [usize; 10] = [0, 1, 63, 64, 65, 4095, 4096, 4097, (2 << 20) + 1, (4 << 20) + 1];

fn aligned(buffer: &Buffer, to: usize) -> bool {
    buffer.as_ptr().align_offset(to) == 0
}

/// Writes to every byte and reads it again, so that a tool that watches memory sees each access.
fn exercise(buffer: &mut Buffer) {
    for (i, byte) in buffer.iter_mut().enumerate() {
        *byte = (i % 251) as u8;
    }
    assert!(buffer.iter().enumerate().all(|(i, &byte)| byte == (i % 251) as u8));
}

#[test]
fn buffers_travel_between_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Buffer>();
}

#[test]
fn what_does_not_fit_is_not_put() {
    let mut buffer = Buffer::zeroed(8).unwrap();
    assert!(buffer.put(5, &[1, 2, 3]) && buffer.put(8, &[]));
    assert!(!buffer.put(6, &[9; 3]) && !buffer.put(9, &[]) && !buffer.put(usize::MAX, &[9]));
    assert_eq!(buffer[..], [0, 0, 0, 0, 0, 1, 2, 3]);
}

#[test]
fn zeroed_buffers_are_zero_and_aligned() {
    for len in LENGTHS {
        let mut buffer = Buffer::zeroed(len).unwrap();
        assert_eq!((buffer.len(), buffer.capacity(), buffer.is_empty()), (len, len, len == 0));
        assert!(aligned(&buffer, 64));
        assert!(buffer.iter().all(|&byte| byte == 0));
        exercise(&mut buffer);
    }
}

#[test]
#[cfg_attr(miri, ignore = "maps memory")]
fn mapped_buffers_are_zero_whatever_the_options() {
    for len in LENGTHS {
        for huge_pages in [HugePages::No, HugePages::Prefer] {
            for populate in [false, true] {
                let mut buffer = Buffer::mapped(
                    len,
                    MapOptions { huge_pages, populate, ..MapOptions::default() },
                )
                .unwrap();
                assert_eq!((buffer.len(), buffer.capacity()), (len, len));
                assert!(aligned(&buffer, 64));
                assert!(buffer.iter().all(|&byte| byte == 0));
                exercise(&mut buffer);
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "maps memory")]
fn required_huge_pages_are_had_or_explained() {
    let options =
        MapOptions { huge_pages: HugePages::Require, populate: true, ..MapOptions::default() };
    match Buffer::mapped(1 << 20, options) {
        Ok(mut buffer) => {
            assert!(aligned(&buffer, 2 << 20));
            exercise(&mut buffer);
        }
        Err(error @ MemoryError::NoHugePages { .. }) => {
            assert!(error.to_string().contains("vm.nr_hugepages"), "{error}");
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
#[cfg_attr(miri, ignore = "maps memory")]
fn absurd_lengths_are_errors() {
    let most = isize::MAX as usize;
    for len in [usize::MAX, usize::MAX - 63, most + 1, most, most - 63, most / 2] {
        let error = HeapAllocator.allocate(len).unwrap_err();
        assert!(
            matches!(error, MemoryError::TooLarge { .. } | MemoryError::OutOfMemory { .. }),
            "{error}"
        );
        for huge_pages in [HugePages::No, HugePages::Prefer, HugePages::Require] {
            let options = MapOptions { huge_pages, populate: true, ..MapOptions::default() };
            let error = MmapAllocator::new(options).allocate(len).unwrap_err();
            assert!(
                matches!(
                    error,
                    MemoryError::TooLarge { .. }
                        | MemoryError::Map { .. }
                        | MemoryError::NoHugePages { .. }
                ),
                "{error}"
            );
        }
    }
}

#[test]
fn a_vector_becomes_a_buffer_without_a_copy() {
    let mut vec = Vec::with_capacity(100);
    vec.extend_from_slice(b"payload");
    let address = vec.as_ptr();
    let mut buffer = Buffer::from(vec);
    assert_eq!(&*buffer, b"payload");
    assert_eq!(buffer.as_ptr(), address);
    assert_eq!(buffer.capacity(), 7, "the spare room of a vector is not initialised");
    exercise(&mut buffer);
    assert!(Buffer::from_vec(Vec::new()).is_empty());
}

/// Foreign memory that counts how often it is freed.
struct Lender {
    ptr: NonNull<[u8; 256]>,
    freed: Arc<AtomicUsize>,
}

// SAFETY: the memory belongs to the lender, which only frees it.
unsafe impl Send for Lender {}
// SAFETY: a shared lender gives no access to the memory.
unsafe impl Sync for Lender {}

impl Drop for Lender {
    fn drop(&mut self) {
        self.freed.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the pointer came from `Box::into_raw`, and is freed once.
        drop(unsafe { Box::from_raw(self.ptr.as_ptr()) });
    }
}

#[test]
fn foreign_memory_is_used_in_place_and_its_owner_dropped_once() {
    let freed = Arc::new(AtomicUsize::new(0));
    let ptr = NonNull::new(Box::into_raw(Box::new([9; 256]))).unwrap();
    let owner = Lender { ptr, freed: Arc::clone(&freed) };
    // SAFETY: the box is the lender's, who frees it when dropped, and nobody else uses it.
    let mut buffer = unsafe { Buffer::from_raw(ptr.cast(), 256, Box::new(owner)) };
    assert_eq!(buffer.as_ptr(), ptr.as_ptr().cast());
    assert!(buffer.iter().all(|&byte| byte == 9));
    exercise(&mut buffer);
    assert_eq!(freed.load(Ordering::Relaxed), 0);
    std::thread::spawn(move || drop(buffer)).join().unwrap();
    assert_eq!(freed.load(Ordering::Relaxed), 1);
}

#[test]
fn a_pointer_outlives_moves_of_the_buffer() {
    let mut buffer = Buffer::zeroed(128).unwrap();
    let ptr = buffer.as_mut_ptr();
    let mut moved = [*Box::new(buffer)];
    // SAFETY: the buffer is alive, and no slice of it is in use.
    unsafe { ptr.add(5).write(42) };
    assert_eq!(moved[0][5], 42);
    moved[0][5] = 43;
    // SAFETY: as above.
    assert_eq!(unsafe { ptr.add(5).read() }, 43);
}

#[test]
fn the_length_shown_stays_within_the_capacity() {
    let mut buffer = Buffer::zeroed(10).unwrap();
    buffer.set_len(4).unwrap();
    assert_eq!((buffer.len(), buffer.capacity()), (4, 10));
    buffer.set_len(10).unwrap();
    assert_eq!(buffer.len(), 10);
    let error = buffer.set_len(11).unwrap_err();
    assert!(matches!(error, MemoryError::BeyondCapacity { len: 11, capacity: 10 }));
    assert_eq!(buffer.len(), 10);
}

#[test]
fn touching_pages_changes_nothing() {
    for len in LENGTHS {
        let mut buffer = Buffer::from_vec(vec![0xa5; len]);
        buffer.touch_pages();
        assert!(buffer.iter().all(|&byte| byte == 0xa5));
    }
}

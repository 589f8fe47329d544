//! A global allocator that counts, for tests that nothing asks it.
#![allow(unsafe_code)] // a global allocator cannot be written without

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Allocations and frees of all threads so far.
pub(crate) fn calls_so_far() -> usize {
    CALLS.load(Ordering::SeqCst)
}

/// Fails unless the counter counts.
pub(crate) fn assert_counting() {
    let before = calls_so_far();
    drop(std::hint::black_box(Box::new(1)));
    assert!(calls_so_far() >= before + 2, "the counter counts");
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counting the calls of all threads.
struct Counting;

// SAFETY: every call is passed on as it is to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        CALLS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

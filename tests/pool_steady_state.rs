//! A pool in its stride asks the global allocator for nothing, neither to lend nor to take back.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use speadway::memory::{Allocator, Buffer, HeapAllocator, MemoryPool};

/// The system's allocator, counting the calls of each thread.
struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // The last calls of a thread may come after its locals are gone.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call is passed on as it is to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// Allocator calls made by `work` on this thread.
fn calls(work: impl FnOnce()) -> usize {
    let before = CALLS.get();
    work();
    CALLS.get() - before
}

#[test]
fn a_warm_pool_does_not_allocate() {
    let pool = MemoryPool::new(1000, 4096, 16, 8, Arc::new(HeapAllocator)).unwrap();
    let mut held: Vec<Buffer> = Vec::with_capacity(8);
    let made = calls(|| {
        for round in 0..100 {
            held.extend((0..8).map(|i| pool.allocate(1000 + round + i).unwrap()));
            held.clear();
        }
    });
    assert_eq!(made, 0);
    assert_eq!(pool.stats().hits, 800);
}

#[test]
fn a_pool_that_grew_takes_its_buffers_back_without_allocating() {
    for buffers in [1, 1000] {
        let pool = MemoryPool::new(1, 64, 1000, 0, Arc::new(HeapAllocator)).unwrap();
        pool.set_warn_on_empty(false);
        let mut held: Vec<_> = (0..buffers).map(|_| pool.allocate(64).unwrap()).collect();
        // Each was a block of its own; taking them back neither frees nor allocates.
        assert_eq!(calls(|| held.clear()), 0);
        assert_eq!(pool.stats().free, buffers);
    }
}

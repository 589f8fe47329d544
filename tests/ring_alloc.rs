//! In the steady state a ring allocates nothing, whether its users wait or not.

#![allow(unsafe_code)] // a global allocator cannot be written without

use speadway::ring::Ring;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is handed to the system allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many times all threads allocated while `f` ran.
fn allocations(f: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    f();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// One test, as the count is of the whole process.
#[test]
fn pushing_and_popping_allocate_nothing() {
    assert_eq!(allocations(|| drop(Box::new(1))), 1, "the counter counts");

    let ring = Ring::new(8).unwrap();
    let without_waiting = || {
        for i in 0..10_000 {
            ring.try_push(i).unwrap();
            assert_eq!(ring.try_pop(), Ok(i));
        }
    };
    assert_eq!(allocations(without_waiting), 0);

    // There and back again through rings of one: every value is waited for at both ends.
    let (there, back) = (Ring::new(1).unwrap(), Ring::new(1).unwrap());
    let (far_in, far_out) = (there.clone(), back.clone());
    let echo = thread::spawn(move || far_in.iter().for_each(|i: u32| far_out.push(i).unwrap()));
    let round_trips = |n| {
        for i in 0..n {
            there.push(i).unwrap();
            assert_eq!(back.pop(), Ok(i));
        }
    };
    round_trips(1_000); // both threads wait for the first time, which may allocate
    let waits_before = there.stats().empty_events + back.stats().empty_events;
    assert_eq!(allocations(|| round_trips(10_000)), 0);
    let waits = there.stats().empty_events + back.stats().empty_events - waits_before;
    assert!(waits > 1_000, "the test is about waiting, and there were {waits} waits");
    there.close();
    echo.join().unwrap();
}

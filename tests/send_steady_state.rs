//! In its stride a send stream asks the global allocator for nothing, on any thread.

#![allow(unsafe_code)] // a global allocator cannot be written without

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use speadway::net::UdpSendConfig;
use speadway::recv::Worker;
use speadway::send::transport::UdpTransport;
use speadway::send::{GroupMode, Heap, HeapRef, SendConfig, SendStream};
use speadway::wire::Flavour;

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

const ROUNDS: usize = 500;

/// The calls of all threads while `work` is done so many times, after a warm-up.
fn calls(mut work: impl FnMut()) -> usize {
    (0..ROUNDS).for_each(|_| work());
    let before = CALLS.load(Ordering::SeqCst);
    (0..ROUNDS).for_each(|_| work());
    CALLS.load(Ordering::SeqCst) - before
}

/// One test, as the count is of the whole process.
#[test]
fn heaps_are_sent_without_allocating() {
    let before = CALLS.load(Ordering::SeqCst);
    drop(std::hint::black_box(Box::new(1)));
    assert!(CALLS.load(Ordering::SeqCst) >= before + 2, "the counter counts");

    let unread = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = unread.local_addr().unwrap();
    let transport = UdpTransport::open(&[to], &UdpSendConfig::to(to)).unwrap();
    let config = SendConfig::default().max_heaps(8);
    let stream = SendStream::start(&Worker::new().unwrap(), transport, config).unwrap();
    let heap = |size| {
        let heap = Heap::new(Flavour::default()).immediate(0x1600, 1);
        Arc::new(heap.and_then(|heap| heap.item(0x3300, vec![1; size])).unwrap())
    };
    for size in [65536, 1024] {
        let heap = heap(size);
        let made = calls(|| stream.send_waiting(Arc::clone(&heap)).unwrap());
        assert_eq!(made, 0, "heaps of {size} B");
    }
    // The queue may still be full.
    stream.flush().unwrap();
    // A list has a ticket, which is allocated and freed; its heaps cost nothing.
    let list: Arc<[HeapRef]> = (0..50).map(|_| HeapRef::from(heap(1024))).collect();
    for mode in [GroupMode::Serial, GroupMode::RoundRobin] {
        let made = calls(|| assert!(stream.send_list(&list, mode).unwrap().wait().unwrap() > 0));
        assert!(made <= 2 * ROUNDS, "{made} calls for {ROUNDS} lists");
    }
}

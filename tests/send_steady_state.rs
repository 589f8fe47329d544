//! In its stride a send stream asks the global allocator for nothing, on any thread.

mod counting;

use std::net::UdpSocket;
use std::sync::Arc;

use counting::{assert_counting, calls_so_far};
use speadway::net::UdpSendConfig;
use speadway::recv::Worker;
use speadway::send::transport::UdpTransport;
use speadway::send::{GroupMode, Heap, HeapRef, SendConfig, SendStream};
use speadway::wire::Flavour;

const ROUNDS: usize = 500;

/// The calls of all threads while `work` is done so many times, after a warm-up.
fn calls(mut work: impl FnMut()) -> usize {
    (0..ROUNDS).for_each(|_| work());
    let before = calls_so_far();
    (0..ROUNDS).for_each(|_| work());
    calls_so_far() - before
}

fn main() {
    assert_counting();

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
        // What the thread waits with is allocated and freed.
        let made = calls(|| assert!(stream.send_blocking(Arc::clone(&heap)).unwrap() > 0));
        assert!(made <= 2 * ROUNDS, "{made} calls for {ROUNDS} heaps of {size} B");
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

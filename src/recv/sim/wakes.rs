//! Wake-ups go to those who can use them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use crate::chunk::{
    Allocate, Allocation, Chunk, ChunkPool, Ready, RingPolicy, WhenEmpty, ring_exchange,
};
use crate::ring::Ring;

#[derive(Default)]
struct Alarm(AtomicUsize);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Alarm {
    fn rung(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

fn alarm() -> (Arc<Alarm>, Waker) {
    let alarm = Arc::new(Alarm::default());
    (Arc::clone(&alarm), Waker::from(alarm))
}

fn pool() -> (ChunkPool, Chunk, Ring<Chunk>) {
    let pool = ChunkPool::zeroed(1, 8, 1).unwrap();
    let held = pool.try_take().unwrap();
    (pool, held, Ring::new(1).unwrap())
}

fn waits(allocate: &mut impl Allocate, waker: &Waker) -> bool {
    matches!(allocate.allocate(0, waker), Allocation::NotYet)
}

#[test]
fn a_stream_that_ended_leaves_its_place_in_the_pools_queue() {
    let (pool, held, ring) = pool();
    let (mut first, _) = ring_exchange(&pool, &ring, RingPolicy::default());
    let (mut second, _) = ring_exchange(&pool, &ring, RingPolicy::default());
    let ((_, gone), (waiting, waker)) = (alarm(), alarm());
    assert!(waits(&mut first, &gone) && waits(&mut second, &waker));
    first.end();
    drop(held);
    assert!(waiting.rung());
}

#[test]
fn a_stream_that_ended_leaves_its_place_in_the_rings_queue() {
    let (pool, held, ring) = pool();
    let (_, mut first) = ring_exchange(&pool, &ring, RingPolicy::default());
    let (_, mut second) = ring_exchange(&pool, &ring, RingPolicy::default());
    let ((_, gone), (waiting, waker)) = (alarm(), alarm());
    ring.try_push(held).unwrap();
    let chunk = || Chunk::zeroed(8, 1, 0).unwrap();
    assert!(first.ready(chunk(), &gone).is_err() && second.ready(chunk(), &waker).is_err());
    first.end();
    drop(ring.try_pop().unwrap());
    assert!(waiting.rung());
}

#[test]
fn who_recycles_leaves_its_place_in_the_pools_queue() {
    let (pool, held, ring) = pool();
    let policy = RingPolicy { when_empty: WhenEmpty::RecycleOldest, ..RingPolicy::default() };
    let (mut first, _) = ring_exchange(&pool, &ring, policy);
    let (mut second, _) = ring_exchange(&pool, &ring, RingPolicy::default());
    let ((_, nobody), (waiting, waker)) = (alarm(), alarm());
    assert!(waits(&mut second, &waker) && waits(&mut first, &nobody));
    // The wake-up goes to the second, but the first is quicker; then the chunk comes back again.
    drop(held);
    let Allocation::Chunk(chunk) = first.allocate(0, &nobody) else { panic!("one is free") };
    assert!(waiting.rung() && waits(&mut second, &waker));
    let before = waiting.0.load(Ordering::SeqCst);
    drop(chunk);
    assert!(waiting.0.load(Ordering::SeqCst) > before);
}

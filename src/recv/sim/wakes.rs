//! Wake-ups, requests and chunks go to those who can use them, whatever happens at that moment.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Wake, Waker};
use std::time::Instant;

use super::units;
use crate::chunk::{
    Allocate, Allocation, Chunk, ChunkPool, Cx, Eviction, Flush, Gate, Group, GroupParts,
    MemberSupply, Reach, Ready, RingPolicy, WhenEmpty, Window, ring_exchange,
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

/// Says what it was asked to flush.
struct Fragile(Arc<AtomicUsize>);

impl Flush for Fragile {
    type Rest = ();

    fn flush_until(&mut self, target: u64) {
        assert!(!std::thread::panicking(), "a panic here would abort");
        self.0.store(target as usize, Ordering::SeqCst);
    }

    fn finish((): ()) {}
}

#[test]
fn a_panic_under_a_gate_leaves_requests_for_the_next_holder() {
    let flushed = Arc::new(AtomicUsize::new(0));
    let gate = Gate::new(Fragile(Arc::clone(&flushed)));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _quantum = gate.lock();
        gate.request_flush(3);
        panic!("as the test wants");
    }));
    assert!(panicked.is_err() && flushed.load(Ordering::SeqCst) == 0);
    drop(gate.lock());
    assert_eq!(flushed.load(Ordering::SeqCst), 3);
}

#[test]
fn a_chunk_that_is_jumped_past_while_it_is_allocated_is_delivered_at_once() {
    let group: Arc<OnceLock<Weak<Group>>> = Arc::default();
    let delivered = Arc::new(Mutex::new(Vec::new()));
    let allocate = {
        let group = Arc::clone(&group);
        move |id, _: &Waker| {
            if id == 0 {
                // The member that held the window back goes just now.
                group.get().unwrap().upgrade().unwrap().leave(1);
            }
            Allocation::Chunk(Chunk::zeroed(8, 1, 0).unwrap())
        }
    };
    let ready = {
        let delivered = Arc::clone(&delivered);
        move |chunk: Chunk, _: &Waker| {
            delivered.lock().unwrap().push(chunk.id());
            Ok(())
        }
    };
    let core = Group::new(GroupParts {
        window: 4,
        eviction: Eviction::Lossless,
        open_ended: false,
        max_age: None,
        allocate: Box::new(allocate),
        ready: Box::new(ready),
    });
    group.set(Arc::downgrade(&core)).unwrap();
    for number in 0..2 {
        assert_eq!(core.join(1, Some(units())), Ok((number, 0)));
    }
    let mut window = Window::new(1, 0, MemberSupply::new(Arc::clone(&core), 0, 0, 1));
    let cx = Cx { waker: Waker::noop(), now: Instant::now() };
    assert_eq!(window.reach(3, &cx), Reach::Open);
    assert_eq!(*delivered.lock().unwrap(), [0]);
    assert_eq!((core.stats().head, core.stats().tail), (3, 4));
    window.flush(&cx);
    core.leave(0);
    assert_eq!(*delivered.lock().unwrap(), [0, 3]);
}

/// Refuses until it is told to take; then panics over the first chunk and over the end.
struct Broken {
    refused: Arc<Mutex<Option<Waker>>>,
    takes: Arc<AtomicBool>,
    taken: Arc<Mutex<Vec<u64>>>,
}

impl Ready for Broken {
    fn ready(&mut self, chunk: Chunk, waker: &Waker) -> Result<(), Chunk> {
        if !self.takes.load(Ordering::SeqCst) {
            *self.refused.lock().unwrap() = Some(waker.clone());
            return Err(chunk);
        }
        assert!(chunk.id() > 0, "as the test wants");
        self.taken.lock().unwrap().push(chunk.id());
        Ok(())
    }

    fn end(&mut self) {
        panic!("as the test wants");
    }
}

#[test]
fn a_panic_after_the_last_member_left_is_not_the_consumers() {
    let (refused, takes, taken) = (Arc::default(), Arc::default(), Arc::default());
    let ready = Broken {
        refused: Arc::clone(&refused),
        takes: Arc::clone(&takes),
        taken: Arc::clone(&taken),
    };
    let allocate = |_, _: &Waker| Allocation::Chunk(Chunk::zeroed(8, 1, 0).unwrap());
    let core = Group::new(GroupParts {
        window: 2,
        eviction: Eviction::Eager,
        open_ended: false,
        max_age: None,
        allocate: Box::new(allocate),
        ready: Box::new(ready),
    });
    assert_eq!(core.join(2, Some(units())), Ok((0, 0)));
    let mut window = Window::new(2, 0, MemberSupply::new(Arc::clone(&core), 0, 0, 2));
    let cx = Cx { waker: Waker::noop(), now: Instant::now() };
    assert_eq!(window.reach(1, &cx), Reach::Open);
    window.flush(&cx);
    core.leave(0);
    // The consumer takes something: it sees neither panic, and the rest is handed over.
    takes.store(true, Ordering::SeqCst);
    let waker = refused.lock().unwrap().take().unwrap();
    waker.wake();
    assert_eq!(*taken.lock().unwrap(), [1]);
    assert_eq!((core.stats().backlog, core.stats().chunks_delivered), (0, 1));
}

/// Locks the gate again when the rest is done.
struct Again(Weak<Gate<Self>>);

impl Flush for Again {
    type Rest = Weak<Gate<Self>>;

    fn flush_until(&mut self, _: u64) -> Self::Rest {
        self.0.clone()
    }

    fn finish(rest: Self::Rest) {
        drop(rest.upgrade().unwrap().lock());
    }
}

#[test]
fn what_a_flush_leads_to_is_done_with_the_gate_open() {
    let gate = Arc::new_cyclic(|weak: &Weak<_>| Gate::new(Again(weak.clone())));
    // Its owner may be waiting for the gate, and must not wait for a callback.
    gate.request_flush(3);
    assert!(!gate.is_asked());
}

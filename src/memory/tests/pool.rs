//! The pool's accounting, against a model and from several threads.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use proptest::prelude::*;

use crate::memory::{Allocator, Buffer, HeapAllocator, MemoryError, MemoryPool};

/// Counts the buffers that exist, and refuses to make more than a limit.
struct Counting {
    live: Arc<AtomicUsize>,
    most: usize,
}

/// Keeps one counted buffer alive.
struct Counted {
    live: Arc<AtomicUsize>,
    _bytes: Buffer,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counting {
    fn up_to(most: usize) -> (Arc<dyn Allocator>, Arc<AtomicUsize>) {
        let live = Arc::new(AtomicUsize::new(0));
        (Arc::new(Self { live: Arc::clone(&live), most }), live)
    }
}

impl Allocator for Counting {
    fn allocate(&self, len: usize) -> Result<Buffer, MemoryError> {
        if self.live.load(Ordering::Relaxed) >= self.most {
            return Err(MemoryError::OutOfMemory { len });
        }
        self.live.fetch_add(1, Ordering::Relaxed);
        let mut bytes = Buffer::zeroed(len)?;
        let ptr: NonNull<u8> = bytes.as_mut_ptr();
        let owner = Counted { live: Arc::clone(&self.live), _bytes: bytes };
        // SAFETY: the bytes live as long as the owner, out of reach of anybody else.
        Ok(unsafe { Buffer::from_raw(ptr, len, Box::new(owner)) })
    }
}

fn live(count: &AtomicUsize) -> usize {
    count.load(Ordering::Relaxed)
}

#[test]
fn lengths_within_the_bounds_are_pooled_and_others_bypass() {
    let pool = MemoryPool::new(10, 20, 4, 0, Arc::new(HeapAllocator)).unwrap();
    for (len, capacity) in [(9, 9), (10, 20), (15, 20), (20, 20), (21, 21), (0, 0)] {
        let buffer = pool.allocate(len).unwrap();
        assert_eq!((buffer.len(), buffer.capacity()), (len, capacity));
    }
    let stats = pool.stats();
    assert_eq!((stats.hits, stats.misses, stats.bypassed), (2, 1, 3));
    assert_eq!((stats.returned, stats.free, stats.outstanding), (3, 1, 0));
}

#[test]
fn a_buffer_comes_back_with_its_full_length_available() {
    let pool = MemoryPool::new(1, 64, 1, 1, Arc::new(HeapAllocator)).unwrap();
    let first = pool.allocate(1).unwrap().as_ptr();
    let second = pool.allocate(64).unwrap();
    assert_eq!((second.as_ptr(), second.len()), (first, 64));
}

#[test]
fn initial_buffers_are_made_at_once() {
    let (inner, count) = Counting::up_to(usize::MAX);
    let pool = MemoryPool::new(10, 20, 4, 3, inner).unwrap();
    assert_eq!((live(&count), pool.stats().free), (3, 3));
    drop(pool);
    assert_eq!(live(&count), 0);
}

#[test]
fn contradictory_bounds_are_refused() {
    let inner: Arc<dyn Allocator> = Arc::new(HeapAllocator);
    for (lower, upper, max_free, initial) in [(2, 1, 1, 1), (1, 2, 1, 2)] {
        let error =
            MemoryPool::new(lower, upper, max_free, initial, Arc::clone(&inner)).unwrap_err();
        assert!(matches!(error, MemoryError::InvalidPool { .. }), "{error}");
    }
}

#[test]
fn absurd_pools_are_errors() {
    let inner: Arc<dyn Allocator> = Arc::new(HeapAllocator);
    assert!(MemoryPool::new(0, usize::MAX, 1, 1, Arc::clone(&inner)).is_err());
    let pool = MemoryPool::new(0, usize::MAX, usize::MAX, 0, inner).unwrap();
    assert!(pool.allocate(1).is_err());
    let stats = pool.stats();
    assert_eq!((stats.misses, stats.failed, stats.outstanding), (1, 1, 0));
}

#[test]
fn buffers_outlive_their_pool_and_are_freed_then() {
    let (inner, count) = Counting::up_to(usize::MAX);
    let pool = MemoryPool::new(10, 20, 4, 2, inner).unwrap();
    let (first, mut second) = (pool.allocate(20).unwrap(), pool.allocate(20).unwrap());
    let third = pool.allocate(20).unwrap();
    drop(third);
    drop(pool);
    assert_eq!(live(&count), 2, "only what is out is left");
    drop(first);
    assert_eq!(live(&count), 1, "and is not kept for nobody");
    second.fill(1);
    drop(second);
    assert_eq!(live(&count), 0);
}

#[test]
fn a_pool_may_stand_on_another() {
    let (inner, count) = Counting::up_to(usize::MAX);
    let below = Arc::new(MemoryPool::new(0, 64, 4, 0, inner).unwrap());
    let above = MemoryPool::new(0, 32, 1, 0, Arc::clone(&below) as Arc<dyn Allocator>).unwrap();
    let (first, second) = (above.allocate(32).unwrap(), above.allocate(1).unwrap());
    drop((first, second));
    assert_eq!((above.stats().free, above.stats().discarded), (1, 1));
    assert_eq!((below.stats().free, below.stats().outstanding), (1, 1));
    drop(above);
    assert_eq!((below.stats().free, below.stats().outstanding), (2, 0));
    drop(below);
    assert_eq!(live(&count), 0);
}

#[test]
fn an_allocator_that_returns_too_little_is_caught() {
    struct Half;
    impl Allocator for Half {
        fn allocate(&self, len: usize) -> Result<Buffer, MemoryError> {
            Buffer::zeroed(len / 2)
        }
    }
    let pool = MemoryPool::new(0, 64, 1, 0, Arc::new(Half)).unwrap();
    let error = pool.allocate(64).unwrap_err();
    assert!(matches!(error, MemoryError::ShortBuffer { wanted: 64, got: 32 }), "{error}");
    assert_eq!((pool.stats().failed, pool.stats().outstanding), (1, 0));
}

#[test]
fn threads_may_share_a_pool() {
    const THREADS: u64 = 4;
    const CYCLES: u64 = 500;
    let (inner, count) = Counting::up_to(usize::MAX);
    let pool = MemoryPool::new(1, 256, 2, 1, inner).unwrap();
    thread::scope(|scope| {
        for tag in 0..THREADS {
            let pool = &pool;
            scope.spawn(move || {
                for _ in 0..CYCLES {
                    let mut buffer = pool.allocate(200).unwrap();
                    buffer.fill(tag as u8);
                    assert!(buffer.iter().all(|&byte| byte == tag as u8));
                }
            });
        }
    });
    let stats = pool.stats();
    assert_eq!(stats.hits + stats.misses, THREADS * CYCLES);
    assert_eq!(stats.returned + stats.discarded, THREADS * CYCLES);
    assert_eq!((stats.outstanding, live(&count)), (0, stats.free));
}

/// What may happen to a pool.
#[derive(Clone, Debug)]
enum Step {
    Allocate(usize),
    /// Drops one of the buffers out, by its number modulo how many there are.
    Drop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![(0usize..40).prop_map(Step::Allocate), any::<usize>().prop_map(Step::Drop)]
}

/// A pool as simple as can be: how many are free, and what is out.
#[derive(Default)]
struct Model {
    free: usize,
    hits: u64,
    misses: u64,
    failed: u64,
    bypassed: u64,
    returned: u64,
    discarded: u64,
    /// Each buffer out, and whether it is the pool's.
    out: Vec<(Buffer, bool)>,
}

impl Model {
    fn pooled_out(&self) -> usize {
        self.out.iter().filter(|(_, pooled)| *pooled).count()
    }

    /// The step on both, given how many buffers may exist.
    fn apply(&mut self, pool: &MemoryPool, step: &Step, most: usize) {
        match *step {
            Step::Allocate(len) => {
                let pooled = (pool.lower()..=pool.upper()).contains(&len);
                let hit = pooled && self.free > 0;
                let possible = hit || self.free + self.out.len() < most;
                let result = pool.allocate(len);
                assert_eq!(result.is_ok(), possible);
                self.hits += u64::from(hit);
                self.misses += u64::from(pooled && !hit);
                self.failed += u64::from(pooled && !possible);
                self.bypassed += u64::from(!pooled);
                self.free -= usize::from(hit);
                if let Ok(buffer) = result {
                    assert_eq!(buffer.len(), len);
                    assert_eq!(buffer.capacity(), if pooled { pool.upper() } else { len });
                    self.out.push((buffer, pooled));
                }
            }
            Step::Drop(which) => {
                if self.out.is_empty() {
                    return;
                }
                let (_, pooled) = self.out.swap_remove(which % self.out.len());
                let kept = pooled && self.free < pool.max_free();
                self.free += usize::from(kept);
                self.returned += u64::from(kept);
                self.discarded += u64::from(pooled && !kept);
            }
        }
    }

    fn check(&self, pool: &MemoryPool) {
        let stats = pool.stats();
        assert_eq!(
            (stats.hits, stats.misses, stats.failed, stats.bypassed),
            (self.hits, self.misses, self.failed, self.bypassed)
        );
        assert_eq!((stats.returned, stats.discarded), (self.returned, self.discarded));
        assert_eq!((stats.free, stats.outstanding), (self.free, self.pooled_out()));
        assert_eq!(
            stats.hits + stats.misses,
            stats.outstanding as u64 + stats.returned + stats.discarded + stats.failed
        );
    }
}

proptest! {
    #[test]
    fn the_pool_keeps_the_same_books_as_the_model(
        lower in 0usize..20,
        extra in 0usize..20,
        max_free in 0usize..5,
        initial in 0usize..5,
        most in 5usize..12,
        steps in prop::collection::vec(step(), 0..100),
    ) {
        let (inner, count) = Counting::up_to(most);
        let initial = initial.min(max_free);
        let pool = MemoryPool::new(lower, lower + extra, max_free, initial, inner).unwrap();
        pool.set_warn_on_empty(false);
        let mut model = Model { free: initial, ..Model::default() };
        for step in &steps {
            model.apply(&pool, step, most);
            model.check(&pool);
            prop_assert_eq!(live(&count), model.free + model.out.len());
        }
        drop(pool);
        prop_assert_eq!(live(&count), model.out.len());
        drop(model);
        prop_assert_eq!(live(&count), 0);
    }
}

#[test]
fn a_pool_can_be_filled_up_to_its_limit() {
    let pool = MemoryPool::new(1, 64, 3, 0, Arc::new(HeapAllocator)).unwrap();
    pool.fill(2).unwrap();
    assert_eq!(pool.free(), 2);
    pool.fill(1).unwrap();
    assert_eq!(pool.free(), 2);
    pool.fill(9).unwrap();
    assert_eq!(pool.free(), 3);
    let buffer = pool.allocate(10).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.hits, stats.misses, stats.free, stats.outstanding), (1, 0, 2, 1));
    drop(buffer);
    assert_eq!(pool.free(), 3);
}

//! What a ring counts.

use std::time::Duration;
// Never loom's: counters carry no protocol, and as steps of a model they would only multiply it.
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A counter that any thread may read.
#[derive(Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The largest value seen.
#[derive(Default)]
pub(super) struct HighWater(AtomicUsize);

impl HighWater {
    pub(super) fn note(&self, n: usize) {
        // The plain read first: a mark that is rarely passed is then rarely written.
        if n > self.0.load(Ordering::Relaxed) {
            self.0.fetch_max(n, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of a ring since it was made.
///
/// When nothing is moving, `pushed == popped + evicted + len`. They are read one by one while others
/// count, so in a busy ring the identity holds only nearly.
///
/// ```
/// let ring = speadway::ring::Ring::new(2)?;
/// ring.push('a')?;
/// ring.push('b')?;
/// assert!(ring.try_push('c').is_err());
/// let stats = ring.stats();
/// assert_eq!((stats.len, stats.high_water, stats.full_events), (2, 2, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RingStats {
    /// Values it can hold.
    pub capacity: usize,
    /// Values it holds now.
    pub len: usize,
    /// The most it has held at once.
    pub high_water: usize,
    /// Values that went in.
    pub pushed: u64,
    /// Values that were taken out.
    pub popped: u64,
    /// Values that [`Ring::force_push`](super::Ring::force_push) pushed out to make room.
    pub evicted: u64,
    /// Pushes that found it full, whether they then waited (counted once per wait), gave up or made
    /// room.
    pub full_events: u64,
    /// Pops that found it empty and had to wait (counted once per wait).
    pub empty_events: u64,
    /// Time that producers spent waiting for space, summed over producers, of waits that have ended.
    pub producer_wait: Duration,
    /// Time that consumers spent waiting for a value, summed over consumers, of waits that have ended.
    pub consumer_wait: Duration,
}

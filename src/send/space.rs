//! Waiting for room in a stream's queue.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::ring::Ring;

/// What it costs to sleep and be woken, on both sides together (measured: 8 to 12 us in a virtual
/// machine). To look out for so long costs at most as much again.
const SLEEP: Duration = Duration::from_micros(10);

/// After so many vain look-outs in a row there is one in 128 waits, which costs nothing to speak of.
const MOST_SKIPPED: u32 = 127;

/// Waits for room in a queue: asleep as a rule, but awake where heaps are so small that sleeping
/// would take longer than sending them.
#[derive(Debug, Default)]
pub(super) struct SpaceWait {
    /// How many waits to spend asleep from the start, before room is looked out for again.
    skip: AtomicU32,
    /// What to skip if that is in vain again.
    next_skip: AtomicU32,
}

impl SpaceWait {
    /// Returns when there is room, or the queue is closed.
    pub(super) fn wait<T>(&self, queue: &Ring<T>) {
        // Several may count at once and lose a count: then it is looked out for once more or less.
        match self.skip.load(Ordering::Relaxed) {
            0 => self.look_out(queue),
            skip => self.skip.store(skip - 1, Ordering::Relaxed),
        }
        queue.wait_for_space();
    }

    /// Looks for half of the queue to be free, as sleepers are woken then, too.
    fn look_out<T>(&self, queue: &Ring<T>) {
        let (start, half) = (Instant::now(), queue.capacity() / 2);
        while queue.len() > half && !queue.is_closed() {
            if start.elapsed() >= SLEEP {
                let skip = self.next_skip.load(Ordering::Relaxed);
                self.skip.store(skip, Ordering::Relaxed);
                self.next_skip.store((2 * skip + 1).min(MOST_SKIPPED), Ordering::Relaxed);
                return;
            }
            spin_loop();
        }
        self.next_skip.store(0, Ordering::Relaxed);
    }
}

//! Pushing in bursts: consumers are woken once for several values.

use super::{PollPush, Ring, TryPushError, Waiter};
use std::fmt;
use std::task::Waker;

/// One end of a ring, for a producer that works in bursts and knows when one is over.
///
/// Waking a consumer that sleeps costs a system call, which is more than the push itself. This wakes
/// consumers when half of the ring is filled (what is left is room for those that come while they
/// wake up), when there is no more room, and when the producer says that the burst
/// [is over](Self::announce); in between, those who do not sleep find the values all the same.
/// Dropping it announces what is left.
///
/// ```
/// use speadway::ring::{BurstPush, Ring};
/// use std::task::Waker;
///
/// let ring = Ring::new(8)?;
/// let mut burst = BurstPush::new(&ring);
/// for value in 0..3 {
///     let _ = burst.poll_push(value, Waker::noop());
/// }
/// burst.announce();
/// assert_eq!(ring.pop(), Ok(0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BurstPush<T> {
    ring: Ring<T>,
    waiter: Waiter,
    /// Pushed since consumers were last told.
    unannounced: usize,
}

/// Consumers that sleep are woken once this part of the ring is filled.
const BURSTS_IN_RING: usize = 2;

impl<T> BurstPush<T> {
    /// Pushes to `ring`. It is not registered as a [producer](Ring::producer).
    #[must_use]
    pub fn new(ring: &Ring<T>) -> Self {
        Self { ring: ring.clone(), waiter: Waiter::default(), unannounced: 0 }
    }

    /// The ring.
    #[must_use]
    pub fn ring(&self) -> &Ring<T> {
        &self.ring
    }

    /// As [`Ring::poll_push`], but consumers that sleep may not be woken before the burst is over.
    pub fn poll_push(&mut self, value: T, waker: &Waker) -> PollPush<T> {
        match self.ring.shared.offer_quietly(value) {
            Ok(()) => {
                self.waiter.clear();
                self.unannounced += 1;
                if self.ring.len() >= self.ring.capacity() / BURSTS_IN_RING {
                    self.announce();
                }
                PollPush::Done
            }
            Err(TryPushError::Closed(value)) => PollPush::Closed(value),
            Err(TryPushError::Full(value)) => {
                self.announce();
                self.ring.poll_push(value, &mut self.waiter, waker)
            }
        }
    }

    /// The burst is over: consumers that sleep are woken, one for each value that came since the last
    /// time and is still there.
    pub fn announce(&mut self) {
        let values = std::mem::take(&mut self.unannounced);
        if values > 0 {
            self.ring.shared.announce_burst(values);
        }
    }

    /// Waits for room no more: the next wake-up is for another producer.
    pub fn clear(&mut self) {
        self.waiter.clear();
    }
}

impl<T> Drop for BurstPush<T> {
    fn drop(&mut self) {
        self.announce();
    }
}

impl<T> fmt::Debug for BurstPush<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BurstPush")
            .field("ring", &self.ring)
            .field("unannounced", &self.unannounced)
            .finish_non_exhaustive()
    }
}

//! Whether the ring is open, and how many pushes are under way: what lets a queue without a close be
//! closed without losing or stranding a push.

use crate::sync::{AtomicUsize, Ordering};
use crossbeam_utils::CachePadded;

const CLOSED: usize = 1;
/// One push under way; the count sits above the closed bit.
const PUSH: usize = 2;

/// One word: the closed bit and the number of pushes in flight.
///
/// A push enters before it touches the queue and leaves after. Nobody enters once the bit is set, so
/// "closed and none in flight" is final, and whoever sees it sees every push that was let in.
pub(super) struct Gate {
    state: CachePadded<AtomicUsize>,
}

/// What [`Gate::close`] did.
pub(super) struct Closing {
    /// This call closed it.
    pub(super) first: bool,
    /// No push is under way: nothing more will come.
    pub(super) settled: bool,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { state: CachePadded::new(AtomicUsize::new(0)) }
    }

    /// Let a push in, unless closed. Each `true` is paired with one [`leave`](Self::leave).
    pub(super) fn enter(&self) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & CLOSED == 0 {
            // Acquire keeps the push behind its entry.
            match self.state.compare_exchange_weak(
                state,
                state + PUSH,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// End a push; true if it was the last one under way in a closed ring.
    pub(super) fn leave(&self) -> bool {
        self.state.fetch_sub(PUSH, Ordering::AcqRel) == CLOSED | PUSH
    }

    pub(super) fn close(&self) -> Closing {
        let before = self.state.fetch_or(CLOSED, Ordering::AcqRel);
        Closing { first: before & CLOSED == 0, settled: before & !CLOSED == 0 }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Closed, and every push that was let in has ended. Stays true.
    pub(super) fn is_settled(&self) -> bool {
        // Acquire: pairs with `leave`, so a queue found empty after this is empty for good.
        self.state.load(Ordering::Acquire) == CLOSED
    }
}

#[cfg(all(test, not(speadway_loom)))]
mod tests {
    use super::Gate;

    #[test]
    fn settles_when_the_last_push_leaves() {
        let gate = Gate::new();
        assert!(gate.enter() && gate.enter());
        let closing = gate.close();
        assert!(closing.first && !closing.settled);
        assert!(gate.is_closed() && !gate.is_settled());
        assert!(!gate.enter());
        assert!(!gate.leave());
        assert!(gate.leave());
        assert!(gate.is_settled());
        let again = gate.close();
        assert!(!again.first && again.settled);
    }

    #[test]
    fn a_push_that_leaves_an_open_gate_settles_nothing() {
        let gate = Gate::new();
        assert!(gate.enter());
        assert!(!gate.leave());
        assert!(!gate.is_settled());
    }
}

//! A look around before a thread goes to sleep.

use std::hint::spin_loop;
use std::thread::yield_now;
use std::time::{Duration, Instant};

use crate::paths;

/// For how long a thread looks. To sleep and be woken takes as long, for both threads together: 10 to
/// 35 µs in a virtual machine, where it means a call of the hypervisor, some 5 µs on metal (2026-11).
const LOOK: Duration = Duration::from_micros(20);

/// After looks in vain at most this many are left out; each time twice as many.
const MOST_LEFT_OUT: u32 = 63;

/// Pauses between two looks that keep the core: where processors pause for 20 to 40 ns, as they do today,
/// about as long as it takes to queue a heap.
const PAUSES: u32 = 8;

/// Looks whether what is waited for has come before a thread goes to sleep, if others are at work on
/// it: members of lossless groups that keep step wait for each other once a chunk, for microseconds, and
/// threads that send for room in the queue.
///
/// It is no busy waiting: it takes as long as sleeping would, and becomes rare where it is of no use.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// How many looks are left out yet.
    left_out: u32,
    /// How many are left out after the next one in vain.
    next: u32,
}

impl Look {
    /// Looks for a moment, unless it would be in vain by experience, and lets others have the core
    /// meanwhile. Whether it has come.
    pub(super) fn again(&mut self, has_come: impl Fn() -> bool) -> bool {
        !paths::only_long() && self.look(has_come, yield_now)
    }

    /// As [`again`](Self::again), but keeps the core: on a busy machine, whoever is let have it may keep it
    /// for milliseconds.
    pub(crate) fn keeping_the_core(&mut self, has_come: impl Fn() -> bool) -> bool {
        let pause = || (0..PAUSES).for_each(|_| spin_loop());
        !paths::only_long() && self.look(has_come, pause)
    }

    fn look(&mut self, has_come: impl Fn() -> bool, pause: impl Fn()) -> bool {
        if self.left_out > 0 {
            self.left_out -= 1;
            return false;
        }
        let start = Instant::now();
        while !has_come() {
            if start.elapsed() >= LOOK {
                self.left_out = self.next;
                self.next = (2 * self.next + 1).min(MOST_LEFT_OUT);
                return false;
            }
            pause();
        }
        self.next = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Whether it looks, and finds something or not.
    fn looks(look: &mut Look, finds: bool) -> bool {
        let looked = Cell::new(false);
        let has_come = || {
            looked.set(true);
            finds
        };
        let found = look.look(has_come, spin_loop);
        assert_eq!(found, looked.get() && finds);
        looked.get()
    }

    #[test]
    fn looks_in_vain_become_rare_and_one_that_finds_something_brings_them_back() {
        let mut look = Look::default();
        let waits = 3000;
        let in_vain = (0..waits).filter(|_| looks(&mut look, false)).count();
        assert!(in_vain > 10 && in_vain < waits / 30, "{in_vain} of {waits} waits");
        while !looks(&mut look, true) {}
        assert!((0..100).all(|_| looks(&mut look, true)));
    }
}

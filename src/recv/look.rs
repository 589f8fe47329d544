//! A worker's look around before it goes to sleep.

use std::time::{Duration, Instant};

/// For how long a worker looks. To sleep and be woken takes as long, for both threads together: 10 to
/// 35 µs in a virtual machine, where it means a call of the hypervisor, some 5 µs on metal (2026-11).
const LOOK: Duration = Duration::from_micros(20);

/// After looks in vain at most this many are left out; each time twice as many.
const MOST_LEFT_OUT: u32 = 63;

/// Looks whether what is waited for has come before a worker goes to sleep, if others are at work on
/// it: members of lossless groups that keep step wait for each other once a chunk, for microseconds.
///
/// It is no busy waiting: it takes as long as sleeping would, lets others have the core meanwhile, and
/// becomes rare where it is of no use.
#[derive(Default)]
pub(super) struct Look {
    /// How many looks are left out yet.
    left_out: u32,
    /// How many are left out after the next one in vain.
    next: u32,
}

impl Look {
    /// Looks for a moment, unless it would be in vain by experience.
    pub(super) fn again(&mut self, has_come: impl Fn() -> bool) {
        if self.left_out > 0 {
            self.left_out -= 1;
            return;
        }
        let start = Instant::now();
        while !has_come() {
            if start.elapsed() >= LOOK {
                self.left_out = self.next;
                self.next = (2 * self.next + 1).min(MOST_LEFT_OUT);
                return;
            }
            std::thread::yield_now();
        }
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Whether it looks, and finds something or not.
    fn looks(look: &mut Look, finds: bool) -> bool {
        let looked = Cell::new(false);
        look.again(|| {
            looked.set(true);
            finds
        });
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

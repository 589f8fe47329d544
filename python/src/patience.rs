//! How long to look before sleeping.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long to look: as long as falling asleep and being woken takes (10 to 20 µs on virtual
/// machines), after which looking no longer pays.
const LOOK: Duration = Duration::from_micros(20);

/// Looks between two looks at the clock.
const LOOKS: u32 = 8;

/// How many waits are slept through, at least and at most, after looking was in vain.
const SLEEPS: (u32, u32) = (16, 1024);

/// Whether to look for a while before sleeping.
///
/// Two threads that hand each other small heaps through a small ring would otherwise spend most of
/// their time falling asleep and being woken (measured: 7 µs a heap instead of 1). Where the other
/// side is slow, or needs the very core that would be looking, looking is in vain; then it is not
/// tried again for a while, which doubles each time.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    /// Waits still to be slept through.
    sleeps: AtomicU32,
    /// How many there were, the last time.
    last: AtomicU32,
}

impl Patience {
    /// Looks for what `attempt` finds, if that has paid of late.
    pub(crate) fn look<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
        // Several threads may be here; that an update of theirs is lost does not matter.
        let sleeps = self.sleeps.load(Ordering::Relaxed);
        if sleeps > 0 {
            self.sleeps.store(sleeps - 1, Ordering::Relaxed);
            return None;
        }
        let start = Instant::now();
        while start.elapsed() < LOOK {
            for _ in 0..LOOKS {
                if let Some(found) = attempt() {
                    self.last.store(self.last.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
                    return Some(found);
                }
                std::hint::spin_loop();
            }
        }
        let sleeps = (2 * self.last.load(Ordering::Relaxed)).clamp(SLEEPS.0, SLEEPS.1);
        self.last.store(sleeps, Ordering::Relaxed);
        self.sleeps.store(sleeps, Ordering::Relaxed);
        None
    }
}

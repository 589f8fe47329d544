//! How long to look before sleeping.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long to look: as long as falling asleep and being woken takes (10 to 20 µs on virtual
/// machines), after which looking no longer pays.
const LOOK: Duration = Duration::from_micros(50);

/// A sleep that was shorter shows that looking would have done: half of it is the waking.
const SHORT: Duration = Duration::from_micros(200);

/// Looks between two looks at the clock.
const LOOKS: u32 = 8;

/// Whether to look for a while before sleeping. Two threads that hand each other small heaps through
/// a small ring would otherwise spend most of their time asleep or being woken. Where the other side
/// is slow it stops looking, and costs nothing.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    pays: AtomicBool,
}

impl Patience {
    /// Looks for what `attempt` finds, if that has paid of late.
    pub(crate) fn look<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
        if !self.pays.load(Ordering::Relaxed) {
            return None;
        }
        let start = Instant::now();
        while start.elapsed() < LOOK {
            for _ in 0..LOOKS {
                if let Some(found) = attempt() {
                    return Some(found);
                }
                std::hint::spin_loop();
            }
        }
        self.pays.store(false, Ordering::Relaxed);
        None
    }

    /// A sleep that began at `start` has ended with what was waited for.
    pub(crate) fn slept_since(&self, start: Instant) {
        self.pays.store(start.elapsed() < SHORT, Ordering::Relaxed);
    }
}

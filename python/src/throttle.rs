//! Log lines that cannot flood, though each says something of its own.

use std::time::{Duration, Instant};

/// How long a burst lasts.
const PERIOD: Duration = Duration::from_secs(1);
/// Lines that pass in a burst: enough to see what is happening, and no load for Python.
const BURST: u32 = 100;

/// Lets a burst of lines pass in each period and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    since: Option<Instant>,
    passed: u32,
    held_back: u64,
}

impl Throttle {
    /// Whether to log now; if so, how many lines were held back since the last one.
    pub(crate) fn pass(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= PERIOD) {
            (self.since, self.passed) = (Some(now), 0);
        }
        if self.passed == BURST {
            self.held_back += 1;
            return None;
        }
        self.passed += 1;
        Some(std::mem::take(&mut self.held_back))
    }

    /// Says `line`, and how many were held back before it, through `log`.
    pub(crate) fn say(&mut self, log: impl FnOnce(&str), line: impl FnOnce() -> String) {
        match self.pass() {
            Some(0) => log(&line()),
            Some(more) => log(&format!("{} ({more} more like this before)", line())),
            None => {}
        }
    }
}

//! Log lines that cannot flood.

use std::time::{Duration, Instant};

/// At most one line of a kind in this time: a broken source may complain at packet rate.
const INTERVAL: Duration = Duration::from_secs(5);

/// Lets a line pass now and then, and counts those it held back.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    last: Option<Instant>,
    held_back: u64,
}

impl LogLimit {
    /// Whether to log now; if so, how many lines were held back since the last one.
    pub(crate) fn pass(&mut self, now: Instant) -> Option<u64> {
        let recent = |last: Instant| now.saturating_duration_since(last) < INTERVAL;
        if self.last.is_some_and(recent) {
            self.held_back += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_interval_tells_of_the_others() {
        let (mut limit, start) = (LogLimit::default(), Instant::now());
        assert_eq!(limit.pass(start), Some(0));
        assert_eq!(limit.pass(start), None);
        assert_eq!(limit.pass(start + INTERVAL / 2), None);
        assert_eq!(limit.pass(start + INTERVAL), Some(2));
        assert_eq!(limit.pass(start + 2 * INTERVAL), Some(0));
    }
}

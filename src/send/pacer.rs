//! When the next packets may leave: the rate limiter, without a clock of its own.

use std::time::{Duration, Instant};

/// Delays up to this, and to the time that what was sent takes at its rate, are no delays: timers
/// are that late. They are made up for at once, so at most two bursts follow one another.
const LATE: Duration = Duration::from_micros(100);

/// Limits the rate of a stream by two rules: in the long run not more than `rate`, and after a
/// delay not faster than `burst_rate` until the delay is made up for.
#[derive(Clone, Debug)]
pub(crate) struct Pacer {
    burst_rate_ratio: f64,
    /// When the long-run rate allows the next packet.
    average: Option<Instant>,
    /// When the burst rate allows the next packet.
    burst: Option<Instant>,
    /// What rounding to nanoseconds has left over, in nanoseconds; below 1.
    remainder: f64,
}

impl Pacer {
    pub(crate) fn new(burst_rate_ratio: f64) -> Self {
        Self { burst_rate_ratio, average: None, burst: None, remainder: 0.0 }
    }

    /// When the next packets may leave; `None` is now.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.average.max(self.burst)
    }

    /// Takes note of `bytes` sent at `now`, at a rate of `rate` bytes/s (0: unlimited).
    pub(crate) fn sent(&mut self, bytes: u64, rate: f64, now: Instant) {
        if rate <= 0.0 {
            self.average = None;
            self.burst = None;
            return;
        }
        let nanos = bytes as f64 / rate * 1e9 + self.remainder;
        let whole = nanos.floor();
        self.remainder = nanos - whole;
        let burst = whole / self.burst_rate_ratio;
        let tolerance = LATE.min(Duration::from_nanos(whole as u64));
        let due = self
            .next()
            .filter(|&due| now.checked_duration_since(due).is_some_and(|late| late <= tolerance));
        self.average = after(self.average.unwrap_or(now), whole);
        self.burst = after(due.unwrap_or(now), burst);
    }

    /// There was nothing to send until `now`: what was not sent is not made up for.
    pub(crate) fn idle(&mut self, now: Instant) {
        if self.average.is_some_and(|average| average < now) {
            self.average = Some(now);
            self.remainder = 0.0;
        }
    }
}

/// `nanos` after `start`; `None` (never wait) if that is beyond any clock.
fn after(start: Instant, nanos: f64) -> Option<Instant> {
    // The cast saturates.
    start.checked_add(Duration::from_nanos(nanos as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `bursts` of `bytes` at `rate`, each `late` after it might have left; how long it took.
    fn run(rate: f64, bytes: u64, bursts: u32, late: Duration) -> f64 {
        let mut pacer = Pacer::new(1.05);
        let start = Instant::now();
        let mut now = start;
        for _ in 0..bursts {
            now = pacer.next().map_or(now, |next| next.max(now) + late);
            pacer.sent(bytes, rate, now);
        }
        (pacer.next().unwrap() - start).as_secs_f64()
    }

    #[test]
    fn the_average_is_exact() {
        for (rate, bytes) in [(125e6, 65536), (1e9, 1472), (3e9, 999), (1e3, 60000)] {
            let expected = 10_000.0 * bytes as f64 / rate;
            let took = run(rate, bytes, 10_000, Duration::ZERO);
            assert!((took / expected - 1.0).abs() < 1e-6, "{took} s for {expected} s");
        }
    }

    #[test]
    fn small_delays_are_made_up_for() {
        // 524 us or 131 us a burst; timers are late by as much.
        for (rate, late) in [(125e6, 20), (125e6, 100), (500e6, 80), (2500e6, 25)] {
            let took = run(rate, 65536, 2000, Duration::from_micros(late));
            let expected = 2000.0 * 65536.0 / rate;
            assert!((took / expected - 1.0).abs() < 1e-3, "{took} s for {expected} s");
        }
    }

    #[test]
    fn a_long_delay_is_not_made_up_for_faster_than_the_burst_rate() {
        let mut pacer = Pacer::new(1.05);
        let start = Instant::now();
        pacer.sent(1000, 1e6, start);
        let late = start + Duration::from_millis(100);
        pacer.sent(1050, 1e6, late);
        assert_eq!(pacer.next(), Some(late + Duration::from_millis(1)));
    }

    #[test]
    fn idle_time_is_not_made_up_for() {
        let mut pacer = Pacer::new(100.0);
        let start = Instant::now();
        pacer.sent(1000, 1e6, start);
        let later = start + Duration::from_secs(1);
        pacer.idle(later);
        pacer.sent(1000, 1e6, later);
        assert_eq!(pacer.next(), Some(later + Duration::from_millis(1)));
    }
}

//! When the next packets may leave: the rate limiter, without a clock of its own.

use std::time::{Duration, Instant};

/// Delays up to this, and to the time that what was sent takes at its rate, are no delays: timers
/// are that late. They are made up for at once, so at most two bursts follow one another.
const LATE: Duration = Duration::from_micros(100);

/// A queue that was empty for less than this was not idle: a thread that fills it and has to share its
/// core with others does not run for so long (a time slice of the scheduler is 3 ms or less).
const MOMENT: Duration = Duration::from_millis(10);

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

    /// There was nothing to send from `since` until `now`: what was not sent is not made up for, or
    /// after a moment no more than what that moment had been worth.
    pub(crate) fn idle(&mut self, since: Instant, now: Instant) {
        let moment = now.saturating_duration_since(since) < MOMENT;
        let kept = if moment { MOMENT } else { Duration::ZERO };
        if let (Some(average), Some(floor)) = (self.average, now.checked_sub(kept))
            && average < floor
        {
            self.average = Some(floor);
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
        pacer.idle(start, later);
        pacer.sent(1000, 1e6, later);
        assert_eq!(pacer.next(), Some(later + Duration::from_millis(1)));
    }

    #[test]
    fn moments_without_anything_to_send_are_made_up_for() {
        // Bursts of 1 ms; the queue is empty for 2 ms before every hundredth.
        let mut pacer = Pacer::new(1.05);
        let start = Instant::now();
        let mut now = start;
        for burst in 0..10_000 {
            now = pacer.next().map_or(now, |next| next.max(now));
            if burst % 100 == 99 {
                let since = now;
                now += Duration::from_millis(2);
                pacer.idle(since, now);
            }
            pacer.sent(1000, 1e6, now);
        }
        let took = (pacer.next().unwrap() - start).as_secs_f64();
        assert!((took / 10.0 - 1.0).abs() < 1e-3, "{took} s for 10 s");
    }

    #[test]
    fn many_moments_are_made_up_for_as_one() {
        let mut pacer = Pacer::new(2.0);
        let mut now = Instant::now();
        // Half of what the rate allows, for 8 s.
        for _ in 0..1000 {
            pacer.sent(4000, 1e6, now);
            let since = now + Duration::from_millis(4);
            now += Duration::from_millis(8);
            pacer.idle(since, now);
        }
        // Then as much as it allows: beyond the rate no more than one moment's worth.
        let (from, mut sent) = (now, 0);
        while now - from < Duration::from_secs(1) {
            pacer.sent(1000, 1e6, now);
            sent += 1000;
            now = pacer.next().unwrap();
        }
        assert!(sent <= 1_012_000, "{sent} bytes in 1 s at 1 MB/s");
    }

    /// The two bounds as they are published for the reference: the long-run rate, and after what was
    /// sent when it was sent the burst rate.
    struct Bounds {
        average: f64,
        burst: f64,
    }

    #[test]
    fn busy_machines_cost_no_more_than_the_two_bounds() {
        // Seconds late, and one in how many bursts of 524 us: what a ratio of 1.05 can make up for,
        // what it cannot, and what greater ones can.
        for (late, every, ratio) in [
            (0.003, 250, 1.05),
            (0.000_9, 50, 1.05),
            (0.005, 50, 1.05),
            (0.005, 50, 1.5),
            (0.005, 50, 2.0),
        ] {
            let (rate, bytes) = (125e6, 65536);
            let mut pacer = Pacer::new(ratio);
            let start = Instant::now();
            let mut bounds = Bounds { average: 0.0, burst: 0.0 };
            let (mut now, mut theirs) = (start, 0.0);
            for burst in 0..20_000 {
                let stall = if burst % every == 7 { late } else { 0.0 };
                now = pacer.next().map_or(now, |next| next.max(now));
                now += Duration::from_secs_f64(stall);
                pacer.sent(bytes, rate, now);
                theirs = bounds.average.max(bounds.burst).max(theirs) + stall;
                bounds.average += bytes as f64 / rate;
                bounds.burst = theirs + bytes as f64 / rate / ratio;
                let ours = (now - start).as_secs_f64();
                assert!(ours <= theirs + 1e-6, "burst {burst}: {ours} s, allowed at {theirs} s");
                // Two bursts may follow one another.
                let due = f64::from(burst - 1) * bytes as f64 / rate;
                assert!(ours >= due - 1e-6, "burst {burst}: {ours} s is before {due} s");
            }
            let achieved = 20_000.0 * bytes as f64 / rate / (now - start).as_secs_f64();
            // The 5 % that a ratio of 1.05 adds make up for delays of 5 % of the time, and so on.
            let time = f64::from(every) * bytes as f64 / rate;
            let possible = (time / (time / ratio + late)).min(1.0);
            assert!(achieved >= possible - 1e-3, "{achieved} of {possible}, ratio {ratio}");
        }
    }
}

//! Packets that the kernel is given before they may leave, each with the time at which it is to.

use std::time::{Duration, Instant};

use super::pacer::Pacer;

/// How far ahead of its departure a packet may be handed over. Half of it is more than a time slice of
/// the scheduler (3 ms or less) or a timer that is late costs, and `fq` takes what leaves within 10 s
/// (`horizon` in tc-fq(8)).
const HORIZON: Duration = Duration::from_millis(8);

/// When the packets of a stream leave. The pacer says so, as for packets that leave when they are handed
/// over.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    /// Of the packets that are offered now.
    times: Vec<Instant>,
    /// Of the first and the last packet that were handed over in one go.
    latest: Option<(Instant, Instant)>,
}

impl Departures {
    /// When the next packets may be handed over, of which the first may leave at `next`: when half of
    /// the horizon is used up, and all but those of the last call have left. So not more than two calls'
    /// worth waits for its time.
    pub(crate) fn not_before(&self, next: Option<Instant>) -> Option<Instant> {
        let refill = next.and_then(|next| next.checked_sub(HORIZON / 2));
        refill.max(self.latest.map(|(first, _)| first))
    }

    /// Finds the times of the first of some packets, given as their bytes and their rate: of those that
    /// leave within the horizon. Says how many.
    pub(crate) fn plan(
        &mut self,
        pacer: &Pacer,
        packets: impl Iterator<Item = (usize, f64)>,
        now: Instant,
    ) -> usize {
        let mut pacer = pacer.clone();
        let mut last = self.latest.map(|(_, last)| last);
        self.times.clear();
        for (bytes, rate) in packets {
            // Never before those that were handed over earlier, though there is no rate any more.
            let time = pacer.next().max(last).map_or(now, |time| time.max(now));
            if time > now + HORIZON && !self.times.is_empty() {
                break;
            }
            pacer.sent(bytes as u64, rate, time);
            self.times.push(time);
            last = Some(time);
        }
        self.times.len()
    }

    /// Of the first packets that were planned.
    pub(crate) fn times(&self, packets: usize) -> &[Instant] {
        &self.times[..packets]
    }

    /// Takes note of what was sent, the first of those that were planned.
    pub(crate) fn sent(&mut self, pacer: &mut Pacer, packets: impl Iterator<Item = (usize, f64)>) {
        let mut first = None;
        for ((bytes, rate), time) in packets.zip(&self.times) {
            pacer.sent(bytes as u64, rate, *time);
            let first = *first.get_or_insert(*time);
            self.latest = Some((first, *time));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Hands over packets of these sizes at a rate, up to `most` in one go and as late as `late` says,
    /// in turn. The times of all, from the first on.
    fn hand_over(
        sizes: &[usize],
        rate: f64,
        most: usize,
        late: &[Duration],
    ) -> Result<Vec<Duration>, TestCaseError> {
        let (mut pacer, mut departures) = (Pacer::new(1.05), Departures::default());
        let (mut late, mut times) = (late.iter().cycle(), Vec::new());
        let start = Instant::now();
        let mut now = start;
        while times.len() < sizes.len() {
            if let Some(next) = departures.not_before(pacer.next()) {
                now = now.max(next) + *late.next().unwrap();
            }
            let waiting = sizes[times.len()..].iter().take(128).map(|bytes| (*bytes, rate));
            let planned = departures.plan(&pacer, waiting.clone(), now);
            let taken = planned.min(most);
            let before = times.len();
            times.extend(departures.times(taken));
            for time in &times[before..] {
                prop_assert!((now..=now + HORIZON).contains(time));
            }
            departures.sent(&mut pacer, waiting.take(taken));
            let has_left = |time: &Instant| *time <= now;
            prop_assert!(times.iter().nth_back(most.saturating_mul(2)).is_none_or(has_left));
        }
        prop_assert!(times.is_sorted());
        Ok(times.into_iter().map(|time| time - start).collect())
    }

    /// How much later than the rate allows each packet leaves, in nanoseconds.
    fn delays(sizes: &[usize], rate: f64, times: &[Duration]) -> Vec<f64> {
        let mut bytes = 0;
        let delay = |(size, time): (&usize, &Duration)| {
            let delay = time.as_nanos() as f64 - bytes as f64 / rate * 1e9;
            bytes += size;
            delay
        };
        sizes.iter().zip(times).map(delay).collect()
    }

    fn micros(most: u64) -> impl Strategy<Value = Vec<Duration>> {
        prop::collection::vec((0..=most).prop_map(Duration::from_micros), 1..20)
    }

    proptest! {
        #[test]
        fn packets_leave_in_order_within_the_horizon_and_not_before_the_rate_allows(
            sizes in prop::collection::vec(56..9000_usize, 1..500),
            rate in 1e4..1e10,
            most in 1..=128_usize,
            late in micros(20_000),
        ) {
            let times = hand_over(&sizes, rate, most, &late)?;
            for delay in delays(&sizes, rate, &times) {
                prop_assert!(delay >= -10.0, "{delay} ns");
            }
        }

        #[test]
        fn a_worker_that_is_late_by_less_than_half_the_horizon_delays_nothing(
            sizes in prop::collection::vec(56..9000_usize, 300..1000),
            // Less than 128 packets of 9000 B in 8 ms.
            rate in 1e4..1e6,
            late in micros(3_900),
        ) {
            let times = hand_over(&sizes, rate, usize::MAX, &late)?;
            for delay in delays(&sizes, rate, &times) {
                prop_assert!(delay.abs() <= 10.0, "{delay} ns");
            }
        }
    }

    #[test]
    fn the_average_is_exact_over_many_packets() {
        let sizes = vec![1472; 100_000];
        for rate in [2.5e6, 125e6, 1.25e9] {
            let times = hand_over(&sizes, rate, 48, &[Duration::ZERO]).unwrap();
            let expected = 99_999.0 * 1472.0 / rate;
            let took = times[99_999].as_secs_f64();
            // Times are in nanoseconds.
            assert!((took - expected).abs() < 2e-9, "{took} s for {expected} s");
        }
    }

    #[test]
    fn packets_without_a_rate_leave_with_the_last_that_has_one() {
        let (mut pacer, mut departures) = (Pacer::new(1.05), Departures::default());
        let now = Instant::now();
        let packets = [(1000, 1e6), (1000, 1e6), (1000, 0.0), (1000, 0.0)];
        let planned = departures.plan(&pacer, packets.iter().copied(), now);
        assert_eq!(planned, 4);
        let second = now + Duration::from_millis(1);
        // The first of those without a rate had to wait for the second with one to be over.
        let third = now + Duration::from_millis(2);
        assert_eq!(departures.times(4), [now, second, third, third]);
        departures.sent(&mut pacer, packets.into_iter());
        assert_eq!(pacer.next(), None);
        assert_eq!(departures.plan(&pacer, [(1000, 0.0)].into_iter(), now), 1);
        assert_eq!(departures.times(1), [third]);
    }
}

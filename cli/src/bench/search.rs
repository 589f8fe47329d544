//! The search for the highest rate that loses nothing, by Bayesian inference.
//!
//! UDP does not push back, so the rate a receiver holds can only be found by trials, and trials are
//! noisy: just below the *critical rate* some lose a packet, just above it some do not. Plain
//! bisection believes every answer and never recovers from a wrong one. Here every trial changes
//! the *probability* of each rate being the critical one, and the next trial is made at the rate
//! whose outcome is expected to tell most (Kontsevich and Tyler's psi method, Vision Research 39,
//! 1999; noisy binary search of benchmarks by the same principle is what katgpucbf does).
//!
//! A trial at rate `r` is clean with probability
//!
//! ```text
//! GUESS + (1 - GUESS - lapse) * logistic((critical - r) / width)
//! ```
//!
//! so that at the critical rate half of the trials are clean, lapses aside. How gradual the change is
//! (`width`) and how often a trial is lost whatever the rate (`lapse`) differ from host to host.
//! They are not assumed but inferred with the rest, over a few values each, and averaged out.

/// Widths of the change from clean to lossy, as fractions of the critical rate. The ends are what
/// can be told: below, it is a step at any resolution that a search takes; above, three quarters of
/// the clean trials turn lossy over half of the rate.
const WIDTHS: [f64; 6] = [0.001, 0.003, 0.01, 0.03, 0.06, 0.12];

/// How often a trial loses something though the rate is low: from next to never to what makes a
/// host unfit to measure on.
const LAPSES: [f64; 5] = [0.002, 0.02, 0.08, 0.2, 0.45];

/// How often a trial is clean though the rate is far too high. Not 0: no single trial may rule a
/// rate out for good.
const GUESS: f64 = 0.005;

/// Bins in the width that the answer is wanted to: its ends are then right to a fourth of it.
const BINS_PER_INTERVAL: f64 = 4.0;

/// The critical rate may lie above the highest that can be tried, up to so many times as much: a
/// single trial that loses something there must not be proof that it does not.
const REACH: f64 = 1.2;

/// Trials are made at the middle of every so many bins: half of the interval apart is fine enough,
/// and saves half of the work.
const BINS_PER_RATE: usize = 2;

/// Bins at most; the work for each trial grows with their square.
const MAX_BINS: f64 = 500.0;

/// A bin that is less likely than this does not weigh in where to make the next trial.
const NEGLIGIBLE: f64 = 1e-7;

const STATES: usize = WIDTHS.len() * LAPSES.len();

/// What is believed of the critical rate.
pub(super) struct Search {
    /// Where the bins start, and how wide they are.
    low: f64,
    bin: f64,
    confidence: f64,
    /// The probability of each bin, width and lapse, in this order, the last fastest.
    belief: Vec<f64>,
    /// The rates to make trials at.
    rates: Vec<f64>,
    /// For each of these and each bin: the logistic for each width.
    logistic: Vec<[f64; WIDTHS.len()]>,
}

/// What a search has found so far. Rates are in the unit it was made with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Estimate {
    /// As likely above as below the critical rate.
    pub(super) median: f64,
    /// The critical rate lies between these with the search's confidence.
    pub(super) low: f64,
    pub(super) high: f64,
    /// How often a trial loses something whatever the rate.
    pub(super) lapse: f64,
}

impl Search {
    /// Searches from `low` on for the critical rate, to be known to within `interval` with
    /// probability `confidence`, by trials at rates up to `high`. All rates are equally likely at
    /// first, some above `high` too.
    pub(super) fn new(low: f64, high: f64, interval: f64, confidence: f64) -> Self {
        let range = high * REACH - low;
        let bins = (range / interval * BINS_PER_INTERVAL).clamp(1.0, MAX_BINS).ceil();
        let bin = range / bins;
        let bins = bins as usize;
        let states = bins * STATES;
        let mut search = Self {
            low,
            bin,
            confidence,
            belief: vec![1.0 / states as f64; states],
            rates: Vec::new(),
            logistic: Vec::new(),
        };
        let middles = (0..bins).step_by(BINS_PER_RATE).map(|at| search.middle(at));
        search.rates = middles.take_while(|&rate| rate < high).chain([high]).collect();
        let pairs = search.rates.iter().flat_map(|&rate| (0..bins).map(move |bin| (rate, bin)));
        search.logistic = pairs.map(|(rate, bin)| search.logistic_of(rate, bin)).collect();
        search
    }

    fn bins(&self) -> usize {
        self.belief.len() / STATES
    }

    fn middle(&self, bin: usize) -> f64 {
        self.low + (bin as f64 + 0.5) * self.bin
    }

    /// How likely a trial at `rate` is clean if `bin` is the critical one, for each width, lapses
    /// and guesses aside.
    fn logistic_of(&self, rate: f64, bin: usize) -> [f64; WIDTHS.len()] {
        let critical = self.middle(bin);
        WIDTHS.map(|width| {
            // A change that is more sudden than bins are wide cannot be told from one that is not.
            let width = (width * critical).max(0.25 * self.bin);
            1.0 / (1.0 + ((rate - critical) / width).exp())
        })
    }

    /// Takes in a trial at `rate` that was clean, or lost something.
    pub(super) fn observe(&mut self, rate: f64, clean: bool) {
        for bin in 0..self.bins() {
            let logistic = self.logistic_of(rate, bin);
            let states = &mut self.belief[bin * STATES..(bin + 1) * STATES];
            for (at, state) in states.iter_mut().enumerate() {
                let lapse = LAPSES[at % LAPSES.len()];
                let chance = GUESS + (1.0 - GUESS - lapse) * logistic[at / LAPSES.len()];
                *state *= if clean { chance } else { 1.0 - chance };
            }
        }
        // No outcome is impossible in any state, so the sum is above 0.
        let sum: f64 = self.belief.iter().sum();
        self.belief.iter_mut().for_each(|state| *state /= sum);
    }

    /// The probability of each bin.
    fn marginal(&self) -> Vec<f64> {
        self.belief.chunks(STATES).map(|states| states.iter().sum()).collect()
    }

    /// The rate at which a trial is expected to tell most about the critical rate.
    pub(super) fn next_rate(&self) -> f64 {
        let believed: Vec<(usize, Mixed)> = self
            .belief
            .chunks(STATES)
            .map(Mixed::of)
            .enumerate()
            .filter(|(_, mixed)| mixed.weight > NEGLIGIBLE)
            .collect();
        let [first, last] = [believed.first(), believed.last()]
            .map(|end| self.middle(end.map_or(0, |(bin, _)| *bin)));
        // Where nothing is believed to change, a trial tells nothing.
        let margin = BINS_PER_RATE as f64 * self.bin;
        let near = first - margin..=last + margin;
        let top = self.rates.len() - 1;
        (0..=top)
            .filter(|&at| at == top || near.contains(&self.rates[at]))
            .map(|at| (self.expected_gain(at, &believed), at))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map_or(self.low, |(_, at)| self.rates[at])
    }

    /// The mutual information of the critical rate and a trial's outcome at rate number `at`.
    fn expected_gain(&self, at: usize, believed: &[(usize, Mixed)]) -> f64 {
        let bins = self.bins();
        let table = &self.logistic[at * bins..(at + 1) * bins];
        let (mut clean, mut uncertain) = (0.0, 0.0);
        for (bin, mixed) in believed {
            let chance = mixed.clean(&table[*bin]);
            clean += chance;
            uncertain += mixed.weight * entropy(chance / mixed.weight);
        }
        entropy(clean) - uncertain
    }

    /// How likely a trial at `rate` is clean.
    pub(super) fn chance(&self, rate: f64) -> f64 {
        let bins = self.belief.chunks(STATES).enumerate();
        bins.map(|(bin, states)| Mixed::of(states).clean(&self.logistic_of(rate, bin))).sum()
    }

    /// What has been found so far.
    pub(super) fn estimate(&self) -> Estimate {
        let marginal = self.marginal();
        let tail = (1.0 - self.confidence) / 2.0;
        let edge = |bin: usize| self.low + bin as f64 * self.bin;
        let lapses = self.belief.iter().enumerate();
        Estimate {
            median: edge(bin_at(&marginal, 0.5)) + 0.5 * self.bin,
            low: edge(bin_at(&marginal, tail)),
            high: edge(bin_at(&marginal, 1.0 - tail) + 1),
            lapse: lapses.map(|(at, state)| state * LAPSES[at % LAPSES.len()]).sum(),
        }
    }
}

/// A bin with widths and lapses averaged out: what is common to all rates.
struct Mixed {
    /// The probability of the bin.
    weight: f64,
    /// For each width: its probability, times how often there is neither lapse nor guess.
    slopes: [f64; WIDTHS.len()],
}

impl Mixed {
    fn of(states: &[f64]) -> Self {
        let mut mixed = Self { weight: 0.0, slopes: [0.0; WIDTHS.len()] };
        for (slope, states) in mixed.slopes.iter_mut().zip(states.chunks(LAPSES.len())) {
            for (lapse, state) in LAPSES.iter().zip(states) {
                mixed.weight += state;
                *slope += state * (1.0 - GUESS - lapse);
            }
        }
        mixed
    }

    /// The probability of the bin and a clean trial.
    fn clean(&self, logistic: &[f64; WIDTHS.len()]) -> f64 {
        let slopes = self.slopes.iter().zip(logistic).map(|(slope, logistic)| slope * logistic);
        GUESS * self.weight + slopes.sum::<f64>()
    }
}

/// The first bin up to whose end the probability reaches `share`.
fn bin_at(marginal: &[f64], share: f64) -> usize {
    let mut sum = 0.0;
    let reached = marginal.iter().position(|probability| {
        sum += probability;
        sum >= share
    });
    // Sums of many small numbers may end a little below 1.
    reached.unwrap_or(marginal.len() - 1)
}

/// The entropy in bits of something that happens with probability `p`.
fn entropy(p: f64) -> f64 {
    let part = |p: f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
    part(p) + part(1.0 - p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rate_is_likely_at_first() {
        let search = Search::new(0.0, 10.0, 0.4, 0.9);
        let estimate = search.estimate();
        assert!((estimate.median - 6.0).abs() < 0.11, "{estimate:?}");
        assert!((estimate.low - 0.6).abs() < 0.11 && (estimate.high - 11.4).abs() < 0.11);
        let next = search.next_rate();
        assert!((5.0..7.0).contains(&next), "a first trial at {next}");
    }

    #[test]
    fn trials_are_not_made_above_what_can_be_tried() {
        let mut search = Search::new(0.0, 10.0, 0.4, 0.9);
        for _ in 0..30 {
            search.observe(10.0, true);
            assert!(search.next_rate() <= 10.0);
        }
        assert!(search.estimate().low > 9.5, "{:?}", search.estimate());
    }

    #[test]
    fn trials_move_the_belief_their_way() {
        let mut search = Search::new(0.0, 10.0, 0.4, 0.9);
        search.observe(5.0, false);
        let below = search.estimate().median;
        assert!(below < 3.5, "{below}");
        for _ in 0..3 {
            search.observe(5.0, true);
        }
        let above = search.estimate();
        assert!(above.median > 5.0, "one lossy trial is outvoted: {above:?}");
        assert!(search.chance(4.0) > search.chance(6.0));
    }

    #[test]
    fn entropy_is_that_of_a_coin() {
        assert_eq!((entropy(0.0), entropy(0.5), entropy(1.0)), (0.0, 1.0, 0.0));
    }

    #[test]
    fn a_range_narrower_than_the_interval_does_no_harm() {
        let mut search = Search::new(2.0, 2.1, 1.0, 0.99);
        search.observe(search.next_rate(), true);
        let Estimate { low, high, .. } = search.estimate();
        assert!(low >= 2.0 && high <= 2.1 * REACH + 1e-9, "{low} to {high}");
    }
}

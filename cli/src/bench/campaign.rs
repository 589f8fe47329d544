//! From trials to a result: warm-up, what the sender can do, the search, and a confirmation.
//!
//! It knows neither network nor clock: a [`Channel`] makes the trials.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::search::{Estimate, Search};

/// Trials at full speed that have to be clean before the sender, not the receiver, is the limit; and
/// trials that have to be clean before a rate counts as held. As many as spead2's benchmark takes.
pub(super) const PASSES: usize = 5;

/// Rates at which holding is tried before giving up.
const HOLD_ATTEMPTS: usize = 8;

/// How exactly the critical rate is wanted unless asked otherwise: to this part of the highest
/// rate. It is where spead2's benchmark stops too.
const DEFAULT_INTERVAL: f64 = 0.02;

/// A sender below this part of the rate asked for does not keep it.
const KEEPS_UP: f64 = 0.98;

/// A sender that is late so many times in a row cannot make the trials that would tell.
const LATE_IN_A_ROW: usize = 20;

/// Something that can be asked to carry data at a rate.
pub(super) trait Channel {
    /// Makes one trial, at `rate` Gb/s or as fast as the sender can.
    fn trial(&mut self, rate: Option<f64>) -> Result<Trial>;
}

/// A trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Trial {
    /// Why it was made.
    pub(super) phase: Phase,
    /// The rate asked for, in Gb/s; `None` for as fast as it goes.
    pub(super) asked: Option<f64>,
    /// The rate at which it was sent, in Gb/s of SPEAD packets.
    pub(super) rate: f64,
    pub(super) seconds: f64,
    /// Heaps sent, and those that arrived whole.
    pub(super) heaps_sent: u64,
    pub(super) heaps_received: u64,
    pub(super) packets_sent: u64,
    pub(super) packets_received: u64,
    /// Bytes of packets sent.
    pub(super) bytes_sent: u64,
    /// Bytes of payload that reached their place.
    pub(super) payload_received: u64,
    /// Packets that the kernel dropped because a socket's buffer was full.
    pub(super) kernel_drops: u64,
    /// CPU time of the receiving processes, in seconds, while it was sent.
    pub(super) receiver_cpu: f64,
    /// The same of the sending process.
    pub(super) sender_cpu: f64,
    /// What is wrong with it, in words; nothing if it is clean.
    pub(super) faults: Vec<String>,
}

/// What a trial is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    /// To have memory touched and caches and clocks warm; its outcome does not count.
    #[default]
    WarmUp,
    /// To see what the sender can do.
    FullSpeed,
    /// To find the critical rate.
    Search,
    /// To see that a rate is held.
    Hold,
}

impl Trial {
    /// Whether nothing was lost.
    pub(super) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// Whether the sender was slower than asked.
    pub(super) fn is_late(&self) -> bool {
        self.asked.is_some_and(|asked| self.rate < asked * KEEPS_UP)
    }
}

/// How to search.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Rates to search between, in Gb/s; without a highest one, up to what the sender can do.
    pub(super) low: f64,
    pub(super) high: Option<f64>,
    /// How exactly the critical rate is wanted, in Gb/s.
    pub(super) interval: Option<f64>,
    /// How sure one is to be of it.
    pub(super) confidence: f64,
    /// Trials of the search at most.
    pub(super) max_trials: usize,
}

/// What ends a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Limit {
    /// The receiver loses nothing at the most that the sender can do, lapses aside.
    Sender,
    /// The receiver loses nothing at the highest rate that was to be tried, lapses aside.
    High,
    /// The receiver loses above the critical rate.
    Receiver,
    /// The receiver loses at the lowest rate already.
    Low,
    /// As [`Receiver`](Self::Receiver), but the trials did not suffice to tell it as exactly as
    /// asked for.
    Unsettled,
}

/// What came of a campaign. Rates are in Gb/s of SPEAD packets.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) limit: Limit,
    /// The highest rate at which five trials in a row lost nothing, as it was sent.
    pub(super) held: Option<f64>,
    /// Where half of the trials lose something.
    pub(super) critical: Option<Critical>,
    /// How likely a trial is clean, at rates over the range.
    pub(super) curve: Vec<(f64, f64)>,
    pub(super) trials: Vec<Trial>,
}

/// The critical rate, with its confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Critical {
    pub(super) median: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) confidence: f64,
    /// The part of trials that lose something whatever the rate.
    pub(super) lapse: f64,
}

impl Critical {
    fn new(estimate: Estimate, confidence: f64) -> Self {
        let Estimate { median, low, high, lapse } = estimate;
        Self { median, low, high, confidence, lapse }
    }
}

/// Makes all trials, and tells each one to `told`.
pub(super) fn run(
    channel: &mut impl Channel,
    settings: &Settings,
    told: &mut dyn FnMut(&Trial) -> Result<()>,
) -> Result<Outcome> {
    let mut campaign = Campaign { channel, told, trials: Vec::new() };
    campaign.trial(Phase::WarmUp, settings.high)?;
    let top = campaign.full_speed(settings.high)?;
    let interval = settings.interval.unwrap_or(DEFAULT_INTERVAL * top.rate);
    let low = settings.low.min(top.rate - interval).max(0.0);
    let unlimited =
        if top.is_late || settings.high.is_none() { Limit::Sender } else { Limit::High };
    if top.held {
        return Ok(campaign.outcome(unlimited, Some(top.rate), None));
    }
    let mut search = Search::new(low, top.rate, interval, settings.confidence);
    let found = campaign.search(&mut search, settings, top.rate, interval)?;
    let held = campaign.hold(&mut search, low, top.rate, interval)?;
    let estimate = search.estimate();
    let limit = match found {
        _ if held.is_none() && estimate.median <= low + interval => Limit::Low,
        Found::Beyond => unlimited,
        Found::Settled => Limit::Receiver,
        Found::Unsettled => Limit::Unsettled,
    };
    let curve = Curve { search: &search, low, high: top.rate };
    let critical = Critical::new(estimate, settings.confidence);
    Ok(campaign.outcome(limit, held, Some((critical, curve))))
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// The critical rate is known as exactly as it is wanted.
    Settled,
    /// It is as high as the highest rate that can be tried, or higher.
    Beyond,
    Unsettled,
}

/// How likely trials are clean, between two rates.
struct Curve<'a> {
    search: &'a Search,
    low: f64,
    high: f64,
}

impl Curve<'_> {
    /// As many points as look smooth.
    fn points(&self) -> Vec<(f64, f64)> {
        const POINTS: usize = 100;
        let Self { search, low, high } = self;
        let rate = |at: usize| low + (high - low) * at as f64 / POINTS as f64;
        (0..=POINTS).map(rate).map(|rate| (rate, search.chance(rate))).collect()
    }
}

/// What the sender, and the receiver, did at full speed.
struct Top {
    rate: f64,
    held: bool,
    is_late: bool,
}

struct Campaign<'a, C> {
    channel: &'a mut C,
    told: &'a mut dyn FnMut(&Trial) -> Result<()>,
    trials: Vec<Trial>,
}

impl<C: Channel> Campaign<'_, C> {
    fn trial(&mut self, phase: Phase, rate: Option<f64>) -> Result<&Trial> {
        let trial = Trial { phase, ..self.channel.trial(rate)? };
        (self.told)(&trial)?;
        self.trials.push(trial);
        Ok(&self.trials[self.trials.len() - 1])
    }

    /// Sends as fast as it goes, or at `high`, until something is lost or it is held.
    fn full_speed(&mut self, high: Option<f64>) -> Result<Top> {
        let (mut sum, mut fastest, mut is_late) = (0.0, 0.0_f64, false);
        for _ in 0..PASSES {
            let trial = self.trial(Phase::FullSpeed, high)?;
            sum += trial.rate;
            fastest = fastest.max(trial.rate);
            is_late |= trial.is_late();
            if !trial.is_clean() {
                return Ok(Top { rate: fastest, held: false, is_late });
            }
        }
        Ok(Top { rate: sum / PASSES as f64, held: true, is_late })
    }

    fn search(
        &mut self,
        search: &mut Search,
        settings: &Settings,
        top: f64,
        interval: f64,
    ) -> Result<Found> {
        // What was lost at full speed counts; what was not is not worth telling apart.
        for trial in self.trials.iter().filter(|trial| trial.phase == Phase::FullSpeed) {
            search.observe(trial.rate, trial.is_clean());
        }
        let mut late = 0;
        for _ in 0..settings.max_trials {
            let trial = self.trial(Phase::Search, Some(search.next_rate()))?;
            // The rate that was sent, not the one asked for: a sender may be late.
            search.observe(trial.rate, trial.is_clean());
            late = if trial.is_late() { late + 1 } else { 0 };
            let Estimate { low, high, .. } = search.estimate();
            if low >= top - interval {
                return Ok(Found::Beyond);
            }
            if high - low <= interval * 1.001 {
                return Ok(Found::Settled);
            }
            if late == LATE_IN_A_ROW {
                break;
            }
        }
        Ok(Found::Unsettled)
    }

    /// The highest rate that is held, from the lower end of the estimate on downwards.
    fn hold(
        &mut self,
        search: &mut Search,
        low: f64,
        top: f64,
        interval: f64,
    ) -> Result<Option<f64>> {
        let mut rate = search.estimate().low.min(top);
        for _ in 0..HOLD_ATTEMPTS {
            if rate <= low.max(interval * 0.5) {
                break;
            }
            if let Some(held) = self.is_held(search, rate)? {
                return Ok(Some(held));
            }
            rate = search.estimate().low.min(rate - interval);
        }
        Ok(None)
    }

    /// The mean rate of trials at `rate`, if all are clean.
    fn is_held(&mut self, search: &mut Search, rate: f64) -> Result<Option<f64>> {
        let mut sum = 0.0;
        for _ in 0..PASSES {
            let trial = self.trial(Phase::Hold, Some(rate))?;
            sum += trial.rate;
            let (rate, clean) = (trial.rate, trial.is_clean());
            search.observe(rate, clean);
            if !clean {
                return Ok(None);
            }
        }
        Ok(Some(sum / PASSES as f64))
    }

    fn outcome(
        self,
        limit: Limit,
        held: Option<f64>,
        found: Option<(Critical, Curve<'_>)>,
    ) -> Outcome {
        let (critical, curve) = found.map_or((None, Vec::new()), |(critical, curve)| {
            // Of what lies beyond all trials, nothing is known but that.
            let known = !matches!(limit, Limit::Sender | Limit::High);
            (known.then_some(critical), curve.points())
        });
        Outcome { limit, held, critical, curve, trials: self.trials }
    }
}

#[cfg(test)]
mod tests;

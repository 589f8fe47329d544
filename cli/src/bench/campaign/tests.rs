//! Campaigns against a receiver that exists in virtual time only, whose critical rate is known.

use fastrand::Rng;

use super::*;

/// A second of sending, in steps of 10 ms.
const STEPS: usize = 100;

/// A receiver that takes so much and no more, behind a buffer; and a sender.
struct Simulated {
    rng: Rng,
    /// What the receiver takes on average, in Gb/s, and how much that differs between trials.
    capacity: f64,
    spread: f64,
    /// What the buffer holds, in Gb.
    buffer: f64,
    /// How often the receiver stands still long enough to lose whatever the rate.
    lapse: f64,
    /// What the sender can do, in Gb/s.
    sender: f64,
    trials: usize,
}

impl Simulated {
    fn seeded(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let sender = 30.0;
        let capacity = sender * (0.08 + 0.8 * rng.f64());
        Self {
            capacity,
            // From next to none to 3 %.
            spread: capacity * 0.001 * 30_f64.powf(rng.f64()),
            // Up to 64 MiB, 2 % of a second of 25 Gb/s.
            buffer: 0.5 * rng.f64(),
            lapse: 0.06 * rng.f64(),
            sender,
            rng,
            trials: 0,
        }
    }

    /// The rate at which half of the trials overflow the buffer, lapses aside: it takes the excess
    /// of a whole second.
    fn critical(&self) -> f64 {
        self.capacity + self.buffer
    }

    /// A number of the normal distribution (Box and Muller's way).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.rng.f64()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.rng.f64()).cos()
    }
}

impl Channel for Simulated {
    fn trial(&mut self, asked: Option<f64>) -> Result<Trial> {
        self.trials += 1;
        let capacity = self.capacity + self.spread * self.normal();
        let rate = asked.unwrap_or(self.sender).min(self.sender);
        let step = 1.0 / STEPS as f64;
        let (mut queued, mut lost) = (0.0_f64, 0.0);
        for _ in 0..STEPS {
            queued += rate * step;
            lost += (queued - capacity * step - self.buffer).max(0.0);
            queued = (queued - capacity * step).clamp(0.0, self.buffer);
        }
        let lapsed = self.rng.f64() < self.lapse;
        let is_lossy = lapsed || lost > 0.0;
        let faults = is_lossy.then(|| "lost".to_owned()).into_iter().collect();
        Ok(Trial { asked, rate, seconds: 1.0, faults, ..Trial::default() })
    }
}

fn settings() -> Settings {
    Settings { low: 0.0, high: None, interval: None, confidence: 0.99, max_trials: 100 }
}

fn campaign(channel: &mut Simulated, settings: &Settings) -> Outcome {
    run(channel, settings, &mut |_| Ok(())).unwrap()
}

/// How a number of campaigns went.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    runs: usize,
    /// Whose interval has the true critical rate in it.
    right: usize,
    /// Whose interval is as narrow as was asked for.
    settled: usize,
    trials: usize,
}

impl Tally {
    fn of(seeds: impl Iterator<Item = u64>, settings: &Settings) -> Self {
        seeds.fold(Self::default(), |tally, seed| {
            let mut channel = Simulated::seeded(seed);
            let truth = channel.critical();
            let outcome = campaign(&mut channel, settings);
            let Critical { low, high, .. } = outcome.critical.expect("the receiver is the limit");
            if let Some(held) = outcome.held {
                assert!(held <= truth + 3.0 * channel.spread, "{held} is held of {truth}");
            }
            Self {
                runs: tally.runs + 1,
                right: tally.right + usize::from((low..=high).contains(&truth)),
                settled: tally.settled + usize::from(outcome.limit == Limit::Receiver),
                trials: tally.trials + outcome.trials.len(),
            }
        })
    }

    fn and(self, other: Self) -> Self {
        Self {
            runs: self.runs + other.runs,
            right: self.right + other.right,
            settled: self.settled + other.settled,
            trials: self.trials + other.trials,
        }
    }
}

#[test]
fn the_critical_rate_lies_where_it_is_said_to_lie() {
    let settings = Settings { interval: Some(1.0), ..settings() };
    let half = |first: u64| Tally::of((first..100).step_by(2), &settings);
    let tally = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        half(0).and(other.join().expect("no assertion fails"))
    });
    let Tally { runs, right, settled, trials } = tally;
    assert!(right * 100 >= runs * 95, "{tally:?}");
    assert!(settled * 100 >= runs * 95, "{tally:?}");
    assert!(trials < runs * 60, "{tally:?}");
}

#[test]
fn a_steady_receiver_is_measured_to_the_interval_and_holds_nearly_all_of_it() {
    for seed in 0..8 {
        let mut channel = Simulated { spread: 0.0, lapse: 0.0, ..Simulated::seeded(seed) };
        let truth = channel.critical();
        let wanted = Settings { interval: Some(0.3), ..settings() };
        let outcome = campaign(&mut channel, &wanted);
        assert_eq!(outcome.limit, Limit::Receiver);
        let Critical { low, high, .. } = outcome.critical.expect("a critical rate");
        assert!((low..=high).contains(&truth) && high - low < 0.301, "{low} {truth} {high}");
        let held = outcome.held.expect("a rate is held");
        assert!(held <= truth && held > truth - 0.61, "{held} of {truth}");
        assert!(outcome.curve.windows(2).all(|pair| pair[0].1 >= pair[1].1 - 1e-9));
    }
}

#[test]
fn a_receiver_that_keeps_up_is_limited_by_the_sender() {
    let mut channel = Simulated { capacity: 50.0, lapse: 0.0, ..Simulated::seeded(1) };
    let outcome = campaign(&mut channel, &settings());
    assert_eq!((outcome.limit, outcome.held), (Limit::Sender, Some(30.0)));
    assert_eq!(outcome.critical, None);
    assert_eq!(channel.trials, 1 + PASSES);
}

#[test]
fn a_lapse_at_full_speed_is_not_taken_for_the_receivers_limit() {
    for seed in 0..12 {
        let mut channel = Simulated { capacity: 50.0, lapse: 0.2, ..Simulated::seeded(seed) };
        let outcome = campaign(&mut channel, &Settings { interval: Some(1.0), ..settings() });
        assert_eq!((outcome.limit, outcome.critical), (Limit::Sender, None), "{seed}");
    }
}

#[test]
fn a_highest_rate_is_a_limit_of_its_own_unless_the_sender_is_slower() {
    let limit = |high| {
        let mut channel = Simulated { capacity: 50.0, lapse: 0.0, ..Simulated::seeded(1) };
        campaign(&mut channel, &Settings { high: Some(high), ..settings() }).limit
    };
    assert_eq!(limit(20.0), Limit::High);
    assert_eq!(limit(40.0), Limit::Sender);
}

#[test]
fn a_receiver_that_loses_everything_is_told_as_such() {
    let mut channel = Simulated { lapse: 1.0, ..Simulated::seeded(3) };
    let outcome = campaign(&mut channel, &settings());
    assert_eq!((outcome.limit, outcome.held), (Limit::Low, None));
}

#[test]
fn too_few_trials_leave_it_unsettled() {
    let mut channel = Simulated { lapse: 0.0, ..Simulated::seeded(4) };
    let outcome = campaign(&mut channel, &Settings { max_trials: 2, ..settings() });
    assert_eq!(outcome.limit, Limit::Unsettled);
    let Critical { low, high, .. } = outcome.critical.expect("an estimate");
    assert!((low..=high).contains(&channel.critical()));
}

#[test]
fn a_sender_that_keeps_no_rate_ends_the_search() {
    struct Late(Simulated);
    impl Channel for Late {
        fn trial(&mut self, rate: Option<f64>) -> Result<Trial> {
            Ok(Trial { asked: rate, ..self.0.trial(rate.map(|rate| rate * 0.5))? })
        }
    }
    let mut channel = Late(Simulated { lapse: 0.0, ..Simulated::seeded(6) });
    let outcome = run(&mut channel, &settings(), &mut |_| Ok(())).unwrap();
    assert_eq!(outcome.limit, Limit::Unsettled);
    let searched = outcome.trials.iter().filter(|trial| trial.phase == Phase::Search);
    assert_eq!(searched.count(), LATE_IN_A_ROW);
}

#[test]
fn every_trial_is_told_and_kept() {
    let mut told = Vec::new();
    let mut channel = Simulated::seeded(5);
    let mut tell = |trial: &Trial| {
        told.push(trial.clone());
        Ok(())
    };
    let outcome = run(&mut channel, &settings(), &mut tell).unwrap();
    assert_eq!(told, outcome.trials);
    assert_eq!(told[0].phase, Phase::WarmUp);
}

#[test]
fn a_channel_that_fails_ends_it() {
    struct Broken;
    impl Channel for Broken {
        fn trial(&mut self, _rate: Option<f64>) -> Result<Trial> {
            anyhow::bail!("the agent is gone")
        }
    }
    let error = run(&mut Broken, &settings(), &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.to_string(), "the agent is gone");
}

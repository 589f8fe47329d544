//! What a measurement found, as a table and as JSON.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde::Serialize;

use super::campaign::{Limit, Outcome, Phase, Trial};
use super::protocol::{Host, Opened};
use crate::units::Count;

/// Above this part of trials that lose something whatever the rate, a host is worth looking at.
const UNSTEADY: f64 = 0.05;

/// All that was measured.
#[derive(Debug, Default, Serialize)]
pub(super) struct Results {
    pub(super) master: Host,
    pub(super) agents: Vec<Host>,
    pub(super) workload: String,
    pub(super) rows: Vec<Row>,
    /// What to know of the numbers.
    notes: BTreeSet<String>,
}

/// One packet size.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// The largest packet, in bytes.
    pub(super) packet: usize,
    /// CPU seconds per GB of payload, where the rate was held.
    receiver_cpu: Option<f64>,
    sender_cpu: Option<f64>,
    /// What to know of the numbers.
    notes: Vec<String>,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

impl Row {
    pub(super) fn new(packet: usize, outcome: Outcome) -> Self {
        // Its last trials are those that held, if any did.
        let phase = outcome.trials.last().map_or(Phase::WarmUp, |trial| trial.phase);
        let held = || {
            let last = outcome.trials.iter().rev().take_while(|trial| trial.phase == phase);
            last.take(super::campaign::PASSES).filter(|_| outcome.held.is_some())
        };
        let cost = |cpu: fn(&Trial) -> f64| {
            let payload: u64 = held().map(|trial| trial.payload_received).sum();
            (payload > 0).then(|| held().map(cpu).sum::<f64>() / (payload as f64 / 1e9))
        };
        let receiver_cpu = cost(|trial| trial.receiver_cpu);
        let sender_cpu = cost(|trial| trial.sender_cpu);
        Self { packet, receiver_cpu, sender_cpu, notes: outcome.notes(), outcome }
    }

    fn cells(&self) -> [String; 8] {
        let rate = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), |r| format!("{r:.2}"));
        let cpu = |cpu: Option<f64>| cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.3}"));
        let critical = self.outcome.critical;
        let interval = critical.map(|critical| format!("{:.2}-{:.2}", critical.low, critical.high));
        [
            format!("{} B", self.packet),
            rate(self.outcome.held),
            rate(critical.map(|critical| critical.median)),
            interval.unwrap_or_else(|| "-".to_owned()),
            self.outcome.limit.describe().to_owned(),
            cpu(self.receiver_cpu),
            cpu(self.sender_cpu),
            self.outcome.trials.len().to_string(),
        ]
    }
}

impl Outcome {
    /// What there is to say if the sender was often slower than asked.
    fn lateness(&self) -> Option<String> {
        let asked = self.trials.iter().filter(|trial| trial.asked.is_some());
        let (all, late) = (asked.clone().count(), asked.filter(|trial| trial.is_late()).count());
        (late * 10 > all).then(|| {
            format!(
                "the sender did not keep the rate asked for in {late} of {all} trials, which count \
                 at the rate it sent: pin it to a core that nothing else uses (--send-pin)"
            )
        })
    }

    /// What to know of the numbers.
    fn notes(&self) -> Vec<String> {
        let limit = match self.limit {
            Limit::Receiver => None,
            Limit::Sender => Some(
                "limited by the sender: the receiver keeps up with the most that it sends"
                    .to_owned(),
            ),
            Limit::High => Some("held at --high; the limit lies above".to_owned()),
            Limit::Low => Some(match self.first_fault() {
                Some(fault) => format!("loses at every rate tried; for one, {fault}"),
                None => "loses at every rate tried".to_owned(),
            }),
            Limit::Unsettled => {
                Some("not as exact as asked for: allow more --max-trials, or --seconds".to_owned())
            }
        };
        let lapse = self.critical.map_or(0.0, |critical| critical.lapse);
        let unsteady = (lapse > UNSTEADY && self.limit != Limit::Low).then(|| {
            format!(
                "about {:.0} % of trials lose something whatever the rate: something else disturbs \
                 this host; `speadway doctor` may know what",
                lapse * 100.0
            )
        });
        [limit, unsteady, self.lateness()].into_iter().flatten().collect()
    }

    /// What went wrong where the rate was lowest.
    fn first_fault(&self) -> Option<&str> {
        let lossy = self.trials.iter().filter(|trial| !trial.is_clean());
        let lowest = lossy.min_by(|a, b| a.rate.total_cmp(&b.rate))?;
        lowest.faults.first().map(String::as_str)
    }
}

impl Limit {
    fn describe(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::High => "--high",
            Self::Receiver => "receiver",
            Self::Low => "(none held)",
            Self::Unsettled => "(unsettled)",
        }
    }
}

impl Results {
    /// Nothing measured yet.
    pub(super) fn new(agents: Vec<Host>, workload: String) -> Self {
        Self { master: Host::this(), agents, workload, ..Self::default() }
    }

    /// Takes note of what the agents' kernels granted.
    pub(super) fn note_streams(&mut self, opened: &[Vec<Opened>]) {
        for (host, streams) in self.agents.iter().zip(opened) {
            for hint in streams.iter().filter_map(|stream| stream.hint.as_ref()) {
                let name = &host.name;
                self.notes.insert(format!("{name}: the receive buffer is too small; {hint}"));
            }
            if host.speadway != self.master.speadway {
                let (version, mine) = (&host.speadway, &self.master.speadway);
                self.notes.insert(format!("{}: speadway {version}, here {mine}", host.name));
            }
        }
    }

    /// The receiving hosts, in words.
    pub(super) fn receivers(&self) -> String {
        let hosts: Vec<String> = self.agents.iter().map(describe).collect();
        format!("received on {}", hosts.join("; "))
    }

    /// Writes it for people.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}", self.workload)?;
        writeln!(out, "  sender    {}", describe(&self.master))?;
        for agent in &self.agents {
            writeln!(out, "  receiver  {}", describe(agent))?;
        }
        writeln!(out)?;
        let critical = self.rows.iter().find_map(|row| row.outcome.critical);
        let confidence = critical.map_or(99.0, |critical| critical.confidence * 100.0);
        let interval = format!("{confidence} %");
        let heads =
            ["packet", "held", "critical", &interval, "limit", "receiver", "sender", "trials"];
        let units = ["", "Gb/s", "Gb/s", "Gb/s", "", "CPU s/GB", "CPU s/GB", ""];
        let mut lines = vec![heads.map(str::to_owned), units.map(str::to_owned)];
        lines.extend(self.rows.iter().map(Row::cells));
        write_aligned(out, &lines)?;
        let of_rows = self
            .rows
            .iter()
            .flat_map(|row| row.notes.iter().map(|note| format!("{} B: {note}", row.packet)));
        let notes: Vec<String> = self.notes.iter().cloned().chain(of_rows).collect();
        if !notes.is_empty() {
            writeln!(out)?;
        }
        notes.iter().try_for_each(|note| writeln!(out, "  note  {note}"))
    }
}

fn describe(host: &Host) -> String {
    let cores = Count(host.cores as u64, "core");
    format!(
        "{}: {}, {cores}, Linux {}, speadway {}",
        host.name, host.cpu, host.kernel, host.speadway
    )
}

/// Writes columns, right-aligned.
pub(super) fn write_aligned<const N: usize>(
    out: &mut impl Write,
    lines: &[[String; N]],
) -> io::Result<()> {
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    for line in lines {
        let cells = line.iter().zip(widths);
        let padded: Vec<String> = cells.map(|(cell, width)| format!("{cell:>width$}")).collect();
        writeln!(out, "  {}", padded.join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::campaign::{Critical, PASSES};
    use super::*;

    fn trial(phase: Phase, cpu: f64) -> Trial {
        let payload_received = 2_000_000_000;
        Trial { phase, receiver_cpu: cpu, payload_received, ..Trial::default() }
    }

    fn outcome(limit: Limit, held: Option<f64>) -> Outcome {
        let mut trials = vec![trial(Phase::Search, 9.0)];
        trials.extend(vec![trial(Phase::Hold, 1.0); PASSES]);
        let critical =
            Critical { median: 12.0, low: 11.9, high: 12.1, confidence: 0.99, lapse: 0.1 };
        Outcome { limit, held, critical: Some(critical), curve: Vec::new(), trials }
    }

    #[test]
    fn cost_is_that_of_the_held_rate() {
        assert_eq!(Row::new(1472, outcome(Limit::Receiver, Some(11.9))).receiver_cpu, Some(0.5));
        assert_eq!(Row::new(1472, outcome(Limit::Low, None)).receiver_cpu, None);
    }

    #[test]
    fn the_table_says_what_to_know() {
        let mut results = Results::default();
        results.rows.push(Row::new(1472, outcome(Limit::Unsettled, Some(11.9))));
        let mut out = Vec::new();
        results.write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("1472 B  11.90     12.00  11.90-12.10"), "{text}");
        assert!(text.contains("note  1472 B: not as exact as asked for"), "{text}");
        assert!(text.contains("about 10 % of trials lose something"), "{text}");
    }
}

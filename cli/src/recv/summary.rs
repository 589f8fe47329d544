//! What is shown at the end.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Map, Value, json};
use speadway::chunk::{GroupStats, Tally};
use speadway::heap::HeapOutcome;
use speadway::recv::{End, StreamStats};
use speadway::ring::RingStats;

use super::session::{Receiving, Why};
use super::sources::About;
use super::verify::Verified;
use crate::report::{self, Table};
use crate::units::{Count, Rate, Volume};

/// Everything that was counted.
pub(super) struct Summary {
    why: Why,
    pub(super) time: Duration,
    streams: Vec<Ended>,
    ring: RingStats,
    group: Option<GroupStats>,
    chunks: Option<Tally>,
    heaps: Option<u64>,
    verified: Option<Verified>,
}

/// A stream that has ended.
struct Ended {
    sources: Vec<About>,
    end: End,
    stats: StreamStats,
}

impl Summary {
    /// Waits for the streams to end, after which their counters are exact.
    pub(super) fn new(
        why: Why,
        receiving: &Receiving,
        ring: RingStats,
        about: &[Vec<About>],
    ) -> Self {
        let ends = receiving.wait();
        let streams = receiving.streams().iter().zip(ends).zip(about);
        let streams = streams
            .map(|((stream, end), sources)| Ended {
                sources: sources.clone(),
                end,
                stats: stream.stats(),
            })
            .collect();
        let group = receiving.group_stats();
        Self {
            why,
            time: Duration::ZERO,
            streams,
            ring,
            group,
            chunks: None,
            heaps: None,
            verified: None,
        }
    }

    pub(super) fn with_chunks(self, tally: Tally, verified: Option<Verified>) -> Self {
        Self { chunks: Some(tally), verified, ..self }
    }

    pub(super) fn with_heaps(self, heaps: u64, verified: Option<Verified>) -> Self {
        Self { heaps: Some(heaps), verified, ..self }
    }

    /// Whether no stream failed, and what was to be verified is right.
    pub(super) fn is_good(&self) -> bool {
        self.verified.is_none_or(|verified| verified.is_good())
            && !self.streams.iter().any(|stream| matches!(stream.end, End::Failed(_)))
    }

    fn bytes(&self) -> u64 {
        self.streams.iter().map(|stream| stream.stats.bytes_placed).sum()
    }

    /// Writes it for people.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let why = match self.why {
            Why::Ended => "all streams ended",
            Why::Limit => "reached --limit",
            Why::Timeout => "reached --timeout",
            Why::Interrupted => "interrupted",
        };
        let bytes = self.bytes();
        let rate = Rate { bytes, time: self.time };
        writeln!(out, "{why} after {:.2} s", self.time.as_secs_f64())?;
        writeln!(out, "received {} ({rate} on average)", Volume(bytes))?;
        if let Some(tally) = &self.chunks {
            let chunks = Count(tally.chunks, "chunk");
            write!(out, "{chunks}, {} complete", tally.complete)?;
            let (present, missing) = (tally.heaps_present, tally.heaps_missing);
            writeln!(out, "; {} present, {missing} missing", Count(present, "heap"))?;
        }
        if let Some(heaps) = self.heaps {
            writeln!(out, "{}", Count(heaps, "heap"))?;
        }
        if let Some(verified) = &self.verified {
            writeln!(out, "{verified}")?;
        }
        for stream in &self.streams {
            if let End::Failed(why) = &stream.end {
                writeln!(out, "{} failed: {why}", stream.name())?;
            }
            for about in &stream.sources {
                if let Some(frames) = &about.frames {
                    writeln!(out, "{}: {frames}", about.source)?;
                }
            }
        }
        if let Some(hint) = self.hint() {
            writeln!(out, "{hint}")?;
        }
        writeln!(out)?;
        let mut table = Table::default();
        for stream in &self.streams {
            table.add(stream.name(), &stream.stats);
        }
        table.write(out)?;
        if let Some(group) = &self.group {
            report::write_row(out, "group", &group_counters(group))?;
        }
        report::write_row(out, "ring", &ring_counters(&self.ring))
    }

    /// What to look at if few of the heaps that arrived were placed.
    fn hint(&self) -> Option<&'static str> {
        let sum = |of: &dyn Fn(&StreamStats) -> u64| -> u64 {
            self.streams.iter().map(|stream| of(&stream.stats)).sum()
        };
        let placed = sum(&|stats| stats.outcome(HeapOutcome::Placed));
        if placed == 0 && sum(&|stats| stats.rejected_heaps) > 0 {
            return Some(
                "no heap belongs in a chunk: all have another length than --heap-size, lack the item of\n\
                 --sequence-item or --axis, or have values of it that --step, --origin or --axis rule out.\n\
                 Leave out --heap-size to see the heaps as they are.",
            );
        }
        (sum(&|stats| stats.too_old_heaps) > placed).then_some(
            "most heaps were too old: their chunks had been handed over before they came. If a sender\n\
             started over, or a single id was corrupt, --max-jump helps; if streams are apart from each\n\
             other, a larger --window or --eviction lossless.",
        )
    }

    /// Writes it for machines.
    pub(super) fn write_json(&self, out: &mut impl Write) -> Result<()> {
        let streams: Vec<Value> = self.streams.iter().map(Ended::to_json).collect();
        let mut event = json!({
            "event": "end",
            "why": self.why,
            "ok": self.is_good(),
            "seconds": self.time.as_secs_f64(),
            "bytes": self.bytes(),
            "streams": streams,
            "total": self.total(),
            "ring": object(&ring_counters(&self.ring)),
        });
        if let Some(group) = &self.group {
            event["group"] = object(&group_counters(group));
        }
        if let Some(tally) = &self.chunks {
            event["chunks"] = json!(tally.chunks);
            event["chunks_complete"] = json!(tally.complete);
            event["chunks_missing"] = json!(tally.chunks_missing);
            event["heaps_present"] = json!(tally.heaps_present);
            event["heaps_missing"] = json!(tally.heaps_missing);
        }
        if let Some(heaps) = self.heaps {
            event["heaps"] = json!(heaps);
        }
        if let Some(verified) = &self.verified {
            event["verified"] = json!(verified);
        }
        serde_json::to_writer(&mut *out, &event)?;
        Ok(writeln!(out)?)
    }

    /// The counters over all streams.
    fn total(&self) -> Value {
        let mut table = Table::default();
        for stream in &self.streams {
            table.add("", &stream.stats);
        }
        table
            .totals()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect::<Map<_, _>>()
            .into()
    }
}

impl Ended {
    fn name(&self) -> String {
        let names: Vec<&str> = self.sources.iter().map(|about| about.source.as_str()).collect();
        names.join(" ")
    }

    fn to_json(&self) -> Value {
        let (end, failure) = match &self.end {
            End::Finished => ("finished", None),
            End::Failed(why) => ("failed", Some(why.as_str())),
            _ => ("stopped", None),
        };
        let stats: Map<String, Value> = self
            .stats
            .counters()
            .into_iter()
            .filter(|&(_, value)| value != 0)
            .map(|(name, value)| (name, value.into()))
            .collect();
        let sources: Vec<&str> = self.sources.iter().map(|about| about.source.as_str()).collect();
        json!({ "sources": sources, "end": end, "failure": failure, "stats": stats })
    }
}

type Counters = [(&'static str, u64)];

fn object(counters: &Counters) -> Value {
    counters
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.into()))
        .collect::<Map<_, _>>()
        .into()
}

fn group_counters(group: &GroupStats) -> [(&'static str, u64); 3] {
    [
        ("chunks_opened", group.chunks_opened),
        ("chunks_refused", group.chunks_refused),
        ("chunks_delivered", group.chunks_delivered),
    ]
}

fn ring_counters(ring: &RingStats) -> [(&'static str, u64); 7] {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    [
        ("capacity", ring.capacity as u64),
        ("high_water", ring.high_water as u64),
        ("pushed", ring.pushed),
        ("popped", ring.popped),
        ("full_events", ring.full_events),
        ("empty_events", ring.empty_events),
        ("producer_wait_ns", nanos(ring.producer_wait)),
    ]
}

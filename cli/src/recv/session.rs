//! Receiving from start to end: the loop that takes what arrives, and what can end it.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use speadway::chunk::GroupStats;
use speadway::recv::{End, Group, Stream, StreamStats};
use speadway::ring::{Ring, TryPopError};

use super::options::Output;
use super::signals::Signals;
use crate::progress::Progress;
use crate::units::Rate;

/// How long to wait for something to arrive before looking at the rest.
const TICK: Duration = Duration::from_millis(50);

/// The streams that receive.
pub(super) enum Receiving {
    Group(Group),
    Streams(Vec<Stream>),
}

/// What takes what arrives.
pub(super) trait Consumer<T> {
    /// Takes one.
    fn take(&mut self, item: T) -> Result<()>;

    /// Nothing more is there at the moment: what was written is to be seen.
    fn pause(&mut self) -> Result<()>;

    /// How many were taken.
    fn taken(&self) -> u64;

    /// What has been taken, in a few words.
    fn describe(&self) -> String;
}

/// What ended the reception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Why {
    /// The senders, or the end of the captures.
    Ended,
    /// `--limit`
    Limit,
    /// `--timeout`
    Timeout,
    /// Ctrl-C
    Interrupted,
}

impl Receiving {
    pub(super) fn streams(&self) -> &[Stream] {
        match self {
            Self::Group(group) => group.members(),
            Self::Streams(streams) => streams,
        }
    }

    pub(super) fn group_stats(&self) -> Option<GroupStats> {
        match self {
            Self::Group(group) => Some(group.stats()),
            Self::Streams(_) => None,
        }
    }

    /// No more is read; all that was received is delivered.
    fn finish(&self) {
        match self {
            Self::Group(group) => group.finish(),
            Self::Streams(streams) => streams.iter().for_each(|stream| stream.finish()),
        }
    }

    /// Nothing more is delivered.
    fn stop(&self) {
        match self {
            Self::Group(group) => group.stop(),
            Self::Streams(streams) => streams.iter().for_each(|stream| stream.stop()),
        }
    }

    /// Waits for all streams to end, and says how they did.
    pub(super) fn wait(&self) -> Vec<End> {
        self.streams().iter().map(|stream| stream.wait()).collect()
    }
}

/// Takes what arrives until something ends it. When it returns, the streams have ended, or are
/// about to.
pub(super) fn drive<T>(
    receiving: &Receiving,
    ring: &Ring<T>,
    consumer: &mut impl Consumer<T>,
    output: &Output,
    signals: &Signals,
) -> Result<Why> {
    let mut progress = Watching::new(output);
    let deadline = output.timeout.and_then(|timeout| progress.started.checked_add(timeout));
    let mut why = Why::Ended;
    while let Some(item) = next(ring, consumer)? {
        if let Some(item) = item {
            progress.line.clear();
            consumer.take(item)?;
        }
        if output.limit.is_some_and(|limit| consumer.taken() >= limit) {
            why = Why::Limit;
            receiving.stop();
            break;
        }
        let now = Instant::now();
        if signals.take() {
            if why == Why::Interrupted {
                receiving.stop()
            } else {
                receiving.finish()
            }
            why = Why::Interrupted;
        }
        if why == Why::Ended && deadline.is_some_and(|deadline| now >= deadline) {
            why = Why::Timeout;
            receiving.finish();
        }
        progress.look(now, receiving, consumer);
    }
    progress.line.clear();
    consumer.pause()?;
    Ok(why)
}

/// The next to arrive; `Some(None)` if none has for a moment, `None` if none will.
fn next<T>(ring: &Ring<T>, consumer: &mut impl Consumer<T>) -> Result<Option<Option<T>>> {
    let popped = match ring.try_pop() {
        Err(TryPopError::Empty) => {
            consumer.pause()?;
            ring.pop_timeout(TICK)
        }
        popped => popped,
    };
    Ok(match popped {
        Ok(item) => Some(Some(item)),
        Err(TryPopError::Empty) => Some(None),
        Err(TryPopError::Ended) => None,
    })
}

/// Shows how it is going.
struct Watching {
    line: Progress,
    started: Instant,
    last: (Instant, u64, u64),
}

impl Watching {
    fn new(output: &Output) -> Self {
        let now = Instant::now();
        let line = Progress::new(Duration::from_secs(1), output.progress, output.quiet);
        Self { line, started: now, last: (now, 0, 0) }
    }

    fn look<T>(&mut self, now: Instant, receiving: &Receiving, consumer: &impl Consumer<T>) {
        if !self.line.is_due(now) {
            return;
        }
        let sum = |of: fn(&StreamStats) -> u64| -> u64 {
            receiving.streams().iter().map(|stream| of(&stream.stats())).sum()
        };
        let (bytes, packets) = (sum(|s| s.bytes_placed), sum(|s| s.packets_received));
        let (then, old_bytes, old_packets) =
            std::mem::replace(&mut self.last, (now, bytes, packets));
        let time = now - then;
        let rate = Rate { bytes: bytes - old_bytes, time };
        let packet_rate = (packets - old_packets) as f64 / time.as_secs_f64().max(1e-9);
        let drops = match sum(|s| s.kernel_drops) {
            0 => String::new(),
            drops => format!("  {drops} packets dropped by the kernel"),
        };
        let line = format!(
            "{:6.1} s  {rate}  {packet_rate:.0} packets/s  {}{drops}",
            (now - self.started).as_secs_f64(),
            consumer.describe()
        );
        self.line.show(now, &line);
    }
}

//! Sending what a capture has, when it was captured.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use serde_json::json;
use speadway::net::{PacketParts, UdpSender};

use super::capture::{Capture, CaptureName};
use super::open::udp_config;
use super::options::Options;
use super::session::Why;
use crate::progress::Progress;
use crate::recv::Signals;
use crate::units::{Count, Rate, Volume};

/// Packets handed over together, if so many are due.
const BATCH: usize = 64;

/// How long to wait while the send buffer is full: about what it takes to send a few packets.
const WAIT: Duration = Duration::from_micros(50);

/// How long to wait before looking whether the user wants to end.
const TICK: Duration = Duration::from_millis(50);

/// Replays a capture. Says whether all of it was sent.
pub(super) fn run(options: &Options, name: &CaptureName) -> Result<bool> {
    let mut capture = Capture::open(name)?;
    let mut replay = Replay::new(options)?;
    let mut payload = Vec::new();
    let mut damage = None;
    while replay.why.is_none() {
        match capture.next(&mut payload) {
            Ok(Some(time)) => replay.take(time, &payload),
            Ok(None) => break,
            Err(error) => {
                replay.why = Some(Why::Failed);
                damage = Some(error);
            }
        }
    }
    replay.flush();
    replay.line.clear();
    replay.report(capture.skipped(), options.output.json, &mut io::stdout().lock())?;
    match damage {
        Some(error) => Err(error),
        None => Ok(replay.is_good()),
    }
}

struct Replay {
    lanes: Vec<(SocketAddr, UdpSender)>,
    speed: f64,
    /// When the first packet was captured, and when it was sent.
    first: Option<(Duration, Instant)>,
    /// What is due.
    bytes: Vec<u8>,
    packets: Vec<Range<usize>>,
    started: Instant,
    deadline: Option<Instant>,
    signals: Signals,
    line: Progress,
    why: Option<Why>,
    sent: (u64, u64),
    late: Duration,
    errors: BTreeMap<String, u64>,
}

impl Replay {
    fn new(options: &Options) -> Result<Self> {
        let open = |address: SocketAddr| {
            let sender = UdpSender::open(&udp_config(options, address));
            Ok((address, sender.map_err(|error| anyhow!("{error}"))?))
        };
        if options.destinations.iter().any(|to| to.is_tcp(&options.network)) {
            bail!(
                "--pcap sends UDP datagrams as they are, which TCP cannot; name UDP destinations"
            );
        }
        let addresses = options.destinations.iter().map(|destination| destination.resolve());
        let output = &options.output;
        let lanes = addresses.map(|address| open(address?)).collect::<Result<_>>()?;
        let now = Instant::now();
        Ok(Self {
            lanes,
            speed: options.replay.speed,
            first: None,
            bytes: Vec::new(),
            packets: Vec::new(),
            started: now,
            deadline: output.seconds.and_then(|seconds| now.checked_add(seconds)),
            signals: Signals::watch()?,
            line: Progress::new(Duration::from_secs(1), output.progress, output.quiet),
            why: None,
            sent: (0, 0),
            late: Duration::ZERO,
            errors: BTreeMap::new(),
        })
    }

    /// Sends a packet at its time, or soon after.
    fn take(&mut self, time: Duration, payload: &[u8]) {
        let now = self.look();
        if self.speed > 0.0 {
            let (first, start) = *self.first.get_or_insert((time, now));
            let after = time.saturating_sub(first).as_secs_f64() / self.speed;
            let due = Duration::try_from_secs_f64(after).ok().and_then(|d| start.checked_add(d));
            if due.is_none_or(|due| due > now) {
                self.flush();
                self.wait(due);
            }
            if let (Some(due), None) = (due, self.why) {
                self.late = self.late.max(Instant::now().saturating_duration_since(due));
            }
        }
        if self.why.is_some() {
            return;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        self.packets.push(start..self.bytes.len());
        if self.packets.len() >= BATCH {
            self.flush();
        }
    }

    /// Waits until `due`, or until something ends it; `None` is beyond all times.
    fn wait(&mut self, due: Option<Instant>) {
        loop {
            let now = self.look();
            let left = due.map_or(TICK, |due| due.saturating_duration_since(now));
            if left.is_zero() || self.why.is_some() {
                return;
            }
            thread::sleep(left.min(TICK));
        }
    }

    /// Looks at what can end it, and shows how it goes.
    fn look(&mut self) -> Instant {
        let now = Instant::now();
        if self.signals.take() {
            self.why = Some(Why::Interrupted);
        }
        if self.why.is_none() && self.deadline.is_some_and(|deadline| now >= deadline) {
            self.why = Some(Why::Seconds);
        }
        if self.line.is_due(now) {
            let (packets, bytes) = self.sent;
            let time = now - self.started;
            let packets = Count(packets, "packet");
            let line = format!("{:6.1} s  {packets}  {}", time.as_secs_f64(), Volume(bytes));
            self.line.show(now, &line);
        }
        now
    }

    /// Sends what is due to every destination.
    fn flush(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let ranges = std::mem::take(&mut self.packets);
        let parts = ranges.iter().map(|range| PacketParts::new(&bytes[range.clone()], &[]));
        let packets: Vec<_> = parts.collect();
        let mut lanes = std::mem::take(&mut self.lanes);
        for (address, sender) in &mut lanes {
            self.send(*address, sender, &packets);
        }
        self.lanes = lanes;
        (self.bytes, self.packets) = (bytes, ranges);
        self.bytes.clear();
        self.packets.clear();
    }

    fn send(&mut self, to: SocketAddr, sender: &mut UdpSender, mut packets: &[PacketParts<'_>]) {
        while !packets.is_empty() {
            let done = match sender.send(Some(to), packets) {
                Ok(0) => {
                    self.look();
                    if matches!(self.why, Some(Why::Interrupted | Why::Seconds)) {
                        return;
                    }
                    thread::sleep(WAIT);
                    continue;
                }
                Ok(sent) => {
                    self.sent.0 += sent as u64;
                    self.sent.1 += packets[..sent].iter().map(|p| p.len() as u64).sum::<u64>();
                    sent
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(error) => {
                    *self.errors.entry(error.to_string()).or_default() += 1;
                    1
                }
            };
            packets = &packets[done..];
        }
    }

    fn is_good(&self) -> bool {
        self.why != Some(Why::Failed) && self.errors.is_empty()
    }

    fn report(&self, skipped: u64, is_json: bool, out: &mut impl Write) -> Result<()> {
        let ((packets, bytes), time) = (self.sent, self.started.elapsed());
        let (seconds, rate) = (time.as_secs_f64(), Rate { bytes, time });
        let late = self.late.as_secs_f64();
        let why = self.why.unwrap_or(Why::Capture);
        if is_json {
            let event = json!({
                "event": "end",
                "why": why,
                "ok": self.is_good(),
                "seconds": seconds,
                "packets": packets,
                "bytes": bytes,
                "gigabits_per_second": rate.gigabits(),
                "frames_skipped": skipped,
                "latest_seconds": late,
                "errors": self.errors,
            });
            return Ok(writeln!(out, "{event}")?);
        }
        let packets = Count(packets, "packet");
        writeln!(out, "{} after {seconds:.2} s", why.describe())?;
        writeln!(out, "{packets}, {} ({rate} on average)", Volume(bytes))?;
        if self.speed > 0.0 {
            writeln!(out, "late by {:.3} ms at most", late * 1e3)?;
        }
        if skipped > 0 {
            writeln!(out, "skipped {}", Count(skipped, "other frame"))?;
        }
        for (error, count) in &self.errors {
            writeln!(out, "{} refused: {error}", Count(*count, "packet"))?;
        }
        Ok(())
    }
}

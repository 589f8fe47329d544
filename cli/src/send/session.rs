//! Sending from start to end: how many heaps wait, and what can end it.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use speadway::send::{HeapRef, Pacing, SendError, SendStats, SendStream};

use super::heaps::Heaps;
use super::options::{Options, Output};
use crate::progress::Progress;
use crate::recv::Signals;
use crate::units::{Count, Rate};

/// How long to wait for a heap to be sent before looking at the rest.
const TICK: Duration = Duration::from_millis(50);

/// Heaps that may fail before any is sent: after that it is believed that none ever will be.
const HOPELESS: u64 = 16;

/// What ended the sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Why {
    /// `--heaps`
    Heaps,
    /// The end of a capture.
    Capture,
    /// `--seconds`
    Seconds,
    /// Ctrl-C
    Interrupted,
    /// A receiver that went away, destinations that nothing can be sent to, or a damaged capture.
    Failed,
}

impl Why {
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Heaps => "sent all heaps",
            Self::Capture => "replayed the capture",
            Self::Seconds => "reached --seconds",
            Self::Interrupted => "interrupted",
            Self::Failed => "gave up",
        }
    }
}

/// What was sent.
pub(super) struct Sent {
    pub(super) why: Why,
    /// Heaps with data given to the stream.
    pub(super) heaps: u64,
    pub(super) stats: SendStats,
    /// Who kept the rate, if there was one to keep.
    pub(super) pacing: Option<Pacing>,
    /// Until the last heap with data was gone.
    pub(super) time: Duration,
    /// What went wrong, and how often.
    pub(super) errors: BTreeMap<String, u64>,
}

/// What becomes of the heaps, told by the sending thread.
struct Board {
    caller: Thread,
    waiting: AtomicUsize,
    failed: AtomicU64,
    broken: AtomicBool,
    errors: Mutex<BTreeMap<String, u64>>,
}

impl Board {
    fn done(&self, result: Result<u64, SendError>) {
        if let Err(error) = result {
            self.note(&error);
        }
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        self.caller.unpark();
    }

    fn note(&self, error: &SendError) {
        if let SendError::Transport(error) = error
            && is_over(error.kind())
        {
            self.broken.store(true, Ordering::Relaxed);
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        *errors.entry(error.to_string()).or_default() += 1;
    }
}

/// Whether a connection has ended.
fn is_over(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        kind,
        Kind::BrokenPipe
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::NotConnected
            | Kind::WriteZero
    )
}

/// Sends until something ends it, then the stop heaps.
pub(super) fn drive(stream: &SendStream, options: &Options, heaps: &mut Heaps<'_>) -> Result<Sent> {
    let mut session = Session::new(stream, options)?;
    let mut given = 0;
    while session.why.is_none() {
        let Some(heap) = heaps.next()? else { break };
        if session.submit(&heap)? {
            given = heaps.data();
        }
    }
    let why = session.why.unwrap_or(Why::Heaps);
    session.wait_for_all();
    let time = session.started.elapsed();
    session.stop(heaps)?;
    session.line.clear();
    // A connection may still hold what nobody reads; without an end by Ctrl-C it is waited for.
    if session.is_over() {
        stream.abort()
    } else {
        stream.close()
    }
    let why = match session.why {
        Some(last) if session.is_over() => last,
        _ => why,
    };
    let errors =
        std::mem::take(&mut *session.board.errors.lock().unwrap_or_else(PoisonError::into_inner));
    let pacing = options.sending.has_rate().then(|| stream.pacing());
    Ok(Sent { why, heaps: given, stats: stream.stats(), pacing, time, errors })
}

struct Session<'a> {
    stream: &'a SendStream,
    board: Arc<Board>,
    max_heaps: usize,
    signals: Signals,
    deadline: Option<Instant>,
    started: Instant,
    line: Progress,
    last: (Instant, SendStats),
    why: Option<Why>,
    /// Only stop heaps are left to send.
    stopping: bool,
    /// Asked for a second time to end.
    aborted: bool,
}

impl<'a> Session<'a> {
    fn new(stream: &'a SendStream, options: &Options) -> Result<Self> {
        let Output { seconds, progress, quiet, .. } = options.output;
        let board = Board {
            caller: thread::current(),
            waiting: AtomicUsize::new(0),
            failed: AtomicU64::new(0),
            broken: AtomicBool::new(false),
            errors: Mutex::default(),
        };
        let now = Instant::now();
        Ok(Self {
            stream,
            board: Arc::new(board),
            max_heaps: options.sending.max_heaps,
            signals: Signals::watch()?,
            deadline: seconds.and_then(|seconds| now.checked_add(seconds)),
            started: now,
            line: Progress::new(Duration::from_secs(1), progress, quiet),
            last: (now, SendStats::default()),
            why: None,
            stopping: false,
            aborted: false,
        })
    }

    /// Whether nothing more is to be sent, stop heaps included.
    fn is_over(&self) -> bool {
        self.aborted || self.why == Some(Why::Failed)
    }

    fn waiting(&self) -> usize {
        self.board.waiting.load(Ordering::Acquire)
    }

    /// Sends the heaps that end the stream.
    fn stop(&mut self, heaps: &mut Heaps<'_>) -> Result<()> {
        self.stopping = true;
        for _ in 0..self.stream.substreams() {
            self.submit(&heaps.stop())?;
        }
        self.wait_for_all();
        Ok(())
    }

    /// Gives the stream a heap when there is room; false if the end comes first.
    fn submit(&mut self, heap: &HeapRef) -> Result<bool> {
        loop {
            self.look();
            if self.is_over() || (self.why.is_some() && !self.stopping) {
                return Ok(false);
            }
            if self.waiting() < self.max_heaps && self.try_submit(heap)? {
                return Ok(true);
            }
            thread::park_timeout(TICK);
        }
    }

    /// False if there is no room.
    fn try_submit(&mut self, heap: &HeapRef) -> Result<bool> {
        let board = Arc::clone(&self.board);
        self.board.waiting.fetch_add(1, Ordering::AcqRel);
        let Err(error) = self.stream.send_then(heap.clone(), move |result| board.done(result))
        else {
            return Ok(true);
        };
        self.board.waiting.fetch_sub(1, Ordering::AcqRel);
        match error {
            SendError::QueueFull => Ok(false),
            error => Err(error.into()),
        }
    }

    /// Waits until every heap has been sent or has failed, or the user wants to wait no more.
    fn wait_for_all(&mut self) {
        while self.waiting() > 0 && !self.aborted {
            self.look();
            thread::park_timeout(TICK);
        }
        self.look();
    }

    /// Looks at what can end it, and shows how it goes.
    fn look(&mut self) {
        let now = Instant::now();
        if self.signals.take() {
            self.aborted |= self.why.replace(Why::Interrupted) == Some(Why::Interrupted);
        }
        let failed = self.board.failed.load(Ordering::Relaxed);
        let hopeless = failed >= HOPELESS && self.stream.stats().heaps == 0;
        if hopeless || self.board.broken.load(Ordering::Relaxed) {
            self.why = Some(Why::Failed);
        }
        if self.why.is_none() && self.deadline.is_some_and(|deadline| now >= deadline) {
            self.why = Some(Why::Seconds);
        }
        if self.line.is_due(now) {
            self.show(now);
        }
    }

    fn show(&mut self, now: Instant) {
        let stats = self.stream.stats();
        let (then, old) = std::mem::replace(&mut self.last, (now, stats));
        let time = now - then;
        let rate = Rate { bytes: stats.bytes - old.bytes, time };
        let packets = (stats.packets - old.packets) as f64 / time.as_secs_f64().max(1e-9);
        let errors = match stats.errors {
            0 => String::new(),
            errors => format!("  {}", Count(errors, "error")),
        };
        let line = format!(
            "{:6.1} s  {rate}  {packets:.0} packets/s  {}{errors}",
            (now - self.started).as_secs_f64(),
            Count(stats.heaps, "heap")
        );
        self.line.show(now, &line);
    }
}

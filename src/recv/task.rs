//! A stream on its worker: readers feed the engine, and the engine parks, drains and stops.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use mio::Token;

use super::control::{End, Shared};
use super::engine::{Engine, Sink};
use super::reader::{Inlet, ReadState, Reader, Watch};
use super::rejects::Rejects;
use super::worker::{Polled, Task, TaskCx};
use crate::chunk::{Cx, GateGuard, ParkReason};
use crate::limit::LogLimit;

/// What a stream reads, and how.
pub(crate) struct Sources {
    pub(crate) readers: Vec<Box<dyn Reader>>,
    /// Batches that are read before others have their turn.
    pub(crate) quantum: usize,
    /// Whether the stream ends with the first of its readers that ends, not the last.
    pub(crate) end_with_first_reader: bool,
}

/// The task that a worker runs for a stream.
pub(crate) struct StreamTask<S: Sink> {
    shared: Arc<Shared<S>>,
    readers: Vec<Option<Source>>,
    /// Whose turn it is.
    next: usize,
    quantum: usize,
    max_age: Option<Duration>,
    end_with_first_reader: bool,
    parked: Option<Park>,
    /// Whether the reader whose turn it is holds packets that the stream could not take.
    holding: bool,
    /// Whether the current quantum ended in a park.
    stuck: bool,
    draining: bool,
    /// What the kernel dropped for readers that have ended.
    past_drops: u64,
    rejects: Rejects,
    /// Why the last source to fail did.
    failure: Option<String>,
}

/// A stream that waits is worth a line in the log after this long, once per episode.
const PARK_LOGGED_AFTER: Duration = Duration::from_secs(1);

/// A stream that cannot go on, and since when.
#[derive(Clone, Copy)]
struct Park {
    reason: ParkReason,
    since: Instant,
    /// Packets received so far: if there are more, it is another episode.
    seen: u64,
    logged: bool,
}

/// A reader and what is known of it.
struct Source {
    reader: Box<dyn Reader>,
    /// Whether it may have something.
    maybe_readable: bool,
    /// Whether it waits on a descriptor; otherwise any wake-up may be for it.
    watches: bool,
    attached: bool,
    /// Packets so far in a batch that goes on.
    batch: u64,
    log_limit: LogLimit,
}

impl<S: Sink> StreamTask<S> {
    pub(crate) fn new(shared: Arc<Shared<S>>, sources: Sources, max_age: Option<Duration>) -> Self {
        let Sources { readers, quantum, end_with_first_reader } = sources;
        Self {
            shared,
            readers: readers.into_iter().map(|reader| Some(Source::new(reader))).collect(),
            next: 0,
            quantum,
            max_age,
            end_with_first_reader,
            parked: None,
            holding: false,
            stuck: false,
            draining: false,
            past_drops: 0,
            rejects: Rejects::default(),
            failure: None,
        }
    }

    /// What the stream waits for, for those who step through it.
    #[cfg(any(test, speadway_fuzz))]
    pub(super) fn parked_for(&self) -> Option<ParkReason> {
        self.parked.map(|park| park.reason)
    }

    /// One quantum with the engine locked.
    fn work(&mut self, engine: &mut GateGuard<'_, Engine<S>>, cx: &TaskCx<'_>) -> Polled {
        let ecx = Cx { waker: cx.waker, now: cx.now };
        if let Err(reason) = engine.drain(&ecx) {
            return self.park(engine, reason, cx.now);
        }
        if self.shared.control.finish.load(Ordering::Acquire) && !self.draining {
            if let Turn::Parked(reason) = self.deliver_held(engine, cx) {
                return self.park(engine, reason, cx.now);
            }
            self.start_draining(engine, &ecx);
        }
        if !self.draining {
            self.take_added();
            match self.read(engine, cx) {
                Turn::Parked(reason) => return self.park(engine, reason, cx.now),
                Turn::More => return Polled::Again,
                Turn::Drained => {
                    engine.tick(&ecx, true);
                    return self.settle(engine, &ecx);
                }
                Turn::Ended => self.start_draining(engine, &ecx),
            }
        }
        match engine.drain(&ecx) {
            Err(reason) => self.park(engine, reason, cx.now),
            Ok(()) => {
                engine.end(&ecx);
                Polled::Done
            }
        }
    }

    /// All readers are empty: hands over what the last packets finished, and waits.
    fn settle(&mut self, engine: &mut GateGuard<'_, Engine<S>>, cx: &Cx<'_>) -> Polled {
        if let Err(reason) = engine.drain(cx) {
            return self.park(engine, reason, cx.now);
        }
        Polled::Wait(self.max_age.and_then(|age| cx.now.checked_add(age)))
    }

    /// Reads for a quantum, one reader after the other.
    fn read(&mut self, engine: &mut GateGuard<'_, Engine<S>>, cx: &TaskCx<'_>) -> Turn {
        for _ in 0..self.quantum {
            let Some(at) = self.pick() else { return self.idle() };
            let state = self.read_from(at, engine, cx);
            let turn = self.digest(at, state, engine, cx);
            self.holding = matches!(turn, Turn::Parked(_));
            match turn {
                Turn::Parked(_) => {
                    // The engine has begun this reader's packet: nobody else's may come before it.
                    self.next = at;
                    return turn;
                }
                Turn::Ended => return turn,
                Turn::More | Turn::Drained if engine.is_stopped() => return Turn::Ended,
                Turn::More | Turn::Drained => {}
            }
            // Others may have asked for a flush meanwhile; they wait for at most a batch.
            engine.serve();
        }
        match self.pick() {
            Some(_) => Turn::More,
            None => self.idle(),
        }
    }

    /// What the last reader received and could not deliver; nothing of it is lost by finishing.
    fn deliver_held(&mut self, engine: &mut GateGuard<'_, Engine<S>>, cx: &TaskCx<'_>) -> Turn {
        if !self.holding {
            return Turn::Drained;
        }
        let state = self.read_from(self.next, engine, cx);
        let turn = self.digest(self.next, state, engine, cx);
        self.holding = matches!(turn, Turn::Parked(_));
        turn
    }

    /// The next reader that may have something, in turn.
    fn pick(&mut self) -> Option<usize> {
        let count = self.readers.len();
        let ready =
            |at: &usize| self.readers[*at].as_ref().is_some_and(|source| source.maybe_readable);
        let at = (self.next..self.next + count).map(|at| at % count.max(1)).find(ready)?;
        self.next = (at + 1) % count;
        Some(at)
    }

    /// Nothing is readable: the stream waits, or has ended with its last source.
    fn idle(&self) -> Turn {
        let had_some = !self.readers.is_empty();
        if had_some && self.readers.iter().all(Option::is_none) {
            Turn::Ended
        } else {
            Turn::Drained
        }
    }

    fn read_from(
        &mut self,
        at: usize,
        engine: &mut GateGuard<'_, Engine<S>>,
        cx: &TaskCx<'_>,
    ) -> ReadState {
        let Some(source) = &mut self.readers[at] else { return ReadState::End };
        let token = Token(cx.token + at);
        let mut watch = Watch::new(Some(cx.registry), token, &mut source.watches);
        if !source.attached {
            source.attached = true;
            if let Err(error) = source.reader.attach(&mut watch) {
                return ReadState::Failed(error);
            }
        }
        let ecx = Cx { waker: cx.waker, now: cx.now };
        let mut inlet = Inlet::new(&mut **engine, ecx, watch);
        let state = source.reader.read(&mut inlet);
        source.batch += inlet.packets();
        engine.sink().announce();
        if !matches!(state, ReadState::Partial | ReadState::Parked(_)) {
            let packets = std::mem::take(&mut source.batch);
            engine.counters().batches.add(1);
            engine.counters().max_batch.raise(packets);
            engine.sink().end_batch();
            self.rejects.log(engine.counters(), cx.now);
        }
        state
    }

    /// Takes note of what a read came to.
    fn digest(
        &mut self,
        at: usize,
        state: ReadState,
        engine: &mut GateGuard<'_, Engine<S>>,
        cx: &TaskCx<'_>,
    ) -> Turn {
        let Some(source) = &mut self.readers[at] else { return Turn::More };
        match state {
            ReadState::Batch | ReadState::Partial => {}
            ReadState::Empty => {
                source.maybe_readable = false;
                self.note_kernel_drops(engine, false);
            }
            ReadState::Parked(reason) => return Turn::Parked(reason),
            ReadState::Error(error) => {
                engine.counters().reader_errors.add(1);
                if let Some(held_back) = source.log_limit.pass(Instant::now()) {
                    let reader = source.reader.describe();
                    log::warn!("{reader}: {error}; receiving goes on ({held_back} more before)");
                }
            }
            ReadState::End => {
                self.close(at, cx);
                self.note_kernel_drops(engine, false);
                if self.end_with_first_reader {
                    return Turn::Ended;
                }
            }
            ReadState::Failed(error) => {
                engine.counters().reader_errors.add(1);
                let failure = format!("{}: {error}", source.reader.describe());
                log::error!("{failure}; it is read no more");
                self.failure = Some(failure);
                self.close(at, cx);
                self.note_kernel_drops(engine, false);
                if self.end_with_first_reader {
                    return Turn::Ended;
                }
            }
        }
        Turn::More
    }

    /// Reader `at` is read no more.
    fn close(&mut self, at: usize, cx: &TaskCx<'_>) {
        if let Some(mut source) = self.readers[at].take() {
            self.past_drops += source.reader.kernel_drops(true);
            let mut watches = source.watches;
            let token = Token(cx.token + at);
            source.reader.detach(&mut Watch::new(Some(cx.registry), token, &mut watches));
        }
    }

    fn close_all(&mut self, cx: &TaskCx<'_>) {
        (0..self.readers.len()).for_each(|at| self.close(at, cx));
    }

    /// Drops what is left of the readers, whatever they do at that.
    fn drop_readers(&mut self) {
        for source in self.readers.drain(..) {
            if catch_unwind(AssertUnwindSafe(|| drop(source))).is_err() {
                log::error!("a reader panicked when it was dropped");
            }
        }
    }

    fn note_kernel_drops(&mut self, engine: &mut GateGuard<'_, Engine<S>>, exact: bool) {
        let drops =
            self.readers.iter_mut().flatten().map(|source| source.reader.kernel_drops(exact));
        let total = self.past_drops + drops.sum::<u64>();
        engine.counters().kernel_drops.raise(total);
    }

    fn take_added(&mut self) {
        let mut added = self.shared.control.added.lock().unwrap_or_else(PoisonError::into_inner);
        self.readers.extend(added.drain(..).map(|reader| Some(Source::new(reader))));
    }

    fn start_draining(&mut self, engine: &mut GateGuard<'_, Engine<S>>, cx: &Cx<'_>) {
        if !std::mem::replace(&mut self.draining, true) {
            self.note_kernel_drops(engine, true);
            engine.flush(cx);
        }
    }

    fn park(
        &mut self,
        engine: &mut GateGuard<'_, Engine<S>>,
        reason: ParkReason,
        now: Instant,
    ) -> Polled {
        self.stuck = true;
        let seen = engine.counters().packets_received.get();
        let parked = self.parked.filter(|park| park.reason == reason && park.seen == seen);
        let mut park = parked.unwrap_or_else(|| {
            self.unpark(engine, now);
            engine.counters().parked(reason);
            Park { reason, since: now, seen, logged: false }
        });
        let overdue = now.saturating_duration_since(park.since) >= PARK_LOGGED_AFTER;
        if overdue && !park.logged {
            log::warn!("a stream has waited for {PARK_LOGGED_AFTER:?} for {}", reason.advice());
            park.logged = true;
        }
        self.parked = Some(park);
        Polled::Wait(if park.logged { None } else { park.since.checked_add(PARK_LOGGED_AFTER) })
    }

    fn unpark(&mut self, engine: &mut GateGuard<'_, Engine<S>>, now: Instant) {
        if let Some(park) = self.parked.take() {
            engine.counters().unparked(park.reason, now.saturating_duration_since(park.since));
        }
    }
}

/// What a quantum of reading came to.
enum Turn {
    /// There is more to read.
    More,
    /// All readers are empty.
    Drained,
    Parked(ParkReason),
    /// The sender or the last source ended the stream.
    Ended,
}

impl Source {
    fn new(reader: Box<dyn Reader>) -> Self {
        Self {
            reader,
            maybe_readable: true,
            watches: false,
            attached: false,
            batch: 0,
            log_limit: LogLimit::default(),
        }
    }
}

impl<S: Sink> Task for StreamTask<S> {
    fn poll(&mut self, cx: &TaskCx<'_>) -> Polled {
        // Only then: a stream that goes on would find the readers that it has just seen empty
        // readable again, and never be through with them.
        if cx.woken {
            for source in self.readers.iter_mut().flatten().filter(|source| !source.watches) {
                source.maybe_readable = true;
            }
        }
        let shared = Arc::clone(&self.shared);
        let mut engine = shared.gate.lock();
        if shared.control.stop.load(Ordering::Acquire) {
            self.note_kernel_drops(&mut engine, true);
            drop(engine);
            // Whoever asked frees what is left, unless it was a callback on this worker.
            self.close_all(cx);
            if shared.control.stop_from_worker.load(Ordering::Relaxed) {
                shared.abandon();
            }
            shared.announce(End::Stopped);
            return Polled::Done;
        }
        self.stuck = false;
        let mut polled = self.work(&mut engine, cx);
        let soon = engine.sink().pause(polled != Polled::Again);
        if let (Polled::Wait(until), true) = (polled, soon) {
            polled = Polled::WaitBriefly(until);
        }
        if !self.stuck {
            self.unpark(&mut engine, cx.now);
        }
        drop(engine);
        if polled == Polled::Done {
            self.close_all(cx);
            shared.announce(self.failure.take().map_or(End::Finished, End::Failed));
        }
        polled
    }

    fn readable(&mut self, reader: usize) -> bool {
        if let Some(Some(source)) = self.readers.get_mut(reader) {
            source.maybe_readable = true;
        }
        // A parked stream leaves its sockets alone: the kernel holds the data back.
        self.parked.is_none()
    }

    fn panicked(&mut self, message: &str) {
        log::error!("a callback panicked, its stream ends: {message}");
        self.drop_readers();
        self.shared.abandon_through_panics();
        self.shared.announce(End::Failed(format!("a callback panicked: {message}")));
    }
}

impl<S: Sink> Drop for StreamTask<S> {
    /// A worker that quits drops its tasks: nobody may wait for them for ever.
    fn drop(&mut self) {
        if !self.shared.has_ended() {
            self.drop_readers();
            self.shared.abandon_through_panics();
            self.shared.announce(End::Stopped);
        }
    }
}

//! What a send stream does: requests in, packets out.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use mio::Token;

use super::active::Active;
use super::batch::{Batch, MOST_PACKETS, Made};
use super::config::{Pacing, SendConfig};
use super::departures::Departures;
use super::heap::{Heap, Plan};
use super::pacer::Pacer;
use super::request::{Completion, Request, SendError};
use super::shared::Shared;
use super::transport::Transport;
use crate::recv::{Look, Polled, TaskCx, Watch};
use crate::ring::{Ended, Ring, Waiter};

/// Batches sent before others on the worker have their turn.
const QUANTUM: usize = 8;

/// A transport that had room in so many calls is watched no more until it has none: being watched
/// costs something for each message that leaves, and changing it two system calls.
const CALLS_BEFORE_DETACHING: u32 = 256;

/// The task of one send stream.
pub(crate) struct SendTask {
    shared: Arc<Shared>,
    queue: Ring<Request>,
    waiter: Waiter,
    /// For more to come, before a lone train that is not full leaves.
    look: Look,
    transport: Box<dyn Transport>,
    config: SendConfig,
    pacer: Pacer,
    /// The kernel has packets leave when the pacer says so; otherwise they are kept here until then.
    departures: Option<Departures>,
    /// Requests of which packets were made or are still to be made, oldest first.
    active: VecDeque<Active>,
    /// Of the newest of them, the heap whose packets are being made; with interleaving, all heaps
    /// that have some left. The others have none. It is here to be used again and again.
    plans: VecDeque<(usize, Plan)>,
    /// The number of the oldest active request.
    first: u64,
    batch: Batch,
    /// Whether the transport is told when there is room.
    attached: bool,
    calls_with_room: u32,
    stalled: bool,
    /// Whether the transport waits on a descriptor; otherwise any wake-up may mean room.
    watches: bool,
    maybe_writable: bool,
    /// Since when there has been nothing to send.
    idle_since: Option<Instant>,
    ended: bool,
    /// A callback or the transport panicked: the stream is over.
    broken: bool,
}

/// What became of one batch.
enum Step {
    /// There was none.
    Idle,
    /// It may not leave before its time.
    NotBefore(Instant),
    /// The transport is known to have no room.
    Waiting,
    /// The transport was found to have no room.
    Full,
    /// It went, in whole or in part, or was refused.
    Done,
}

impl SendTask {
    pub(crate) fn new(
        shared: Arc<Shared>,
        queue: Ring<Request>,
        transport: Box<dyn Transport>,
        config: SendConfig,
    ) -> Self {
        let pacer = Pacer::new(config.burst_rate_ratio);
        let departures = (config.pacing == Pacing::DepartureTimes).then(Departures::default);
        Self {
            shared,
            queue,
            waiter: Waiter::default(),
            look: Look::default(),
            transport,
            config,
            pacer,
            departures,
            active: VecDeque::with_capacity(MOST_PACKETS + 1),
            plans: VecDeque::new(),
            first: 0,
            batch: Batch::new(),
            attached: false,
            calls_with_room: 0,
            stalled: false,
            watches: false,
            maybe_writable: true,
            idle_since: None,
            ended: false,
            broken: false,
        }
    }

    /// The transport has to wait: from now on it is told when there is room.
    fn wait_for_room(&mut self, cx: &TaskCx<'_>) {
        self.calls_with_room = 0;
        self.note_stall(true);
        if std::mem::replace(&mut self.attached, true) {
            return;
        }
        let mut watch = Watch::new(Some(cx.registry), Token(cx.token), &mut self.watches);
        if let Err(error) = self.transport.attach(&mut watch) {
            self.shared.fail(error);
        }
    }

    fn note_stall(&mut self, stalled: bool) {
        if std::mem::replace(&mut self.stalled, stalled) != stalled {
            self.shared.note_stall(stalled);
        }
    }

    fn note_room(&mut self) {
        self.note_stall(false);
        self.calls_with_room = self.calls_with_room.saturating_add(1);
    }

    /// Whether the transport is watched, and has had room for so long that it need not be any more.
    fn is_watched_in_vain(&self) -> bool {
        self.attached && self.calls_with_room >= CALLS_BEFORE_DETACHING
    }

    fn watch_no_more(&mut self, cx: &TaskCx<'_>) {
        if self.is_watched_in_vain() {
            self.calls_with_room = 0;
            let mut watch = Watch::new(Some(cx.registry), Token(cx.token), &mut self.watches);
            if self.transport.detach(&mut watch) {
                (self.attached, self.watches) = (false, false);
            }
        }
    }

    /// There may be room in the transport again.
    pub(super) fn note_writable(&mut self) {
        self.maybe_writable = true;
    }

    /// Whether nothing is under way, and nothing keeps the next packets from being sent.
    pub(super) fn is_at_rest(&self) -> bool {
        let over = self.ended || self.broken || self.shared.is_aborted();
        !over && self.active.is_empty() && self.maybe_writable
    }

    /// Makes packets until the batch is full or nothing waits. Only once the last batch has gone:
    /// its memory is used again from the start then, and otherwise would grow with the stream. The
    /// queue is for the worker, which `waker` calls.
    fn fill(&mut self, waker: Option<&Waker>) {
        if !self.batch.waiting().is_empty() {
            return;
        }
        // All that fits is offered at once, so that no lone packet is left for the next call.
        let burst = self.config.burst_size.saturating_sub(self.config.max_packet_size);
        // Then somebody waits for room, or is about to, and brings more.
        let more_comes = waker.is_some() && self.queue.is_full();
        while self.batch.has_room(burst) {
            if self.make_packets(burst) {
                continue;
            }
            let Some(waker) = waker else { return };
            match self.pop(waker, more_comes) {
                Some(Ok(request)) => self.active.push_back(Active::new(request)),
                Some(Err(_)) => {
                    self.ended = true;
                    return;
                }
                None => return,
            }
        }
    }

    /// The next request, if there is one. Only if no packet waits is the worker to be called for those
    /// that come later, as otherwise it comes back anyway.
    fn pop(&mut self, waker: &Waker, more_comes: bool) -> Option<Result<Request, Ended>> {
        if self.batch.waiting().is_empty() {
            return match self.queue.poll_pop_in_run(&mut self.waiter, waker) {
                Poll::Ready(popped) => Some(popped),
                Poll::Pending => None,
            };
        }
        let popped = self.queue.try_pop_in_run();
        if popped.is_some() || !more_comes || !self.batch.is_open_train() {
            return popped;
        }
        let has_come = self.look.keeping_the_core(|| !self.queue.is_empty());
        if has_come { self.queue.try_pop_in_run() } else { None }
    }

    /// Makes packets of the newest request while there is room, or if heaps are interleaved one. False
    /// if the request has none left.
    fn make_packets(&mut self, burst: usize) -> bool {
        let number = self.first + self.active.len().saturating_sub(1) as u64;
        let Some(active) = self.active.back_mut() else { return false };
        let packet_size = self.config.max_packet_size;
        if active.request.work.is_interleaved() {
            return self.make_packet_in_turn(number, burst);
        }
        if let Some((at, mut plan)) = self.plans.pop_front() {
            let (heap, about) = active.about(number, at, self.config.rate);
            active.in_batch += self.batch.make(about, heap, &mut plan, MOST_PACKETS, burst);
            if !plan.is_finished() {
                self.plans.push_front((at, plan));
                return true;
            }
        } else if active.is_planned() {
            return false;
        }
        while self.batch.has_room(burst) {
            let Some((at, cnt)) = active.next_heap() else { break };
            let (heap, about) = active.about(number, at, self.config.rate);
            if self.batch.make_whole(about, heap, cnt, packet_size) {
                active.in_batch += 1;
                continue;
            }
            let Some(mut plan) = active.plan(at, cnt, packet_size) else { break };
            let (heap, about) = active.about(number, at, self.config.rate);
            active.in_batch += self.batch.make(about, heap, &mut plan, MOST_PACKETS, burst);
            if !plan.is_finished() {
                self.plans.push_front((at, plan));
                break;
            }
        }
        true
    }

    /// Makes a packet of the heap of the newest request whose turn it is.
    fn make_packet_in_turn(&mut self, number: u64, burst: usize) -> bool {
        let Some(active) = self.active.back_mut() else { return false };
        active.plan_all(&mut self.plans, self.config.max_packet_size);
        let Some((at, mut plan)) = self.plans.pop_front() else { return false };
        let (heap, about) = active.about(number, at, self.config.rate);
        active.in_batch += self.batch.make(about, heap, &mut plan, 1, burst);
        if !plan.is_finished() {
            self.plans.push_back((at, plan));
        }
        true
    }

    /// Offers the batch to the transport once. What it took is accounted for.
    fn send(&mut self) -> io::Result<usize> {
        // Before, as the time that sending takes is part of the packets' time.
        let now = self.paced_now();
        let (active, first) = (&self.active, self.first);
        let transport = &mut self.transport;
        let waiting = self.batch.waiting().iter().map(Made::paced);
        // Bursts are for the clock; without a rate to keep, the fewer calls the better.
        let (most, limit) = match &mut self.departures {
            Some(departures) => (departures.plan(&self.pacer, waiting, now), usize::MAX),
            None if self.batch.is_paced() => (MOST_PACKETS, self.config.burst_size.max(1)),
            None => (MOST_PACKETS, usize::MAX),
        };
        let departures = self.departures.as_ref();
        let sent = self
            .batch
            .offer(
                most,
                limit,
                |made| -> &Heap {
                    &active[(made.request - first) as usize].request.work.heaps()[made.heap].heap
                },
                |substream, parts| match departures {
                    Some(departures) => {
                        transport.send_at(substream, parts, departures.times(parts.len()))
                    }
                    None => transport.send(substream, parts),
                },
            )
            .unwrap_or(Ok(0));
        if let Ok(count) = sent {
            self.account(count, now);
        }
        sent
    }

    fn account(&mut self, count: usize, now: Instant) {
        let sent = &self.batch.waiting()[..count];
        let bytes_of = |run: &[Made]| run.iter().map(|made| made.len).sum::<usize>();
        let mut bytes = 0;
        for run in sent.chunk_by(|a, b| a.request == b.request) {
            let active = &mut self.active[(run[0].request - self.first) as usize];
            let of_run = bytes_of(run);
            active.in_batch -= run.len();
            active.bytes += of_run as u64;
            bytes += of_run;
        }
        if let Some(departures) = &mut self.departures {
            departures.sent(&mut self.pacer, sent.iter().map(Made::paced));
        } else if self.batch.is_paced() {
            for run in sent.chunk_by(|a, b| a.rate == b.rate) {
                self.pacer.sent(bytes_of(run) as u64, run[0].rate, now);
            }
        } else {
            self.pacer.sent(bytes as u64, 0.0, now);
        }
        self.shared.stats.packets.add(count as u64);
        self.shared.stats.bytes.add(bytes as u64);
        self.batch.advance(count, bytes);
        self.complete();
    }

    /// The time, if packets have a rate to keep; it costs something to ask.
    fn paced_now(&self) -> Instant {
        let timed = self.batch.is_paced() || self.departures.is_some();
        if timed { Instant::now() } else { self.shared.started }
    }

    /// Completes requests that are done, in order.
    fn complete(&mut self) {
        while let Some(active) = self.active.front() {
            let is_made = active.is_planned() && (self.active.len() > 1 || self.plans.is_empty());
            if active.in_batch > 0 || !is_made {
                return;
            }
            let Some(mut active) = self.active.pop_front() else { return };
            self.first += 1;
            let heaps = active.request.work.heaps().len() as u64;
            let done = std::mem::replace(&mut active.request.done, Completion::Silent);
            let (error, bytes) = (active.error.take(), active.bytes);
            // Whoever is told may be the last to hold the heaps, and free or change their memory.
            drop(active);
            match error {
                None => {
                    self.shared.stats.heaps.add(heaps);
                    done.complete(Ok(bytes));
                }
                Some(error) => {
                    self.shared.stats.errors.add(1);
                    self.shared.note_error(&error);
                    done.complete(Err(error));
                }
            }
        }
    }

    /// The transport refused the first waiting packet: its request has failed, and the others go on.
    fn refuse(&mut self, error: io::Error) {
        let Some(made) = self.batch.waiting().first() else { return };
        let number = made.request;
        self.batch.drop_waiting(|made| made.request == number);
        let active = &mut self.active[(number - self.first) as usize];
        active.in_batch = 0;
        active.error.get_or_insert_with(|| SendError::Transport(Arc::new(error)));
        if number + 1 == self.first + self.active.len() as u64 {
            self.plans.clear();
        }
        self.complete();
    }

    /// Makes a batch, if there is none, and offers it to the transport, if it may leave.
    fn step(&mut self, waker: Option<&Waker>) -> Step {
        self.fill(waker);
        self.complete();
        if self.batch.waiting().is_empty() {
            return Step::Idle;
        }
        if let Some(since) = self.idle_since.take() {
            self.pacer.idle(since, Instant::now());
        }
        let next = self.pacer.next();
        let next = self.departures.as_ref().map_or(next, |departures| departures.not_before(next));
        if let Some(next) = next
            && next > Instant::now()
        {
            return Step::NotBefore(next);
        }
        if !self.maybe_writable {
            return Step::Waiting;
        }
        match self.send() {
            Ok(0) => return Step::Full,
            Ok(_) => {
                self.shared.stats.batches.add(1);
                self.note_room();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.refuse(error),
        }
        Step::Done
    }

    /// Works for up to a quantum, on the worker.
    pub(super) fn poll(&mut self, cx: &TaskCx<'_>) -> Polled {
        if self.broken || self.shared.is_aborted() {
            self.active.clear();
            self.shared.end();
            return Polled::Done;
        }
        self.maybe_writable |= !self.watches;
        for _ in 0..QUANTUM {
            self.watch_no_more(cx);
            match self.step(Some(cx.waker)) {
                Step::Idle => return self.wait_for_work(cx),
                Step::NotBefore(time) => return Polled::Wait(Some(time)),
                Step::Waiting => return Polled::Wait(None),
                Step::Full => {
                    self.shared.stats.would_block.add(1);
                    self.wait_for_room(cx);
                    self.maybe_writable = self.transport.wait_for_room(cx.waker);
                }
                Step::Done => {}
            }
        }
        Polled::Again
    }

    /// Sends a request in the worker's place, while the stream is [at rest](Self::is_at_rest), for
    /// up to a quantum. False if the worker has to go on from here.
    pub(super) fn send_at_once(&mut self, request: Request) -> bool {
        self.active.push_back(Active::new(request));
        for _ in 0..QUANTUM {
            match self.step(None) {
                Step::Idle => return self.rest() && !self.is_watched_in_vain(),
                Step::Done if !self.shared.is_aborted() => {}
                _ => return false,
            }
        }
        false
    }

    /// There is nothing to send. False if the transport has yet to send what it took.
    fn rest(&mut self) -> bool {
        if self.pacer.next().is_some() {
            self.idle_since.get_or_insert_with(Instant::now);
        }
        let drained = self.transport.drain().unwrap_or_else(|error| {
            self.shared.fail(error);
            true
        });
        if drained {
            self.note_stall(false);
        }
        drained
    }

    fn wait_for_work(&mut self, cx: &TaskCx<'_>) -> Polled {
        let drained = self.rest();
        if !drained {
            self.wait_for_room(cx);
        }
        if drained && self.ended && self.active.is_empty() {
            self.transport.finish();
            self.shared.end();
            return Polled::Done;
        }
        Polled::Wait(None)
    }

    /// A callback or the transport panicked: what waits will not be sent.
    pub(super) fn panicked(&mut self, message: &str) {
        self.broken = true;
        log::error!("a send stream ends, as its transport or a callback panicked: {message}");
        self.active.clear();
        self.shared.fail(io::Error::other(message.to_owned()));
        self.shared.end();
    }
}

impl Drop for SendTask {
    fn drop(&mut self) {
        self.active.clear();
        // What was queued completes as aborted.
        self.queue.close();
        while self.queue.try_pop().is_ok() {}
        self.shared.end();
    }
}

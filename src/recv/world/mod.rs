//! Simulated worlds: real streams, groups, pools and rings under a scheduler, a network and a clock
//! that a seed decides about.
//!
//! [`Plan`] says what a world is like: how many streams of which kind, how they are configured, what
//! goes wrong. Then things happen one after the other: a sender sends, packets arrive or do not,
//! a worker gives a stream its quantum, the consumer takes a chunk, a user stops something. After
//! each of them `check` asks for what must always be true, and the [`Oracle`] looks at everything
//! that is handed over. Now and then there is a [lull](World::lull): whatever is under way arrives
//! and the consumer takes everything, and then nobody may stand still without a reason. In the end
//! everything ends, and has to be where it belongs.
//!
//! `make sim SEEDS=n` runs `n` seeds, and `SEED=x make sim` one of them with what happens in it.

mod choice;
mod consumer;
mod ending;
mod events;
#[cfg(test)]
mod fleet;
mod host;
mod oracle;
mod plan;
mod socket;
mod streams;
mod traffic;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use choice::Choices;
use consumer::Taps;
use events::Event;
use host::Job;
use oracle::Oracle;
use plan::{Kind, Plan};
use socket::Socket;
use traffic::Sender;

use crate::chunk::{Chunk, ChunkPool, Group, GroupParts};
use crate::heap::Heap;
use crate::memory::Buffer;
use crate::ring::Ring;

/// Streams of a world, those that join late included.
const MAX_STREAMS: usize = 6;

/// Everything there is. One thread, but what callbacks hold has to be `Send`.
struct World {
    plan: Plan,
    weak: Weak<Self>,
    choices: Mutex<Choices>,
    /// The clock's zero; only differences matter.
    start: Instant,
    timeline: Mutex<Timeline>,
    poll: mio::Poll,
    jobs: Mutex<Vec<Job>>,
    /// Streams in their quanta, the innermost last.
    stack: Mutex<Vec<usize>>,
    sockets: Mutex<Vec<Arc<Mutex<Socket>>>>,
    senders: Mutex<Vec<Sender>>,
    pool: ChunkPool,
    ring: Ring<Chunk>,
    heap_ring: Ring<Heap>,
    group: OnceLock<Arc<Group>>,
    chunks: Mutex<Taps>,
    /// What the consumer holds.
    held: Mutex<VecDeque<Chunk>>,
    heaps: Mutex<Taps>,
    oracle: Mutex<Oracle>,
    troubles: Mutex<Troubles>,
    trace: Option<Trace>,
}

/// Somebody wants to know what happens.
type Trace = Box<dyn Fn(String) + Send + Sync>;

/// What is to come, in order; the second number tells apart what comes at the same time.
#[derive(Default)]
struct Timeline {
    nanos: u64,
    order: u64,
    events: BTreeMap<(u64, u64), Event>,
}

/// What users have done that changes what may be expected.
#[derive(Default)]
struct Troubles {
    /// No faults and no control any more.
    calm: bool,
    group_stopped: bool,
    closed: bool,
    /// Chunks or heaps were dropped by a stop.
    dropped: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lives through a world that these decisions make; panics if anything is wrong.
fn live(choices: Choices, trace: Option<Trace>) -> std::thread::Result<Tally> {
    let world = World::new(choices, trace);
    let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.live()));
    // The streams' callbacks hold the world, and the world the streams.
    lock(&world.jobs).clear();
    lived
}

/// What happened in a world, for the record.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(not(test), allow(dead_code, reason = "for the record of many worlds"))]
struct Tally {
    steps: u64,
    packets: u64,
    handed_over: u64,
    parks: u64,
}

impl World {
    fn new(mut choices: Choices, trace: Option<Trace>) -> Arc<Self> {
        let plan = Plan::draw(&mut choices);
        let pool = ChunkPool::new(plan.pool).expect("it is not empty");
        for number in 0..plan.pool {
            let zeroed = |size| Buffer::zeroed(size).expect("it is small");
            let extra = if plan.extra { 2 * plan.slots() } else { 0 };
            let (data, flags) = (plan.slots() * plan.stride(), plan.flags());
            let mut chunk = Chunk::new(zeroed(data), zeroed(flags), zeroed(extra));
            chunk.set_tag(Some(Box::new(number)));
            pool.add(chunk).expect("the pool has room");
        }
        let world = Arc::new_cyclic(|weak: &Weak<Self>| Self {
            weak: weak.clone(),
            start: Instant::now(),
            timeline: Mutex::default(),
            poll: mio::Poll::new().expect("an event queue can be had"),
            jobs: Mutex::default(),
            stack: Mutex::default(),
            sockets: Mutex::default(),
            senders: Mutex::default(),
            pool,
            ring: Ring::new(plan.ring).expect("it is not empty"),
            heap_ring: Ring::new(plan.ring).expect("it is not empty"),
            group: OnceLock::new(),
            chunks: Mutex::new(Taps::new()),
            held: Mutex::default(),
            heaps: Mutex::new(Taps::new()),
            oracle: Mutex::new(Oracle::new(&plan)),
            troubles: Mutex::default(),
            trace,
            choices: Mutex::new(choices),
            plan,
        });
        world.note(|| format!("{:#?}", world.plan));
        world.begin();
        world
    }

    fn begin(&self) {
        if let Kind::Group(eviction) = self.plan.kind {
            let (allocate, ready) = self.exchange();
            let group = Group::new(GroupParts {
                window: self.plan.window,
                eviction,
                open_ended: self.plan.open_ended,
                max_age: self.plan.max_age,
                allocate: Box::new(allocate),
                ready: Box::new(ready),
            });
            assert!(self.group.set(group).is_ok());
        }
        for stream in 0..self.plan.streams {
            assert!(self.start_stream(stream), "all may join before anything happens");
            self.add_sender(stream, self.plan.first);
        }
    }

    fn add_sender(&self, stream: usize, first: u64) {
        let mut sender = Sender::new(&mut lock(&self.choices), &self.plan, stream, first);
        let sockets = lock(&self.sockets);
        let own = |at: &usize| lock(&sockets[*at]).stream == stream;
        sender.sockets = (0..sockets.len()).filter(own).collect();
        drop(sockets);
        let number = lock(&self.senders).len();
        lock(&self.senders).push(sender);
        self.after(0, Event::Send(number));
    }

    fn live(&self) -> Tally {
        let mut steps = 0;
        let lull_at = self.plan.steps / 2;
        for step in 0..self.plan.steps {
            if !self.step() || lock(&self.choices).is_exhausted() {
                break;
            }
            if step == lull_at {
                self.lull();
            }
            steps += 1;
        }
        self.end();
        let jobs = lock(&self.jobs);
        let stats: Vec<_> = jobs.iter().map(|job| job.counters.snapshot()).collect();
        let all = crate::chunk::ParkReason::ALL;
        Tally {
            steps,
            packets: stats.iter().map(|stats| stats.packets_received).sum(),
            handed_over: lock(&self.oracle).handed_over,
            parks: stats.iter().flat_map(|stats| all.map(|reason| stats.parks(reason))).sum(),
        }
    }

    /// Something happens; false if nothing more can.
    fn step(&self) -> bool {
        let acts = self.acts();
        let (calm, hungry) = (lock(&self.troubles).calm, self.plan.appetite);
        let control = if calm { 0 } else { self.plan.faults.control };
        // Workers are quick, and every other share is of what they leave.
        let weights = [8 * u64::from(!acts.is_empty()), 6, hungry, u64::from(control > 0)];
        let mut at = lock(&self.choices).below(weights.iter().sum());
        let mut kind = 0;
        while at >= weights[kind] {
            at -= weights[kind];
            kind += 1;
        }
        match kind {
            0 => {
                let act = lock(&self.choices).pick(&acts);
                self.act(act);
                true
            }
            2 => {
                self.consume();
                self.check();
                true
            }
            3 if self.chance(8 * control) => {
                self.meddle();
                self.check();
                true
            }
            _ if !calm && self.happen() => {
                self.check();
                true
            }
            // Time passes only if nothing else does.
            _ => !acts.is_empty() || (!calm && self.wait_for_a_timer()) || self.consume(),
        }
    }

    fn chance(&self, percent: u64) -> bool {
        // Faults end with the bytes that decide about them, or when the world calms down.
        percent > 0 && !lock(&self.troubles).calm && lock(&self.choices).chance(percent)
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_nanos(self.nanos())
    }

    fn nanos(&self) -> u64 {
        lock(&self.timeline).nanos
    }

    fn after(&self, nanos: u64, event: Event) {
        let mut timeline = lock(&self.timeline);
        timeline.order += 1;
        let key = (timeline.nanos + nanos, timeline.order);
        timeline.events.insert(key, event);
    }

    fn call_later(&self, waker: &Waker) {
        let nanos = lock(&self.choices).below(1 + 3 * self.plan.gap);
        self.after(nanos, Event::Call(waker.clone()));
    }

    fn note(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            trace(line());
        }
    }

    fn resyncs(&self) -> u64 {
        lock(&self.jobs).iter().map(|job| job.counters.snapshot().resyncs).sum()
    }

    /// Every chunk is in exactly one place.
    fn chunks_are_somewhere(&self) {
        let stats = self.pool.stats();
        assert_eq!(stats.owned + stats.freed as usize, self.plan.pool);
        let held = lock(&self.oracle).held();
        let elsewhere = stats.free + self.ring.len() + lock(&self.held).len();
        // The consumer may just be taking one.
        let taking = usize::from(self.chunks.try_lock().is_err());
        let all = elsewhere + held;
        if lock(&self.troubles).dropped {
            assert!(elsewhere <= stats.owned && all + taking >= stats.owned);
        } else if taking == 0 || all + taking != stats.owned {
            assert_eq!(all, stats.owned, "free, in the ring, at the consumer, and {held} open");
        }
    }
}

/// Lives through the world that `bytes` decide about; panics if anything is wrong in it.
pub fn world(bytes: &[u8]) {
    if let Err(panic) = live(Choices::scripted(bytes), None) {
        std::panic::resume_unwind(panic);
    }
}

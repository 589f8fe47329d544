//! Groups under arbitrary interleavings: members are stepped one packet at a time, and one runs
//! only if it may: it has work and is not parked, or its waker was called. A lost wake-up shows as a
//! group that stands still though everything it could wait for has been done.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::time::Instant;

use proptest::prelude::*;

use super::{HEAP, HEAPS, HeapSpec, OPTIONS, Setup, units};
use crate::chunk::{
    Chunk, ChunkPool, Cx, Eviction, Gate, GateGuard, Group, GroupParts, Laggard, MemberSupply,
    ParkReason, RingPolicy, ring_exchange,
};
use crate::heap::HeapOutcome;
use crate::recv::Flow;
use crate::recv::chunk_sink::ChunkSink;
use crate::recv::engine::Engine;
use crate::recv::stats::{Counters, StreamStats};
use crate::ring::{Ring, TryPopError};

const MEMBERS: usize = 4;

pub(super) type MemberEngine = Engine<ChunkSink<MemberSupply>>;

/// What the worker, the group and the test share of a member.
pub(super) struct Shim {
    pub(super) gate: Gate<MemberEngine>,
    pub(super) counters: Arc<Counters>,
}

impl Laggard for Shim {
    fn request_flush(&self, target: u64) {
        self.gate.request_flush(target);
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A member's worker.
struct Runner {
    flag: Arc<Flag>,
    waker: Waker,
    packets: VecDeque<Vec<u8>>,
    /// Next heap to be sent: its chunk and index.
    next: (u64, usize),
    parked: Option<ParkReason>,
    /// It was told to finish, and has flushed.
    draining: bool,
    ended: bool,
    stopped: bool,
}

impl Runner {
    fn new() -> Self {
        let flag = Arc::new(Flag::default());
        Self {
            waker: Waker::from(Arc::clone(&flag)),
            flag,
            packets: VecDeque::new(),
            next: (0, 0),
            parked: None,
            draining: false,
            ended: false,
            stopped: false,
        }
    }
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Heaps arrive for a member; after each chunk it may skip some.
    Feed(usize, u8, u8),
    /// A member works on so many packets.
    Run(usize, u8),
    /// A member begins a quantum and is in it until `Release`.
    Hold(usize),
    Release,
    /// The consumer takes a chunk, or gives one back.
    Take,
    Return,
    /// The network ends a member's stream.
    End(usize),
    /// The user stops a member.
    Stop(usize),
    Join,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let member = 0..MEMBERS;
    prop_oneof![
        6 => (member.clone(), 1_u8..12, 0_u8..30).prop_map(|(m, n, skip)| Step::Feed(m, n, skip)),
        12 => (member.clone(), 1_u8..20).prop_map(|(m, n)| Step::Run(m, n)),
        2 => member.clone().prop_map(Step::Hold),
        2 => Just(Step::Release),
        5 => Just(Step::Take),
        5 => Just(Step::Return),
        1 => member.clone().prop_map(Step::End),
        1 => member.prop_map(Step::Stop),
        1 => Just(Step::Join),
        1 => Just(Step::Close),
    ]
}

#[derive(Clone, Debug)]
struct Plan {
    eviction: Eviction,
    /// Members join at any time, and users stop them.
    open_ended: bool,
    members: usize,
    window: usize,
    windows: [usize; MEMBERS],
    spare: usize,
    ring: usize,
    parts: usize,
    /// Whether members may skip chunks.
    skips: bool,
    steps: Vec<Step>,
}

fn plan(eviction: Eviction) -> impl Strategy<Value = Plan> {
    let sizes =
        (1..=MEMBERS, 1_usize..5, prop::array::uniform4(1_usize..5), 0_usize..4, 1_usize..4);
    let steps = prop::collection::vec(step(), 1..120);
    let parts = prop_oneof![Just(1_usize), Just(2)];
    (sizes, parts, any::<bool>(), any::<bool>(), steps).prop_map(
        move |(sizes, parts, open_ended, skips, steps)| {
            let (members, window, windows, spare, ring) = sizes;
            let windows = windows.map(|size| size.min(window));
            Plan {
                eviction,
                open_ended,
                members,
                window,
                windows,
                spare,
                ring,
                parts,
                skips,
                steps,
            }
        },
    )
}

struct Sim<'a> {
    plan: &'a Plan,
    group: Arc<Group>,
    pool: ChunkPool,
    ring: Ring<Chunk>,
    shims: &'a [OnceCell<Arc<Shim>>; MEMBERS],
    runners: Vec<Runner>,
    /// A member in its quantum.
    held: Option<(usize, GateGuard<'a, MemberEngine>)>,
    consumer: VecDeque<Chunk>,
    last_id: Option<u64>,
    /// Heaps that the consumer found present.
    present: u64,
    closed: bool,
}

impl<'a> Sim<'a> {
    fn new(plan: &'a Plan, shims: &'a [OnceCell<Arc<Shim>>; MEMBERS]) -> Self {
        let flags = HEAPS * MEMBERS;
        let pool = ChunkPool::zeroed(plan.window + plan.spare, flags * HEAP, flags).unwrap();
        let ring = Ring::new(plan.ring).unwrap();
        let (allocate, ready) = ring_exchange(&pool, &ring, RingPolicy::default());
        let group = Group::new(GroupParts {
            window: plan.window,
            eviction: plan.eviction,
            open_ended: plan.open_ended,
            max_age: None,
            allocate: Box::new(allocate),
            ready: Box::new(ready),
        });
        let mut sim = Self {
            plan,
            group,
            pool,
            ring,
            shims,
            runners: Vec::new(),
            held: None,
            consumer: VecDeque::new(),
            last_id: None,
            present: 0,
            closed: !plan.open_ended,
        };
        for _ in 0..plan.members {
            sim.join();
        }
        sim
    }

    fn join(&mut self) {
        let number = self.runners.len();
        if number == MEMBERS {
            return;
        }
        let window = self.plan.windows[number];
        let Ok((joined, head)) = self.group.join(window, Some(units())) else {
            return assert!(self.closed, "an open group takes members");
        };
        assert_eq!(joined, number);
        assert_eq!(head, self.group.stats().tail);
        let supply = MemberSupply::new(Arc::clone(&self.group), number, number as u64, window);
        let mut setup = Setup { window, head, ..Setup::default() };
        setup.options.member = number;
        setup.options.may_go_back = false;
        setup.options.deduplicate = OPTIONS.deduplicate;
        let (engine, counters) = setup.engine(supply);
        let shim = Arc::new(Shim { gate: Gate::new(engine), counters });
        let runner = Runner::new();
        let laggard: Arc<dyn Laggard> = Arc::clone(&shim) as _;
        self.group.connect(number, runner.waker.clone(), Arc::downgrade(&laggard));
        assert!(self.shims[number].set(shim).is_ok());
        self.runners.push(runner);
    }

    fn shim(&self, member: usize) -> &'a Shim {
        self.shims[member].get().unwrap()
    }

    fn lock(&self, member: usize) -> GateGuard<'a, MemberEngine> {
        self.shim(member).gate.lock()
    }

    fn stats(&self, member: usize) -> StreamStats {
        self.shim(member).counters.snapshot()
    }

    /// Whether somebody else's worker would run this member.
    fn may_run(&self, member: usize) -> bool {
        let Some(runner) = self.runners.get(member) else { return false };
        let is_held = self.held.as_ref().is_some_and(|held| held.0 == member);
        let woken = runner.flag.0.load(Ordering::SeqCst);
        !is_held && !runner.ended && (woken || runner.parked.is_none())
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Feed(member, heaps, skip) => self.feed(member, heaps, skip),
            Step::Run(member, packets) if self.may_run(member) => {
                let mut engine = self.lock(member);
                self.work(member, &mut engine, packets);
                drop(engine);
                self.nobody_waits_for_others(member);
            }
            Step::Hold(member) if self.held.is_none() && self.may_run(member) => {
                self.held = Some((member, self.lock(member)));
            }
            Step::Release => self.held = None,
            Step::Take => self.take(),
            Step::Return => drop(self.consumer.pop_front()),
            Step::End(member) if self.may_run(member) => self.end(member),
            Step::Stop(member) if self.plan.open_ended => self.stop(member),
            Step::Join => self.join(),
            Step::Close => {
                self.closed = true;
                if self.plan.open_ended {
                    self.group.close();
                }
            }
            _ => {}
        }
        self.check();
    }

    fn feed(&mut self, member: usize, heaps: u8, skip: u8) {
        let Some(runner) = self.runners.get_mut(member) else { return };
        if runner.ended || runner.draining {
            return;
        }
        for _ in 0..heaps {
            let (chunk, index) = runner.next;
            let index_of_it = member * HEAPS + index;
            let spec = spec(chunk, index_of_it, self.plan.parts);
            runner.packets.extend(spec.packets());
            runner.next = (chunk, index + 1);
            if runner.next.1 == HEAPS {
                // Mostly none; now and then far over the window.
                let skip = if self.plan.skips { u64::from(skip.saturating_sub(20)) } else { 0 };
                runner.next = (chunk + 1 + skip, 0);
            }
        }
    }

    /// A quantum, as a stream's task has it.
    fn work(&mut self, member: usize, engine: &mut GateGuard<'a, MemberEngine>, packets: u8) {
        let runner = &mut self.runners[member];
        runner.flag.0.store(false, Ordering::SeqCst);
        runner.parked = None;
        let waker = runner.waker.clone();
        let cx = Cx { waker: &waker, now: Instant::now() };
        engine.drain(&cx).unwrap();
        for _ in 0..packets {
            let Some(packet) = runner.packets.front() else { break };
            match engine.datagram(packet, &Default::default(), &cx) {
                Flow::Next => drop(runner.packets.pop_front()),
                Flow::Park(reason) => {
                    runner.parked = Some(reason);
                    return;
                }
            }
        }
        if runner.draining && runner.packets.is_empty() {
            engine.flush(&cx);
            engine.drain(&cx).unwrap();
            engine.end(&cx);
            runner.ended = true;
        }
    }

    /// The network's end, after what has arrived.
    fn end(&mut self, member: usize) {
        self.runners[member].draining = true;
    }

    fn stop(&mut self, member: usize) {
        let is_held = self.held.as_ref().is_some_and(|held| held.0 == member);
        match self.runners.get_mut(member) {
            Some(runner) if !is_held && !runner.ended => {
                runner.ended = true;
                runner.stopped = true;
            }
            _ => return,
        }
        self.lock(member).abandon(&Cx { waker: Waker::noop(), now: Instant::now() });
    }

    fn take(&mut self) {
        let Ok(chunk) = self.ring.try_pop() else { return };
        assert!(self.last_id < Some(chunk.id()), "ids grow");
        self.last_id = Some(chunk.id());
        let mut present = 0;
        for (index, &flag) in chunk.present().iter().enumerate().filter(|flag| *flag.1 != 0) {
            assert_eq!(flag, 1);
            let sent = spec(chunk.id(), index, self.plan.parts).payload();
            assert_eq!(&chunk.data()[index * HEAP..][..HEAP], sent);
            present += 1;
        }
        assert_eq!(chunk.n_present(), present);
        for contribution in chunk.contributions() {
            let its = contribution.stream_id as usize * HEAPS;
            let flags = &chunk.present()[its..its + HEAPS];
            assert_eq!(contribution.units, flags.iter().map(|&flag| u64::from(flag)).sum::<u64>());
        }
        self.present += present;
        self.consumer.push_back(chunk);
    }

    /// In an eager group nobody waits for a member that is not in its quantum.
    fn nobody_waits_for_others(&self, member: usize) {
        if self.plan.eviction == Eviction::Eager && self.held.is_none() {
            assert_ne!(self.runners[member].parked, Some(ParkReason::GroupWindow));
        }
    }

    fn check(&self) {
        for member in 0..self.runners.len() {
            let stats = self.stats(member);
            assert!(stats.packets_balance() && stats.heaps_balance(), "{stats}");
        }
        let stats = self.group.stats();
        assert_eq!(stats.chunks_refused, 0);
        let open = (stats.tail - stats.head) as usize;
        assert!(open <= self.plan.window);
        let elsewhere = self.pool.stats().free + self.ring.len() + self.consumer.len();
        // Where the chunks are; ids that a window jumped over have none.
        let held = self.plan.window + self.plan.spare - elsewhere;
        assert_eq!(held, open + stats.backlog);
    }

    /// Everything that members may wait for happens, until nothing more does. The chance of a
    /// lasting obstacle is up to the caller.
    fn settle(&mut self) {
        self.held = None;
        loop {
            let mut moved = false;
            while !self.ring.is_empty() {
                self.step(Step::Take);
                self.consumer.clear();
                moved = true;
            }
            moved |= !self.consumer.is_empty();
            self.consumer.clear();
            for member in 0..self.runners.len() {
                let runner = &self.runners[member];
                let woken = runner.flag.0.load(Ordering::SeqCst);
                let has_work = !runner.packets.is_empty() || runner.draining;
                if self.may_run(member) && (woken || has_work) {
                    self.step(Step::Run(member, u8::MAX));
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// At rest, who still has packets has a reason: a live member that has none holds it back.
    fn everybody_got_on(&self) {
        let idle = |r: &Runner| !r.ended && r.packets.is_empty() && r.parked.is_none();
        for runner in self.runners.iter().filter(|runner| !runner.ended) {
            let lossless = self.plan.eviction == Eviction::Lossless;
            let held_back = lossless
                && runner.parked == Some(ParkReason::GroupWindow)
                && self.runners.iter().any(idle);
            let done = runner.packets.is_empty() && !runner.draining;
            assert!(done || held_back, "it stands still: {:?}", runner.parked);
        }
    }

    fn finish(mut self) {
        self.settle();
        self.everybody_got_on();
        for runner in &mut self.runners {
            runner.draining = true;
        }
        if self.plan.open_ended {
            self.group.close();
        }
        self.settle();
        assert!(self.runners.iter().all(|runner| runner.ended), "all have ended");
        assert_eq!(self.ring.try_pop().err(), Some(TryPopError::Ended), "and so has the ring");
        let stats = self.group.stats();
        assert_eq!((stats.backlog, stats.live_members), (0, 0));
        assert_eq!(stats.chunks_delivered, stats.chunks_opened);
        assert_eq!(self.pool.stats().free, self.plan.window + self.plan.spare);
        let all: Vec<_> = (0..self.runners.len()).map(|member| self.stats(member)).collect();
        let placed = |stats: &StreamStats| stats.outcome(HeapOutcome::Placed);
        assert_eq!(all.iter().map(placed).sum::<u64>(), self.present, "nothing is lost on the way");
        for (member, stats) in all.iter().enumerate().take(self.plan.members) {
            let lossless = self.plan.eviction == Eviction::Lossless;
            // Late joiners and those who were stopped lose what came before and after.
            if lossless && !self.runners[member].stopped {
                assert_eq!(placed(stats), stats.heaps_started, "{stats}");
            }
        }
    }
}

fn spec(chunk: u64, index: usize, parts: usize) -> HeapSpec {
    let cnt = (chunk * 64 + index as u64) * 2 + 1;
    HeapSpec { cnt, chunk, index, offset: index * HEAP, parts }
}

fn run(plan: &Plan) {
    let shims = Default::default();
    let mut sim = Sim::new(plan, &shims);
    for &step in &plan.steps {
        sim.step(step);
    }
    sim.finish();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn eager_groups(plan in plan(Eviction::Eager)) {
        run(&plan);
    }

    #[test]
    fn lossless_groups(plan in plan(Eviction::Lossless)) {
        run(&plan);
    }
}

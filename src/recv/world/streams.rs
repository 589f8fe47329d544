//! The streams of a simulated world: real ones, over callbacks that let other things happen.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, Weak};
use std::task::Waker;
use std::time::Duration;

use super::host::{Flag, Job};
use super::oracle::Handed;
use super::plan::{HEAP, Kind, Plan, UNIT};
use super::socket::{PLANNED, Socket, SocketReader};
use super::traffic::SEQUENCE;
use super::{World, lock};
use crate::chunk::{
    Allocate, Allocation, Chunk, HeapContext, Laggard, Layout, Lone, MemberSupply, ParkReason,
    Place, Placement, Ready, RingAllocate, RingReady, ring_exchange,
};
use crate::heap::Heap;
use crate::memory::CopyMode;
use crate::memory::HeapAllocator;
use crate::recv::StreamConfig;
use crate::recv::control::{Shared, StreamControl};
use crate::recv::engine::{Engine, Sink};
use crate::recv::heap_sink::{HeapOptions, HeapSink};
use crate::recv::reader::Reader;
use crate::recv::stats::Counters;
use crate::recv::stream::{ChunkStreamOptions, Parts};
use crate::recv::task::{Sources, StreamTask};
use crate::recv::worker::{Polled, Task, TaskCx};
use crate::wire::BugCompat;

/// A stream as its users and the simulation hold it.
pub(super) trait Handle: StreamControl {
    fn request_stop(&self, from_callback: bool);
    fn abandon(&self);
}

impl<S: Sink> Handle for Shared<S> {
    fn request_stop(&self, from_callback: bool) {
        Self::request_stop(self, from_callback);
    }

    fn abandon(&self) {
        self.abandon_through_panics();
    }
}

/// A stream's task, which tells what it waits for.
struct Watched<S: Sink> {
    task: StreamTask<S>,
    parked: Arc<Mutex<Option<ParkReason>>>,
}

impl<S: Sink> Task for Watched<S> {
    fn poll(&mut self, cx: &TaskCx<'_>) -> Polled {
        let polled = self.task.poll(cx);
        *lock(&self.parked) = self.task.parked_for();
        polled
    }

    fn readable(&mut self, reader: usize) -> bool {
        self.task.readable(reader)
    }

    fn panicked(&mut self, message: &str) {
        self.task.panicked(message);
    }
}

impl World {
    pub(super) fn config(&self, stream: usize) -> StreamConfig {
        let plan = &self.plan;
        StreamConfig::default()
            .max_heaps(plan.max_heaps)
            .substreams(plan.substreams)
            .allow_out_of_order(plan.out_of_order)
            .stream_id(stream as u64)
            .quantum(plan.quantum)
            .end_with_first_reader(plan.end_with_first_reader)
            .copy_mode(if plan.quantum.is_multiple_of(2) {
                CopyMode::NonTemporal
            } else {
                CopyMode::Cached
            })
    }

    /// Starts stream number `stream` on its worker; false if its group takes no more.
    pub(super) fn start_stream(&self, stream: usize) -> bool {
        match self.plan.kind {
            Kind::Lone => self.start_lone(stream),
            Kind::Heaps => self.start_heaps(stream),
            Kind::Group(_) => return self.start_member(stream),
        }
        true
    }

    fn new_readers(&self, stream: usize) -> Vec<Box<dyn Reader>> {
        (0..self.plan.readers).map(|_| self.new_reader(stream)).collect()
    }

    pub(super) fn new_reader(&self, stream: usize) -> Box<dyn Reader> {
        let socket = Arc::new(Mutex::new(Socket::new(stream, self.chance(50))));
        lock(&self.sockets).push(Arc::clone(&socket));
        let framed = self.chance(30);
        Box::new(SocketReader { world: self.weak.clone(), socket, framed })
    }

    fn options(&self, stream: usize) -> ChunkStreamOptions {
        let plan = &self.plan;
        let inner = if plan.extra { with_extra(plan) } else { Box::new(layout(plan)) as _ };
        let place = Box::new(Nosy { inner, world: self.weak.clone() });
        let mut options = ChunkStreamOptions::new(place);
        options.config = self.config(stream);
        options.max_extra = if plan.extra { 2 } else { 0 };
        options.packet_presence = plan.packet_presence.then_some(UNIT as u64);
        options.deduplicate = plan.deduplicate;
        options.max_jump = plan.max_jump;
        options.readers = self.new_readers(stream);
        options
    }

    fn start_lone(&self, stream: usize) {
        let window = self.window_of(stream);
        let (lender, taker) = self.exchange();
        let age = self.plan.max_age;
        let supply = Lone::new(stream as u64, window, Box::new(lender), Box::new(taker), age);
        let counters = Arc::new(Counters::default());
        let parts = self.options(stream).engine(window, 0, None, supply, &counters);
        self.launch(stream, parts.expect("the configuration can be"), counters, age, |_, _| ());
    }

    fn start_member(&self, stream: usize) -> bool {
        let group = self.group.get().expect("there is a group");
        let window = self.window_of(stream);
        let units = crate::chunk::Units {
            division: layout(&self.plan).division(),
            packet_presence: self.plan.packet_presence.then_some(UNIT as u64),
        };
        let Ok((number, head)) = group.join(window, Some(units)) else { return false };
        assert_eq!(number, stream, "members are numbered as they join");
        let supply = MemberSupply::new(Arc::clone(group), number, stream as u64, window);
        let counters = Arc::new(Counters::default());
        let options = self.options(stream);
        let parts = options
            .engine(window, head, Some(number), supply, &counters)
            .expect("the configuration can be");
        self.launch(stream, parts, counters, self.plan.max_age, |shared, waker| {
            let laggard: Arc<dyn Laggard> = shared;
            group.connect(number, waker, Arc::downgrade(&laggard));
        });
        true
    }

    fn start_heaps(&self, stream: usize) {
        let plan = &self.plan;
        let options = HeapOptions {
            stream_id: stream as u64,
            bug_compat: BugCompat::NONE,
            contiguous_only: plan.contiguous_only,
            keep_payload_ranges: true,
            out_of_order: plan.out_of_order,
            // A damaged length must not make the simulation slow.
            max_heap_size: 1 << 16,
        };
        let taker = Taker {
            inner: RingReady::new(&self.heap_ring, plan.policy.when_full),
            world: self.weak.clone(),
        };
        let counters = Arc::new(Counters::default());
        let sink =
            HeapSink::new(Arc::new(HeapAllocator), Box::new(taker), options, Arc::clone(&counters));
        let config = self.config(stream).max_heap_size(1 << 16);
        let rules = config.rules().expect("the configuration can be");
        let engine = Engine::new(rules, sink, Arc::clone(&counters));
        let sources: Sources = config.sources(self.new_readers(stream));
        self.launch(stream, Parts { engine, sources }, counters, None, |_, _| ());
    }

    /// The callbacks of a stream or group.
    pub(super) fn exchange(&self) -> (Lender, Taker<Chunk>) {
        let (lend, take) = ring_exchange(&self.pool, &self.ring, self.plan.policy);
        let lender = Lender { inner: lend, world: self.weak.clone() };
        (lender, Taker { inner: take, world: self.weak.clone() })
    }

    fn window_of(&self, stream: usize) -> usize {
        self.plan.windows.get(stream).copied().unwrap_or(1)
    }

    fn launch<S: Sink + 'static>(
        &self,
        stream: usize,
        parts: Parts<S>,
        counters: Arc<Counters>,
        max_age: Option<Duration>,
        connect: impl FnOnce(Arc<Shared<S>>, Waker),
    ) {
        let shared = Arc::new(Shared::new(parts.engine, Arc::clone(&counters)));
        let flag = Arc::new(Flag::new());
        let waker = Waker::from(Arc::clone(&flag));
        shared.set_waker(waker.clone());
        connect(Arc::clone(&shared), waker.clone());
        let parked = Arc::new(Mutex::new(None));
        let task = StreamTask::new(Arc::clone(&shared), parts.sources, max_age);
        let task = Box::new(Watched { task, parked: Arc::clone(&parked) });
        let worker = stream % self.plan.workers;
        lock(&self.jobs).push(Job::new(task, shared, counters, flag, waker, parked, worker));
    }
}

pub(super) fn layout(plan: &Plan) -> Layout {
    let mut layout = Layout::builder(SEQUENCE, HEAP)
        .heaps_per_chunk(plan.heaps_per_chunk as u64)
        .sequence_stride(plan.axis() * plan.stride());
    if plan.axis() > 1 {
        layout = layout.member_axis(plan.axis()).axis_stride(plan.stride());
    }
    if plan.packet_presence {
        layout = layout.packet_presence(UNIT as u64);
    }
    layout.build().expect("the layout can be")
}

/// The same by a closure, which writes the low bytes of the heap's count beside it.
fn with_extra(plan: &Plan) -> Box<dyn Place> {
    let (heaps, stride) = (plan.heaps_per_chunk as u64, plan.stride());
    let units = plan.units_per_heap();
    Box::new(move |heap: &mut HeapContext<'_>| {
        let number = heap.item(SEQUENCE)?;
        let at = (number % heaps) as usize;
        let tag = heap.heap_cnt().to_be_bytes();
        heap.extra().copy_from_slice(&tag[6..]);
        let placement = Placement::new(number / heaps, at * units, at * stride);
        (heap.heap_length() == HEAP as u64).then_some(Placement { extra: (at * 2, 2), ..placement })
    })
}

/// A placement during which other things happen.
struct Nosy {
    inner: Box<dyn Place>,
    world: Weak<World>,
}

impl Place for Nosy {
    fn packet_presence(&self) -> Option<u64> {
        self.inner.packet_presence()
    }

    fn place(&mut self, heap: &mut HeapContext<'_>) -> Option<Placement> {
        if let Some(world) = self.world.upgrade() {
            world.interlude();
            world.panic_perhaps();
        }
        self.inner.place(heap)
    }
}

/// The pool's side of the exchange.
pub(super) struct Lender {
    inner: RingAllocate,
    world: Weak<World>,
}

impl Allocate for Lender {
    fn allocate(&mut self, id: u64, waker: &Waker) -> Allocation {
        let Some(world) = self.world.upgrade() else { return Allocation::Refused };
        world.interlude();
        world.panic_perhaps();
        if world.chance(world.plan.faults.mood) {
            world.call_later(waker);
            return Allocation::NotYet;
        }
        if world.chance(world.plan.faults.mood) {
            return Allocation::Refused;
        }
        let allocation = self.inner.allocate(id, waker);
        if let Allocation::Chunk(chunk) = &allocation {
            lock(&world.oracle).lent += 1;
            assert!(chunk.present().iter().all(|&flag| flag == 0), "free chunks are empty");
        }
        allocation
    }

    fn end(&mut self) {
        self.inner.end();
    }
}

/// The ring's side of the exchange.
pub(super) struct Taker<T> {
    inner: RingReady<T>,
    world: Weak<World>,
}

impl<T: Handed> Ready<T> for Taker<T> {
    fn ready(&mut self, item: T, waker: &Waker) -> Result<(), T> {
        let Some(world) = self.world.upgrade() else { return Ok(()) };
        world.interlude();
        let note = item.note();
        if world.chance(world.plan.faults.panic) {
            lock(&world.oracle).vanished(&note);
            drop(item);
            resume_unwind(Box::new(PLANNED));
        }
        if world.chance(world.plan.faults.mood) {
            world.call_later(waker);
            return Err(item);
        }
        self.inner.ready(item, waker)?;
        world.note(|| format!("    handed over: {note:?}"));
        let resyncs = world.resyncs();
        lock(&world.oracle).accepted(&note, resyncs);
        Ok(())
    }

    fn announce(&mut self) {
        self.inner.announce();
    }

    fn end(&mut self) {
        self.inner.end();
    }
}

impl Handed for Heap {
    fn note(&self) -> super::oracle::Note {
        super::oracle::Note { sequence: self.stream_id(), id: None, units: 1 }
    }
}

//! What a simulated world is like: drawn once, before anything happens.

use std::time::Duration;

use super::choice::Choices;
use crate::chunk::{Eviction, RingPolicy, WhenEmpty, WhenFull};

/// Payload bytes of a heap.
pub(super) const HEAP: usize = 64;
/// Payload bytes to a presence flag, with packet presence.
pub(super) const UNIT: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Chunk streams of their own, which share a pool and a ring.
    Lone,
    Group(Eviction),
    /// Heap streams, which share a ring.
    Heaps,
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    /// Nothing may be lost: no faults, and everybody waits.
    pub(super) strict: bool,
    pub(super) streams: usize,
    /// Threads; streams on the same one never interrupt each other.
    pub(super) workers: usize,
    /// The group's window, in chunks.
    pub(super) window: usize,
    /// The streams' windows.
    pub(super) windows: Vec<usize>,
    pub(super) pool: usize,
    pub(super) ring: usize,
    pub(super) policy: RingPolicy,
    /// Chunks that the consumer holds at a time.
    pub(super) holds: usize,
    /// The consumer looks only when it is called.
    pub(super) called: bool,
    /// How often the consumer has its turn.
    pub(super) appetite: u64,

    pub(super) heaps_per_chunk: usize,
    /// Packets of a heap.
    pub(super) parts: usize,
    pub(super) packet_presence: bool,
    /// Bytes between heaps in a chunk.
    pub(super) pad: usize,
    /// Members of a group are sent heaps for the same places.
    pub(super) shared: bool,
    pub(super) deduplicate: bool,
    /// The placement writes beside the payload.
    pub(super) extra: bool,
    pub(super) contiguous_only: bool,

    pub(super) max_heaps: usize,
    pub(super) substreams: usize,
    pub(super) out_of_order: bool,
    pub(super) max_jump: Option<u64>,
    pub(super) max_age: Option<Duration>,
    pub(super) quantum: usize,
    pub(super) batch: usize,
    /// Packets that a reader offers at once, at most.
    pub(super) train: usize,
    pub(super) end_with_first_reader: bool,

    /// Sources of a stream.
    pub(super) readers: usize,
    /// Packets that the kernel keeps for a source; `None` if its sender waits.
    pub(super) socket: Option<usize>,
    pub(super) heaps: u64,
    pub(super) first: u64,
    /// Virtual nanoseconds between a sender's heaps.
    pub(super) gap: u64,
    pub(super) faults: Faults,
    /// Percent of callbacks in which something else happens meanwhile.
    pub(super) preempt: u64,
    /// Members may join late, and a group is closed.
    pub(super) open_ended: bool,
    pub(super) steps: usize,
}

/// How often things go wrong, in percent of the occasions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) loss: u64,
    pub(super) repeat: u64,
    pub(super) corrupt: u64,
    pub(super) garbage: u64,
    /// Packets are late by up to so many virtual nanoseconds.
    pub(super) delay: u64,
    /// A sender jumps ahead, starts again, or pauses.
    pub(super) stray: u64,
    /// Callbacks refuse for a while, or for good.
    pub(super) mood: u64,
    pub(super) panic: u64,
    /// Readers report errors.
    pub(super) error: u64,
    /// Streams are stopped, finished, or joined; rings and pools are closed.
    pub(super) control: u64,
}

impl Plan {
    pub(super) fn draw(choices: &mut Choices) -> Self {
        let kind = choices.pick(&[
            Kind::Lone,
            Kind::Group(Eviction::Eager),
            Kind::Group(Eviction::Lossless),
            Kind::Heaps,
            Kind::Group(Eviction::Eager),
            Kind::Group(Eviction::Lossless),
        ]);
        let eager = kind == Kind::Group(Eviction::Eager);
        let strict = !eager && choices.chance(45);
        let mut plan = Self::of(choices, kind, strict);
        if !strict {
            plan.spoil(choices);
        }
        plan
    }

    /// A world in which nothing goes wrong.
    fn of(choices: &mut Choices, kind: Kind, strict: bool) -> Self {
        let group = matches!(kind, Kind::Group(_));
        let streams = choices.between(1, 4);
        let window = choices.between(1, 5);
        let windows: Vec<_> = (0..streams).map(|_| choices.between(1, window)).collect();
        let needed = if group { window } else { windows.iter().sum() };
        let shared = group && choices.chance(35);
        let packet_presence = kind != Kind::Heaps && choices.chance(25);
        Self {
            kind,
            strict,
            streams,
            workers: choices.between(1, streams),
            window,
            windows,
            pool: needed + choices.between(0, 3),
            ring: choices.between(1, 4),
            policy: RingPolicy::default(),
            holds: choices.between(0, 3),
            called: choices.chance(50),
            appetite: choices.pick(&[4, 8, 1, 0]),
            heaps_per_chunk: choices.between(1, 4),
            parts: choices.pick(&[1, 2, 4]),
            packet_presence,
            pad: choices.pick(&[0, 8]),
            shared,
            deduplicate: !choices.chance(20),
            extra: kind == Kind::Lone && choices.chance(40),
            contiguous_only: choices.chance(50),
            max_heaps: choices.pick(&[4, 1, 2, 40]),
            substreams: choices.pick(&[1, 1, 3]),
            out_of_order: choices.chance(50),
            max_jump: None,
            max_age: None,
            quantum: choices.between(1, 4),
            batch: choices.pick(&[4, 1, 2, 16]),
            train: choices.pick(&[8, 1, 2, 64]),
            end_with_first_reader: choices.chance(20),
            readers: 1,
            socket: None,
            heaps: choices.below(80),
            first: choices.pick(&[0, 0, 3, 1000]),
            gap: choices.pick(&[1000, 100, 10_000]),
            faults: Faults::default(),
            preempt: choices.pick(&[10, 0, 2, 40]),
            open_ended: false,
            steps: choices.between(20, 900),
        }
    }

    /// Things go wrong, each in some worlds only: what never fails together hides nothing.
    fn spoil(&mut self, choices: &mut Choices) {
        let mut maybe = |rates: &[u64]| {
            let rate = choices.pick(rates);
            if choices.chance(45) { rate } else { 0 }
        };
        self.faults = Faults {
            loss: maybe(&[2, 10, 40]),
            repeat: maybe(&[2, 20]),
            corrupt: maybe(&[1, 10]),
            garbage: maybe(&[1, 5]),
            delay: maybe(&[5_000, 50_000, 500_000]),
            stray: maybe(&[2, 10]),
            mood: maybe(&[2, 15]),
            panic: maybe(&[0, 0, 1]),
            error: maybe(&[1, 3]),
            control: maybe(&[1, 4, 12]),
        };
        self.policy = RingPolicy {
            when_empty: choices.pick(&[
                WhenEmpty::Wait,
                WhenEmpty::DropNewest,
                WhenEmpty::RecycleOldest,
            ]),
            when_full: choices.pick(&[
                WhenFull::Wait,
                WhenFull::DropNewest,
                WhenFull::RecycleOldest,
            ]),
        };
        if choices.chance(10) {
            // Too small for the windows: it may stop, but nothing else may.
            self.pool = choices.between(1, self.pool);
        }
        self.readers = choices.between(1, 2);
        self.socket = choices.pick(&[None, Some(64), Some(4)]);
        self.open_ended = matches!(self.kind, Kind::Group(_)) && choices.chance(40);
        if choices.chance(20) {
            self.max_jump = Some(choices.pick(&[10, 1, 100]));
        }
        if choices.chance(25) {
            self.max_age = Some(Duration::from_nanos(choices.pick(&[50_000, 500_000])));
        }
    }

    pub(super) fn is_group(&self) -> bool {
        matches!(self.kind, Kind::Group(_))
    }

    pub(super) fn is_eager(&self) -> bool {
        self.kind == Kind::Group(Eviction::Eager)
    }

    /// Members that have a place of their own in each chunk.
    pub(super) fn axis(&self) -> usize {
        if self.is_group() && !self.shared { super::MAX_STREAMS } else { 1 }
    }

    pub(super) fn slots(&self) -> usize {
        self.heaps_per_chunk * self.axis()
    }

    pub(super) fn flags(&self) -> usize {
        self.slots() * self.units_per_heap()
    }

    pub(super) fn units_per_heap(&self) -> usize {
        if self.packet_presence { HEAP / UNIT } else { 1 }
    }

    pub(super) fn stride(&self) -> usize {
        HEAP + self.pad
    }

    /// Whether the pool is large enough for what the windows hold.
    pub(super) fn pool_suffices(&self) -> bool {
        let needed = if self.is_group() { self.window } else { self.windows.iter().sum() };
        self.pool >= needed
    }
}

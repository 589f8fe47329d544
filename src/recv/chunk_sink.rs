//! Heaps into chunks: the sink of chunk streams and group members.

use std::sync::Arc;

use super::engine::{Close, Sink};
use super::stats::Counters;
use crate::chunk::{
    ChunkView, Cx, Group, HeapContext, JumpGuard, ParkReason, Place, Placement, Reach, Supply,
    Verdict, Window,
};
use crate::heap::{HeapOutcome, Origin, PacketDiscard, Slot};
use crate::memory::{CopyMode, settle_copies};
use crate::wire::Packet;

/// Places heaps in the chunks of a window.
pub(crate) struct ChunkSink<S> {
    window: Window<S>,
    place: Box<dyn Place>,
    guard: Option<JumpGuard>,
    options: ChunkOptions,
    /// Scratch for what the placement writes beside the payload.
    extra: Vec<u8>,
    counters: Arc<Counters>,
}

/// How a chunk stream treats heaps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkOptions {
    /// Payload bytes per presence flag, with packet presence.
    pub(crate) packet_presence: Option<u64>,
    /// Whether a heap is dropped whose place another has filled.
    pub(crate) deduplicate: bool,
    /// The member's number in its group; 0 for a lone stream.
    pub(crate) member: usize,
    /// Whether the sequence may be followed backwards: only where no others share it.
    pub(crate) may_go_back: bool,
    pub(crate) copy_mode: CopyMode,
}

/// Where a heap goes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Target {
    state: State,
    /// Decided unless the state says otherwise.
    at: Placement,
}

/// How far the way of a heap's payload is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Not asked yet.
    #[default]
    Unknown,
    /// Decided; the chunk is not open yet.
    Wanted,
    /// Into an open chunk.
    Open,
    /// Nowhere, for this reason.
    Lost(HeapOutcome),
}

impl<S: Supply> ChunkSink<S> {
    pub(crate) fn new(
        window: Window<S>,
        place: Box<dyn Place>,
        guard: Option<JumpGuard>,
        max_extra: usize,
        options: ChunkOptions,
        counters: Arc<Counters>,
    ) -> Self {
        Self { window, place, guard, options, extra: vec![0; max_extra], counters }
    }

    /// Asks where a heap goes, and checks the answer as far as that is possible without its chunk.
    #[inline(always)]
    fn decide(
        &mut self,
        at: &mut Placement,
        packet: &Packet<'_>,
        length: u64,
        origin: &Origin,
        cx: &Cx<'_>,
    ) -> State {
        let Some(placement) = self.ask(packet, length, origin) else {
            return State::Lost(HeapOutcome::Rejected);
        };
        *at = placement;
        let (_, extra_len) = at.extra;
        if at.chunk > Placement::MAX_CHUNK || extra_len > self.extra.len() {
            return State::Lost(HeapOutcome::BadPlacement);
        }
        if !self.believes(at.chunk, cx) {
            return State::Lost(HeapOutcome::Doubtful);
        }
        State::Wanted
    }

    /// What the placement says; it is counted if that is "not for a chunk".
    fn ask(&mut self, packet: &Packet<'_>, length: u64, origin: &Origin) -> Option<Placement> {
        if !self.extra.is_empty() {
            self.extra.fill(0);
        }
        let placement = self.place.place(&mut HeapContext {
            packet,
            heap_length: length,
            origin,
            member: self.options.member,
            extra: &mut self.extra,
        });
        self.counters.rejected_heaps.add(u64::from(placement.is_none()));
        placement
    }

    /// Whether a chunk id may move the window.
    fn believes(&mut self, id: u64, cx: &Cx<'_>) -> bool {
        let Some(guard) = &mut self.guard else { return true };
        match guard.judge(id, self.window.head(), self.window.tail()) {
            Verdict::Believe => true,
            Verdict::Doubt => false,
            Verdict::Resync => {
                let goes_back = id < self.window.head();
                if goes_back && !self.options.may_go_back {
                    return false;
                }
                self.counters.resyncs.add(1);
                if goes_back {
                    self.window.restart_at(id, cx);
                }
                true
            }
        }
    }

    /// Opens the chunk that a heap wants and checks that the heap fits it.
    #[inline(always)]
    fn enter(&mut self, want: &Placement, length: u64, cx: &Cx<'_>) -> Result<State, ParkReason> {
        match self.window.reach(want.chunk, cx) {
            Reach::Park(reason) => return Err(reason),
            Reach::TooOld => {
                self.counters.too_old_heaps.add(1);
                return Ok(State::Lost(HeapOutcome::TooOld));
            }
            Reach::Open => {}
        }
        let options = &self.options;
        let Some(view) = self.window.slot(want.chunk).and_then(|slot| slot.view.as_ref()) else {
            return Ok(State::Lost(HeapOutcome::NoChunk));
        };
        let units = match options.packet_presence {
            None => 1,
            Some(size) => usize::try_from(length.div_ceil(size)).unwrap_or(usize::MAX),
        };
        if !view.holds((want.offset, length), (want.index, units), want.extra) {
            return Ok(State::Lost(HeapOutcome::BadPlacement));
        }
        if options.packet_presence.is_none() {
            let taken = options.deduplicate && view.is_present(want.index);
            // The member's number fits: groups refuse more members than claims can tell apart.
            if taken || !view.claim(want.index, options.member as u16) {
                return Ok(State::Lost(HeapOutcome::PlaceTaken));
            }
        }
        let (offset, len) = want.extra;
        if len > 0 {
            view.write_extra(offset, &self.extra[..len]);
        }
        Ok(State::Open)
    }

    #[inline(always)]
    fn write(
        &mut self,
        to: &Placement,
        length: u64,
        packet: &Packet<'_>,
    ) -> Result<(), PacketDiscard> {
        let Some(slot) = self.window.slot(to.chunk) else { return Err(PacketDiscard::TooOld) };
        let Some(view) = &slot.view else { return Err(PacketDiscard::NoChunk) };
        // The heap fits its chunk, so its length and this offset fit a usize. That the packet fits
        // its heap was found when it was accepted, but a reader may break its promise and offer
        // another one after a park; what lies behind the heap may be another member's.
        if packet.payload_offset() + packet.payload().len() as u64 > length {
            return Err(PacketDiscard::HeapOverflow);
        }
        let units = match self.options.packet_presence {
            None => None,
            Some(size) => {
                Some(self.options.claim_units(view, to, Units::of(packet, length, size))?)
            }
        };
        let offset = to.offset + packet.payload_offset() as usize;
        if !view.write(offset, packet.payload(), self.options.copy_mode) {
            return Err(PacketDiscard::BadPlacement);
        }
        if let Some(units) = units {
            for unit in units.whole {
                slot.units += u64::from(view.mark(to.index + unit));
            }
        }
        Ok(())
    }

    /// A heap is whole: its place is marked, if its chunk is still there.
    #[inline(always)]
    fn complete(&mut self, at: &Placement) -> HeapOutcome {
        let Some(slot) = self.window.slot(at.chunk) else {
            self.counters.too_old_heaps.add(1);
            return HeapOutcome::TooOld;
        };
        let Some(view) = slot.view else { return HeapOutcome::NoChunk };
        if self.options.packet_presence.is_none() {
            slot.units += u64::from(view.mark(at.index));
        }
        HeapOutcome::Placed
    }
}

impl ChunkOptions {
    /// With packet presence: claims the units that a packet touches.
    #[inline(never)]
    fn claim_units(
        &self,
        view: &ChunkView,
        to: &Placement,
        units: Units,
    ) -> Result<Units, PacketDiscard> {
        for unit in units.touched.clone() {
            if self.deduplicate && view.is_present(to.index + unit) {
                return Err(PacketDiscard::Duplicate);
            }
            if !view.claim(to.index + unit, self.member as u16) {
                return Err(PacketDiscard::PlaceTaken);
            }
        }
        Ok(units)
    }
}

/// The presence units of a heap that a packet touches, and those that it fills whole.
struct Units {
    touched: std::ops::Range<usize>,
    whole: std::ops::Range<usize>,
}

impl Units {
    /// A packet of a heap of `length` bytes, with `size` bytes to a unit. The last unit of a heap
    /// may be shorter.
    fn of(packet: &Packet<'_>, length: u64, size: u64) -> Self {
        let start = packet.payload_offset();
        let end = start + packet.payload().len() as u64;
        let whole_end = if end == length { end.div_ceil(size) } else { end / size };
        // Within the heap, which fits its chunk.
        let range = |from: u64, to: u64| from as usize..to.max(from) as usize;
        let touched = if start == end { 0..0 } else { range(start / size, end.div_ceil(size)) };
        Self { touched, whole: range(start.div_ceil(size), whole_end) }
    }
}

impl<S: Supply> Sink for ChunkSink<S> {
    type Heap = Target;

    const NEEDS_LENGTH: bool = true;

    fn drain(&mut self, cx: &Cx<'_>) -> Result<(), ParkReason> {
        self.window.supply().drain(cx)
    }

    fn has_backlog(&self) -> bool {
        self.window.has_backlog()
    }

    #[inline(always)]
    fn begin(&mut self, heap: &mut Target) {
        heap.state = State::Unknown;
    }

    #[inline(always)]
    fn is_open(heap: &Target) -> bool {
        matches!(heap.state, State::Open | State::Lost(_))
    }

    #[inline(always)]
    fn open(
        &mut self,
        slot: &mut Slot<Target>,
        packet: &Packet<'_>,
        origin: &Origin,
        cx: &Cx<'_>,
    ) -> Result<(), ParkReason> {
        let length = slot.assembly.length().unwrap_or(0);
        let Target { state, at } = &mut slot.heap;
        if length > 0 && *state == State::Unknown {
            *state = self.decide(at, packet, length, origin, cx);
        }
        if *state == State::Wanted {
            *state = self.enter(at, length, cx)?;
        }
        Ok(())
    }

    #[inline(always)]
    fn store(&mut self, slot: &mut Slot<Target>, packet: &Packet<'_>) -> Result<(), PacketDiscard> {
        match slot.heap.state {
            State::Open => self.write(&slot.heap.at, slot.assembly.length().unwrap_or(0), packet),
            State::Lost(outcome) => Err(as_discard(outcome)),
            // A heap without payload has nothing to place.
            State::Unknown | State::Wanted => Ok(()),
        }
    }

    fn swallow(&mut self, slot: &mut Slot<Target>, packet: &Packet<'_>, origin: &Origin) {
        let length = slot.assembly.length().unwrap_or(0);
        let is_new = slot.heap.state == State::Unknown;
        if length > 0 && is_new && self.place.sees_stop_heaps() {
            self.ask(packet, length, origin);
            slot.heap.state = State::Lost(HeapOutcome::Stop);
        }
    }

    #[inline(always)]
    fn writer<'a>(
        &'a mut self,
        heap: &'a mut Target,
    ) -> Option<impl FnMut(usize, &[u8]) -> bool + use<'a, S>> {
        if heap.state != State::Open || self.options.packet_presence.is_some() {
            return None;
        }
        let to = &heap.at;
        let view = self.window.slot(to.chunk)?.view.as_ref()?;
        let mode = self.options.copy_mode;
        Some(move |at, payload: &[u8]| view.write(to.offset + at, payload, mode))
    }

    #[inline(always)]
    fn close(&mut self, slot: &mut Slot<Target>, why: Close) -> HeapOutcome {
        match (slot.heap.state, why) {
            (_, Close::Swallowed) => HeapOutcome::Stop,
            (State::Lost(outcome), _) => outcome,
            (_, Close::Evicted) => HeapOutcome::Evicted,
            (_, Close::Flushed) => HeapOutcome::Flushed,
            (State::Open, Close::Complete) => self.complete(&slot.heap.at),
            (State::Unknown | State::Wanted, Close::Complete) => HeapOutcome::Empty,
        }
    }

    fn flush(&mut self, cx: &Cx<'_>) {
        self.window.flush(cx);
    }

    fn end(&mut self, cx: &Cx<'_>) {
        self.window.supply().end(cx);
    }

    fn abandon(&mut self, cx: &Cx<'_>) {
        self.window.supply().abandon(cx);
    }

    fn announce(&mut self) {
        self.window.supply().announce();
    }

    fn pause(&mut self, waits: bool) -> bool {
        // Another thread may move the window once the engine is unlocked.
        settle_copies();
        self.window.supply().pause(waits)
    }

    fn end_batch(&mut self) {
        self.place.end_batch();
    }

    fn tick(&mut self, cx: &Cx<'_>, drained: bool) {
        self.window.expire(cx, drained);
    }

    fn flush_until(&mut self, target: u64) -> Option<Arc<Group>> {
        self.window.flush_quietly(target)
    }
}

/// The reason to discard the packets of a heap that goes nowhere.
#[cold]
fn as_discard(outcome: HeapOutcome) -> PacketDiscard {
    match outcome {
        HeapOutcome::TooOld => PacketDiscard::TooOld,
        HeapOutcome::BadPlacement => PacketDiscard::BadPlacement,
        HeapOutcome::NoChunk => PacketDiscard::NoChunk,
        HeapOutcome::PlaceTaken => PacketDiscard::PlaceTaken,
        HeapOutcome::Doubtful => PacketDiscard::Doubtful,
        _ => PacketDiscard::Rejected,
    }
}

//! Heaps assembled whole: the sink of heap streams.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::engine::{Close, Sink};
use super::stats::Counters;
use crate::chunk::{Cx, Group, ParkReason, Ready};
use crate::heap::{
    Assembly, Heap, HeapOutcome, HeapParts, HeapStatus, Origin, PacketDiscard, Slot,
};
use crate::memory::{Allocator, Buffer};
use crate::wire::{BugCompat, Flavour, ItemPointer, Packet};

/// Up to this many item pointers, a repeated one is found by comparing.
const POINTERS_COMPARED: usize = 16;

/// What heaps grow by at least, in bytes, while their length is unknown.
const GROWTH_MIN: usize = 4096;

/// Assembles heaps and hands them to a consumer.
pub(crate) struct HeapSink {
    allocator: Arc<dyn Allocator>,
    ready: Box<dyn Ready<Heap>>,
    options: HeapOptions,
    /// Finished heaps that `ready` has not taken: the next packet waits for them.
    outbox: VecDeque<Heap>,
    /// `ready` was told the end: streams are stopped more than once, ends are told once.
    told: bool,
    counters: Arc<Counters>,
}

/// How a heap stream treats heaps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeapOptions {
    pub(crate) stream_id: u64,
    pub(crate) bug_compat: BugCompat,
    /// Whether incomplete heaps are dropped instead of handed over.
    pub(crate) contiguous_only: bool,
    /// Whether incomplete heaps say which bytes arrived.
    pub(crate) keep_payload_ranges: bool,
    pub(crate) out_of_order: bool,
    pub(crate) max_heap_size: u64,
}

/// What is kept beside a heap under assembly.
#[derive(Default)]
pub(crate) struct Assembling {
    payload: Option<Buffer>,
    pointers: Vec<ItemPointer>,
    /// The raw pointers, once there are many.
    seen: HashSet<u64>,
    origin: Origin,
    begun: bool,
    failed: bool,
}

impl HeapSink {
    pub(crate) fn new(
        allocator: Arc<dyn Allocator>,
        ready: Box<dyn Ready<Heap>>,
        options: HeapOptions,
        counters: Arc<Counters>,
    ) -> Self {
        Self { allocator, ready, options, outbox: VecDeque::new(), told: false, counters }
    }

    /// Memory for the heap's bytes up to `end`; all of it at once if the length is known.
    fn make_room(
        &self,
        heap: &mut Assembling,
        assembly: &Assembly,
        end: u64,
    ) -> Result<(), PacketDiscard> {
        let have = heap.payload.as_ref().map_or(0, |payload| payload.len());
        if end <= have as u64 {
            return Ok(());
        }
        if end > self.options.max_heap_size {
            return Err(PacketDiscard::HeapTooLarge);
        }
        let known = assembly.length();
        let want = known.unwrap_or_else(|| end.max(2 * have as u64).max(GROWTH_MIN as u64));
        let want = usize::try_from(want).map_err(|_| PacketDiscard::NoMemory)?;
        let mut grown = self.allocator.allocate(want).map_err(|_| PacketDiscard::NoMemory)?;
        if let Some(old) = &heap.payload {
            grown[..have].copy_from_slice(old);
        }
        heap.payload = Some(grown);
        Ok(())
    }

    fn finish(&mut self, slot: &mut Slot<Assembling>, status: HeapStatus) {
        let assembly = &slot.assembly;
        let heap = &mut slot.heap;
        let mut payload = heap.payload.take().unwrap_or_default();
        // A grown buffer is longer than what it holds.
        let used = usize::try_from(assembly.min_length()).unwrap_or(usize::MAX).min(payload.len());
        if status != HeapStatus::Incomplete {
            // Shrinking cannot fail.
            let _ = payload.set_len(used);
        }
        let keep = self.options.keep_payload_ranges && status == HeapStatus::Incomplete;
        let flavour = Flavour::new(assembly.flavour_bits()).unwrap_or_default();
        let parts = HeapParts {
            cnt: assembly.cnt(),
            stream_id: self.options.stream_id,
            flavour: flavour.with_bug_compat(self.options.bug_compat),
            status,
            length: assembly.length(),
            min_length: assembly.min_length(),
            received: assembly.received(),
            ranges: if keep { assembly.ranges(self.options.out_of_order) } else { Vec::new() },
            payload,
            origin: heap.origin,
        };
        self.outbox.push_back(Heap::new(parts, &mut heap.pointers));
    }
}

impl Assembling {
    fn note_pointers(&mut self, packet: &Packet<'_>) {
        for pointer in packet.items() {
            if self.is_new(&pointer) {
                self.pointers.push(pointer);
            }
        }
    }

    /// Whether a pointer was not seen in this heap. Senders may repeat all in every packet.
    fn is_new(&mut self, pointer: &ItemPointer) -> bool {
        if self.pointers.len() < POINTERS_COMPARED {
            return !self.pointers.iter().any(|known| known.raw() == pointer.raw());
        }
        if self.seen.is_empty() {
            self.seen.extend(self.pointers.iter().map(|pointer| pointer.raw()));
        }
        self.seen.insert(pointer.raw())
    }
}

impl Sink for HeapSink {
    type Heap = Assembling;

    const NEEDS_LENGTH: bool = false;

    fn drain(&mut self, cx: &Cx<'_>) -> Result<(), ParkReason> {
        while let Some(heap) = self.outbox.pop_front() {
            if let Err(heap) = self.ready.ready(heap, cx.waker) {
                self.outbox.push_front(heap);
                self.counters.worker_blocked.add(1);
                return Err(ParkReason::DataRing);
            }
        }
        Ok(())
    }

    fn has_backlog(&self) -> bool {
        !self.outbox.is_empty()
    }

    fn begin(&mut self, heap: &mut Assembling) {
        heap.payload = None;
        heap.pointers.clear();
        heap.seen.clear();
        heap.begun = false;
        heap.failed = false;
    }

    #[inline]
    fn is_open(heap: &Assembling) -> bool {
        heap.begun
    }

    fn open(
        &mut self,
        slot: &mut Slot<Assembling>,
        _packet: &Packet<'_>,
        origin: &Origin,
        _cx: &Cx<'_>,
    ) -> Result<(), ParkReason> {
        slot.heap.begun = true;
        slot.heap.origin = *origin;
        Ok(())
    }

    fn store(
        &mut self,
        slot: &mut Slot<Assembling>,
        packet: &Packet<'_>,
    ) -> Result<(), PacketDiscard> {
        if slot.heap.failed {
            return Err(PacketDiscard::NoMemory);
        }
        slot.heap.note_pointers(packet);
        let payload = packet.payload();
        // The assembly checked that this does not overflow.
        let start = packet.payload_offset();
        let end = start + payload.len() as u64;
        let reach = slot.assembly.length().unwrap_or(end).max(end);
        if payload.is_empty() {
            return Ok(());
        }
        if let Err(reason) = self.make_room(&mut slot.heap, &slot.assembly, reach) {
            slot.heap.failed = true;
            return Err(reason);
        }
        if let Some(buffer) = &mut slot.heap.payload {
            // Below the buffer's length, which is a usize: it is always put.
            buffer.put(start as usize, payload);
        }
        Ok(())
    }

    /// Packets like the last have no pointers that are new.
    #[inline]
    fn writer<'a>(
        &'a mut self,
        heap: &'a mut Assembling,
    ) -> Option<impl FnMut(usize, &[u8]) -> bool + use<'a>> {
        let buffer = heap.payload.as_mut().filter(|_| !heap.failed)?;
        Some(move |at, payload: &[u8]| buffer.put(at, payload))
    }

    fn close(&mut self, slot: &mut Slot<Assembling>, why: Close) -> HeapOutcome {
        if slot.heap.failed {
            slot.heap.payload = None;
            return HeapOutcome::NoMemory;
        }
        let outcome = match why {
            Close::Swallowed => {
                slot.heap.payload = None;
                return HeapOutcome::Stop;
            }
            Close::Complete => HeapOutcome::Placed,
            Close::Evicted => HeapOutcome::Evicted,
            Close::Flushed => HeapOutcome::Flushed,
        };
        let assembly = &slot.assembly;
        let status = if why == Close::Complete {
            HeapStatus::Complete
        } else if assembly.length().is_none() && assembly.is_contiguous() {
            HeapStatus::Contiguous
        } else {
            HeapStatus::Incomplete
        };
        if status == HeapStatus::Incomplete && self.options.contiguous_only {
            slot.heap.payload = None;
        } else {
            self.finish(slot, status);
        }
        if status == HeapStatus::Contiguous { HeapOutcome::Placed } else { outcome }
    }

    fn flush(&mut self, _cx: &Cx<'_>) {}

    fn announce(&mut self) {
        self.ready.announce();
    }

    fn end(&mut self, _cx: &Cx<'_>) {
        if !std::mem::replace(&mut self.told, true) {
            self.ready.end();
        }
    }

    fn abandon(&mut self, cx: &Cx<'_>) {
        self.outbox.clear();
        self.end(cx);
    }

    fn tick(&mut self, _cx: &Cx<'_>, _drained: bool) {}

    fn flush_until(&mut self, _target: u64) -> Option<Arc<Group>> {
        None
    }
}

//! What the reference says happens to the packets of a lone chunk stream (its sections on heap
//! assembly, eviction of heaps and the window), as simply as it can be said.

use std::collections::{BTreeMap, BTreeSet};

use super::{HEAP, HEAPS, HeapSpec, REJECTED, UNIT};
use crate::heap::{HeapOutcome, PacketDiscard};

/// A chunk as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelChunk {
    pub(super) id: u64,
    pub(super) data: Vec<u8>,
    pub(super) present: Vec<u8>,
    pub(super) extra: Vec<u8>,
}

#[derive(Clone, Debug)]
struct ModelHeap {
    spec: HeapSpec,
    parts: BTreeSet<usize>,
    /// The chunk, or why none.
    fate: Result<u64, HeapOutcome>,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) window: u64,
    pub(super) max_heaps: usize,
    pub(super) out_of_order: bool,
    pub(super) deduplicate: bool,
    pub(super) packet_presence: bool,
    pub(super) first_id: u64,
    /// Ids for which there is no memory.
    pub(super) refused: fn(u64) -> bool,
    head: u64,
    tail: u64,
    open: BTreeMap<u64, Option<ModelChunk>>,
    pub(super) delivered: Vec<ModelChunk>,
    slots: Vec<Option<ModelHeap>>,
    newest: usize,
    pub(super) outcomes: BTreeMap<&'static str, u64>,
    pub(super) discards: BTreeMap<&'static str, u64>,
    pub(super) placed: u64,
    pub(super) singles: u64,
    pub(super) too_old: u64,
    pub(super) rejected: u64,
    pub(super) evicted: u64,
    pub(super) flushed: u64,
    pub(super) heaps: u64,
}

impl Model {
    pub(super) fn new(window: u64, max_heaps: usize, first_id: u64) -> Self {
        Self {
            window,
            max_heaps,
            out_of_order: true,
            deduplicate: true,
            packet_presence: false,
            first_id,
            refused: |_| false,
            head: 0,
            tail: 0,
            open: BTreeMap::new(),
            delivered: Vec::new(),
            slots: vec![None; max_heaps],
            newest: 0,
            outcomes: BTreeMap::new(),
            discards: BTreeMap::new(),
            placed: 0,
            singles: 0,
            too_old: 0,
            rejected: 0,
            evicted: 0,
            flushed: 0,
            heaps: 0,
        }
    }

    pub(super) fn packet(&mut self, spec: HeapSpec, part: usize) {
        let single = spec.parts == 1;
        self.singles += u64::from(single);
        let known = self.slots.iter().position(|s| s.as_ref().is_some_and(|h| h.spec == spec));
        let slot = match known {
            Some(slot) if !single => {
                let parts = &self.slots[slot].as_ref().unwrap().parts;
                let refusal = if self.out_of_order {
                    parts.contains(&part).then_some(PacketDiscard::Duplicate)
                } else if part < parts.len() {
                    Some(PacketDiscard::Duplicate)
                } else {
                    (part > parts.len()).then_some(PacketDiscard::Gap)
                };
                if let Some(reason) = refusal {
                    return self.discard(reason);
                }
                slot
            }
            _ if !self.out_of_order && part != 0 => return self.discard(PacketDiscard::NotFirst),
            _ => {
                self.newest = (self.newest + 1) % self.max_heaps;
                if let Some(old) = self.slots[self.newest].take() {
                    self.evicted += 1;
                    self.leave(old.fate.err().unwrap_or(HeapOutcome::Evicted));
                }
                let fate = self.place(spec);
                let heap = ModelHeap { spec, parts: BTreeSet::new(), fate };
                self.slots[self.newest] = Some(heap);
                self.newest
            }
        };
        let mut heap = self.slots[slot].take().unwrap();
        heap.parts.insert(part);
        match self.store(&heap, part) {
            Ok(()) => self.placed += 1,
            Err(reason) => self.discard(reason),
        }
        if heap.parts.len() == spec.parts {
            let outcome = self.complete(&heap);
            self.leave(outcome);
        } else {
            self.slots[slot] = Some(heap);
        }
    }

    fn place(&mut self, spec: HeapSpec) -> Result<u64, HeapOutcome> {
        if spec.index == REJECTED {
            self.rejected += 1;
            return Err(HeapOutcome::Rejected);
        }
        let id = self.first_id + spec.chunk;
        if id > i64::MAX as u64 {
            return Err(HeapOutcome::BadPlacement);
        }
        if id < self.head {
            self.too_old += 1;
            return Err(HeapOutcome::TooOld);
        }
        self.advance(id);
        let (deduplicate, by_packet) = (self.deduplicate, self.packet_presence);
        let Some(chunk) = self.open.get_mut(&id).unwrap() else {
            return Err(HeapOutcome::NoChunk);
        };
        if spec.index >= HEAPS || spec.offset + HEAP > chunk.data.len() {
            return Err(HeapOutcome::BadPlacement);
        }
        if deduplicate && !by_packet && chunk.present[spec.index] == 1 {
            return Err(HeapOutcome::PlaceTaken);
        }
        let tag = spec.cnt.to_be_bytes();
        chunk.extra[spec.index * 2..][..2].copy_from_slice(&tag[6..]);
        Ok(id)
    }

    /// The rules of the window, word for word.
    fn advance(&mut self, id: u64) {
        if id >= self.tail && id - self.tail >= self.window {
            while self.head < self.tail {
                self.flush_head();
            }
            self.head = id - (self.window - 1);
            self.tail = self.head;
        }
        while id >= self.tail {
            if self.tail - self.head == self.window {
                self.flush_head();
            }
            let flags = if self.packet_presence { HEAPS * HEAP / UNIT } else { HEAPS };
            let chunk = ModelChunk {
                id: self.tail,
                data: vec![0; HEAPS * HEAP],
                present: vec![0; flags],
                extra: vec![0; 2 * HEAPS],
            };
            let chunk = if (self.refused)(self.tail) { None } else { Some(chunk) };
            self.open.insert(self.tail, chunk);
            self.tail += 1;
        }
    }

    fn flush_head(&mut self) {
        self.delivered.extend(self.open.remove(&self.head).unwrap());
        self.head += 1;
    }

    fn store(&mut self, heap: &ModelHeap, part: usize) -> Result<(), PacketDiscard> {
        let id = heap.fate.map_err(|outcome| match outcome {
            HeapOutcome::Rejected => PacketDiscard::Rejected,
            HeapOutcome::TooOld => PacketDiscard::TooOld,
            HeapOutcome::NoChunk => PacketDiscard::NoChunk,
            HeapOutcome::BadPlacement => PacketDiscard::BadPlacement,
            _ => PacketDiscard::PlaceTaken,
        })?;
        let Some(chunk) = self.open.get_mut(&id) else { return Err(PacketDiscard::TooOld) };
        let chunk = chunk.as_mut().unwrap();
        let size = HEAP / heap.spec.parts;
        let bytes = part * size..(part + 1) * size;
        if self.packet_presence {
            let at = heap.spec.index * HEAP / UNIT;
            let flags = &mut chunk.present[at..][bytes.start / UNIT..bytes.end / UNIT];
            if self.deduplicate && flags.contains(&1) {
                return Err(PacketDiscard::Duplicate);
            }
            flags.fill(1);
        }
        chunk.data[heap.spec.offset..][bytes.clone()].copy_from_slice(&heap.spec.payload()[bytes]);
        Ok(())
    }

    fn complete(&mut self, heap: &ModelHeap) -> HeapOutcome {
        let id = match heap.fate {
            Ok(id) => id,
            Err(outcome) => return outcome,
        };
        let Some(chunk) = self.open.get_mut(&id) else {
            self.too_old += 1;
            return HeapOutcome::TooOld;
        };
        if !self.packet_presence {
            chunk.as_mut().unwrap().present[heap.spec.index] = 1;
        }
        HeapOutcome::Placed
    }

    fn leave(&mut self, outcome: HeapOutcome) {
        self.heaps += 1;
        *self.outcomes.entry(outcome.as_str()).or_default() += 1;
    }

    fn discard(&mut self, reason: PacketDiscard) {
        *self.discards.entry(reason.as_str()).or_default() += 1;
    }

    /// A stop by the network: heaps from oldest to newest, then the chunks.
    pub(super) fn stop(&mut self) {
        for slot in &mut self.slots {
            if let Some(heap) = slot.take() {
                self.flushed += 1;
                self.heaps += 1;
                let outcome = heap.fate.err().unwrap_or(HeapOutcome::Flushed);
                *self.outcomes.entry(outcome.as_str()).or_default() += 1;
            }
        }
        while self.head < self.tail {
            self.flush_head();
        }
    }
}

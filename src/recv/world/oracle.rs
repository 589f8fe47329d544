//! What must be true of everything that is handed over, whatever happened before.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{HEAP, Kind, Plan, UNIT};
use super::traffic::HeapId;
use crate::chunk::Chunk;
use crate::heap::{Heap, HeapStatus, ItemKind};
use crate::wire::Packet;

/// Something that is handed to the consumer.
pub(super) trait Handed: Send {
    fn note(&self) -> Note;
}

/// What is remembered of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    /// Whose ids grow: a stream's, or the group's.
    pub(super) sequence: u64,
    pub(super) id: Option<u64>,
    pub(super) units: u64,
}

/// A packet as a stream was offered it.
struct Offer {
    stream: usize,
    offset: u64,
    payload: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Oracle {
    grouped: bool,
    /// Chunks that left the pool, and those that were handed over or lost with a callback's panic.
    pub(super) lent: usize,
    pub(super) gone: usize,
    /// Chunks and heaps that were handed over.
    pub(super) handed_over: u64,
    /// Units present in what was handed over or lost so.
    pub(super) units: u64,
    /// The last id of each sequence.
    last: BTreeMap<u64, u64>,
    /// Times that ids went back.
    backwards: u64,
    /// The bytes of each heap that were offered, a bit for each [`UNIT`].
    offered: BTreeMap<HeapId, u8>,
    /// Where packets are damaged: all offers, and the streams that had damaged ones.
    offers: Vec<Offer>,
    tainted: BTreeSet<usize>,
    pub(super) sent: BTreeSet<HeapId>,
    pub(super) seen: BTreeSet<HeapId>,
}

impl Handed for Chunk {
    fn note(&self) -> Note {
        Note { sequence: self.stream_id(), id: Some(self.id()), units: self.n_present() }
    }
}

impl Oracle {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { grouped: plan.is_group(), ..Self::default() }
    }

    /// A stream is offered a packet for the first time.
    pub(super) fn offered(&mut self, plan: &Plan, stream: usize, bytes: &[u8], damaged: bool) {
        let Ok(packet) = Packet::decode(bytes) else { return };
        let (cnt, offset) = (packet.heap_cnt(), packet.payload_offset());
        if plan.faults.corrupt + plan.faults.garbage > 0 {
            let payload = packet.payload().to_vec();
            self.offers.push(Offer { stream, offset, payload });
            if damaged {
                self.tainted.insert(stream);
            }
        }
        if let Some(id) = HeapId::of_cnt(stream, cnt)
            && !damaged
        {
            let units = offset as usize / UNIT..(offset as usize + packet.payload().len()) / UNIT;
            *self.offered.entry(id).or_default() |= units.fold(0, |bits, unit| bits | 1 << unit);
        }
    }

    /// The consumer's side took something.
    pub(super) fn accepted(&mut self, note: &Note, resyncs: u64) {
        self.handed_over += 1;
        self.units += note.units;
        let Some(id) = note.id else { return };
        self.gone += 1;
        let sequence = if self.grouped { 0 } else { note.sequence };
        if let Some(last) = self.last.insert(sequence, id) {
            self.backwards += u64::from(id <= last);
            assert!(self.backwards <= resyncs, "ids grow: {id} after {last}");
        }
    }

    /// A callback took something and panicked.
    pub(super) fn vanished(&mut self, note: &Note) {
        self.gone += usize::from(note.id.is_some());
        self.units += note.units;
    }

    /// Chunks that streams hold.
    pub(super) fn held(&self) -> usize {
        self.lent - self.gone
    }

    /// The consumer has a chunk.
    pub(super) fn chunk(&mut self, plan: &Plan, streams: usize, chunk: &Chunk) {
        let (axis, units) = (plan.axis(), plan.units_per_heap());
        assert_eq!(chunk.present().len(), plan.flags());
        for (at, &flag) in chunk.present().iter().enumerate().filter(|flag| *flag.1 != 0) {
            assert_eq!(flag, 1, "flags are 0 or 1");
            let (slot, unit) = (at / units, at % units);
            let number = chunk.id() * plan.heaps_per_chunk as u64 + (slot / axis) as u64;
            let bytes = if plan.packet_presence { unit * UNIT..(unit + 1) * UNIT } else { 0..HEAP };
            let stored = &chunk.data()[slot * plan.stride()..][bytes.clone()];
            let from = match plan.kind {
                Kind::Group(_) if plan.shared => 0..streams,
                Kind::Group(_) => slot % axis..slot % axis + 1,
                _ => chunk.stream_id() as usize..chunk.stream_id() as usize + 1,
            };
            self.unit(from, number, bytes, stored);
            if plan.extra && self.offers.is_empty() {
                let tag = (number + 1).to_be_bytes();
                assert_eq!(&chunk.extra()[slot * 2..][..2], &tag[6..], "extra of heap {number}");
            }
        }
        contributions(plan, chunk);
    }

    /// A unit that is present: it is what one of its streams was sent, and all of it had arrived.
    fn unit(
        &mut self,
        mut from: std::ops::Range<usize>,
        number: u64,
        bytes: std::ops::Range<usize>,
        stored: &[u8],
    ) {
        let bits = (bytes.start / UNIT..bytes.end / UNIT).fold(0, |bits, unit| bits | 1 << unit);
        let whole = |stream: usize| {
            let id = HeapId { stream, number };
            let arrived = self.offered.get(&id).is_some_and(|units| units & bits == bits);
            (arrived && stored == &id.payload()[bytes.clone()]).then_some(id)
        };
        if let Some(id) = from.clone().find_map(whole) {
            self.seen.insert(id);
            return;
        }
        let vouched = from.any(|stream| self.vouched(stream, bytes.start as u64, stored));
        assert!(vouched, "heap {number}, bytes {bytes:?}: {stored:02x?} is not what was sent");
    }

    /// Whether the stream had damaged packets, and each byte is what one of its packets said. (One
    /// that is damaged may send undamaged ones that follow to another place.)
    fn vouched(&self, stream: usize, start: u64, stored: &[u8]) -> bool {
        if !self.tainted.contains(&stream) {
            return false;
        }
        let offers: Vec<_> = self.offers.iter().filter(|offer| offer.stream == stream).collect();
        (start..).zip(stored).all(|(at, &byte)| {
            offers.iter().any(|offer| {
                let within = at.checked_sub(offer.offset).and_then(|at| usize::try_from(at).ok());
                within.and_then(|at| offer.payload.get(at)) == Some(&byte)
            })
        })
    }

    /// The consumer has a heap.
    pub(super) fn heap(&mut self, heap: &Heap) {
        let stream = heap.stream_id() as usize;
        let ranges = match heap.status() {
            HeapStatus::Complete | HeapStatus::Contiguous => {
                vec![(0, heap.payload().len() as u64)]
            }
            HeapStatus::Incomplete => heap.payload_ranges().to_vec(),
        };
        let id = HeapId::of_cnt(stream, heap.cnt());
        let sent = id.map(HeapId::payload);
        for &(start, end) in &ranges {
            let stored = &heap.payload()[start as usize..end as usize];
            let expected = sent.as_ref().and_then(|sent| sent.get(start as usize..end as usize));
            assert!(
                expected == Some(stored) || self.vouched(stream, start, stored),
                "heap {}, bytes {start}..{end}: {stored:02x?} is not what was sent",
                heap.cnt(),
            );
        }
        let Some(id) = id.filter(|_| heap.status() == HeapStatus::Complete) else { return };
        if self.offers.is_empty() && heap.length() == Some(HEAP as u64) {
            assert_eq!(self.offered.get(&id), Some(&0xf), "all of heap {} arrived", heap.cnt());
            let payload = heap.items().find_map(|item| match item.kind {
                ItemKind::Addressed(bytes) => Some(bytes),
                ItemKind::Immediate(_) => None,
            });
            assert_eq!(payload, Some(&id.payload()[..]));
        }
        self.seen.insert(id);
    }

    /// Where nothing may be lost: nothing was.
    pub(super) fn nothing_is_missing(&self, plan: &Plan) {
        // Of heaps for one place, the first one has it.
        let place = |id: &HeapId| HeapId { stream: if plan.shared { 0 } else { id.stream }, ..*id };
        let seen: BTreeSet<_> = self.seen.iter().map(place).collect();
        let missing: Vec<_> = self.sent.iter().filter(|id| !seen.contains(&place(id))).collect();
        let (lost, sent) = (missing.len(), self.sent.len());
        assert!(missing.is_empty(), "{lost} of {sent} missing: {missing:?}");
    }
}

/// A chunk's own account of what is in it.
fn contributions(plan: &Plan, chunk: &Chunk) {
    let flags = |flags: &[u8]| flags.iter().map(|&flag| u64::from(flag)).sum::<u64>();
    assert_eq!(chunk.n_present(), flags(chunk.present()));
    let all = chunk.contributions();
    assert_eq!(all.iter().map(|c| c.units).sum::<u64>(), chunk.n_present());
    if plan.axis() == 1 {
        return;
    }
    let units = plan.units_per_heap();
    for contribution in all {
        let of_member = |slot: &usize| slot % plan.axis() == contribution.stream_id as usize;
        let slots = (0..plan.slots()).filter(of_member);
        let own = slots.map(|slot| flags(&chunk.present()[slot * units..][..units])).sum::<u64>();
        assert_eq!(own, contribution.units);
    }
}

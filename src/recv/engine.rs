//! The engine of a stream: packet in, outcome out. It has no socket, thread or clock.
//!
//! A packet is processed exactly once. When something stands in the way (a full ring, no free
//! chunk, a window that others hold) the engine answers [`Flow::Park`]; the caller keeps the packet
//! and offers the same one again later, and the engine goes on where it stopped. What it had
//! decided by then (the heap's slot, its placement) is kept.

use std::sync::Arc;

use super::reader::Taken;
use super::stats::Counters;
use crate::chunk::{Cx, Group, ParkReason};
use crate::heap::{Assembly, HeapOutcome, Origin, PacketDiscard, Slot, SlotTable};
use crate::paths;
use crate::wire::{Decoder, Packet};

/// What the engine does with heaps: assemble them, or place them in chunks.
pub(crate) trait Sink: Send {
    /// What is kept beside a heap under assembly.
    type Heap: Default + Send;

    /// Whether packets must say their heap's length.
    const NEEDS_LENGTH: bool;

    /// Hands over what is finished. `Err` if something is left.
    fn drain(&mut self, cx: &Cx<'_>) -> Result<(), ParkReason>;

    /// Whether `drain` has something to do before the next packet.
    fn has_backlog(&self) -> bool;

    /// A slot is taken by a new heap.
    fn begin(&mut self, heap: &mut Self::Heap);

    /// Whether a heap's packets can be stored as they come.
    fn is_open(heap: &Self::Heap) -> bool;

    /// Prepares for an accepted packet's payload. May be called again for the same packet.
    ///
    /// Not called for heaps that [are open](Self::is_open).
    fn open(
        &mut self,
        slot: &mut Slot<Self::Heap>,
        packet: &Packet<'_>,
        origin: &Origin,
        cx: &Cx<'_>,
    ) -> Result<(), ParkReason>;

    /// Stores an accepted packet's payload.
    fn store(
        &mut self,
        slot: &mut Slot<Self::Heap>,
        packet: &Packet<'_>,
    ) -> Result<(), PacketDiscard>;

    /// A packet of the heap that ends the stream was accepted; its payload goes nowhere.
    fn swallow(&mut self, _slot: &mut Slot<Self::Heap>, _packet: &Packet<'_>, _origin: &Origin) {}

    /// How to store payload at an offset of a heap that [is open](Self::is_open), if there is a
    /// simple way: a function that says whether it did. Nothing else happens to the sink meanwhile.
    fn writer<'a>(
        &'a mut self,
        heap: &'a mut Self::Heap,
    ) -> Option<impl FnMut(usize, &[u8]) -> bool + use<'a, Self>>;

    /// A heap leaves its slot. Says what became of it.
    fn close(&mut self, slot: &mut Slot<Self::Heap>, why: Close) -> HeapOutcome;

    /// The stream ends: everything still open is finished.
    fn flush(&mut self, cx: &Cx<'_>);

    /// Nothing will follow; what was finished has been drained.
    fn end(&mut self, cx: &Cx<'_>);

    /// The user stopped the stream: what was not delivered is dropped, and nothing will follow.
    fn abandon(&mut self, cx: &Cx<'_>);

    /// Some packets have been offered, and the stream may wait for the next, or for room.
    fn announce(&mut self);

    /// A quantum is over; after it the stream goes on or waits. True if it waits for others that are
    /// at work, which will wake it soon.
    fn pause(&mut self, _waits: bool) -> bool {
        self.announce();
        false
    }

    /// A batch of packets has been offered.
    fn end_batch(&mut self) {}

    /// Time has passed. `drained` says that all readers were found empty just now.
    fn tick(&mut self, cx: &Cx<'_>, drained: bool);

    /// Releases everything before chunk `target`, for the other members of a group, which it gives
    /// back if something is to be published then. Calls nobody.
    fn flush_until(&mut self, target: u64) -> Option<Arc<Group>>;
}

/// Why a heap leaves its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// All has arrived.
    Complete,
    /// A newer heap takes the slot.
    Evicted,
    /// The stream ends.
    Flushed,
    /// It ended the stream: nobody is to see it.
    Swallowed,
}

/// What the caller does after offering a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The packet is done with; offer the next.
    Next,
    /// Keep the packet and offer it again when the stream is woken.
    Park(ParkReason),
}

/// What came of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is in its place, and its heap waits for more.
    GoesOn,
    /// It is done with, whatever it was.
    Done,
    /// It has to be offered again.
    Park(ParkReason),
}

/// The rules by which packets become heaps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) max_heaps: usize,
    pub(crate) substreams: usize,
    pub(crate) out_of_order: bool,
    pub(crate) allow_unsized: bool,
    pub(crate) stop_on_stop_item: bool,
    pub(crate) max_heap_size: u64,
}

/// A stream's engine.
pub(crate) struct Engine<S: Sink> {
    rules: Rules,
    decoder: Decoder,
    slots: SlotTable<S::Heap>,
    sink: S,
    counters: Arc<Counters>,
    /// The slot of the packet that is being worked on: it was parked, or a callback panicked.
    pending: Option<usize>,
    stopped: bool,
}

impl<S: Sink> Engine<S> {
    pub(crate) fn new(rules: Rules, sink: S, counters: Arc<Counters>) -> Self {
        let slots = SlotTable::new(rules.substreams, rules.max_heaps);
        let decoder = Decoder::default();
        Self { rules, decoder, slots, sink, counters, pending: None, stopped: false }
    }

    /// Whether the stream has been ended, by its sender or by [`flush`](Self::flush).
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Takes datagrams, each of which has to be one packet: `size` bytes each, but for the last.
    /// No bytes are one empty datagram.
    pub(crate) fn datagrams(
        &mut self,
        bytes: &[u8],
        size: usize,
        origin: &Origin,
        cx: &Cx<'_>,
    ) -> Taken {
        assert!(size > 0, "datagrams that lie one after the other have a size");
        let mut taken = Taken { bytes: 0, packets: 0, end: Ok(Flow::Next) };
        loop {
            let rest = &bytes[taken.bytes..];
            let datagram = rest.get(..size).unwrap_or(rest);
            match self.decoder.decode_datagram(datagram) {
                Ok(packet) => match self.packet(&packet, origin, cx) {
                    Step::GoesOn if datagram.len() == size => {
                        self.follow(&packet, &bytes[taken.bytes + size..], usize::MAX, &mut taken);
                    }
                    Step::GoesOn | Step::Done => {}
                    Step::Park(reason) => {
                        taken.end = Ok(Flow::Park(reason));
                        return taken;
                    }
                },
                Err(error) => self.malformed(error.into()),
            }
            taken.bytes += datagram.len();
            taken.packets += 1;
            if taken.bytes == bytes.len() {
                return taken;
            }
        }
    }

    /// Takes the packets that `bytes` start with, up to `most` of them. What is no packet is
    /// counted and ends it, as what follows cannot be found.
    pub(crate) fn packets(
        &mut self,
        bytes: &[u8],
        most: usize,
        origin: &Origin,
        cx: &Cx<'_>,
    ) -> Taken {
        let mut taken = Taken { bytes: 0, packets: 0, end: Ok(Flow::Next) };
        while taken.packets < most as u64 {
            let Some(rest @ [_, ..]) = bytes.get(taken.bytes..) else { break };
            match self.decoder.decode(rest) {
                Ok(packet) => {
                    let step = self.packet(&packet, origin, cx);
                    if let Step::Park(reason) = step {
                        taken.end = Ok(Flow::Park(reason));
                        break;
                    }
                    taken.bytes += packet.size();
                    taken.packets += 1;
                    if step == Step::GoesOn {
                        let most = most - taken.packets as usize;
                        self.follow(&packet, &bytes[taken.bytes..], most, &mut taken);
                    }
                }
                Err(error) => {
                    self.malformed(error.into());
                    taken.packets += 1;
                    taken.end = Err(error);
                    break;
                }
            }
        }
        taken
    }

    /// Takes a datagram, which has to be one packet.
    #[cfg(any(test, speadway_fuzz))]
    pub(crate) fn datagram(&mut self, bytes: &[u8], origin: &Origin, cx: &Cx<'_>) -> Flow {
        let taken = self.datagrams(bytes, bytes.len().max(1), origin, cx);
        taken.end.unwrap_or(Flow::Next)
    }

    /// Counts something received that is no packet.
    #[cold]
    pub(crate) fn malformed(&mut self, reason: PacketDiscard) {
        let reason = if self.stopped { PacketDiscard::AfterStop } else { reason };
        self.counters.packets_received.add(1);
        self.counters.discard(reason);
    }

    /// Takes a packet.
    #[inline(always)]
    fn packet(&mut self, packet: &Packet<'_>, origin: &Origin, cx: &Cx<'_>) -> Step {
        if self.stopped || self.pending.is_some() || self.sink.has_backlog() {
            return self.packet_after_obstacle(packet, origin, cx);
        }
        match self.admit(packet) {
            Ok(Some(slot)) if S::is_open(&self.slots.get(slot).heap) && !self.swallows(slot) => {
                self.store(slot, packet)
            }
            Ok(Some(slot)) => self.packet_of(slot, packet, origin, cx),
            Ok(None) => self.begin(packet, origin, cx),
            Err(reason) => self.refuse(reason),
        }
    }

    /// Takes up to `most` packets from `bytes` that go on with the heap of `last`, the packet before
    /// them that was stored, where it ended: what differs is only their payload and where it goes. It stops before
    /// the heap is whole, and leaves whatever is unusual to [`packet`](Self::packet).
    #[inline]
    fn follow(&mut self, last: &Packet<'_>, bytes: &[u8], most: usize, taken: &mut Taken) {
        if paths::only_long() || self.sink.has_backlog() {
            return;
        }
        let (size, payload) = (last.size(), last.payload().len());
        let out_of_order = self.rules.out_of_order;
        let Some(slot) = self.slots.last() else { return };
        let assembly = &mut slot.assembly;
        let Some(length) = assembly.length() else { return };
        let is_usual = assembly.cnt() == last.heap_cnt()
            && last.heap_length() == Some(length)
            && assembly.min_length() == length
            && !assembly.is_stop()
            && S::is_open(&slot.heap);
        if !is_usual {
            return;
        }
        let Some(siblings) = self.decoder.siblings(last) else { return };
        let Some(mut write) = self.sink.writer(&mut slot.heap) else { return };
        let start = assembly.next_offset(out_of_order);
        let mut offset = start;
        let mut packets = 0;
        for packet in bytes.chunks_exact(size).take(most) {
            let end = offset + payload as u64;
            let goes_on = siblings.offset_of(packet) == Some(offset)
                && end < length
                && write(offset as usize, &packet[size - payload..]);
            if !goes_on {
                break;
            }
            offset = end;
            packets += 1;
        }
        assembly.accept_next(offset - start, out_of_order);
        taken.bytes += packets as usize * size;
        taken.packets += packets;
        let counters = &self.counters;
        counters.packets_received.add(packets);
        counters.packets.add(packets);
        counters.search_dist.add(packets);
        counters.packets_placed.add(packets);
        counters.bytes_placed.add(offset - start);
    }

    /// Takes a packet when the one before could not be finished, or is the last that counts.
    #[cold]
    fn packet_after_obstacle(&mut self, packet: &Packet<'_>, origin: &Origin, cx: &Cx<'_>) -> Step {
        if self.stopped {
            self.malformed(PacketDiscard::AfterStop);
            return Step::Done;
        }
        if let Err(reason) = self.sink.drain(cx) {
            return Step::Park(reason);
        }
        let step = match self.pending.map_or_else(|| self.admit(packet), |slot| Ok(Some(slot))) {
            Ok(Some(slot)) => self.packet_of(slot, packet, origin, cx),
            Ok(None) => self.begin(packet, origin, cx),
            Err(reason) => self.refuse(reason),
        };
        // A reader may have offered another packet than the heap accepted; no others follow it.
        if step == Step::GoesOn { Step::Done } else { step }
    }

    /// Finds the packet's heap, which accepts it. `None` if the packet begins one.
    #[inline(always)]
    fn admit(&mut self, packet: &Packet<'_>) -> Result<Option<usize>, PacketDiscard> {
        let counters = &self.counters;
        counters.packets_received.add(1);
        counters.packets.add(1);
        match packet.heap_length() {
            None if S::NEEDS_LENGTH || !self.rules.allow_unsized => {
                return Err(PacketDiscard::NoHeapLength);
            }
            Some(length) if length > self.rules.max_heap_size => {
                return Err(PacketDiscard::HeapTooLarge);
            }
            Some(length) if length == packet.payload().len() as u64 => {
                // A whole heap needs no search for what came before. (So a repeated one is
                // another heap; the reference does the same.)
                counters.single_packet_heaps.add(1);
                return Ok(None);
            }
            _ => {}
        }
        let (found, looked) = self.slots.find(packet.heap_cnt());
        counters.search_dist.add(looked);
        let Some(slot) = found else { return Ok(None) };
        self.slots.get(slot).assembly.accept(packet, self.rules.out_of_order).map(|()| Some(slot))
    }

    /// Takes the packet that is the first of its heap to arrive.
    #[inline(never)]
    fn begin(&mut self, packet: &Packet<'_>, origin: &Origin, cx: &Cx<'_>) -> Step {
        if !self.rules.out_of_order && packet.payload_offset() != 0 {
            return self.refuse(PacketDiscard::NotFirst);
        }
        let slot = self.slots.next(packet.heap_cnt());
        if self.slots.get(slot).live {
            self.give_up(slot, Close::Evicted);
        }
        let taken = self.slots.get(slot);
        taken.assembly.start(packet, self.rules.out_of_order);
        self.sink.begin(&mut taken.heap);
        self.slots.occupy(slot, packet.heap_cnt());
        self.counters.heaps_started.add(1);
        self.counters.heaps_in_flight.set(self.slots.live() as u64);
        self.deliver(slot, packet, origin, cx)
    }

    /// Takes another packet that the heap in `slot` has accepted, of one that is not open yet or ends
    /// the stream.
    #[inline(never)]
    fn packet_of(
        &mut self,
        slot: usize,
        packet: &Packet<'_>,
        origin: &Origin,
        cx: &Cx<'_>,
    ) -> Step {
        self.deliver(slot, packet, origin, cx)
    }

    /// Opens the heap in `slot` if it has to be, and stores its packet.
    #[inline(always)]
    fn deliver(&mut self, slot: usize, packet: &Packet<'_>, origin: &Origin, cx: &Cx<'_>) -> Step {
        if self.swallows(slot) {
            self.sink.swallow(self.slots.get(slot), packet, origin);
            return self.swallow(slot);
        }
        self.pending = Some(slot);
        let heap = self.slots.get(slot);
        if !S::is_open(&heap.heap)
            && let Err(reason) = self.sink.open(heap, packet, origin, cx)
        {
            self.counters.packets_in_flight.set(1);
            return Step::Park(reason);
        }
        self.counters.packets_in_flight.set(0);
        self.store(slot, packet)
    }

    /// Stores a packet of an open heap, which it may make whole.
    #[inline(always)]
    fn store(&mut self, slot: usize, packet: &Packet<'_>) -> Step {
        let counters = &self.counters;
        // An allocator of the user's may panic here; then the packet is still to be accounted for.
        self.pending = Some(slot);
        let stored = self.sink.store(self.slots.get(slot), packet);
        self.pending = None;
        match stored {
            Ok(()) => {
                counters.packets_placed.add(1);
                counters.bytes_placed.add(packet.payload().len() as u64);
            }
            Err(reason) => counters.discard(reason),
        }
        if self.assembly(slot).is_complete() {
            self.close(slot, Close::Complete);
            return Step::Done;
        }
        if stored.is_ok() { Step::GoesOn } else { Step::Done }
    }

    /// Takes a packet of the heap that ends the stream; nobody is to see it.
    #[cold]
    fn swallow(&mut self, slot: usize) -> Step {
        self.pending = None;
        self.counters.packets_in_flight.set(0);
        self.counters.discard(PacketDiscard::StopItem);
        if self.assembly(slot).is_complete() {
            self.close(slot, Close::Swallowed);
        }
        self.stopped = true;
        Step::Done
    }

    fn refuse(&mut self, reason: PacketDiscard) -> Step {
        self.counters.discard(reason);
        Step::Done
    }

    /// Whether the heap in `slot` ends the stream.
    #[inline(always)]
    fn swallows(&mut self, slot: usize) -> bool {
        self.rules.stop_on_stop_item && self.assembly(slot).is_stop()
    }

    #[inline(always)]
    fn assembly(&mut self, slot: usize) -> &Assembly {
        &self.slots.get(slot).assembly
    }

    /// The heap in `slot` leaves it before it is whole.
    #[inline(never)]
    fn give_up(&mut self, slot: usize, why: Close) {
        self.close(slot, why);
    }

    #[inline(always)]
    fn close(&mut self, slot: usize, why: Close) {
        let outcome = self.sink.close(self.slots.get(slot), why);
        self.slots.vacate(slot);
        let counters = &self.counters;
        counters.outcome(outcome);
        counters.heaps_in_flight.set(self.slots.live() as u64);
        match why {
            Close::Swallowed => return,
            Close::Complete => {}
            Close::Evicted => counters.incomplete_heaps_evicted.add(1),
            Close::Flushed => counters.incomplete_heaps_flushed.add(1),
        }
        counters.heaps.add(1);
    }

    /// Hands over what is finished. `Err` if something is left.
    pub(crate) fn drain(&mut self, cx: &Cx<'_>) -> Result<(), ParkReason> {
        self.sink.drain(cx)
    }

    /// Ends the stream: heaps and then chunks are finished as they are. What comes after counts as
    /// received after the stop.
    pub(crate) fn flush(&mut self, cx: &Cx<'_>) {
        self.stopped = true;
        if self.pending.take().is_some() {
            self.counters.packets_in_flight.set(0);
            self.counters.discard(PacketDiscard::AfterStop);
        }
        for slot in self.slots.oldest_first() {
            self.give_up(slot, Close::Flushed);
        }
        self.sink.flush(cx);
    }

    /// Tells the sink's consumer that nothing follows.
    pub(crate) fn end(&mut self, cx: &Cx<'_>) {
        self.sink.end(cx);
    }

    /// Ends the stream at a user's request: what was not delivered is dropped here.
    pub(crate) fn abandon(&mut self, cx: &Cx<'_>) {
        self.flush(cx);
        self.sink.abandon(cx);
    }

    /// Lets time-dependent rules act.
    pub(crate) fn tick(&mut self, cx: &Cx<'_>, drained: bool) {
        if self.pending.is_none() && !self.stopped {
            self.sink.tick(cx, drained);
        }
    }
}

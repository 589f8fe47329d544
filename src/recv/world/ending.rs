//! Lulls and the end of a simulated world: nobody stands still, and everything is where it belongs.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::host::Act;
use super::traffic::Ending;
use super::{World, lock};
use crate::chunk::{Chunk, ParkReason, WhenFull};
use crate::heap::HeapOutcome;
use crate::recv::control::End;
use crate::ring::TryPopError;

/// Steps in which a world has to come to rest; far more than any needs.
const PATIENCE: usize = 20_000;

/// Times that timers may go off one after the other without anything else happening.
const TIMERS: usize = 8;

impl World {
    /// No faults, nothing new is sent, and the consumer takes everything; until nothing moves.
    pub(super) fn lull(&self) {
        self.note(|| "a lull".to_owned());
        self.set_calm(true);
        self.settle();
        self.nobody_stands_still();
        self.set_calm(false);
    }

    fn set_calm(&self, calm: bool) {
        lock(&self.troubles).calm = calm;
    }

    fn settle(&self) {
        for _ in 0..PATIENCE {
            self.free_what_was_stopped();
            let consumed = self.consume_all();
            let acts = self.acts();
            if !acts.is_empty() {
                let act: Act = lock(&self.choices).pick(&acts);
                self.act(act);
            } else if !self.happen_but_sends() && !consumed {
                return self.check();
            }
        }
        panic!("the world does not come to rest");
    }

    /// At rest, who is parked or has packets has a reason.
    fn nobody_stands_still(&self) {
        let jobs = lock(&self.jobs);
        let packets = |stream: usize| {
            let sockets = lock(&self.sockets);
            let own = |socket: &&Arc<_>| {
                let socket: &super::Socket = &lock(socket);
                socket.stream == stream && !socket.closed
            };
            sockets.iter().filter(own).map(|socket| lock(socket).queue.len()).sum::<usize>()
        };
        let live = || jobs.iter().enumerate().filter(|(_, job)| !job.done);
        let silent = live().any(|(at, job)| job.parked().is_none() && packets(at) == 0);
        for (at, job) in live() {
            let excused = match job.parked() {
                None => packets(at) == 0,
                // All that it waits for was taken and given back.
                Some(ParkReason::DataRing) => false,
                Some(ParkReason::FreeRing) => {
                    self.pool.stats().free == 0 && !self.plan.pool_suffices()
                }
                // A silent member holds the others of its lossless group back.
                Some(ParkReason::GroupWindow) => {
                    !self.plan.is_eager() && (silent || self.a_chunk_is_missing())
                }
            };
            let (parked, packets) = (job.parked(), packets(at));
            assert!(excused, "stream {at} stands still: {parked:?}, {packets} packets");
        }
    }

    /// Some member of the group waits for a chunk that the pool is too small for.
    fn a_chunk_is_missing(&self) -> bool {
        self.pool.stats().free == 0 && !self.plan.pool_suffices()
    }

    /// Everything ends, one way or the other.
    pub(super) fn end(&self) {
        self.lull();
        self.set_calm(true);
        for _ in 0..TIMERS {
            if !self.wait_for_a_timer() {
                break;
            }
            self.settle();
            self.nobody_stands_still();
        }
        self.note(|| "the end".to_owned());
        self.set_calm(false);
        self.send_the_rest();
        self.set_calm(true);
        self.end_streams();
        self.settle();
        self.everything_has_ended();
    }

    /// In a world where nothing is lost, all that senders had is sent, and arrives.
    fn send_the_rest(&self) {
        if self.plan.strict {
            while self.happen() {}
        }
    }

    fn end_streams(&self) {
        let streams = lock(&self.jobs).len();
        if self.plan.open_ended {
            self.group.get().into_iter().for_each(|group| group.close());
        }
        for stream in 0..streams {
            let how = if self.plan.strict { 0 } else { lock(&self.choices).below(4) };
            match how {
                2 => lock(&self.jobs)[stream].control.clone().finish(),
                3 => self.stop(stream, false),
                _ => self.hang_up(stream),
            }
        }
        if !self.plan.pool_suffices() {
            // They may wait for chunks that there are none of; a stop needs none.
            self.settle();
            (0..streams).for_each(|stream| self.stop(stream, false));
        }
    }

    fn everything_has_ended(&self) {
        self.free_what_was_stopped();
        self.consume_all();
        let jobs = lock(&self.jobs);
        let going: Vec<_> = (0..jobs.len()).filter(|&at| !jobs[at].done).collect();
        assert!(going.is_empty(), "streams {going:?} do not end");
        drop(jobs);
        self.readers_hold_nothing();
        self.ring_and_pool();
        self.accounts();
        if self.plan.strict {
            lock(&self.oracle).nothing_is_missing(&self.plan);
        }
    }

    /// Who is told to finish takes first what was received before.
    fn readers_hold_nothing(&self) {
        let jobs = lock(&self.jobs);
        for socket in lock(&self.sockets).iter() {
            let socket = lock(socket);
            let finished = jobs[socket.stream].control.end() == Some(End::Finished);
            let (stream, held) = (socket.stream, socket.held);
            assert!(!finished || held == 0, "stream {stream} forgets {held} packets");
        }
    }

    fn ring_and_pool(&self) {
        if self.plan.kind == super::Kind::Heaps {
            assert_eq!(self.heap_ring.try_pop().err(), Some(TryPopError::Ended));
            assert!(lock(&self.heaps).ended, "the consumer was told the end");
            return;
        }
        assert_eq!(self.ring.try_pop().err(), Some(TryPopError::Ended), "the ring has ended");
        assert!(lock(&self.chunks).ended, "the consumer was told the end");
        let stats = self.pool.stats();
        assert_eq!(stats.free, stats.owned, "all chunks are back");
        let chunks: Vec<Chunk> = std::iter::from_fn(|| self.pool.try_take()).collect();
        let tag = |chunk: &Chunk| chunk.tag().and_then(|tag| tag.downcast_ref::<usize>()).copied();
        let tags: BTreeSet<_> = chunks.iter().map(tag).collect();
        assert_eq!(tags.len(), stats.owned, "each of them once");
    }

    fn accounts(&self) {
        let jobs = lock(&self.jobs);
        let mut placed = 0;
        for (at, job) in jobs.iter().enumerate() {
            let stats = job.counters.snapshot();
            assert_eq!((stats.packets_in_flight, stats.heaps_in_flight), (0, 0), "stream {at}");
            assert!(stats.packets_balance() && stats.heaps_balance(), "stream {at}: {stats}");
            placed += stats.outcome(HeapOutcome::Placed);
            if self.plan.kind == super::Kind::Heaps && !self.plan.contiguous_only {
                placed += stats.outcome(HeapOutcome::Evicted) + stats.outcome(HeapOutcome::Flushed);
            }
            let sockets = lock(&self.sockets);
            let own = sockets.iter().filter(|socket| lock(socket).stream == at);
            let drops: u64 = own.map(|socket| lock(socket).drops).sum();
            // Once it is told to end, or a reader's failure ends it, a stream reads no more, and its
            // sockets overflow.
            let told = self.plan.faults.control > 0 || self.a_sender_says_stop(at);
            let failed = self.plan.faults.error > 0 && self.plan.end_with_first_reader;
            let exact = !told && !failed && !job.broken;
            assert!(stats.kernel_drops <= drops, "{drops} drops, {stats}");
            assert!(!exact || stats.kernel_drops == drops, "{drops} drops, {stats}");
        }
        drop(jobs);
        self.group_accounts();
        self.units_are_those_placed(placed);
    }

    fn a_sender_says_stop(&self, stream: usize) -> bool {
        let senders = lock(&self.senders);
        senders.iter().any(|s| s.stream == stream && s.ending == Ending::StopItem)
    }

    fn group_accounts(&self) {
        let Some(stats) = self.group.get().map(|group| group.stats()) else { return };
        assert_eq!((stats.backlog, stats.live_members), (0, 0));
        let delivered = lock(&self.oracle).gone as u64;
        assert!(stats.chunks_delivered <= delivered && delivered <= stats.chunks_opened);
        if !lock(&self.troubles).dropped {
            assert_eq!(delivered, stats.chunks_opened);
        }
    }

    /// What streams say they placed was handed over.
    fn units_are_those_placed(&self, placed: u64) {
        if self.plan.packet_presence {
            return;
        }
        let units = lock(&self.oracle).units;
        let faults = &self.plan.faults;
        let once = self.plan.deduplicate && faults.corrupt + faults.garbage == 0;
        let dropped = lock(&self.troubles).dropped;
        let heaps = self.plan.kind == super::Kind::Heaps;
        if (once || heaps) && !dropped {
            assert_eq!(units, placed, "units handed over, and heaps placed");
        } else {
            assert!(units <= placed, "{units} units handed over, {placed} heaps placed");
        }
        // Rings that drop the newest are the only ones that streams may lose to.
        debug_assert!(!self.plan.strict || self.plan.policy.when_full == WhenFull::Wait);
    }

    /// A stream's senders hang up.
    fn hang_up(&self, stream: usize) {
        let sockets = lock(&self.sockets).len();
        for socket in 0..sockets {
            let own = lock(&lock(&self.sockets)[socket]).stream == stream;
            if own {
                self.at_socket(socket, |socket| socket.eof = true);
            }
        }
    }
}

//! A lone stream's window against the model, under arbitrary packets, with callbacks that refuse.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Instant;

use proptest::prelude::*;

use super::lone_model::{Model, ModelChunk};
use super::{HEAP, HEAPS, HeapSpec, REJECTED, RULES, Setup, UNIT};
use crate::chunk::{Allocation, Chunk, Cx, Lone, ParkReason};
use crate::heap::{HeapOutcome, Origin, PacketDiscard};
use crate::recv::Flow;
use crate::recv::chunk_sink::ChunkSink;
use crate::recv::engine::Engine;
use crate::recv::stats::Counters;

/// Ids for which there is no memory.
fn refused(id: u64) -> bool {
    id % 11 == 7
}

/// Answers "no" as often as its bits say.
#[derive(Debug)]
struct Moods(u64);

impl Moods {
    fn yes(&mut self) -> bool {
        self.0 = self.0.rotate_right(1);
        // The second of two questions is answered "yes" at the latest every 64.
        self.0 & 1 == 0 || self.0 == u64::MAX
    }
}

type Delivered = Arc<Mutex<Vec<ModelChunk>>>;

pub(super) struct Sim {
    pub(super) engine: Engine<ChunkSink<Lone>>,
    pub(super) counters: Arc<Counters>,
    pub(super) delivered: Delivered,
    pub(super) parks: u64,
}

impl Sim {
    pub(super) fn new(setup: &Setup, moods: (u64, u64), refused: fn(u64) -> bool) -> Self {
        let delivered = Delivered::default();
        let (mut lends, mut takes) = (Moods(moods.0), Moods(moods.1));
        let flags = setup.options.packet_presence.map_or(HEAPS, |_| HEAPS * HEAP / UNIT);
        let allocate = move |id, _: &Waker| {
            if !lends.yes() {
                Allocation::NotYet
            } else if refused(id) {
                Allocation::Refused
            } else {
                Allocation::Chunk(Chunk::zeroed(HEAPS * HEAP, flags, 2 * HEAPS).unwrap())
            }
        };
        let ready = {
            let delivered = Arc::clone(&delivered);
            move |chunk: Chunk, _: &Waker| {
                if !takes.yes() {
                    return Err(chunk);
                }
                let units = chunk.contributions().iter().map(|c| c.units).sum::<u64>();
                assert_eq!(units, chunk.n_present());
                assert_eq!(units, chunk.present().iter().map(|&flag| u64::from(flag)).sum());
                delivered.lock().unwrap().push(ModelChunk {
                    id: chunk.id(),
                    data: chunk.data().to_vec(),
                    present: chunk.present().to_vec(),
                    extra: chunk.extra().to_vec(),
                });
                Ok(())
            }
        };
        let lone = Lone::new(0, setup.window, Box::new(allocate), Box::new(ready), None);
        let (engine, counters) = setup.engine(lone);
        Self { engine, counters, delivered, parks: 0 }
    }

    /// Offers a packet until it is taken.
    pub(super) fn packet(&mut self, bytes: &[u8]) {
        let cx = Cx { waker: Waker::noop(), now: Instant::now() };
        for _ in 0..1000 {
            let flow = self.engine.datagram(bytes, &Origin::default(), &cx);
            self.balance();
            match flow {
                Flow::Next => return,
                Flow::Park(reason) => {
                    assert_ne!(reason, ParkReason::GroupWindow);
                    self.parks += 1;
                }
            }
        }
        panic!("the packet is never taken");
    }

    pub(super) fn heap(&mut self, spec: HeapSpec) {
        for packet in spec.packets() {
            self.packet(&packet);
        }
    }

    pub(super) fn drain(&mut self) {
        let cx = Cx { waker: Waker::noop(), now: Instant::now() };
        while self.engine.drain(&cx).is_err() {
            self.balance();
        }
    }

    pub(super) fn stop(&mut self) {
        let cx = Cx { waker: Waker::noop(), now: Instant::now() };
        self.engine.flush(&cx);
        self.balance();
        self.drain();
        self.engine.end(&cx);
        self.balance();
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.delivered.lock().unwrap().iter().map(|chunk| chunk.id).collect()
    }

    fn balance(&self) {
        let stats = self.counters.snapshot();
        assert!(stats.packets_balance(), "{stats}");
        assert!(stats.heaps_balance(), "{stats}");
    }

    /// What is delivered so far is the start of what the model delivered (chunks may be on their
    /// way), and everything is counted as there.
    fn agree(&mut self, model: &Model) {
        self.drain();
        assert_eq!(*self.delivered.lock().unwrap(), model.delivered);
        let stats = self.counters.snapshot();
        let outcomes = HeapOutcome::ALL.map(|o| (o.as_str(), stats.outcome(o)));
        let discards = PacketDiscard::ALL.map(|d| (d.as_str(), stats.discarded(d)));
        let seen = |all: &[(&'static str, u64)]| -> BTreeMap<_, _> {
            all.iter().copied().filter(|&(_, n)| n > 0).collect()
        };
        assert_eq!(seen(&outcomes), model.outcomes);
        assert_eq!(seen(&discards), model.discards);
        let counted = [
            stats.packets_placed,
            stats.single_packet_heaps,
            stats.too_old_heaps,
            stats.rejected_heaps,
            stats.incomplete_heaps_evicted,
            stats.incomplete_heaps_flushed,
            stats.heaps,
        ];
        let expected = [
            model.placed,
            model.singles,
            model.too_old,
            model.rejected,
            model.evicted,
            model.flushed,
            model.heaps,
        ];
        assert_eq!(counted, expected);
        assert_eq!(stats.packets_in_flight, 0);
    }
}

/// How heaps arrive: by how much the chunk moves, the index, the number of packets, and for each
/// packet by how much it is late and how often it comes.
#[derive(Clone, Debug)]
struct Arrival {
    chunk_step: i64,
    index: usize,
    misplaced: bool,
    parts: usize,
    late: [u8; 4],
    copies: [u8; 4],
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let step = prop_oneof![8 => -1_i64..=1, 2 => -3_i64..=4, 1 => -20_i64..=40];
    let index = prop_oneof![20 => 0..HEAPS, 1 => HEAPS..HEAPS + 2, 1 => Just(REJECTED)];
    let parts = prop_oneof![Just(1_usize), Just(2), Just(4)];
    let late = prop::array::uniform4(prop_oneof![6 => Just(0_u8), 1 => 1_u8..30]);
    let copies = prop::array::uniform4(prop_oneof![8 => Just(1_u8), 1 => Just(0_u8), 1 => Just(2)]);
    (step, index, prop::bool::weighted(0.03), parts, late, copies).prop_map(
        |(chunk_step, index, misplaced, parts, late, copies)| Arrival {
            chunk_step,
            index,
            misplaced,
            parts,
            late,
            copies,
        },
    )
}

/// The packets in the order they arrive: heap and part.
fn packets(arrivals: &[Arrival], start: u64) -> Vec<(HeapSpec, usize)> {
    let mut timed = Vec::new();
    let mut chunk = start;
    for (number, arrival) in arrivals.iter().enumerate() {
        chunk = chunk.saturating_add_signed(arrival.chunk_step);
        let offset =
            if arrival.misplaced { HEAPS * HEAP - 1 } else { arrival.index % HEAPS * HEAP };
        let spec = HeapSpec {
            cnt: number as u64 + 1,
            chunk,
            index: arrival.index,
            offset,
            parts: arrival.parts,
        };
        for part in 0..arrival.parts {
            for copy in 0..arrival.copies[part] {
                let late = usize::from(arrival.late[part]) * (1 + usize::from(copy));
                timed.push((number * 4 + part + late, spec, part));
            }
        }
    }
    timed.sort_by_key(|packet| packet.0);
    timed.into_iter().map(|(_, spec, part)| (spec, part)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_lone_window_does_what_the_reference_says(
        arrivals in prop::collection::vec(arrival(), 1..60),
        window in 1_usize..6,
        max_heaps in prop_oneof![1_usize..5, Just(40)],
        out_of_order in any::<bool>(),
        deduplicate in any::<bool>(),
        by_packet in any::<bool>(),
        (start, first_id) in prop_oneof![
            Just((0_u64, 0_u64)),
            Just((100, 0)),
            // The last ids there are, and beyond.
            Just((0, i64::MAX as u64 - 30)),
        ],
        moods in (any::<u64>(), any::<u64>()),
    ) {
        let mut setup = Setup { window, first_id, max_extra: 2, ..Setup::default() };
        setup.rules.max_heaps = max_heaps;
        setup.rules.out_of_order = out_of_order;
        setup.options.deduplicate = deduplicate;
        setup.options.packet_presence = by_packet.then_some(UNIT as u64);
        let mut model = Model::new(window as u64, max_heaps, first_id);
        model.out_of_order = out_of_order;
        model.deduplicate = deduplicate;
        model.packet_presence = by_packet;
        model.refused = refused;
        let mut sim = Sim::new(&setup, moods, refused);
        for (spec, part) in packets(&arrivals, start) {
            sim.packet(&spec.packets()[part]);
            model.packet(spec, part);
            sim.agree(&model);
        }
        sim.stop();
        model.stop();
        sim.agree(&model);
        prop_assert!(sim.ids().windows(2).all(|pair| pair[0] < pair[1]));
    }
}

pub(super) fn whole(chunk: u64, index: usize) -> HeapSpec {
    let cnt = chunk % 1000 * 100 + index as u64 + 1;
    HeapSpec { cnt, chunk, index, offset: index * HEAP, parts: 1 }
}

#[test]
fn the_model_and_the_engine_place_heaps_at_all() {
    // The property would hold for an engine and a model that both do nothing.
    let mut model = Model::new(4, RULES.max_heaps, 0);
    let mut sim = Sim::new(&Setup { max_extra: 2, ..Setup::default() }, (0, 0), |_| false);
    for index in 0..HEAPS {
        sim.heap(whole(3, index));
        model.packet(whole(3, index), 0);
    }
    sim.stop();
    model.stop();
    sim.agree(&model);
    assert_eq!(model.placed, HEAPS as u64);
    assert_eq!(sim.delivered.lock().unwrap()[3].present, [1; HEAPS]);
}

//! Packets offered many at a time do what they do one by one, whatever is in them: the short way
//! that packets take which look like the one before leads to the same place as the long one.

use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Instant;

use proptest::prelude::*;
use proptest::sample::Index;

use super::lone::Sim;
use super::{HEAP, HEAPS, HeapSpec, RULES, Setup, UNIT};
use crate::chunk::Cx;
use crate::heap::{Heap, Origin};
use crate::memory::HeapAllocator;
use crate::recv::Flow;
use crate::recv::engine::{Engine, Rules, Sink};
use crate::recv::heap_sink::{HeapOptions, HeapSink};
use crate::recv::reader::Taken;
use crate::recv::stats::Counters;
use crate::wire::{BugCompat, DecodeError};

/// What happens to a packet on its way.
#[derive(Clone, Debug)]
enum Fate {
    Arrives,
    Lost,
    Twice,
    /// Comes after so many others.
    Late(usize),
    /// One byte is another; mostly one of the header.
    Changed(Index, u8, bool),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        40 => Just(Fate::Arrives),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Twice),
        1 => (1_usize..8).prop_map(Fate::Late),
        2 => (any::<Index>(), any::<u8>(), any::<bool>()).prop_map(|(at, to, all)| Fate::Changed(at, to, all)),
    ]
}

/// Heaps of 1 to 4 packets, each with its fate, in chunks that move on by 0 or 1 now and then.
fn packets() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let parts = prop_oneof![1 => Just(1_usize), 1 => Just(2), 5 => Just(4)];
    let step = prop_oneof![4 => Just(0_u64), 2 => Just(1), 1 => 0_u64..9];
    let heap = (parts, step, 0..HEAPS, prop::collection::vec(fate(), 4));
    prop::collection::vec(heap, 1..20).prop_map(|heaps| {
        let mut timed = Vec::new();
        let mut chunk = 0;
        for (number, (parts, step, index, fates)) in heaps.into_iter().enumerate() {
            chunk += step;
            let offset = index * HEAP;
            let spec = HeapSpec { cnt: number as u64 + 1, chunk, index, offset, parts };
            for (part, (packet, fate)) in spec.packets().into_iter().zip(fates).enumerate() {
                add(&mut timed, number * 4 + part, packet, &fate);
            }
        }
        timed.sort_by_key(|packet| packet.0);
        timed.into_iter().map(|(_, packet)| packet).collect()
    })
}

fn add(timed: &mut Vec<(usize, Vec<u8>)>, at: usize, mut packet: Vec<u8>, fate: &Fate) {
    match fate {
        Fate::Lost => return,
        Fate::Arrives => {}
        Fate::Twice => timed.push((at, packet.clone())),
        Fate::Late(by) => return timed.push((at + by, packet)),
        Fate::Changed(place, to, anywhere) => {
            let limit = if *anywhere { packet.len() } else { super::HEADER };
            let place = place.index(limit);
            packet[place] = *to;
        }
    }
    timed.push((at, packet));
}

/// The packets as trains: bytes, and the size of all but the last.
fn trains(packets: &[Vec<u8>], longest: usize) -> Vec<(Vec<u8>, usize)> {
    let mut trains: Vec<(Vec<u8>, usize)> = Vec::new();
    for packet in packets {
        match trains.last_mut() {
            Some((bytes, size))
                if bytes.len() % *size == 0
                    && bytes.len() / *size < longest
                    && packet.len() <= *size =>
            {
                bytes.extend(packet);
            }
            _ => trains.push((packet.clone(), packet.len())),
        }
    }
    trains
}

/// Offers a train until it is taken; how often the stream parked.
fn offer<S: Sink>(engine: &mut Engine<S>, bytes: &[u8], size: usize) -> u64 {
    let cx = Cx { waker: Waker::noop(), now: Instant::now() };
    let (mut done, mut parks) = (0, 0);
    while done < bytes.len() {
        let rest = &bytes[done..];
        let Taken { bytes, end, .. } = engine.datagrams(rest, size, &Origin::default(), &cx);
        done += bytes;
        parks += u64::from(matches!(end, Ok(Flow::Park(_))));
    }
    parks
}

fn heap_engine(rules: Rules) -> (Engine<HeapSink>, Arc<Counters>, Arc<Mutex<Vec<Heap>>>) {
    let delivered = Arc::<Mutex<Vec<Heap>>>::default();
    let taken = Arc::clone(&delivered);
    let ready = move |heap: Heap, _: &Waker| {
        taken.lock().unwrap().push(heap);
        Ok(())
    };
    let counters = Arc::new(Counters::default());
    let options = HeapOptions {
        stream_id: 0,
        bug_compat: BugCompat::NONE,
        contiguous_only: false,
        keep_payload_ranges: true,
        out_of_order: rules.out_of_order,
        max_heap_size: rules.max_heap_size,
    };
    let allocator = Arc::new(HeapAllocator);
    let sink = HeapSink::new(allocator, Box::new(ready), options, Arc::clone(&counters));
    (Engine::new(rules, sink, Arc::clone(&counters)), counters, delivered)
}

/// What heaps look like to a consumer.
fn shown(heaps: &Mutex<Vec<Heap>>) -> Vec<String> {
    let heaps = heaps.lock().unwrap();
    let show = |heap: &Heap| {
        let (items, payload) = (heap.items().collect::<Vec<_>>(), heap.payload());
        format!("{heap:?} {items:?} {payload:?} {:?}", heap.payload_ranges())
    };
    heaps.iter().map(show).collect()
}

fn one_by_one<S: Sink>(engine: &mut Engine<S>, trains: &[(Vec<u8>, usize)]) -> u64 {
    let packets = trains.iter().flat_map(|(train, size)| train.chunks(*size));
    packets.map(|packet| offer(engine, packet, packet.len())).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn chunks_and_counters_are_the_same(
        packets in packets(),
        longest in 2_usize..12,
        window in 1_usize..4,
        max_heaps in 1_usize..5,
        out_of_order in any::<bool>(),
        by_packet in prop::bool::weighted(0.2),
        moods in (any::<u64>(), any::<u64>()),
    ) {
        let mut setup = Setup { window, max_extra: 2, ..Setup::default() };
        setup.rules.max_heaps = max_heaps;
        setup.rules.out_of_order = out_of_order;
        setup.options.packet_presence = by_packet.then_some(UNIT as u64);
        let trains = trains(&packets, longest);
        let mut long = Sim::new(&setup, moods, |_| false);
        let mut short = Sim::new(&setup, moods, |_| false);
        let long_parks = one_by_one(&mut long.engine, &trains);
        let mut short_parks = 0;
        for (train, size) in &trains {
            short_parks += offer(&mut short.engine, train, *size);
            let stats = short.counters.snapshot();
            prop_assert!(stats.packets_balance() && stats.heaps_balance());
        }
        prop_assert_eq!(long_parks, short_parks);
        long.stop();
        short.stop();
        prop_assert_eq!(long.counters.snapshot(), short.counters.snapshot());
        prop_assert_eq!(&*long.delivered.lock().unwrap(), &*short.delivered.lock().unwrap());
    }

    #[test]
    fn heaps_and_counters_are_the_same(
        packets in packets(),
        longest in 2_usize..12,
        max_heaps in 1_usize..5,
        out_of_order in any::<bool>(),
        allow_unsized in any::<bool>(),
    ) {
        // A changed length must not make the test allocate a gigabyte.
        let rules =
            Rules { max_heaps, out_of_order, allow_unsized, max_heap_size: 4096, ..RULES };
        let trains = trains(&packets, longest);
        let (mut long, long_counters, long_heaps) = heap_engine(rules);
        let (mut short, short_counters, short_heaps) = heap_engine(rules);
        one_by_one(&mut long, &trains);
        for (train, size) in &trains {
            offer(&mut short, train, *size);
        }
        let cx = Cx { waker: Waker::noop(), now: Instant::now() };
        for engine in [&mut long, &mut short] {
            engine.flush(&cx);
            prop_assert!(engine.drain(&cx).is_ok());
        }
        prop_assert_eq!(long_counters.snapshot(), short_counters.snapshot());
        prop_assert_eq!(shown(&long_heaps), shown(&short_heaps));
    }
}

/// The properties would hold if the short way were never taken, or led nowhere.
#[test]
fn trains_are_placed() {
    let spec = HeapSpec { cnt: 1, chunk: 0, index: 1, offset: HEAP, parts: 4 };
    let packets = spec.packets();
    let mut sim = Sim::new(&Setup::default(), (0, 0), |_| false);
    let all = packets.concat();
    assert_eq!(offer(&mut sim.engine, &all, packets[0].len()), 0);
    sim.stop();
    let stats = sim.counters.snapshot();
    assert_eq!((stats.packets_placed, stats.bytes_placed, stats.heaps), (4, HEAP as u64, 1));
    assert_eq!(sim.delivered.lock().unwrap()[0].data[HEAP..][..HEAP], spec.payload());
}

/// Packets whose sizes are in themselves, as in memory, take the same ways.
#[test]
fn packets_are_found_one_after_the_other() {
    let heaps = (0..4).map(|index| HeapSpec {
        cnt: index as u64 + 1,
        chunk: 0,
        index,
        offset: index * HEAP,
        parts: if index == 2 { 1 } else { 4 },
    });
    let mut all: Vec<u8> = heaps.flat_map(|spec| spec.packets().concat()).collect();
    let whole = all.len();
    all.extend([0; 100]);
    let cx = Cx { waker: Waker::noop(), now: Instant::now() };
    let mut sim = Sim::new(&Setup::default(), (0, 0), |_| false);
    let first = sim.engine.packets(&all, 3, &Origin::default(), &cx);
    assert_eq!((first.packets, first.end), (3, Ok(Flow::Next)));
    let rest = sim.engine.packets(&all[first.bytes..], usize::MAX, &Origin::default(), &cx);
    assert_eq!(first.bytes + rest.bytes, whole);
    // What is no packet counts as one.
    assert_eq!((rest.packets, rest.end), (13 - 3 + 1, Err(DecodeError::BadMagic)));
    let stats = sim.counters.snapshot();
    assert_eq!((stats.packets_received, stats.packets_placed, stats.heaps), (14, 13, 4));
    assert!(stats.packets_balance());
}

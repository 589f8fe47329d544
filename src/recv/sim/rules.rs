//! The reference's worked examples, and the rules that the model leaves out.

use std::task::Waker;
use std::time::{Duration, Instant};

use super::lone::{Sim, whole};
use super::{HEAP, HeapSpec, Setup};
use crate::chunk::{Allocation, Chunk, Cx, Lone};
use crate::heap::{HeapOutcome, PacketDiscard};

fn sim(setup: &Setup) -> Sim {
    Sim::new(setup, (0, 0), |_| false)
}

/// The ids that come of heaps in these chunks, with a window of `window`.
fn ids(window: usize, chunks: &[u64]) -> Vec<u64> {
    let mut sim = sim(&Setup { window, ..Setup::default() });
    for &chunk in chunks {
        sim.heap(whole(chunk, 0));
    }
    sim.stop();
    sim.ids()
}

#[test]
fn the_references_examples() {
    assert_eq!(ids(4, &[100]), [97, 98, 99, 100]);
    assert_eq!(ids(4, &[10, 20]), [7, 8, 9, 10, 17, 18, 19, 20]);
    assert_eq!(ids(4, &[0]), [0]);
}

#[test]
fn a_jump_of_the_windows_size_skips_nothing_and_one_more_does() {
    assert_eq!(ids(2, &[0, 2]), [0, 1, 2]);
    assert_eq!(ids(2, &[0, 3]), [0, 2, 3]);
    assert_eq!(ids(1, &[5, 6, 5, 9]), [5, 6, 9]);
    assert_eq!(ids(3, &[2]), [0, 1, 2]);
    assert_eq!(ids(3, &[3]), [1, 2, 3]);
}

#[test]
fn the_last_id_is_an_id_and_the_next_is_none() {
    let last = i64::MAX as u64;
    let mut sim = sim(&Setup { window: 2, first_id: last - 1, ..Setup::default() });
    sim.heap(whole(1, 0));
    sim.heap(whole(2, 0));
    sim.stop();
    assert_eq!(sim.ids(), [last - 1, last]);
    assert_eq!(sim.counters.snapshot().outcome(HeapOutcome::BadPlacement), 1);
}

#[test]
fn one_far_id_makes_all_others_too_old_unless_jumps_are_guarded() {
    let far = 1 << 39;
    let run = |max_jump| {
        let mut sim = sim(&Setup { max_jump, ..Setup::default() });
        for chunk in [5, 6, far, 7, 8] {
            sim.heap(whole(chunk, 0));
        }
        sim.stop();
        (sim.ids(), sim.counters.snapshot())
    };
    let (ids, stats) = run(None);
    assert_eq!((ids.last().copied(), stats.too_old_heaps), (Some(far), 2));
    let (ids, stats) = run(Some(10));
    assert_eq!(ids, [3, 4, 5, 6, 7, 8]);
    // The far one, and the first, which nobody had confirmed.
    assert_eq!(stats.outcome(HeapOutcome::Doubtful), 2);
    assert_eq!(stats.discarded(PacketDiscard::Doubtful), 2);
    assert_eq!(stats.outcome(HeapOutcome::Placed), 3);
}

#[test]
fn a_sender_that_restarts_is_followed_back() {
    let mut sim = sim(&Setup { max_jump: Some(10), ..Setup::default() });
    for chunk in [500, 501, 502, 3, 3, 4, 4, 5] {
        sim.heap(whole(chunk, 0));
    }
    sim.stop();
    assert_eq!(sim.ids(), [498, 499, 500, 501, 502, 1, 2, 3, 4, 5]);
    assert_eq!(sim.counters.snapshot().resyncs, 1);
}

#[test]
fn an_old_chunk_is_handed_over_when_nothing_comes() {
    let age = Duration::from_secs(1);
    let allocate = |_, _: &Waker| Allocation::Chunk(Chunk::zeroed(HEAP, 1, 0).unwrap());
    let (sender, delivered) = std::sync::mpsc::channel();
    let ready = move |chunk: Chunk, _: &Waker| {
        sender.send(chunk.id()).unwrap();
        Ok(())
    };
    let lone = Lone::new(0, 2, Box::new(allocate), Box::new(ready), Some(age));
    let (mut engine, _) = Setup { window: 2, ..Setup::default() }.engine(lone);
    let start = Instant::now();
    let at = |seconds| Cx { waker: Waker::noop(), now: start + age * seconds };
    let mut offer = |chunk, cx: &Cx<'_>, drained| {
        if let Some(chunk) = chunk {
            let packets = whole(chunk, 0).packets();
            let _ = engine.datagram(&packets[0], &Default::default(), cx);
        }
        engine.tick(cx, drained);
        engine.drain(cx).unwrap();
        delivered.try_iter().collect::<Vec<u64>>()
    };
    assert!(offer(Some(0), &at(0), true).is_empty());
    assert!(offer(Some(1), &at(1), false).is_empty(), "there is more to read");
    assert_eq!(offer(None, &at(1), true), [0]);
    assert_eq!(offer(None, &at(2), true), [1]);
    assert!(offer(Some(1), &at(9), true).is_empty(), "it is too old");
    assert_eq!(offer(Some(2), &at(9), true), []);
    assert_eq!(offer(None, &at(10), true), [2]);
}

#[test]
fn chunks_of_any_size_are_safe() {
    for (data, present, extra) in
        [(0, 0, 0), (1000, 0, 0), (0, 9, 9), (HEAP - 1, 9, 2), (HEAP, 1, 1), (HEAP, 99, 2)]
    {
        for packet_presence in [None, Some(1), Some(7), Some(u64::MAX)] {
            let allocate =
                move |_, _: &Waker| Allocation::Chunk(Chunk::zeroed(data, present, extra).unwrap());
            let ready = |_: Chunk, _: &Waker| Ok(());
            let lone = Lone::new(0, 2, Box::new(allocate), Box::new(ready), None);
            let mut setup = Setup { max_extra: 2, ..Setup::default() };
            setup.options.packet_presence = packet_presence;
            // Units of other sizes than the test's own do not matter for where it is placed.
            let units = HEAP.checked_div(packet_presence.unwrap_or(1) as usize).unwrap_or(0);
            let (mut engine, counters) = setup.engine(lone);
            let cx = Cx { waker: Waker::noop(), now: Instant::now() };
            for offset in [0, 1, data, usize::MAX >> 30] {
                let spec = HeapSpec { offset, ..whole(0, 0) };
                let _ = engine.datagram(&spec.packets()[0], &Default::default(), &cx);
            }
            engine.flush(&cx);
            let stats = counters.snapshot();
            assert!(stats.packets_balance() && stats.heaps_balance());
            let fits = data >= HEAP && present >= 1 && extra >= 2 && units <= present;
            assert_eq!(stats.outcome(HeapOutcome::Placed) > 0, fits, "{data} {present} {stats}");
        }
    }
}

#[test]
fn a_reader_that_swaps_packets_after_a_park_writes_inside_its_heap_only() {
    // Not yet once, so that the first packet parks.
    let mut sim = Sim::new(&Setup { max_extra: 2, ..Setup::default() }, (0b10, 0), |_| false);
    let cx = Cx { waker: Waker::noop(), now: Instant::now() };
    let promised = HeapSpec { parts: 4, ..whole(0, 0) };
    let short = &promised.packets()[0];
    let parked = (0..3).any(|_| {
        let flow = sim.engine.datagram(short, &Default::default(), &cx);
        matches!(flow, crate::recv::Flow::Park(_))
    });
    assert!(parked);
    // A packet of a heap twice as long, from its second half.
    let payload = [0xee; 2 * HEAP];
    let items = [crate::wire::EncodeItem {
        id: 0x3300,
        value: crate::wire::ItemValue::Addressed(&payload),
    }];
    let long = crate::wire::HeapEncoder::new(Default::default(), 9, 48 + HEAP, &items, true);
    let swapped = long.unwrap().packets();
    let other = swapped.last().unwrap();
    for _ in 0..9 {
        let _ = sim.engine.datagram(other, &Default::default(), &cx);
    }
    sim.stop();
    let delivered = sim.delivered.lock().unwrap();
    assert!(delivered.iter().all(|chunk| chunk.data[HEAP..].iter().all(|&byte| byte == 0)));
}

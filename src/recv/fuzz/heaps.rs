//! Heap assembly: packets in, heaps and items out.

use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Instant;

use super::Input;
use crate::chunk::{Cx, Ready};
use crate::heap::{Heap, HeapStatus, Item, ItemKind, Origin};
use crate::item::ItemGroup;
use crate::memory::HeapAllocator;
use crate::recv::engine::Engine;
use crate::recv::heap_sink::{HeapOptions, HeapSink};
use crate::recv::stats::Counters;
use crate::recv::{Flow, StreamConfig};
use crate::wire::BugCompat;

/// Larger heaps are refused: memory is not what is looked for.
const LARGEST: u64 = 1 << 16;

/// Takes all it is given, or now and then nothing.
struct Taker {
    heaps: Arc<Mutex<Vec<Heap>>>,
    moody: bool,
    refuses: bool,
}

impl Ready<Heap> for Taker {
    fn ready(&mut self, heap: Heap, _: &Waker) -> Result<(), Heap> {
        self.refuses = self.moody && !self.refuses;
        if self.refuses {
            return Err(heap);
        }
        self.heaps.lock().expect("one thread").push(heap);
        Ok(())
    }
}

pub(super) struct HeapStream {
    pub(super) engine: Engine<HeapSink>,
    pub(super) counters: Arc<Counters>,
    heaps: Arc<Mutex<Vec<Heap>>>,
}

impl HeapStream {
    /// A stream whose configuration is in the bits of `bits`.
    pub(super) fn new(bits: u16) -> Self {
        let bit = |at: u16| bits >> at & 1 == 1;
        let config = StreamConfig::default()
            .max_heaps(1 + usize::from(bits >> 12))
            .substreams(1 + usize::from(bits >> 10 & 3))
            .allow_out_of_order(bit(0))
            .allow_unsized_heaps(bit(1))
            .stop_on_stop_item(bit(2))
            .max_heap_size(LARGEST);
        let options = HeapOptions {
            stream_id: 0,
            bug_compat: BugCompat::from_bits(u32::from(bits >> 6 & 7)).expect("three bits"),
            contiguous_only: bit(3),
            keep_payload_ranges: bit(4),
            out_of_order: bit(0),
            max_heap_size: LARGEST,
        };
        let (heaps, counters) = (Arc::default(), Arc::new(Counters::default()));
        let taker = Taker { heaps: Arc::clone(&heaps), moody: bit(5), refuses: false };
        let sink =
            HeapSink::new(Arc::new(HeapAllocator), Box::new(taker), options, Arc::clone(&counters));
        let rules = config.rules().expect("the configuration can be");
        Self { engine: Engine::new(rules, sink, Arc::clone(&counters)), counters, heaps }
    }

    /// Offers packets that lie one after the other, each of `size` bytes.
    fn offer(&mut self, packets: &[u8], size: usize, cx: &Cx<'_>) {
        let mut rest = packets;
        // It refuses once in a row.
        for _ in 0..=2 * packets.len() / size.max(1) + 2 {
            let taken = self.engine.datagrams(rest, size.max(1), &Origin::default(), cx);
            rest = &rest[taken.bytes..];
            if taken.end == Ok(Flow::Next) {
                assert!(rest.is_empty());
                return self.balance();
            }
        }
        panic!("the packets are never taken");
    }

    fn balance(&self) {
        let stats = self.counters.snapshot();
        assert!(stats.packets_balance() && stats.heaps_balance(), "{stats}");
    }

    /// Ends the stream; the heaps that came of it.
    pub(super) fn end(&mut self, cx: &Cx<'_>) -> Vec<Heap> {
        self.engine.flush(cx);
        while self.engine.drain(cx).is_err() {}
        self.engine.end(cx);
        self.balance();
        std::mem::take(&mut *self.heaps.lock().expect("one thread"))
    }
}

/// Offers packets (each with its length before it) to a heap stream, one by one and in trains, and
/// looks at what it delivers, which is the same.
pub fn heaps(bytes: &[u8]) {
    let mut input = Input(bytes);
    let options = input.number::<2>() as u16;
    let packets: Vec<_> = std::iter::from_fn(|| input.piece()).collect();
    let heaps = deliver(options, packets.chunks(1));
    let in_trains = packets.chunk_by(|one, next| !one.is_empty() && one.len() == next.len());
    let same = deliver(options, in_trains);
    assert_eq!(heaps.len(), same.len());
    let mut group = ItemGroup::new();
    for (heap, same) in heaps.iter().zip(same) {
        look_at(heap);
        assert_eq!((heap.cnt(), heap.status()), (same.cnt(), same.status()));
        assert_eq!(heap.payload_ranges(), same.payload_ranges());
        if heap.status() != HeapStatus::Incomplete {
            assert!(heap.items().map(id_and_kind).eq(same.items().map(id_and_kind)));
        }
        let _ = group.update(heap);
    }
}

fn id_and_kind(item: Item<'_>) -> (u64, ItemKind<'_>) {
    (item.id, item.kind)
}

fn deliver<'a>(options: u16, trains: impl Iterator<Item = &'a [&'a [u8]]>) -> Vec<Heap> {
    let mut stream = HeapStream::new(options);
    let cx = Cx { waker: Waker::noop(), now: Instant::now() };
    let mut offered = 0;
    for train in trains {
        stream.offer(&train.concat(), train[0].len(), &cx);
        offered += train.len() as u64;
    }
    let heaps = stream.end(&cx);
    let stats = stream.counters.snapshot();
    assert_eq!((stats.packets_received, stats.packets_in_flight), (offered, 0));
    assert_eq!(stats.heaps_in_flight, 0);
    heaps
}

fn look_at(heap: &Heap) {
    let payload = heap.payload();
    assert!(payload.len() as u64 <= 2 * LARGEST);
    if heap.status() == HeapStatus::Complete {
        assert_eq!(heap.length(), Some(heap.received_length()));
        assert_eq!(heap.received_length(), payload.len() as u64);
    }
    for &(start, end) in heap.payload_ranges() {
        assert!(start < end && end <= payload.len() as u64);
    }
    for item in heap.items() {
        if let ItemKind::Addressed(bytes) = item.kind {
            assert!(!bytes.is_empty() && payload.as_ptr_range().contains(&bytes.as_ptr()));
        }
    }
    heap.descriptors().for_each(drop);
}

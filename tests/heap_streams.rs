//! Heaps delivered whole: where their memory comes from, who takes them, and bad input.

mod common;

use std::sync::Arc;
use std::task::Waker;

use common::{NUMBER, SAMPLES, heap, samples, stop, stream};
use speadway::chunk::{ParkReason, WhenFull};
use speadway::heap::{Heap, HeapOutcome, HeapStatus, ItemKind, PacketDiscard};
use speadway::memory::{HeapAllocator, HugePages, MapOptions, MemoryPool, MmapAllocator};
use speadway::recv::readers::{InprocQueue, InprocReader, MemoryReader};
use speadway::recv::{End, HeapStreamBuilder, Stream, StreamConfig, StreamStats, Worker};
use speadway::ring::Ring;
use speadway::wire::{Flavour, ItemPointer, ids};

/// Runs a stream over `packets` to its end.
fn receive(builder: HeapStreamBuilder, packets: Vec<u8>) -> (Vec<Heap>, StreamStats) {
    let ring = Ring::new(2).unwrap();
    let stream = builder
        .ring(&ring, WhenFull::Wait)
        .reader(MemoryReader::new(packets))
        .start(&Worker::new().unwrap())
        .unwrap();
    let heaps = ring.iter().collect();
    assert_eq!(stream.wait(), End::Finished);
    let stats = stream.stats();
    assert!(stats.packets_balance() && stats.heaps_balance(), "{stats}");
    (heaps, stats)
}

fn assert_heap(heap: &Heap, number: u64, size: usize) {
    assert_eq!(heap.status(), HeapStatus::Complete);
    assert_eq!(heap.cnt(), number + 1);
    assert_eq!(heap.item(NUMBER), Some(ItemKind::Immediate(number)));
    assert_eq!(heap.item(SAMPLES), Some(ItemKind::Addressed(&samples(number, size))));
}

/// A packet without the pointer that says its heap's length.
fn without_length(mut packet: Vec<u8>) -> Vec<u8> {
    let null = ItemPointer::immediate(Flavour::default(), ids::NULL, 0).unwrap();
    packet[16..24].copy_from_slice(&null.to_be_bytes());
    packet
}

#[test]
fn a_slow_consumer_loses_nothing() {
    let ring = Ring::new(1).unwrap();
    let stream = Stream::heaps()
        .ring(&ring, WhenFull::Wait)
        .reader(MemoryReader::new(stream(50, 3000, 1472)))
        .start(&Worker::new().unwrap())
        .unwrap();
    // The stream has filled the ring and waits before anything is taken.
    while stream.stats().parks(ParkReason::DataRing) == 0 {
        std::thread::yield_now();
    }
    for number in 0..50 {
        assert_heap(&ring.pop().unwrap(), number, 3000);
    }
    assert!(ring.pop().is_err());
    assert!(stream.stats().worker_blocked > 0);
}

#[test]
fn memory_from_a_pool_comes_back() {
    let pool = MemoryPool::new(2000, 4000, 8, 8, Arc::new(HeapAllocator)).unwrap();
    let pool = Arc::new(pool);
    let builder = Stream::heaps().allocator(Arc::clone(&pool) as _);
    let (heaps, _) = receive(builder, stream(6, 3000, 1472));
    for (number, heap) in heaps.iter().enumerate() {
        assert_heap(heap, number as u64, 3000);
    }
    assert_eq!((pool.stats().hits, pool.stats().misses), (6, 0));
    drop(heaps);
    assert_eq!((pool.stats().outstanding, pool.stats().free), (0, 8));
}

#[test]
fn memory_from_huge_pages_holds_the_same() {
    let options =
        MapOptions { huge_pages: HugePages::Prefer, populate: false, ..MapOptions::default() };
    let builder = Stream::heaps().allocator(Arc::new(MmapAllocator::new(options)));
    let (heaps, _) = receive(builder, stream(3, 100_000, 8972));
    assert_eq!(heaps.len(), 3);
    assert_heap(&heaps[2], 2, 100_000);
}

#[test]
fn a_callback_may_take_its_time() {
    let kept = Ring::new(16).unwrap();
    let (out, mut refusals) = (kept.clone(), 3);
    let ready = move |heap: Heap, waker: &Waker| {
        if refusals > 0 {
            refusals -= 1;
            waker.wake_by_ref();
            return Err(heap);
        }
        out.try_push(heap).map_err(|error| error.into_inner())
    };
    let stream = Stream::heaps()
        .callback(ready)
        .reader(MemoryReader::new(stream(8, 500, 1472)))
        .start(&Worker::new().unwrap())
        .unwrap();
    assert_eq!(stream.wait(), End::Finished);
    for number in 0..8 {
        assert_heap(&kept.try_pop().unwrap(), number, 500);
    }
}

#[test]
fn heaps_of_unknown_length_grow_and_end_with_the_stream() {
    let packets: Vec<u8> = heap(0, 20_000, 1472).into_iter().flat_map(without_length).collect();
    let (heaps, stats) = receive(Stream::heaps(), packets);
    let [heap] = &heaps[..] else { panic!("{heaps:?}") };
    assert_eq!((heap.status(), heap.length()), (HeapStatus::Contiguous, None));
    assert_eq!(heap.item(SAMPLES), Some(ItemKind::Addressed(&samples(0, 20_000))));
    assert_eq!((stats.heaps, stats.incomplete_heaps_flushed), (1, 1));
}

#[test]
fn heaps_of_unknown_length_can_be_refused() {
    let packets: Vec<u8> = heap(0, 4000, 1472).into_iter().flat_map(without_length).collect();
    let config = StreamConfig::default().allow_unsized_heaps(false);
    let (heaps, stats) = receive(Stream::heaps().config(config), packets);
    assert!(heaps.is_empty());
    assert_eq!(stats.discarded(PacketDiscard::NoHeapLength), 3);
}

#[test]
fn incomplete_heaps_say_what_arrived() {
    let mut packets = heap(0, 4000, 1472);
    packets.remove(1);
    packets.push(stop(2));
    let config = StreamConfig::default().allow_out_of_order(true);
    let builder = Stream::heaps().config(config).contiguous_only(false).keep_payload_ranges(true);
    let (heaps, stats) = receive(builder, packets.concat());
    let [heap] = &heaps[..] else { panic!("{heaps:?}") };
    assert_eq!(heap.status(), HeapStatus::Incomplete);
    let &[(0, first), (second, 4000)] = heap.payload_ranges() else {
        panic!("{:?}", heap.payload_ranges());
    };
    assert_eq!(heap.received_length(), first + 4000 - second);
    let all = samples(0, 4000);
    assert_eq!(heap.payload()[..first as usize], all[..first as usize]);
    assert_eq!(heap.payload()[second as usize..], all[second as usize..]);
    // Items whose bytes may be missing are not shown.
    assert_eq!(heap.items().map(|item| item.id).collect::<Vec<_>>(), [NUMBER]);
    assert_eq!(stats.outcome(HeapOutcome::Stop), 1);
}

#[test]
fn incomplete_heaps_are_not_delivered_unless_wanted() {
    let packets = heap(0, 4000, 1472);
    let (heaps, stats) = receive(Stream::heaps(), packets[..2].concat());
    assert!(heaps.is_empty());
    assert_eq!(stats.outcome(HeapOutcome::Flushed), 1);
}

#[test]
fn a_packet_cannot_ask_for_all_memory() {
    for length in [1 << 39, (1 << 40) - 1] {
        let mut packet = heap(0, 1000, 1472).concat();
        let pointer = ItemPointer::immediate(Flavour::default(), ids::HEAP_LENGTH, length).unwrap();
        packet[16..24].copy_from_slice(&pointer.to_be_bytes());
        packet.extend(stream(2, 1000, 1472));
        let (heaps, stats) = receive(Stream::heaps(), packet.clone());
        assert_eq!(heaps.len(), 2);
        assert_eq!(stats.discarded(PacketDiscard::HeapTooLarge), 1);
        // Nor is it a panic if the user lifts the limit.
        let config = StreamConfig::default().max_heap_size(u64::MAX);
        let options =
            MapOptions { huge_pages: HugePages::No, populate: false, ..MapOptions::default() };
        let allocator = Arc::new(MmapAllocator::new(options));
        let (heaps, _) = receive(Stream::heaps().config(config).allocator(allocator), packet);
        assert_eq!(heaps.len(), 2);
    }
}

#[test]
fn a_stop_item_ends_the_stream_and_what_follows_is_counted() {
    let mut packets = stream(2, 1000, 1472);
    packets.extend(stop(3));
    packets.extend(heap(7, 1000, 1472).concat());
    let (heaps, stats) = receive(Stream::heaps(), packets.clone());
    assert_eq!(heaps.len(), 2);
    assert_eq!(stats.heaps, 2);
    assert_eq!(stats.discarded(PacketDiscard::AfterStop), 1);

    let config = StreamConfig::default().stop_on_stop_item(false);
    let (heaps, _) = receive(Stream::heaps().config(config), packets);
    assert_eq!(heaps.len(), 4);
    assert!(heaps[2].is_end_of_stream());
}

#[test]
fn heaps_outlive_their_stream() {
    let (heaps, _) = receive(Stream::heaps(), stream(3, 1000, 1472));
    let copies = heaps.clone();
    drop(heaps);
    assert_heap(&copies[1], 1, 1000);
}

#[test]
fn finishing_delivers_what_was_received() {
    let ring = Ring::new(1).unwrap();
    let packets = stream(200, 1000, 1472);
    let stream = Stream::heaps()
        .ring(&ring, WhenFull::Wait)
        .reader(MemoryReader::new(packets))
        .start(&Worker::new().unwrap())
        .unwrap();
    while stream.stats().parks(ParkReason::DataRing) == 0 {
        std::thread::yield_now();
    }
    stream.finish();
    for (number, heap) in (0..).zip(&ring) {
        assert_heap(&heap, number, 1000);
    }
    assert_eq!(stream.wait(), End::Finished);
    assert_eq!(stream.stats().discarded(PacketDiscard::AfterStop), 0);
}

#[test]
fn the_first_reader_to_end_ends_the_stream_if_asked_to() {
    let queue = InprocQueue::new();
    let ring = Ring::new(8).unwrap();
    let stream = Stream::heaps()
        .config(StreamConfig::default().end_with_first_reader(true))
        .ring(&ring, WhenFull::Wait)
        .reader(InprocReader::new(&queue))
        .start(&Worker::new().unwrap())
        .unwrap();
    // A handle that outlives nothing: the stream goes on when it is dropped.
    stream.handle().add_reader(MemoryReader::new(stream_of(2))).unwrap();
    assert_eq!(ring.iter().count(), 2);
    assert_eq!(stream.wait(), End::Finished);
    assert!(!queue.is_stopped());
}

#[test]
fn memory_is_one_batch_however_often_its_stream_waits() {
    let ring = Ring::new(1).unwrap();
    let stream = Stream::heaps()
        .ring(&ring, WhenFull::Wait)
        .reader(MemoryReader::new(stream_of(600)))
        .start(&Worker::new().unwrap())
        .unwrap();
    // A consumer that is quicker than the stream would never let it wait.
    while stream.stats().parks(ParkReason::DataRing) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(ring.iter().count(), 600);
    assert_eq!(stream.wait(), End::Finished);
    let stats = stream.stats();
    assert_eq!((stats.batches, stats.max_batch), (1, 600));
    assert!(stats.parks(ParkReason::DataRing) > 0);
}

/// Heaps of one packet each.
fn stream_of(heaps: u64) -> Vec<u8> {
    stream(heaps, 100, 1472)
}

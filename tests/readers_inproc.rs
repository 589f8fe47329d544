//! Receiving from a queue within the process.

mod readers_common;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use readers_common::*;
use speadway::heap::PacketDiscard;
use speadway::recv::readers::{InprocQueue, InprocReader, PacketBytes, Stopped, TryAddError};
use speadway::recv::{End, Stream, Worker};
use speadway::ring::CapacityError;

/// One queue of each kind.
fn queues() -> [InprocQueue; 2] {
    [InprocQueue::new(), InprocQueue::bounded(10).unwrap()]
}

#[test]
fn packets_of_every_kind_of_ownership_arrive_in_order_and_stop_ends_the_stream() {
    for queue in queues() {
        let (stream, ring) = heap_stream(InprocReader::new(&queue), 4);
        for n in 0..30 {
            for packet in packets(n, 4000, 1472) {
                match n % 4 {
                    0 => queue.add_packet(&packet[..]),
                    1 => queue.add_packet(packet),
                    2 => queue.add_packet(packet.into_boxed_slice()),
                    _ => queue.add_packet(Arc::<[u8]>::from(packet)),
                }
                .unwrap();
            }
            assert_heaps(&[next(&ring)], [n], |_| 4000);
        }
        assert!(queue.stop());
        assert_heaps(&rest(&ring), [], |_| 0);
        assert_eq!(stream.wait(), End::Finished);
        assert_eq!(final_stats(&stream).packets_placed, 90);
    }
}

#[test]
fn what_is_queued_before_the_reader_comes_or_the_stop_is_delivered() {
    for queue in queues() {
        let clone = queue.clone();
        for packet in heaps(10, 50, 1472) {
            clone.add_packet(packet).unwrap();
        }
        assert_eq!((queue.len(), queue.is_stopped()), (10, false));
        assert!(clone.stop());
        assert!(!queue.stop());
        assert!(queue.is_stopped());
        let (stream, ring) = heap_stream(InprocReader::new(&queue), 1);
        assert_heaps(&rest(&ring), 0..10, |_| 50);
        assert_eq!(stream.wait(), End::Finished);
        assert!(queue.is_empty());
    }
}

#[test]
fn a_stopped_queue_gives_packets_back() {
    for queue in queues() {
        queue.stop();
        let packet = PacketBytes::from(vec![1, 2, 3]);
        let gone = Duration::from_secs(3600);
        assert_eq!(queue.add_packet(packet.clone()), Err(Stopped(packet.clone())));
        let stopped = TryAddError::Stopped(packet.clone());
        assert_eq!(queue.try_add_packet(packet.clone()), Err(stopped.clone()));
        assert_eq!(queue.add_packet_timeout(packet.clone(), gone), Err(stopped.clone()));
        assert_eq!(queue.len(), 0);
        assert_eq!(stopped.into_inner(), packet);
    }
}

#[test]
fn a_full_queue_refuses_or_waits() {
    assert_eq!(InprocQueue::bounded(0).unwrap_err(), CapacityError::Zero);
    let queue = InprocQueue::bounded(2).unwrap();
    assert_eq!((queue.capacity(), InprocQueue::new().capacity()), (Some(2), None));
    let all = heaps(4, 50, 1472);
    queue.add_packet(&all[0][..]).unwrap();
    queue.try_add_packet(&all[1][..]).unwrap();
    let full = Err(TryAddError::Full(PacketBytes::from(&all[2][..])));
    assert_eq!(queue.try_add_packet(&all[2][..]), full);
    assert_eq!(queue.add_packet_timeout(&all[2][..], Duration::from_millis(1)), full);

    // What waits for room gets it when a reader comes.
    let producer = {
        let (queue, last) = (queue.clone(), all[2..].concat());
        let size = all[2].len();
        thread::spawn(move || {
            last.chunks(size).try_for_each(|packet| queue.add_packet(packet)).unwrap();
            queue.stop();
        })
    };
    let (_stream, ring) = heap_stream(InprocReader::new(&queue), 1);
    assert_heaps(&rest(&ring), 0..4, |_| 50);
    producer.join().unwrap();
}

#[test]
fn a_bounded_queue_holds_its_producer_back_and_loses_nothing() {
    const HEAPS: u64 = 500;
    let queue = InprocQueue::bounded(3).unwrap();
    let (stream, ring) = heap_stream(InprocReader::new(&queue), 1);
    let producer = thread::spawn({
        let queue = queue.clone();
        move || {
            heaps(HEAPS, 100, 1472).into_iter().try_for_each(|packet| queue.add_packet(packet))?;
            queue.stop();
            Ok::<(), Stopped>(())
        }
    });
    wait_until("the stream parks", || parks(&stream) > 0);
    // It has nowhere to go but the ring, the outbox, the reader's hand and the queue.
    assert!(!producer.is_finished());
    assert!(queue.len() <= 3);
    assert_heaps(&rest(&ring), 0..HEAPS, |_| 100);
    producer.join().unwrap().unwrap();
    assert_eq!(final_stats(&stream).packets_discarded(), 0);
}

#[test]
fn chunks_lose_nothing_to_small_rings() {
    let queue = InprocQueue::new();
    for packet in heaps(800, 64, 1472) {
        queue.add_packet(packet).unwrap();
    }
    queue.stop();
    receive_chunks_parking(InprocReader::new(&queue), 800);
}

#[test]
fn many_packets_are_taken_at_a_time() {
    let queue = InprocQueue::new();
    for packet in heaps(640, 10, 1472) {
        queue.add_packet(packet).unwrap();
    }
    queue.stop();
    let (stream, ring) = heap_stream(InprocReader::new(&queue), 1000);
    assert_heaps(&rest(&ring), 0..640, |_| 10);
    let stats = final_stats(&stream);
    // Ten that are full, and the one that finds the end.
    assert_eq!((stats.max_batch, stats.batches), (64, 11));
}

#[test]
fn producers_on_many_threads_lose_nothing() {
    const PRODUCERS: u64 = 4;
    const EACH: u64 = 2000;
    for queue in queues() {
        let (stream, ring) = heap_stream(InprocReader::new(&queue), 8);
        let produce = |first: u64| {
            let queue = queue.clone();
            thread::spawn(move || {
                for n in (first..PRODUCERS * EACH).step_by(PRODUCERS as usize) {
                    queue.add_packet(packets(n, 20, 1472).remove(0)).unwrap();
                }
            })
        };
        let producers: Vec<_> = (0..PRODUCERS).map(produce).collect();
        let consumer = thread::spawn(move || rest(&ring));
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        queue.stop();
        let received = consumer.join().unwrap();
        // Each producer's heaps are in order.
        let mut of_producer = [const { Vec::new() }; PRODUCERS as usize];
        for heap in received {
            of_producer[((heap.cnt() - 1) % PRODUCERS) as usize].push(heap);
        }
        for (first, heaps) in (0..).zip(of_producer) {
            let numbers = (first..PRODUCERS * EACH).step_by(PRODUCERS as usize);
            assert_heaps(&heaps, numbers, |_| 20);
        }
        assert_eq!(final_stats(&stream).packets_placed, PRODUCERS * EACH);
    }
}

#[test]
fn several_readers_share_a_queue() {
    for queue in queues() {
        let worker = Worker::new().unwrap();
        let ring = speadway::ring::Ring::new(10_000).unwrap();
        let stream = Stream::heaps()
            .ring(&ring, speadway::chunk::WhenFull::Wait)
            .reader(InprocReader::new(&queue))
            .reader(InprocReader::new(&queue))
            .start(&worker)
            .unwrap();
        for n in 0..1000 {
            queue.add_packet(packets(n, 20, 1472).remove(0)).unwrap();
        }
        queue.stop();
        let mut received = rest(&ring);
        received.sort_by_key(|heap| heap.cnt());
        assert_heaps(&received, 0..1000, |_| 20);
        assert_eq!(stream.wait(), End::Finished);
    }
}

#[test]
fn a_packet_is_a_datagram_and_anything_else_is_counted() {
    let queue = InprocQueue::new();
    let packet = packets(0, 50, 1472).remove(0);
    queue.add_packet([&packet[..], &[0]].concat()).unwrap();
    queue.add_packet(&packet[..packet.len() - 1]).unwrap();
    queue.add_packet(&[][..]).unwrap();
    queue.add_packet(packet).unwrap();
    queue.stop();
    let (stream, ring) = heap_stream(InprocReader::new(&queue), 4);
    assert_heaps(&rest(&ring), [0], |_| 50);
    let stats = final_stats(&stream);
    for reason in
        [PacketDiscard::SizeMismatch, PacketDiscard::PayloadOverflow, PacketDiscard::Empty]
    {
        assert_eq!(stats.discarded(reason), 1, "{reason:?}");
    }
    assert_eq!(stats.packets_discarded(), 3);
}

#[test]
fn who_waits_for_room_is_told_when_the_stream_stops() {
    let queue = InprocQueue::bounded(1).unwrap();
    let (stream, ring) = heap_stream(InprocReader::new(&queue), 1);
    let producer = thread::spawn({
        let queue = queue.clone();
        move || heaps(100, 20, 1472).into_iter().try_for_each(|packet| queue.add_packet(packet))
    });
    wait_until("the stream parks", || parks(&stream) > 0);
    stream.stop();
    wait_until("the producer is told", || producer.is_finished());
    assert!(matches!(producer.join().unwrap(), Err(Stopped(_))));
    assert!(queue.is_stopped());
    drop(ring);

    // One that grows has nobody waiting and stays as it is, for another stream.
    let queue = InprocQueue::new();
    let (stream, _ring) = heap_stream(InprocReader::new(&queue), 1);
    stream.stop();
    queue.add_packet(packets(0, 20, 1472).remove(0)).unwrap();
    queue.stop();
    let (_stream, ring) = heap_stream(InprocReader::new(&queue), 1);
    assert_heaps(&rest(&ring), [0], |_| 20);
}

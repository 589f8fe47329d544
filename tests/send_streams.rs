//! Send streams: what they send, in which order, and what they say of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use speadway::chunk::WhenFull;
use speadway::heap::{Heap as Received, ItemKind};
use speadway::net::{PacketParts, UdpConfig, UdpSendConfig};
use speadway::recv::readers::{InprocQueue, InprocReader, MemoryReader, UdpReader};
use speadway::recv::{Reader, Stream, StreamConfig, Watch, Worker};
use speadway::ring::Ring;
use speadway::send::transport::{
    BytesTransport, InprocTransport, JointTransport, Transport, UdpTransport,
};
use speadway::send::{
    GroupMode, Heap, HeapRef, SendConfig, SendConfigError, SendError, SendStream,
};
use speadway::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue, Packet};

fn payload(number: u64, size: usize) -> Vec<u8> {
    (0..size as u64).map(|k| (number * 31 + k * 7) as u8).collect()
}

/// A heap with a number and some bytes, in two items.
fn heap(number: u64, size: usize) -> Heap {
    let bytes = payload(number, size);
    let (first, second) = bytes.split_at(size / 3);
    Heap::new(Flavour::default())
        .immediate(0x1600, number)
        .and_then(|heap| heap.item(0x3300, first.to_vec()))
        .and_then(|heap| heap.item(0x3301, second.to_vec()))
        .unwrap()
}

/// The same heap's packets by the encoder, which is tested against the peer's.
fn expected(number: u64, size: usize, cnt: u64, packet: usize) -> Vec<Vec<u8>> {
    let bytes = payload(number, size);
    let (first, second) = bytes.split_at(size / 3);
    let items = [
        EncodeItem { id: 0x1600, value: ItemValue::Immediate(number) },
        EncodeItem { id: 0x3300, value: ItemValue::Addressed(first) },
        EncodeItem { id: 0x3301, value: ItemValue::Addressed(second) },
    ];
    HeapEncoder::new(Flavour::default(), cnt, packet, &items, false).unwrap().packets()
}

fn stream(transport: impl Transport + 'static, config: SendConfig) -> SendStream {
    SendStream::start(&Worker::new().unwrap(), transport, config).unwrap()
}

fn many() -> SendConfig {
    SendConfig::default().max_heaps(64)
}

/// A transport that takes nothing while it is shut.
struct Gated {
    inner: BytesTransport,
    open: Arc<AtomicBool>,
}

impl Transport for Gated {
    fn substreams(&self) -> usize {
        3
    }

    fn attach(&mut self, _watch: &mut Watch<'_>) -> io::Result<()> {
        Ok(())
    }

    fn send(&mut self, substream: usize, packets: &[PacketParts<'_>]) -> io::Result<usize> {
        if self.open.load(Ordering::Acquire) { self.inner.send(substream, packets) } else { Ok(0) }
    }

    fn wait_for_room(&mut self, waker: &std::task::Waker) -> bool {
        waker.wake_by_ref(); // asks again and again until it is opened
        false
    }
}

#[test]
fn packets_are_those_of_the_encoder() {
    for (size, packet) in [(1, 56), (5000, 1472), (100_000, 8972), (3000, 64)] {
        let (transport, received) = BytesTransport::new();
        let stream = stream(transport, many().max_packet_size(packet));
        for number in 0..10 {
            stream.send(heap(number, size)).unwrap();
        }
        stream.flush().unwrap();
        let all: Vec<Vec<u8>> = (0..10).flat_map(|n| expected(n, size, n + 1, packet)).collect();
        assert!(received.take() == all.concat(), "{size} B in packets of {packet} B");
        assert_eq!(stream.stats().packets, all.len() as u64);
        assert_eq!(stream.stats().heaps, 10);
    }
}

#[test]
fn joined_transports_are_substreams_in_the_order_asked_for() {
    let ((first, to_first), (second, to_second)) = (BytesTransport::new(), BytesTransport::new());
    let joint = JointTransport::new(vec![Box::new(first), Box::new(second)]);
    // The third does not exist.
    let joint = joint.reorder(&[1, 0, 1, 2]);
    let stream = stream(joint, many());
    assert_eq!(stream.substreams(), 3);
    for (substream, size) in [(0, 5000), (1, 3000), (2, 100)] {
        let heap = HeapRef::from(heap(7, size)).substream(substream).cnt(size as u64);
        stream.send(heap).unwrap();
    }
    stream.close();
    let expected = |size: usize| expected(7, size, size as u64, 1472).concat();
    assert!(to_first.take() == expected(3000));
    assert!(to_second.take() == [expected(5000), expected(100)].concat());
}

#[test]
fn many_small_items_and_padding_are_those_of_the_encoder() {
    let (transport, received) = BytesTransport::new();
    let stream = stream(transport, many().max_packet_size(256));
    for count in [0_usize, 1, 20, 60] {
        let mut heap = Heap::new(Flavour::default());
        let values: Vec<Vec<u8>> = (0..count).map(|n| payload(n as u64, n % 7)).collect();
        for (n, value) in values.iter().enumerate() {
            heap = heap.item(0x1000 + n as u64, value.clone()).unwrap();
        }
        let items: Vec<EncodeItem<'_>> = values
            .iter()
            .enumerate()
            .map(|(n, value)| EncodeItem {
                id: 0x1000 + n as u64,
                value: ItemValue::Addressed(value),
            })
            .collect();
        let bytes = stream.ticket(HeapRef::from(heap).cnt(5)).unwrap().wait().unwrap();
        let packets =
            HeapEncoder::new(Flavour::default(), 5, 256, &items, false).unwrap().packets();
        assert_eq!(received.take(), packets.concat(), "{count} items");
        assert_eq!(bytes, packets.concat().len() as u64);
    }
}

#[test]
fn lists_are_sent_one_after_the_other_or_in_turn() {
    let (transport, received) = BytesTransport::new();
    let stream = stream(transport, many().max_packet_size(256));
    let list: Arc<[HeapRef]> =
        [(0, 1000), (1, 300), (2, 2000)].map(|(n, size)| HeapRef::from(heap(n, size))).into();
    let sizes = [1000, 300, 2000];
    let packets =
        |first: u64| sizes.iter().zip(0..).map(move |(&size, n)| expected(n, size, first + n, 256));

    stream.send_list(&list, GroupMode::Serial).unwrap().wait().unwrap();
    assert_eq!(received.take(), packets(1).flatten().collect::<Vec<_>>().concat());

    // Heap counts go on; one packet of each heap that has some left, in turn.
    let bytes = stream.send_list(&list, GroupMode::RoundRobin).unwrap().wait().unwrap();
    let mut queues: Vec<_> = packets(4).map(Vec::into_iter).collect();
    let mut turns = Vec::new();
    while turns.len() < packets(4).flatten().count() {
        turns.extend(queues.iter_mut().filter_map(Iterator::next));
    }
    assert_eq!(received.take(), turns.concat());
    assert_eq!(bytes, turns.concat().len() as u64);
}

#[test]
fn counts_follow_their_sequence_and_start_over() {
    let (transport, received) = BytesTransport::new();
    let stream = stream(transport, many());
    let max = Flavour::default().max_value();
    stream.set_cnt_sequence(max - 1, 2);
    let send = |heap: HeapRef| {
        stream.ticket(heap).unwrap().wait().unwrap();
        Packet::decode(&received.take()).unwrap().heap_cnt()
    };
    assert_eq!(send(heap(0, 10).into()), max - 1);
    assert_eq!(send(HeapRef::from(heap(0, 10)).cnt(77)), 77);
    assert_eq!(send(heap(0, 10).into()), 0);
    let error = stream.ticket(HeapRef::from(heap(0, 10)).cnt(max + 1)).unwrap_err();
    assert!(matches!(error, SendError::Encode(_)), "{error}");
    assert_eq!(send(heap(0, 10).into()), 2);
}

#[test]
fn a_full_queue_says_so_and_keeps_order() {
    let open = Arc::new(AtomicBool::new(false));
    let (inner, received) = BytesTransport::new();
    let stream = stream(Gated { inner, open: Arc::clone(&open) }, SendConfig::default());
    let mut accepted = 0;
    loop {
        match stream.send(heap(accepted, 2000)) {
            Ok(()) => accepted += 1,
            Err(SendError::QueueFull) if stream.stats().would_block > 0 => break,
            Err(SendError::QueueFull) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
    open.store(true, Ordering::Release);
    stream.send_waiting(heap(accepted, 2000)).unwrap();
    stream.flush().unwrap();
    // A refused heap took no number.
    let all = (0..=accepted).flat_map(|n| expected(n, 2000, n + 1, 1472)).collect::<Vec<_>>();
    assert!(received.take() == all.concat());
}

#[test]
fn aborting_completes_what_waits() {
    let open = Arc::new(AtomicBool::new(false));
    let (inner, _received) = BytesTransport::new();
    let stream = stream(Gated { inner, open }, SendConfig::default());
    let (done, results) = mpsc::channel();
    for _ in 0..3 {
        let done = done.clone();
        stream.send_then(heap(0, 100), move |result| done.send(result).unwrap()).unwrap();
    }
    let ticket = stream.ticket(heap(0, 100)).unwrap();
    stream.abort();
    assert!(matches!(ticket.wait(), Err(SendError::Aborted)));
    drop(done);
    assert_eq!(results.iter().filter(|r| matches!(r, Err(SendError::Aborted))).count(), 3);
    assert!(matches!(stream.send(heap(0, 1)), Err(SendError::Closed)));
}

#[test]
fn bad_requests_are_refused_and_later_ones_unaffected() {
    let (transport, received) = BytesTransport::new();
    let stream = stream(transport, many().max_packet_size(64));
    let wrong = stream.send(HeapRef::from(heap(0, 10)).substream(1)).unwrap_err();
    assert!(matches!(wrong, SendError::Substream { substream: 1, count: 1 }), "{wrong}");
    assert!(matches!(
        stream.send_list(&Arc::from([]), GroupMode::Serial).unwrap_err(),
        SendError::EmptyList
    ));
    assert!(matches!(
        stream.send(HeapRef::from(heap(0, 10)).rate(f64::NAN)).unwrap_err(),
        SendError::Rate(_)
    ));
    // Too many pointers to repeat in 64 B: found when it is divided into packets.
    let failing = stream.ticket(heap(0, 10).repeat_pointers(true)).unwrap();
    let fine = stream.ticket(heap(9, 10)).unwrap();
    assert!(matches!(failing.wait(), Err(SendError::Encode(_))));
    fine.wait().unwrap();
    assert_eq!(received.take(), expected(9, 10, 2, 64).concat());
    assert_eq!((stream.stats().heaps, stream.stats().errors), (1, 1));
    assert!(stream.last_error().is_some() && stream.last_error().is_none());
}

#[test]
fn impossible_configurations_are_refused() {
    let start = |config| {
        SendStream::start(&Worker::new().unwrap(), BytesTransport::new().0, config).map(drop)
    };
    let default = SendConfig::default;
    assert_eq!(start(default().max_packet_size(55)), Err(SendConfigError::PacketSize(55)));
    assert_eq!(start(default().rate(-1.0)), Err(SendConfigError::Rate(-1.0)));
    assert!(matches!(start(default().rate(f64::INFINITY)), Err(SendConfigError::Rate(_))));
    assert_eq!(start(default().burst_rate_ratio(0.9)), Err(SendConfigError::BurstRateRatio(0.9)));
    assert_eq!(start(default().max_heaps(0)), Err(SendConfigError::MaxHeaps));
    let nowhere = InprocTransport::new(&[]);
    let error = SendStream::start(&Worker::new().unwrap(), nowhere, default()).unwrap_err();
    assert_eq!(error, SendConfigError::NoDestination);
}

/// Receives `heaps` heaps from `reader` and checks them.
fn receive(reader: impl Reader + 'static) -> (Stream, Ring<Received>) {
    let ring = Ring::new(64).unwrap();
    let stream = Stream::heaps()
        .config(StreamConfig::default().max_heaps(8))
        .ring(&ring, WhenFull::Wait)
        .reader(reader)
        .start(&Worker::new().unwrap())
        .unwrap();
    (stream, ring)
}

fn assert_received(heap: &Received, number: u64, size: usize) {
    assert_eq!(heap.item(0x1600), Some(ItemKind::Immediate(number)));
    let bytes = payload(number, size);
    assert_eq!(heap.item(0x3300), Some(ItemKind::Addressed(&bytes[..size / 3])));
    assert_eq!(heap.item(0x3301), Some(ItemKind::Addressed(&bytes[size / 3..])));
}

#[test]
fn substreams_over_udp_reach_their_receivers() {
    let receivers: Vec<_> = (0..3)
        .map(|_| UdpReader::bind(&UdpConfig::new("127.0.0.1:0".parse().unwrap())).unwrap())
        .collect();
    let to: Vec<_> = receivers.iter().map(UdpReader::local_addr).collect();
    let rings: Vec<_> = receivers.into_iter().map(receive).collect();
    let transport = UdpTransport::open(&to, &UdpSendConfig::to(to[0])).unwrap();
    let stream = stream(transport, many());
    for number in 0..12 {
        let heap = HeapRef::from(heap(number, 10_000)).substream(number as usize % 3);
        stream.send(heap).unwrap();
    }
    for substream in 0..3 {
        stream
            .send(HeapRef::from(Heap::stream_stop(Flavour::default())).substream(substream))
            .unwrap();
    }
    for (substream, (_, ring)) in (0..).zip(&rings) {
        for (at, heap) in (0..).zip(ring) {
            assert_received(&heap, substream + 3 * at, 10_000);
        }
    }
    stream.flush().unwrap();
    assert!(stream.last_error().is_none());
}

#[test]
fn a_bounded_queue_holds_the_sender_up() {
    let queue = InprocQueue::bounded(2).unwrap();
    let stream = stream(InprocTransport::new(std::slice::from_ref(&queue)), many());
    for number in 0..20 {
        stream.send(heap(number, 5000)).unwrap();
    }
    while stream.stats().would_block == 0 {
        std::thread::yield_now();
    }
    let (receiver, ring) = receive(InprocReader::new(&queue));
    for number in 0..20 {
        assert_received(&ring.pop().unwrap(), number, 5000);
    }
    queue.stop();
    let error = stream.ticket(heap(0, 1)).unwrap().wait().unwrap_err();
    assert!(matches!(error, SendError::Transport(_)), "{error}");
    receiver.wait();
}

#[test]
fn one_worker_sends_and_receives() {
    let worker = Worker::new().unwrap();
    let queue = InprocQueue::bounded(4).unwrap();
    let ring = Ring::new(2).unwrap();
    let receiver = Stream::heaps()
        .ring(&ring, WhenFull::Wait)
        .reader(InprocReader::new(&queue))
        .start(&worker)
        .unwrap();
    let sender =
        SendStream::start(&worker, InprocTransport::new(&[queue]), SendConfig::default()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..50).for_each(|number| sender.send_waiting(heap(number, 3000)).unwrap());
            sender.send_waiting(Heap::stream_stop(Flavour::default())).unwrap();
        });
        for (number, heap) in (0..).zip(&ring) {
            assert_received(&heap, number, 3000);
        }
    });
    receiver.wait();
    assert_eq!(sender.stats().heaps, 51);
}

#[test]
fn a_datagram_too_long_fails_its_heap_only() {
    let reader = UdpReader::bind(&UdpConfig::new("127.0.0.1:0".parse().unwrap())).unwrap();
    let to = reader.local_addr();
    let (_receiver, ring) = receive(reader);
    let transport = UdpTransport::open(&[to], &UdpSendConfig::to(to)).unwrap();
    // Packets of this size do not exist over IPv4.
    let stream = stream(transport, many().max_packet_size(70_000));
    let failing = stream.ticket(heap(0, 200_000)).unwrap();
    let fine = stream.ticket(heap(1, 3000)).unwrap();
    assert!(matches!(failing.wait(), Err(SendError::Transport(_))));
    fine.wait().unwrap();
    assert_received(&ring.pop().unwrap(), 1, 3000);
}

#[test]
fn the_same_heap_can_be_sent_often() {
    let shared = Arc::new(heap(3, 4000));
    let (transport, received) = BytesTransport::new();
    let stream = stream(transport, many());
    for _ in 0..5 {
        stream.send(Arc::clone(&shared)).unwrap();
    }
    stream.close();
    let (receiver, ring) = receive(MemoryReader::new(received.take()));
    assert_eq!(ring.iter().inspect(|heap| assert_received(heap, 3, 4000)).count(), 5);
    receiver.wait();
}

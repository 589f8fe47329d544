//! Streams over real sockets: where packets come from, what the kernel drops, how workers wait.

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

use common::{NUMBER, heap, samples, stop};
use speadway::chunk::{Chunk, ChunkPool, HeapContext, Layout, Placement, RingPolicy, WhenFull};
use speadway::heap::{Heap, ItemKind, PacketDiscard};
use speadway::net::{PacketParts, ReceiverConfig, UdpConfig, UdpSendConfig, UdpSender};
use speadway::recv::readers::UdpReader;
use speadway::recv::{End, Stream, WaitStrategy, Worker};
use speadway::ring::Ring;

const SIZE: usize = 3000;

fn loopback() -> UdpConfig {
    UdpConfig::new("127.0.0.1:0".parse().unwrap())
}

fn sender() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn send(socket: &UdpSocket, to: SocketAddr, packets: &[Vec<u8>]) {
    for packet in packets {
        assert_eq!(socket.send_to(packet, to).unwrap(), packet.len());
    }
}

#[test]
fn placements_and_heaps_learn_where_packets_come_from() {
    let before = SystemTime::now();
    let (socket, address) = sender();
    let wanted = ReceiverConfig::default().want_source(true).want_time(true);

    let reader = UdpReader::bind_with(&loopback().timestamps(true), &wanted).unwrap();
    let to = reader.local_addr();
    let (seen, origins) = std::sync::mpsc::channel();
    let place = move |heap: &mut HeapContext<'_>| {
        seen.send(*heap.origin()).unwrap();
        Some(Placement::new(heap.item(NUMBER)?, 0, 0))
    };
    let pool = ChunkPool::zeroed(4, SIZE, 1).unwrap();
    let ring: Ring<Chunk> = Ring::new(4).unwrap();
    let _stream = Stream::chunks(place)
        .ring(&pool, &ring, RingPolicy::default())
        .reader(reader)
        .start(&Worker::new().unwrap())
        .unwrap();
    send(&socket, to, &heap(0, SIZE, 1472));
    send(&socket, to, &[stop(9)]);
    assert_eq!(ring.pop().unwrap().data(), samples(0, SIZE));
    let origin = origins.recv().unwrap();
    assert_eq!(origin.source, Some(address));
    assert!(origin.received.unwrap() >= before && origin.received.unwrap() <= SystemTime::now());

    let reader = UdpReader::bind_with(&loopback(), &ReceiverConfig::default().want_source(true));
    let reader = reader.unwrap();
    let to = reader.local_addr();
    let ring: Ring<Heap> = Ring::new(4).unwrap();
    let _stream = Stream::heaps()
        .ring(&ring, WhenFull::Wait)
        .reader(reader)
        .start(&Worker::new().unwrap())
        .unwrap();
    send(&socket, to, &heap(0, SIZE, 1472));
    assert_eq!(ring.pop().unwrap().origin().source, Some(address));
}

#[test]
fn what_the_kernel_drops_is_counted() {
    // Of packets that the kernel merged it would drop, and count, all as one. Either side may say
    // that it is not to.
    let (small, merge) = (loopback().recv_buffer(4096), ReceiverConfig::default());
    dropped_packets_are_counted(UdpReader::bind(&small.clone().gro(false)).unwrap());
    dropped_packets_are_counted(UdpReader::bind_with(&small, &merge.gro(false)).unwrap());
}

/// With a buffer of a few packets and nobody reading, most of these are dropped.
fn dropped_packets_are_counted(reader: UdpReader) {
    let to = reader.local_addr();
    let packets: Vec<Vec<u8>> = (0..200).flat_map(|number| heap(number, 1000, 1472)).collect();
    let parts: Vec<_> = packets.iter().map(|packet| PacketParts::new(packet, &[])).collect();
    let mut sender = UdpSender::open(&UdpSendConfig::to(to)).unwrap();
    assert_eq!(sender.send(Some(to), &parts).unwrap(), 200);

    let ring: Ring<Heap> = Ring::new(256).unwrap();
    let stream = Stream::heaps()
        .ring(&ring, WhenFull::Wait)
        .reader(reader)
        .start(&Worker::new().unwrap())
        .unwrap();
    let first = ring.pop().unwrap();
    assert_eq!(first.cnt(), 1);
    stream.finish();
    assert_eq!(stream.wait(), End::Finished);
    let stats = stream.stats();
    assert!(stats.kernel_drops > 0, "{stats}");
    assert_eq!(stats.packets_received + stats.kernel_drops, 200, "{stats}");
}

#[test]
fn hostile_datagrams_are_counted_and_the_stream_goes_on() {
    let reader = UdpReader::bind(&loopback()).unwrap();
    let to = reader.local_addr();
    let layout = Layout::builder(NUMBER, SIZE).build().unwrap();
    let pool = ChunkPool::zeroed(4, layout.chunk_size(), layout.heaps()).unwrap();
    let ring: Ring<Chunk> = Ring::new(4).unwrap();
    let stream = Stream::chunks(layout)
        .ring(&pool, &ring, RingPolicy::default())
        .reader(reader)
        .start(&Worker::new().unwrap())
        .unwrap();
    let (socket, _) = sender();
    let good = heap(5, SIZE, 1472);
    let mut magic = good[0].clone();
    magic[0] = 0;
    let mut widths = good[0].clone();
    widths[2] = 0;
    let mut items = good[0].clone();
    items[6..8].copy_from_slice(&[0xff, 0xff]);
    let mut longer = good[0].clone();
    longer.push(0);
    let bad = [vec![], vec![0x53; 7], magic, widths, items, longer, vec![0; 20_000]];
    send(&socket, to, &bad);
    send(&socket, to, &good);
    send(&socket, to, &[stop(9)]);
    // The chunk before is opened too: a window is filled from its oldest.
    let chunks: Vec<Chunk> = ring.iter().collect();
    assert_eq!(chunks.last().unwrap().data(), samples(5, SIZE));
    stream.wait();
    let stats = stream.stats();
    for reason in [
        PacketDiscard::Empty,
        PacketDiscard::TooSmall,
        PacketDiscard::BadMagic,
        PacketDiscard::BadFlavour,
        PacketDiscard::ItemsOverflow,
        PacketDiscard::SizeMismatch,
        PacketDiscard::Truncated,
    ] {
        assert_eq!(stats.discarded(reason), 1, "{reason:?} in\n{stats}");
    }
    assert!(stats.packets_balance() && stats.heaps_balance(), "{stats}");
}

#[test]
fn workers_wait_as_they_are_told() {
    let strategies = [
        WaitStrategy::Sleep,
        WaitStrategy::Spin,
        WaitStrategy::Coalesce(Duration::from_micros(50)),
    ];
    for wait in strategies {
        let reader = UdpReader::bind(&loopback()).unwrap();
        let to = reader.local_addr();
        let ring: Ring<Heap> = Ring::new(4).unwrap();
        let worker = Worker::builder().wait(wait).start().unwrap();
        let stream =
            Stream::heaps().ring(&ring, WhenFull::Wait).reader(reader).start(&worker).unwrap();
        let (socket, _) = sender();
        for number in 0..20 {
            send(&socket, to, &heap(number, SIZE, 1472));
            let heap = ring.pop().unwrap();
            assert_eq!(heap.item(NUMBER), Some(ItemKind::Immediate(number)), "{wait:?}");
        }
        stream.stop();
        assert_eq!(stream.end(), Some(End::Stopped));
    }
}

#[test]
fn a_worker_says_which_cores_it_may_use() {
    let error = Worker::builder().pin(100_000).start().unwrap_err();
    assert!(error.to_string().contains("may use cores ["), "{error}");
    let core = core_affinity::get_core_ids().unwrap()[0];
    assert!(Worker::builder().pin(core.id).start().is_ok());
}

#[test]
fn an_adopted_socket_stays_its_owners() {
    let (owned, to) = sender();
    let reader = UdpReader::adopt(owned.as_fd(), &ReceiverConfig::default()).unwrap();
    let ring: Ring<Heap> = Ring::new(4).unwrap();
    let stream = Stream::heaps()
        .ring(&ring, WhenFull::Wait)
        .reader(reader)
        .start(&Worker::new().unwrap())
        .unwrap();
    let (socket, _) = sender();
    send(&socket, to, &heap(0, SIZE, 1472));
    assert_eq!(ring.pop().unwrap().cnt(), 1);
    drop(stream);
    // It still blocks, and still receives.
    send(&socket, to, &[vec![1, 2, 3]]);
    let mut bytes = [0; 10];
    assert_eq!(owned.recv(&mut bytes).unwrap(), 3);
}

#[test]
fn streams_come_and_go_on_one_worker() {
    let worker = Worker::new().unwrap();
    let (socket, _) = sender();
    for round in 0..20 {
        let reader = UdpReader::bind(&loopback()).unwrap();
        let to = reader.local_addr();
        let ring: Ring<Heap> = Ring::new(4).unwrap();
        let stream =
            Stream::heaps().ring(&ring, WhenFull::Wait).reader(reader).start(&worker).unwrap();
        send(&socket, to, &heap(round, SIZE, 1472));
        assert_eq!(ring.pop().unwrap().cnt(), round + 1);
        drop(stream);
        assert!(ring.pop().is_err());
        // The port is free again.
        UdpSocket::bind(to).unwrap();
    }
    // The worker forgets a stream just after it has announced its end.
    while worker.streams() > 0 {
        std::thread::yield_now();
    }
}

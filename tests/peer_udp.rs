//! Streams that spead2 sends over UDP are received byte for byte.

mod peer;

use std::net::SocketAddr;

use speadway::chunk::{Chunk, ChunkPool, Eviction, Layout, RingPolicy, WhenFull};
use speadway::heap::{Heap, HeapStatus, ItemKind};
use speadway::net::UdpConfig;
use speadway::recv::readers::UdpReader;
use speadway::recv::{End, Group, Member, Stream, StreamConfig, StreamStats, Worker};
use speadway::ring::Ring;

const LOOPBACK: &str = "127.0.0.1:0";

fn reader(address: &str) -> (UdpReader, String) {
    let reader = UdpReader::bind(&UdpConfig::new(address.parse().unwrap())).unwrap();
    let address = reader.local_addr().to_string();
    (reader, address)
}

fn assert_accounted(stats: &StreamStats) {
    assert!(stats.packets_balance(), "{stats}");
    assert!(stats.heaps_balance(), "{stats}");
    assert_eq!(stats.kernel_drops, 0, "{stats}");
}

/// All chunks of a ring, by the time it ends.
fn collect(ring: &Ring<Chunk>) -> Vec<Chunk> {
    ring.iter().collect()
}

/// Heap `heap` lies whole in place `index` of `chunk`.
fn assert_heap(chunk: &Chunk, index: usize, heap: u64, size: usize) {
    assert_eq!(chunk.present()[index], 1, "heap {heap} is missing in chunk {}", chunk.id());
    let bytes = &chunk.data()[index * size..(index + 1) * size];
    assert!(bytes == peer::payload(heap, size), "heap {heap} differs");
}

fn lone_stream(address: &str, heap_size: usize, config: StreamConfig, options: &[&str]) {
    const HEAPS: u64 = 40;
    const PER_CHUNK: u64 = 8;
    let layout =
        Layout::builder(peer::TIMESTAMP, heap_size).heaps_per_chunk(PER_CHUNK).build().unwrap();
    let pool = ChunkPool::zeroed(8, layout.chunk_size(), layout.heaps()).unwrap();
    let ring = Ring::new(8).unwrap();
    let (reader, to) = reader(address);
    let stream = Stream::chunks(layout)
        .config(config)
        .window(4)
        .ring(&pool, &ring, RingPolicy::default())
        .reader(reader)
        .start(&Worker::new().unwrap())
        .unwrap();

    let (heaps, size) = (HEAPS.to_string(), heap_size.to_string());
    peer::send(&[to], &[&["--heaps", &heaps, "--heap-size", &size], options].concat());

    let chunks = collect(&ring);
    assert_eq!(chunks.len() as u64, HEAPS / PER_CHUNK);
    for heap in 0..HEAPS {
        let chunk = &chunks[(heap / PER_CHUNK) as usize];
        assert_eq!(chunk.id(), heap / PER_CHUNK);
        assert!(chunk.is_complete());
        assert_heap(chunk, (heap % PER_CHUNK) as usize, heap, heap_size);
    }
    assert_eq!(stream.wait(), End::Finished);
    assert_accounted(&stream.stats());
}

#[test]
fn chunks_from_small_packets() {
    lone_stream(LOOPBACK, 10_000, StreamConfig::default(), &["--packet", "1472"]);
}

#[test]
fn chunks_from_jumbo_packets_in_64_40() {
    let options = ["--packet", "8972", "--flavour", "40"];
    lone_stream(LOOPBACK, 65_536, StreamConfig::default(), &options);
}

#[test]
fn chunks_from_single_packet_heaps() {
    lone_stream(LOOPBACK, 1024, StreamConfig::default().max_heaps(1), &["--packet", "1472"]);
}

#[test]
fn chunks_over_ipv6_with_repeated_pointers_and_interleaved_heaps() {
    let config = StreamConfig::default().allow_out_of_order(true).max_heaps(8);
    let options = ["--repeat-pointers", "--interleave", "4", "--packet", "1472"];
    lone_stream("[::1]:0", 10_000, config, &options);
}

fn group(eviction: Eviction, window: usize, workers: usize) {
    const HEAPS: u64 = 128;
    const PORTS: usize = 4;
    const SIZE: usize = 8192;
    // Heap i goes to port i % 4, and has place i % 16 of chunk i / 16.
    let layout = Layout::builder(peer::TIMESTAMP, SIZE).heaps_per_chunk(16).build().unwrap();
    // As many chunks as the group has open.
    let pool = ChunkPool::zeroed(window, layout.chunk_size(), layout.heaps()).unwrap();
    let ring = Ring::new(2).unwrap();
    let workers: Vec<_> = (0..workers).map(|_| Worker::new().unwrap()).collect();
    let mut builder = Group::builder().window(window).eviction(eviction).ring(
        &pool,
        &ring,
        RingPolicy::default(),
    );
    let mut ports = Vec::new();
    for port in 0..PORTS {
        let (reader, to) = reader(LOOPBACK);
        ports.push(to);
        let member = Member::new(layout.clone())
            .window(window - 1)
            .config(StreamConfig::default().stream_id(port as u64))
            .reader(reader);
        builder = builder.member(&workers[port % workers.len()], member);
    }
    let group = builder.start().unwrap();

    let sender = std::thread::spawn(move || {
        let heaps = HEAPS.to_string();
        peer::send(&ports, &["--split", "--heaps", &heaps, "--heap-size", "8192"]);
    });
    let mut next = 0;
    for chunk in &ring {
        assert_eq!(chunk.id(), next);
        next += 1;
        for index in 0..16 {
            assert_heap(&chunk, index as usize, chunk.id() * 16 + index, SIZE);
        }
        let mut shares: Vec<_> = chunk.contributions().to_vec();
        shares.sort_by_key(|share| share.stream_id);
        assert!(shares.iter().all(|share| share.units == 4), "{shares:?}");
        assert_eq!(shares.len(), PORTS);
    }
    sender.join().unwrap();
    assert_eq!(next, HEAPS / 16);
    for (member, end) in group.members().iter().zip(group.wait()) {
        assert_eq!(end, End::Finished);
        assert_accounted(&member.stats());
    }
    assert_eq!(pool.stats().free, window);
}

#[test]
fn a_lossless_group_of_four_ports_on_one_worker() {
    group(Eviction::Lossless, 4, 1);
}

#[test]
fn a_lossless_group_of_four_ports_on_four_workers() {
    group(Eviction::Lossless, 4, 4);
}

#[test]
fn an_eager_group_of_four_ports_on_two_workers() {
    // The window holds the whole stream, so that nobody can be too late.
    group(Eviction::Eager, 9, 2);
}

#[test]
fn heaps_with_descriptors() {
    const SIZE: usize = 5000;
    let ring: Ring<Heap> = Ring::new(64).unwrap();
    let (reader, to) = reader(LOOPBACK);
    let stream = Stream::heaps()
        .ring(&ring, WhenFull::Wait)
        .reader(reader)
        .start(&Worker::new().unwrap())
        .unwrap();
    peer::send(&[to], &["--descriptors", "--heaps", "10", "--heap-size", "5000"]);

    let heaps: Vec<Heap> = ring.iter().collect();
    assert_eq!(heaps.len(), 11);
    let mut names: Vec<_> = heaps[0]
        .descriptors()
        .map(|descriptor| descriptor.unwrap().name_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["feng_id", "payload", "timestamp"]);
    for (number, heap) in heaps[1..].iter().enumerate() {
        let number = number as u64;
        assert_eq!(heap.status(), HeapStatus::Complete);
        assert_eq!(heap.cnt(), number + 1);
        assert_eq!(heap.item(peer::TIMESTAMP), Some(ItemKind::Immediate(number)));
        assert_eq!(heap.item(peer::FENG_ID), Some(ItemKind::Immediate(0)));
        let expected = peer::payload(number, SIZE);
        assert_eq!(heap.item(peer::PAYLOAD), Some(ItemKind::Addressed(&expected)));
    }
    assert_eq!(stream.wait(), End::Finished);
    assert_accounted(&stream.stats());
}

#[test]
fn what_was_not_sent_is_missing_and_nothing_else() {
    let layout = Layout::builder(peer::TIMESTAMP, 4096).heaps_per_chunk(10).build().unwrap();
    let pool = ChunkPool::zeroed(8, layout.chunk_size(), layout.heaps()).unwrap();
    let ring = Ring::new(8).unwrap();
    let (reader, to) = reader(LOOPBACK);
    let stream = Stream::chunks(layout)
        .ring(&pool, &ring, RingPolicy::default())
        .reader(reader)
        .start(&Worker::new().unwrap())
        .unwrap();
    peer::send(&[to], &["--heaps", "60", "--drop-every", "7"]);
    for chunk in collect(&ring) {
        for index in 0..10 {
            let heap = chunk.id() * 10 + index;
            if heap % 7 == 6 {
                assert_eq!(chunk.present()[index as usize], 0);
            } else {
                assert_heap(&chunk, index as usize, heap, 4096);
            }
        }
    }
    stream.wait();
    assert_accounted(&stream.stats());
}

#[test]
fn several_sockets_share_one_port() {
    const SIZE: usize = 4096;
    let layout = Layout::builder(peer::TIMESTAMP, SIZE).heaps_per_chunk(10).build().unwrap();
    let pool = ChunkPool::zeroed(8, layout.chunk_size(), layout.heaps()).unwrap();
    let ring = Ring::new(8).unwrap();
    let config = UdpConfig::new(LOOPBACK.parse().unwrap()).reuse_port(true);
    let first = UdpReader::bind(&config).unwrap();
    let address: SocketAddr = first.local_addr();
    let second = UdpReader::bind(&UdpConfig::new(address).reuse_port(true)).unwrap();
    let mut builder = Group::builder().window(8).ring(&pool, &ring, RingPolicy::default());
    for reader in [first, second] {
        let member = Member::new(layout.clone()).window(8).reader(reader);
        builder = builder.member(&Worker::new().unwrap(), member);
    }
    let group = builder.start().unwrap();
    // Each sender has a port of its own, and the kernel spreads them over the sockets.
    for sender in 0..6 {
        let first = (sender * 10).to_string();
        let options = ["--heaps", "10", "--first-heap", &first, "--no-stop"];
        peer::send(&[address.to_string()], &options);
    }
    let received =
        || group.members().iter().map(|member| member.stats().packets_placed).sum::<u64>();
    // 4096 B need three packets of 1472 B.
    while received() < 6 * 10 * 3 {
        std::thread::yield_now();
    }
    group.finish();
    let mut heaps = 0;
    for chunk in collect(&ring) {
        for index in 0..10 {
            assert_heap(&chunk, index as usize, chunk.id() * 10 + index, SIZE);
            heaps += 1;
        }
    }
    assert_eq!(heaps, 60);
    group.wait();
    group.members().iter().for_each(|member| assert_accounted(&member.stats()));
}

//! Streams that spead2 sends over TCP and multicast are received byte for byte.

mod peer;

use std::net::Ipv4Addr;

use speadway::chunk::{Chunk, ChunkPool, Layout, RingPolicy, WhenFull};
use speadway::heap::{Heap, ItemKind};
use speadway::net::{Interface, UdpConfig};
use speadway::recv::readers::{TcpConfig, TcpReader, UdpReader};
use speadway::recv::{End, Reader, Stream, Worker};
use speadway::ring::Ring;

const HEAPS: u64 = 30;
const PER_CHUNK: u64 = 10;
const SIZE: usize = 20_000;

/// Receives chunks from `reader` of what the peer sends to `to`.
fn assert_chunks(reader: impl Reader + 'static, to: String, options: &[&str]) {
    let layout = Layout::builder(peer::TIMESTAMP, SIZE).heaps_per_chunk(PER_CHUNK).build().unwrap();
    let pool = ChunkPool::zeroed(8, layout.chunk_size(), layout.heaps()).unwrap();
    let ring: Ring<Chunk> = Ring::new(8).unwrap();
    let stream = Stream::chunks(layout)
        .ring(&pool, &ring, RingPolicy::default())
        .reader(reader)
        .start(&Worker::new().unwrap())
        .unwrap();
    let (heaps, size) = (HEAPS.to_string(), SIZE.to_string());
    peer::send(&[to], &[&["--heaps", &heaps, "--heap-size", &size], options].concat());

    let chunks: Vec<Chunk> = ring.iter().collect();
    assert_eq!(chunks.len() as u64, HEAPS / PER_CHUNK);
    for heap in 0..HEAPS {
        let chunk = &chunks[(heap / PER_CHUNK) as usize];
        assert!(chunk.is_complete(), "{chunk:?}");
        let start = (heap % PER_CHUNK) as usize * SIZE;
        assert!(chunk.data()[start..start + SIZE] == peer::payload(heap, SIZE), "heap {heap}");
    }
    assert_eq!(stream.wait(), End::Finished);
    let stats = stream.stats();
    assert!(stats.packets_balance() && stats.heaps_balance(), "{stats}");
}

fn listen() -> (TcpReader, String) {
    let address = "127.0.0.1:0".parse().unwrap();
    let reader = TcpReader::listen(address, &TcpConfig::default()).unwrap();
    let to = reader.local_addr().to_string();
    (reader, to)
}

#[test]
fn chunks_over_tcp() {
    let (reader, to) = listen();
    assert_chunks(reader, to, &["--transport", "tcp", "--packet", "8972"]);
}

#[test]
fn chunks_over_tcp_in_64_40_and_large_packets() {
    let (reader, to) = listen();
    let options = ["--transport", "tcp", "--packet", "60000", "--flavour", "40", "--rate", "0"];
    assert_chunks(reader, to, &options);
}

#[test]
fn heaps_over_tcp() {
    let (reader, to) = listen();
    let ring: Ring<Heap> = Ring::new(4).unwrap();
    let stream = Stream::heaps()
        .ring(&ring, WhenFull::Wait)
        .reader(reader)
        .start(&Worker::new().unwrap())
        .unwrap();
    let sender = std::thread::spawn(move || {
        let options = ["--transport", "tcp", "--descriptors", "--heaps", "40"];
        peer::send(&[to], &[&options[..], &["--heap-size", "9999", "--rate", "0"]].concat());
    });
    let descriptors = ring.pop().unwrap();
    assert_eq!(descriptors.descriptors().filter(Result::is_ok).count(), 3);
    // The ring holds four: TCP holds the rest back.
    for number in 0..40 {
        let heap = ring.pop().unwrap();
        assert_eq!(heap.item(peer::TIMESTAMP), Some(ItemKind::Immediate(number)));
        let expected = peer::payload(number, 9999);
        assert_eq!(heap.item(peer::PAYLOAD), Some(ItemKind::Addressed(&expected)));
    }
    assert!(ring.pop().is_err());
    sender.join().unwrap();
    assert_eq!(stream.wait(), End::Finished);
}

#[test]
fn chunks_over_multicast() {
    let group = Ipv4Addr::new(239, 255, 83, 4);
    let config = UdpConfig::new((group, 0).into()).interface(Interface::Addr(Ipv4Addr::LOCALHOST));
    let reader = UdpReader::bind(&config).unwrap();
    let to = reader.local_addr().to_string();
    assert_chunks(reader, to, &["--ttl", "1", "--interface", "127.0.0.1", "--packet", "1472"]);
}

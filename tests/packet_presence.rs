//! Presence kept per packet.

mod common;

use common::{heap, samples};
use speadway::chunk::{ChunkPool, Layout, RingPolicy};
use speadway::memory::CopyMode;
use speadway::recv::readers::MemoryReader;
use speadway::recv::{Stream, StreamConfig, Worker};
use speadway::ring::Ring;
use speadway::wire::Packet;

const SIZE: usize = 5000;

#[test]
fn each_packet_has_its_flag() {
    let packets: Vec<Vec<Vec<u8>>> = (0..4).map(|number| heap(number, SIZE, 1472)).collect();
    let lengths: Vec<usize> =
        packets[0].iter().map(|packet| Packet::decode(packet).unwrap().payload().len()).collect();
    let layout = Layout::builder(common::NUMBER, SIZE)
        .heaps_per_chunk(2)
        .packet_presence(lengths[0] as u64)
        .build()
        .unwrap();
    assert_eq!((layout.heaps(), layout.flags()), (2, 2 * lengths.len()));

    let pool = ChunkPool::zeroed(4, layout.chunk_size(), layout.flags()).unwrap();
    let ring = Ring::new(4).unwrap();
    // Packet 1 of heap 1, and packet 0 of heap 2, are lost.
    let sent: Vec<Vec<u8>> = packets
        .iter()
        .enumerate()
        .flat_map(|(n, heap)| heap.iter().enumerate().map(move |(p, packet)| (n, p, packet)))
        .filter(|&(n, p, _)| (n, p) != (1, 1) && (n, p) != (2, 0))
        .map(|(_, _, packet)| packet.clone())
        .collect();
    let config = StreamConfig::default().allow_out_of_order(true).copy_mode(CopyMode::NonTemporal);
    let stream = Stream::chunks(layout)
        .config(config)
        .ring(&pool, &ring, RingPolicy::default())
        .reader(MemoryReader::new(sent.concat()))
        .start(&Worker::new().unwrap())
        .unwrap();
    for (id, chunk) in (0..2).zip(&ring) {
        for place in 0..2 {
            let number = 2 * id + place as u64;
            let all = samples(number, SIZE);
            let mut at = 0;
            for (packet, &length) in lengths.iter().enumerate() {
                let present = chunk.present()[place * lengths.len() + packet] == 1;
                assert_eq!(present, (number, packet) != (1, 1) && (number, packet) != (2, 0));
                if present {
                    let start = place * SIZE + at;
                    assert_eq!(chunk.data()[start..start + length], all[at..at + length]);
                }
                at += length;
            }
        }
        assert_eq!(chunk.n_missing(), 1);
    }
    stream.wait();
    assert!(stream.stats().packets_balance() && stream.stats().heaps_balance());
}

//! Reading captures.
#![cfg(feature = "pcap")]

mod readers_common;
mod readers_pcap_files;

use std::io::{self, Cursor, Read};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use etherparse::PacketBuilder;
use proptest::prelude::*;
use readers_common::*;
use readers_pcap_files::*;
use speadway::heap::{Heap, PacketDiscard};
use speadway::recv::readers::{PcapConfig, PcapCounts, PcapError, PcapReader};
use speadway::recv::{End, StreamStats};
use speadway::wire::Packet;

/// Everything that comes of a capture.
struct Outcome {
    heaps: Vec<Heap>,
    end: End,
    stats: StreamStats,
    counts: PcapCounts,
}

fn receive(reader: PcapReader) -> Outcome {
    let counts = reader.counts();
    let (stream, ring) = heap_stream(reader, 4);
    let heaps = rest(&ring);
    let end = stream.wait();
    Outcome { heaps, end, stats: final_stats(&stream), counts }
}

fn receive_bytes(capture: Vec<u8>, config: PcapConfig) -> Outcome {
    receive(PcapReader::from_reader(Cursor::new(capture), config).unwrap())
}

/// What comes of a capture of whole frames that `link` says how are wrapped.
fn receive_frames(link: u32, frames: &[Vec<u8>]) -> Outcome {
    let outcome = receive_bytes(Pcap::new(link).file(frames), PcapConfig::default());
    assert_eq!(outcome.end, End::Finished);
    outcome
}

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/pcap", name].iter().collect()
}

#[test]
fn datagrams_are_read_without_a_stream() {
    let config = PcapConfig::default().port(8889);
    let mut reader = PcapReader::open(fixture("lo-2ports-vlan.pcap"), config).unwrap();
    let (mut payload, mut sizes, mut last) = (Vec::new(), Vec::new(), UNIX_EPOCH);
    while let Some(datagram) = reader.next_datagram(&mut payload).unwrap() {
        assert_eq!(datagram.destination, "127.0.0.1:8889".parse().unwrap());
        assert!(datagram.time.is_some_and(|time| time >= last) && !datagram.is_cut);
        last = datagram.time.unwrap();
        Packet::decode(&payload).expect("a SPEAD packet");
        sizes.push(payload.len());
    }
    // tests/data/pcap/README.md says what there is.
    let heap = [1472, 1472, 1296];
    assert_eq!(sizes, [&[462][..], &heap, &heap, &heap, &heap, &[57]].concat());
    let counts = reader.counts();
    assert_eq!((counts.frames(), counts.offered(), counts.unwanted()), (28, 14, 14));
}

#[test]
fn a_damaged_capture_gives_its_datagrams_and_then_an_error() {
    let mut whole = std::fs::read(fixture("lo-2ports.pcap")).unwrap();
    whole.truncate(4000);
    let mut reader = PcapReader::from_reader(Cursor::new(whole), PcapConfig::default()).unwrap();
    let mut payload = Vec::new();
    assert!(reader.next_datagram(&mut payload).unwrap().is_some());
    let error = std::iter::repeat_with(|| reader.next_datagram(&mut payload))
        .find_map(Result::err)
        .expect("it ends within a record");
    assert!(matches!(error, PcapError::Cut { .. }), "{error}");
}

#[test]
fn captures_of_every_kind_give_the_same_heaps() {
    let kinds = [
        ("lo-2ports.pcap", "127.0.0.1"),
        ("lo-2ports.pcapng", "127.0.0.1"),
        ("lo-2ports-vlan.pcap", "127.0.0.1"),
        ("lo-2ports-ipv6.pcap", "::1"),
        ("any-2ports-sll.pcap", "127.0.0.1"),
        ("any-2ports-sll2.pcap", "127.0.0.1"),
    ];
    for (name, address) in kinds {
        let address: IpAddr = address.parse().unwrap();
        let open = |config| receive(PcapReader::open(fixture(name), config).unwrap());
        let outcome = open(PcapConfig::default());
        assert_eq!(outcome.end, End::Finished, "{name}");
        let (descriptors, data) = outcome.heaps.split_at(2);
        assert!(descriptors.iter().all(|heap| heap.descriptors().count() == 3), "{name}");
        assert_heaps(data, 0..8, |_| 4096);
        for heap in &outcome.heaps {
            assert_eq!(heap.origin().source.map(|source| source.ip()), Some(address));
            let age = heap.origin().received.unwrap().duration_since(UNIX_EPOCH).unwrap();
            // Between 2023 and 2100.
            assert!((1_700_000_000..4_102_444_800).contains(&age.as_secs()), "{name}: {age:?}");
        }
        let stats = &outcome.stats;
        assert_eq!((stats.packets_received, stats.packets_placed), (28, 26), "{name}");
        assert_eq!(stats.discarded(PacketDiscard::StopItem), 1, "{name}");
        assert_eq!(stats.discarded(PacketDiscard::AfterStop), 1, "{name}");

        let odd = open(PcapConfig::default().port(8889).destination(address));
        assert_heaps(&odd.heaps[1..], [1, 3, 5, 7], |_| 4096);
        assert_eq!(
            (odd.counts.frames(), odd.counts.unwanted(), odd.counts.offered()),
            (28, 14, 14)
        );
        let elsewhere = open(PcapConfig::default().destination("192.0.2.1".parse().unwrap()));
        assert_eq!((elsewhere.heaps.len(), elsewhere.counts.unwanted()), (0, 28), "{name}");
        assert_eq!(elsewhere.end, End::Finished);
    }
}

#[test]
fn both_byte_orders_and_both_clocks_of_pcap_are_read() {
    let frames = [ethernet(&spead(0)), ethernet(&spead(1))];
    for big_endian in [false, true] {
        for nanos in [false, true] {
            let pcap = Pcap { big_endian, nanos, ..Pcap::new(1) };
            let outcome = receive_bytes(pcap.file(&frames), PcapConfig::default());
            assert_heaps(&outcome.heaps, 0..2, |_| 50);
            let fraction = if nanos { 123_456_789 } else { 123_456_000 };
            let at = |second| Some(UNIX_EPOCH + Duration::new(SECONDS + second, fraction));
            assert_eq!(outcome.heaps[0].origin().received, at(0));
            assert_eq!(outcome.heaps[1].origin().received, at(1));
            assert_eq!(outcome.heaps[0].origin().source, Some(SOURCE.parse().unwrap()));
        }
    }
}

#[test]
fn pcapng_sections_interfaces_clocks_and_other_blocks() {
    for big_endian in [false, true] {
        let ng = PcapNg { big_endian };
        let ticks = SECONDS * 1_000_000 + 123_456;
        let capture = [
            ng.section(),
            // A block of a kind that nobody knows, larger than what is buffered.
            ng.block(0x1234, &vec![7; 700_000]),
            ng.interface(1, &[]),
            ng.packet(0, ticks, &ethernet(&spead(0))),
            // Nanoseconds; units of 2^-20 s, an hour later; and an unknown link type.
            ng.interface(101, &[(9, vec![9])]),
            ng.interface(1, &[(9, vec![0x80 | 20]), (14, ng.bytes8(3600).to_vec())]),
            ng.interface(147, &[]),
            ng.packet(1, SECONDS * 1_000_000_000 + 123_456_789, &ip(&spead(1))),
            ng.packet(2, SECONDS << 20 | 1 << 19, &ethernet(&spead(2))),
            ng.packet(3, 0, &ethernet(&spead(99))),
            ng.simple_packet(&ethernet(&spead(3))),
            // Another section, with the other byte order and its own interfaces.
            PcapNg { big_endian: !big_endian }.section(),
            PcapNg { big_endian: !big_endian }.interface(101, &[]),
            PcapNg { big_endian: !big_endian }.packet(0, ticks, &ip(&spead(4))),
        ];
        let outcome = receive_bytes(capture.concat(), PcapConfig::default());
        assert_eq!(outcome.end, End::Finished);
        assert_heaps(&outcome.heaps, 0..5, |_| 50);
        let time = |seconds, nanos| Some(UNIX_EPOCH + Duration::new(SECONDS + seconds, nanos));
        let received: Vec<_> = outcome.heaps.iter().map(|heap| heap.origin().received).collect();
        let micros = time(0, 123_456_000);
        let expected = [micros, time(0, 123_456_789), time(3600, 500_000_000), None, micros];
        assert_eq!(received, expected);
        assert_eq!((outcome.counts.frames(), outcome.counts.unknown_link()), (6, 1));
    }
}

#[test]
fn every_link_type_is_unwrapped() {
    let cooked1 = |ether_type: u16, packet: &[u8]| {
        let header = [0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0];
        [&header[..], &ether_type.to_be_bytes(), packet].concat()
    };
    let cooked2 = |ether_type: u16, packet: &[u8]| {
        let rest = [0, 0, 0, 0, 0, 1, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0];
        [&ether_type.to_be_bytes(), &rest[..], packet].concat()
    };
    let loopback = |family: [u8; 4], packet: &[u8]| [&family[..], packet].concat();
    let tagged = |tags: &[u16], packet: &[u8]| {
        let mut frame = ethernet(packet);
        let types: Vec<u8> =
            tags.iter().flat_map(|t| [t.to_be_bytes(), [0, 100]].concat()).collect();
        frame.splice(12..12, types);
        frame
    };
    let (v4, v6) = (|n| ip(&spead(n)), |n| ip6(&spead(n), &[]));
    let cases: [(u32, Vec<Vec<u8>>); 9] = [
        (
            1,
            vec![
                ethernet(&spead(0)),
                tagged(&[0x8100], &spead(1)),
                tagged(&[0x88a8, 0x8100], &spead(2)),
                tagged(&[0x8100, 0x8100], &spead(3)),
            ],
        ),
        (113, vec![cooked1(0x0800, &v4(0)), cooked1(0x86dd, &v6(1))]),
        (276, vec![cooked2(0x0800, &v4(0)), cooked2(0x86dd, &v6(1))]),
        (101, vec![v4(0), v6(1)]),
        (12, vec![v4(0)]),
        (228, vec![v4(0)]),
        (229, vec![v6(0)]),
        (
            0,
            vec![
                loopback([2, 0, 0, 0], &v4(0)),
                loopback([0, 0, 0, 2], &v4(1)),
                loopback([30, 0, 0, 0], &v6(2)),
                loopback([0, 0, 0, 28], &v6(3)),
            ],
        ),
        (108, vec![loopback([0, 0, 0, 2], &v4(0)), loopback([0, 0, 0, 24], &v6(1))]),
    ];
    for (link, frames) in cases {
        let outcome = receive_frames(link, &frames);
        assert_heaps(&outcome.heaps, 0..frames.len() as u64, |_| 50);
        assert_eq!(outcome.counts.offered(), frames.len() as u64, "link type {link}");
    }
    // Upper bits of the link type tell of a checksum behind the frame.
    let frame = [ethernet(&spead(0)), vec![1, 2, 3, 4]].concat();
    assert_heaps(&receive_frames(0x5400_0001, &[frame]).heaps, [0], |_| 50);
}

#[test]
fn extension_headers_are_passed_over_and_padding_is_left_out() {
    // Hop-by-hop and destination options, of 8 and 16 bytes.
    let hop_by_hop = (0, [[0, 0, 1, 4, 0, 0, 0, 0]].concat());
    let options = (60, [[0, 1, 1, 12, 0, 0, 0, 0], [0; 8]].concat());
    let chains = [vec![], vec![hop_by_hop.clone()], vec![hop_by_hop, options]];
    let frames: Vec<_> = (0..).zip(&chains).map(|(n, chain)| ip6(&spead(n), chain)).collect();
    assert_heaps(&receive_frames(101, &frames).heaps, 0..3, |_| 50);

    let padded = [ethernet(&spead(0)), vec![0; 30]].concat();
    assert_heaps(&receive_frames(1, &[padded]).heaps, [0], |_| 50);
}

#[test]
fn what_is_no_datagram_is_skipped_and_counted() {
    let of = |builder: etherparse::PacketBuilderStep<etherparse::TcpHeader>| {
        let mut frame = Vec::new();
        builder.write(&mut frame, &spead(0)).unwrap();
        frame
    };
    let addressed =
        || PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9);
    let tcp = of(addressed().tcp(1, 2, 3, 4));
    let mut arp = ethernet(&spead(0));
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    let mut other_ether_type = ethernet(&spead(0));
    other_ether_type[12..14].copy_from_slice(&[0x88, 0xcc]);
    let mut first_fragment = ethernet(&spead(0));
    first_fragment[20] |= 0x20;
    let mut last_fragment = ethernet(&spead(0));
    last_fragment[21] = 5;
    let mut udp_too_long = ethernet(&spead(0));
    udp_too_long[38] = 0xff;
    let mut udp_too_short = ethernet(&spead(0));
    udp_too_short[38..40].copy_from_slice(&[0, 7]);
    let whole = ethernet(&spead(7));
    let frames = [
        tcp,
        other_ether_type,
        first_fragment,
        last_fragment,
        udp_too_long,
        udp_too_short,
        whole[..30].to_vec(),
        whole[..13].to_vec(),
        vec![],
        whole,
    ];
    let outcome = receive_frames(1, &frames);
    assert_heaps(&outcome.heaps, [7], |_| 50);
    let counts = &outcome.counts;
    assert_eq!((counts.frames(), counts.offered(), counts.other_protocol()), (10, 1, 2));
    assert_eq!((counts.fragments(), counts.malformed()), (2, 5));
    assert_eq!(outcome.stats.packets_received, 1);
    let line = "10 frames, 1 offered to the stream, 2 of other protocols, 2 fragments, 5 malformed";
    assert_eq!(counts.to_string(), line);

    // An IPv6 fragment, and loopback frames of another address family.
    let fragment = (44, vec![0, 0, 0, 1, 0, 0, 0, 9]);
    let outcome = receive_frames(101, &[ip6(&spead(0), &[fragment])]);
    assert_eq!(outcome.counts.fragments(), 1);
    let outcome = receive_frames(0, &[[&[7, 0, 0, 0][..], &ip(&spead(0))].concat()]);
    assert_eq!(outcome.counts.other_protocol(), 1);
    // ARP is told by its own parser.
    assert_eq!(receive_frames(1, &[arp]).counts.offered(), 0);
}

#[test]
fn datagrams_cut_by_the_snapshot_length_are_truncated_but_padding_may_be_cut() {
    let pcap = Pcap::new(1);
    let whole = ethernet(&spead(0));
    let capture = [
        pcap.header(),
        pcap.record(0, &whole[..whole.len() - 1], whole.len()),
        pcap.record(1, &ethernet(&spead(1)), whole.len() + 60),
        // Not for us, so whether it is whole does not matter.
        pcap.record(2, &to_port(9999, &spead(2))[..60], 1000),
    ];
    let outcome = receive_bytes(capture.concat(), PcapConfig::default().port(7148));
    assert_eq!(outcome.end, End::Finished);
    assert_heaps(&outcome.heaps, [1], |_| 50);
    assert_eq!(outcome.stats.discarded(PacketDiscard::Truncated), 1);
    assert_eq!((outcome.counts.offered(), outcome.counts.unwanted()), (2, 1));

    let ng = PcapNg { big_endian: false };
    let cut = ng.snapped_packet(0, 0, &whole[..whole.len() - 4], whole.len());
    let capture = [ng.section(), ng.interface(1, &[]), cut].concat();
    let outcome = receive_bytes(capture, PcapConfig::default());
    assert_eq!(outcome.stats.discarded(PacketDiscard::Truncated), 1);
}

#[test]
fn a_capture_that_cannot_be_opened_says_why() {
    let open = |bytes: &[u8]| {
        let bytes = Cursor::new(bytes.to_vec());
        PcapReader::from_reader(bytes, PcapConfig::default()).unwrap_err().to_string()
    };
    let no_capture = |found: &str| format!("the capture is no pcap or pcapng capture: {found}");
    assert_eq!(open(&[]), no_capture("it is empty"));
    assert_eq!(open(&Pcap::new(1).header()[..23]), no_capture("it is cut short"));
    assert_eq!(open(&[0x1f, 0x8b, 8, 0]), no_capture("it is compressed, unpack it with gunzip"));
    assert_eq!(open(&packets(0, 50, 1472).concat()), no_capture("it starts differently"));
    assert!(open(&Pcap::new(147).header()).contains("link type 147, which is not supported"));

    let missing = fixture("missing.pcap");
    let error = PcapReader::open(&missing, PcapConfig::default()).unwrap_err();
    assert!(matches!(error, PcapError::Open { .. }));
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot open {}: ", missing.display())), "{text}");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_capture_cut_anywhere_delivers_what_is_whole_and_fails() {
    let pcap = Pcap::new(1);
    let ng = PcapNg { big_endian: true };
    let frames: Vec<_> = (0..3).map(|n| ethernet(&spead(n))).collect();
    let parts = |start: Vec<u8>, record: &dyn Fn(usize) -> Vec<u8>| {
        [vec![start], (0..3).map(record).collect()].concat()
    };
    let captures = [
        parts(pcap.header(), &|n| pcap.record(0, &frames[n], frames[n].len())),
        parts([ng.section(), ng.interface(1, &[])].concat(), &|n| ng.packet(0, 0, &frames[n])),
    ];
    for parts in captures {
        let starts: Vec<_> = (1..=4).map(|n| parts[..n].concat().len()).collect();
        let whole = parts.concat();
        for cut in starts[0]..=whole.len() {
            let outcome = receive_bytes(whole[..cut].to_vec(), PcapConfig::default());
            let complete = starts.iter().rposition(|&start| start <= cut).unwrap();
            assert_heaps(&outcome.heaps, 0..complete as u64, |_| 50);
            let start = starts[complete];
            if start == cut {
                assert_eq!(outcome.end, End::Finished);
            } else {
                let why = format!(
                    "capture the capture: the capture is cut short: it ends within the record \
                     that starts at byte {start}"
                );
                assert_eq!(outcome.end, End::Failed(why));
            }
        }
    }
}

#[test]
fn a_damaged_capture_delivers_what_comes_before_and_says_where() {
    let pcap = Pcap::new(1);
    let ng = PcapNg { big_endian: false };
    let frame = ethernet(&spead(0));
    let start = [ng.section(), ng.interface(1, &[]), ng.packet(0, 0, &frame)].concat();
    let unequal = {
        let mut block = ng.packet(0, 0, &frame);
        *block.last_mut().unwrap() = 1;
        block
    };
    let cases = [
        (pcap.file(std::slice::from_ref(&frame)), vec![0xff; 40], "a record of 4294967295 bytes"),
        (start.clone(), vec![6, 0, 0, 0, 5, 0, 0, 0], "a block of 5 bytes"),
        (start.clone(), vec![6, 0, 0, 0, 0, 0, 0, 0x10], "a block of 268435456 bytes"),
        (start.clone(), vec![6, 0, 0, 0, 0, 0, 0x10, 0], "a record of 1048576 bytes"),
        (start.clone(), ng.packet(1, 0, &frame), "a packet of interface 1, which has not been"),
        (start.clone(), unequal, "a block of type 0x6 that contradicts itself"),
        (start, [0x0a, 0x0d, 0x0d, 0x0a].repeat(7), "a block of "),
    ];
    for (good, bad, problem) in cases {
        let offset = good.len();
        let outcome = receive_bytes([good, bad].concat(), PcapConfig::default());
        assert_heaps(&outcome.heaps, [0], |_| 50);
        let End::Failed(why) = outcome.end else { panic!("{problem}: {:?}", outcome.end) };
        let where_ = format!("the capture is damaged at byte {offset}: {problem}");
        assert!(why.contains(&where_), "{why} ({where_})");
    }
}

/// Gives its bytes in pieces of different sizes, and then perhaps an error.
struct Pieces {
    bytes: Cursor<Vec<u8>>,
    reads: usize,
    fails: bool,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let size = (self.reads * 37 % 211 + 1).min(buffer.len());
        match self.bytes.read(&mut buffer[..size]) {
            Ok(0) if self.fails => Err(io::Error::other("the disk is gone")),
            read => read,
        }
    }
}

#[test]
fn sources_may_give_a_few_bytes_at_a_time_and_fail() {
    let frames: Vec<_> = (0..100).map(|n| ethernet(&spead(n))).collect();
    let capture = Pcap::new(1).file(&frames);
    for fails in [false, true] {
        let pieces = Pieces { bytes: Cursor::new(capture.clone()), reads: 0, fails };
        let outcome = receive(PcapReader::from_reader(pieces, PcapConfig::default()).unwrap());
        assert_heaps(&outcome.heaps, 0..100, |_| 50);
        let why = format!(
            "capture the capture: cannot read the capture at byte {}: the disk is gone",
            capture.len()
        );
        assert_eq!(outcome.end, if fails { End::Failed(why) } else { End::Finished });
    }
}

#[test]
fn a_large_capture_loses_nothing_to_small_rings() {
    // More than the buffer holds.
    let frames: Vec<_> = packets_as_frames(16_000);
    let capture = Pcap::new(1).file(&frames);
    assert!(capture.len() > 2 << 20);
    let reader = PcapReader::from_reader(Cursor::new(capture), PcapConfig::default()).unwrap();
    let counts = reader.counts();
    receive_chunks_parking(reader, 16_000);
    // None is counted twice for having been offered twice.
    assert_eq!((counts.frames(), counts.offered()), (16_000, 16_000));
}

fn packets_as_frames(count: u64) -> Vec<Vec<u8>> {
    heaps(count, 64, 1472).iter().map(|packet| ethernet(packet)).collect()
}

/// A good capture of each format.
fn good_captures() -> [Vec<u8>; 3] {
    let ng = PcapNg { big_endian: false };
    let frames: Vec<_> = (0..3).map(|n| ethernet(&spead(n))).collect();
    let start = [ng.section(), ng.interface(1, &[(9, vec![9])]), ng.interface(101, &[])].concat();
    let packets = [
        ng.packet(0, 5, &frames[0]),
        ng.simple_packet(&frames[1]),
        ng.packet(1, 5, &ip6(&spead(2), &[(0, vec![0; 8])])),
    ];
    let pcap = Pcap::new(1).file(&frames);
    let big_endian = Pcap { big_endian: true, nanos: true, ..Pcap::new(1) }.file(&frames);
    [pcap, big_endian, [start, packets.concat()].concat()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whatever is wrong with a capture, the stream ends by itself and nothing panics.
    #[test]
    fn damage_never_panics(
        which in 0..3_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut capture = good_captures()[which].clone();
        for (at, value) in changes {
            let at = at.index(capture.len());
            capture[at] = value;
        }
        if let Ok(reader) = PcapReader::from_reader(Cursor::new(capture), PcapConfig::default()) {
            let outcome = receive(reader);
            prop_assert!(!format!("{:?}", outcome.end).contains("panicked"), "{:?}", outcome.end);
        }
    }

    /// Whatever is in frames, they are counted, and nothing panics.
    #[test]
    fn frames_of_anything_are_counted(
        link in prop::sample::select(&[0_u32, 1, 101, 108, 113, 276][..]),
        mut frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..20),
        versions in prop::collection::vec(any::<bool>(), 20),
    ) {
        // Random bytes rarely get as far as IP.
        for (frame, v6) in frames.iter_mut().zip(versions) {
            let (start, types) = match link {
                1 => (14, 12),
                113 => (16, 14),
                276 => (20, 0),
                0 | 108 => (4, 4),
                _ => (0, 0),
            };
            if frame.len() > start + 10 {
                frame[start] = if v6 { 0x60 } else { 0x45 };
                frame[start + if v6 { 6 } else { 9 }] = if v6 { 0 } else { 17 };
                if start > 4 {
                    frame[types..types + 2].copy_from_slice(if v6 { &[0x86, 0xdd] } else { &[8, 0] });
                }
            }
        }
        let outcome = receive_frames(link, &frames);
        let counts = &outcome.counts;
        prop_assert_eq!(counts.frames(), frames.len() as u64);
        let all = counts.offered() + counts.other_protocol() + counts.fragments() + counts.malformed();
        prop_assert_eq!(counts.frames(), all);
    }
}

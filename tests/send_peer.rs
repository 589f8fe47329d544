//! The peer's receivers get what send streams send, over the network.

use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value as Json, json};
use speadway::item::{HeapGenerator, ItemDescriptor, ItemGroup, Order, Select};
use speadway::net::{Interface, UdpSendConfig, connect_tcp, interfaces};
use speadway::recv::Worker;
use speadway::send::transport::{TcpTransport, Transport, UdpTransport};
use speadway::send::{Heap, HeapRef, SendConfig, SendStream};
use speadway::wire::{BugCompat, Flavour};

/// Slow enough for a receiver in Python on a busy machine, with the buffers that it asks for.
const RATE: f64 = 20e6;

/// The peer, receiving.
struct Peer {
    child: Child,
    output: BufReader<ChildStdout>,
    address: IpAddr,
    ports: Vec<u16>,
}

impl Peer {
    /// Starts it, as `receive_stream.py` says; returns when packets may be sent.
    fn start(case: &Json) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = std::env::var_os("SPEADWAY_PEER_PYTHON")
            .map_or_else(|| root.join(".venv/bin/python"), Into::into);
        assert!(python.exists(), "no {}: run `make venv` first", python.display());
        let mut child = Command::new(python)
            .arg(root.join("tests/peer/receive_stream.py"))
            .arg(case.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer starts");
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("ready"), "{case}");
        let ports = words.map(|word| word.parse().unwrap()).collect();
        let address = case["address"].as_str().unwrap().parse().unwrap();
        Self { child, output, address, ports }
    }

    fn endpoints(&self) -> Vec<SocketAddr> {
        self.ports.iter().map(|&port| SocketAddr::new(self.address, port)).collect()
    }

    fn udp(&self) -> UdpTransport {
        let to = self.endpoints();
        UdpTransport::open(&to, &UdpSendConfig::to(to[0])).unwrap()
    }

    fn tcp(&self) -> TcpTransport {
        let connect = connect_tcp(self.endpoints()[0], None, 0, Duration::from_secs(10));
        TcpTransport::new(connect.unwrap()).unwrap()
    }

    /// What each of its receivers received, once their streams have ended.
    fn finish(mut self) -> Vec<Json> {
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success(), "the peer failed, or packets were lost");
        serde_json::from_str(&text).unwrap()
    }
}

fn payload(number: u64, size: usize) -> Vec<u8> {
    (0..size as u64).map(|k| (number * 131 + k * 7 + (k >> 8) * 13) as u8).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sends the heaps, each to its substream, and stop heaps to all.
fn send(transport: impl Transport + 'static, config: SendConfig, heaps: Vec<HeapRef>) {
    let flavour = Flavour::default();
    let config = config.rate(RATE).burst_size(16384);
    let stream = SendStream::start(&Worker::new().unwrap(), transport, config).unwrap();
    for heap in heaps {
        stream.send_waiting(heap).unwrap();
    }
    for substream in 0..stream.substreams() {
        // Twice the last number, so that it is not a heap's.
        let stop = HeapRef::from(Heap::stream_stop(flavour)).cnt(1 << 20).substream(substream);
        stream.send_waiting(stop).unwrap();
    }
    stream.flush().unwrap();
    assert!(stream.last_error().is_none());
}

/// Heap `number`, whose ids fit any flavour, and what the peer makes of it as heap `cnt`.
fn example(flavour: Flavour, cnt: u64, number: u64, size: usize) -> (Heap, Json) {
    let bytes = payload(number, size);
    let (first, second) = bytes.split_at(size / 3);
    let heap = Heap::new(flavour)
        .immediate(0x16, number)
        .and_then(|heap| heap.item(0x33, first.to_vec()))
        .and_then(|heap| heap.item(0x34, second.to_vec()))
        .and_then(|heap| heap.item(0x35, Vec::new()))
        .unwrap();
    let width = usize::from(flavour.heap_address_bytes());
    let mut items = vec![json!([0x16, number, hex(&number.to_be_bytes()[8 - width..])])];
    // The peer's receiver leaves out items without any bytes, such as the last.
    let addressed = [(0x33, first), (0x34, second)].into_iter().filter(|(_, b)| !b.is_empty());
    items.extend(addressed.map(|(id, bytes)| json!([id, null, hex(bytes)])));
    (heap, json!({"cnt": cnt, "items": items}))
}

const SIZES: [usize; 6] = [0, 1, 100, 5000, 60_000, 150_000];

/// Sends heaps of many sizes over `transport`; the peer is to have them all.
fn heaps_arrive(peer: Peer, transport: impl Transport + 'static, config: SendConfig) {
    let flavour = Flavour::default();
    let examples = (1..).zip(SIZES).map(|(cnt, size)| example(flavour, cnt, cnt + 40, size));
    let (heaps, expected): (Vec<_>, Vec<_>) =
        examples.map(|(heap, json)| (HeapRef::from(heap), json)).unzip();
    send(transport, config, heaps);
    assert_same(&peer.finish()[0], &expected);
}

fn assert_same(received: &Json, expected: &[Json]) {
    let received = received.as_array().unwrap();
    let cnts = |heaps: &[Json]| heaps.iter().map(|heap| heap["cnt"].clone()).collect::<Vec<_>>();
    assert_eq!(cnts(received), cnts(expected));
    for (received, expected) in received.iter().zip(expected) {
        // Not all of it, as assert_eq would show.
        let start = |heap: &Json| heap.to_string().chars().take(200).collect::<String>();
        assert!(received == expected, "{} is not {}", start(received), start(expected));
    }
}

#[test]
fn udp_heaps_arrive() {
    for address in ["127.0.0.1", "::1"] {
        for packet in [1472, 8972] {
            let peer =
                Peer::start(&json!({"transport": "udp", "address": address, "kind": "heaps"}));
            let transport = peer.udp();
            heaps_arrive(peer, transport, SendConfig::default().max_packet_size(packet));
        }
    }
}

#[test]
fn multicast_heaps_arrive() {
    let is_loopback = |address: &IpAddr| address.is_loopback();
    let found = interfaces().unwrap().into_iter().find(|i| i.addresses.iter().any(is_loopback));
    let loopback = found.expect("a loopback interface").index;
    let case = json!({"transport": "multicast", "address": "239.255.71.49", "kind": "heaps"});
    let peer = Peer::start(&case);
    let to = peer.endpoints();
    // A TTL of 0 does not leave this host.
    let config = UdpSendConfig::to(to[0])
        .bind("127.0.0.1:0".parse().unwrap())
        .interface(Interface::Index(loopback))
        .multicast_ttl(0);
    let transport = UdpTransport::open(&to, &config).unwrap();
    heaps_arrive(peer, transport, SendConfig::default());
}

#[test]
fn tcp_heaps_arrive() {
    for address in ["127.0.0.1", "::1"] {
        let peer = Peer::start(&json!({"transport": "tcp", "address": address, "kind": "heaps"}));
        let transport = peer.tcp();
        heaps_arrive(peer, transport, SendConfig::default().max_packet_size(8972));
    }
}

#[test]
fn every_flavour_arrives_with_repeated_pointers_or_without() {
    let peer = Peer::start(&json!({"transport": "udp", "address": "127.0.0.1", "kind": "heaps"}));
    let mut heaps = Vec::new();
    let mut expected = Vec::new();
    for bits in (8..=56).step_by(8) {
        for repeat in [false, true] {
            let cnt = heaps.len() as u64 + 1;
            // 8 bits tell no longer payload.
            let size = if bits == 8 { 250 } else { 20_000 };
            let (heap, json) = example(Flavour::new(bits).unwrap(), cnt, cnt + 60, size);
            heaps.push(HeapRef::from(heap.repeat_pointers(repeat)));
            expected.push(json);
        }
    }
    send(peer.udp(), SendConfig::default().max_packet_size(256), heaps);
    assert_same(&peer.finish()[0], &expected);
}

#[test]
fn substreams_arrive_where_they_are_sent() {
    let case = json!({
        "transport": "udp", "address": "127.0.0.1", "kind": "heaps", "receivers": 3,
    });
    let peer = Peer::start(&case);
    let mut heaps = Vec::new();
    let mut expected = vec![Vec::new(); 3];
    for cnt in 1..=12 {
        let substream = cnt as usize * 5 % 3;
        let (heap, json) = example(Flavour::default(), cnt, cnt, 10_000);
        heaps.push(HeapRef::from(heap).substream(substream));
        expected[substream].push(json);
    }
    send(peer.udp(), SendConfig::default(), heaps);
    for (received, expected) in peer.finish().iter().zip(&expected) {
        assert_same(received, expected);
    }
}

/// Items of several types, described and then changed.
fn items_arrive(flavour: Flavour, bug_compat: u32) {
    let case = json!({
        "transport": "udp", "address": "127.0.0.1", "kind": "items", "bug_compat": bug_compat,
    });
    let peer = Peer::start(&case);
    let mut group = ItemGroup::new();
    let samples = ItemDescriptor::numpy(0x1000, "samples", "Two", &[2, 3], "<i4", Order::C);
    let number = ItemDescriptor::format(0x1001, "number", "One", &[], &[('u', 32)]);
    let text = ItemDescriptor::format(0x1002, "text", "", &[None], &[('c', 8)]);
    let small = ItemDescriptor::format(0x1003, "small", "", &[None], &[('i', 12)]);
    group.add(samples.unwrap()).set_slice(&[1_i32, -2, 3, -4, 5, -6]).unwrap();
    group.add(number.unwrap()).set_scalar(7_u32).unwrap();
    group.add(text.unwrap()).set_text("hello").unwrap();
    group.add(small.unwrap()).set_slice(&[-2048_i16, 2047]).unwrap();
    let mut generator = HeapGenerator::new(flavour);
    let mut heaps = Vec::new();
    let mut add = |outgoing| {
        heaps.push(HeapRef::from(Heap::from_outgoing(flavour, outgoing).unwrap()));
    };
    add(generator.start());
    add(generator.heap(&group, Select::Stale, Select::Stale).unwrap());
    group.get_mut("number").unwrap().set_scalar(0xfedc_ba98_u32).unwrap();
    group.get_mut("text").unwrap().set_text("goodbye").unwrap();
    add(generator.heap(&group, Select::Stale, Select::Stale).unwrap());
    send(peer.udp(), SendConfig::default(), heaps);

    let items = &peer.finish()[0];
    let expected = [
        ("samples", json!(0x1000), json!("Two"), json!([[1, -2, 3], [-4, 5, -6]])),
        ("number", json!(0x1001), json!("One"), json!(0xfedc_ba98_u32)),
        ("text", json!(0x1002), json!(""), json!("goodbye")),
        ("small", json!(0x1003), json!(""), json!([-2048, 2047])),
    ];
    for (name, id, description, value) in expected {
        let item = &items[name];
        let got = (&item["id"], &item["description"], &item["value"]);
        assert_eq!(got, (&id, &description, &value), "{item}");
    }
    assert_eq!(items["samples"]["dtype"], "<i4");
    assert_eq!(items["samples"]["shape"], json!([2, 3]));
    assert_eq!(items["number"]["format"], json!([["u", 32]]));
}

#[test]
fn items_and_their_descriptors_arrive() {
    for bits in [32, 40, 48] {
        items_arrive(Flavour::new(bits).unwrap(), 0);
    }
}

#[test]
fn items_described_as_pyspead_does_arrive() {
    let bits = BugCompat::PYSPEAD_0_5_2.bits();
    items_arrive(Flavour::new(40).unwrap().with_bug_compat(BugCompat::PYSPEAD_0_5_2), bits);
}

#[test]
fn the_chunk_receiver_has_all_heaps() {
    const SIZE: usize = 6000;
    const PER_CHUNK: u64 = 8;
    const CHUNKS: u64 = 5;
    for transport in ["udp", "tcp"] {
        let peer = Peer::start(&json!({
            "transport": transport, "address": "127.0.0.1", "kind": "chunks",
            "heap_size": SIZE, "per_chunk": PER_CHUNK, "chunks": CHUNKS,
        }));
        let heaps = (0..PER_CHUNK * CHUNKS).map(|number| {
            let heap = Heap::new(Flavour::default()).immediate(0x1600, number);
            let heap = heap.and_then(|heap| heap.item(0x3300, payload(number, SIZE)));
            // Every packet tells which heap of which chunk it is of.
            HeapRef::from(heap.unwrap().repeat_pointers(true))
        });
        let heaps = heaps.collect();
        match transport {
            "udp" => send(peer.udp(), SendConfig::default(), heaps),
            _ => send(peer.tcp(), SendConfig::default(), heaps),
        }
        let received = peer.finish();
        let chunks = received[0].as_array().unwrap();
        let expected = (0..CHUNKS).map(|id| {
            let numbers = id * PER_CHUNK..(id + 1) * PER_CHUNK;
            let data: Vec<u8> = numbers.flat_map(|number| payload(number, SIZE)).collect();
            json!({"id": id, "present": "01".repeat(PER_CHUNK as usize), "data": hex(&data)})
        });
        assert!(chunks.iter().eq(&expected.collect::<Vec<_>>()), "over {transport}");
    }
}

//! What a send stream makes of heaps is, byte for byte, what the peer makes of them.

#[path = "peer/mod.rs"]
mod peer;

use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value as Json, json};
use speadway::recv::Worker;
use speadway::send::transport::BytesTransport;
use speadway::send::{GroupMode, Heap, HeapRef, SendConfig, SendStream};
use speadway::wire::{Flavour, MIN_PACKET_SIZE};

/// Of each kind of case.
const CASES: usize = 150;

#[derive(Clone, Debug)]
enum Item {
    Start,
    Stop,
    Value { inline: bool, id: u64, data: Vec<u8> },
}

#[derive(Clone, Debug)]
struct Case {
    bits: u8,
    packet: usize,
    mode: Option<GroupMode>,
    first: u64,
    step: u64,
    /// Whether pointers are repeated, and the items.
    heaps: Vec<(bool, Vec<Item>)>,
}

impl Case {
    /// As the peer takes it.
    fn to_json(&self) -> Json {
        let mode = self.mode.map(|mode| match mode {
            GroupMode::Serial => "serial",
            GroupMode::RoundRobin => "round_robin",
        });
        let item = |item: &Item| match item {
            Item::Start => json!(["start"]),
            Item::Stop => json!(["stop"]),
            Item::Value { inline, id, data } => {
                let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
                json!([if *inline { "inline" } else { "addressed" }, id, hex])
            }
        };
        let heaps = self.heaps.iter().map(|(repeat, items)| {
            json!({ "repeat": repeat, "items": items.iter().map(item).collect::<Vec<_>>() })
        });
        json!({
            "bits": self.bits, "packet": self.packet, "mode": mode, "first": self.first,
            "step": self.step, "heaps": heaps.collect::<Vec<_>>(),
        })
    }

    fn heaps(&self) -> Arc<[HeapRef]> {
        let flavour = Flavour::new(self.bits).unwrap();
        let stop = |heap: &Heap| Heap::clone(heap).immediate(6, 2);
        let make = |(repeat, items): &(bool, Vec<Item>)| {
            let heap = Heap::new(flavour).repeat_pointers(*repeat);
            items.iter().fold(heap, |heap, item| match item {
                Item::Start => heap.immediate(6, 0).unwrap(),
                Item::Stop => stop(&heap).unwrap(),
                Item::Value { inline: true, id, data } => {
                    heap.item_or_immediate(*id, data.clone()).unwrap()
                }
                Item::Value { inline: false, id, data } => heap.item(*id, data.clone()).unwrap(),
            })
        };
        self.heaps.iter().map(|heap| HeapRef::from(make(heap))).collect()
    }

    /// What our stream sends.
    fn send(&self) -> Vec<u8> {
        let (transport, received) = BytesTransport::new();
        let config = SendConfig::default().max_packet_size(self.packet);
        let stream = SendStream::start(&Worker::new().unwrap(), transport, config).unwrap();
        stream.set_cnt_sequence(self.first, self.step);
        let mode = self.mode.unwrap_or_default();
        stream.send_list(&self.heaps(), mode).unwrap().wait().unwrap();
        received.take()
    }
}

fn item(bits: u8, sizes: std::ops::Range<usize>) -> impl Strategy<Value = Item> {
    // Ids that every flavour has.
    let value =
        (any::<bool>(), 7..(1_u64 << (63 - bits)), prop::collection::vec(any::<u8>(), sizes));
    prop_oneof![
        1 => Just(Item::Start),
        1 => Just(Item::Stop),
        18 => value.prop_map(|(inline, id, data)| Item::Value { inline, id, data }),
    ]
}

/// Packet sizes from the smallest that there is to such as are sent, not all of them multiples of 8.
fn packet() -> impl Strategy<Value = usize> {
    prop_oneof![MIN_PACKET_SIZE..200, 200_usize..1500, Just(1472_usize), Just(8972)]
}

/// Heaps of whatever shape: empty, of immediates alone, with more pointers than payload.
fn odd() -> impl Strategy<Value = Case> {
    let flavour = (1_u8..7).prop_map(|bytes| 8 * bytes);
    (flavour, packet(), any::<bool>()).prop_flat_map(|(bits, packet, repeat)| {
        // As many as a packet can repeat.
        let most = if repeat { (packet - packet % 8 - 48) / 8 } else { 40 };
        let small = prop::collection::vec(item(bits, 0..12), 0..most.min(40));
        let large = prop::collection::vec(item(bits, 0..3000), 0..most.min(4));
        // A heap has at most 255 bytes of payload where its length has 8 bits.
        let items = if bits < 24 {
            prop::collection::vec(item(bits, 0..5), 0..most.min(30)).boxed()
        } else {
            prop_oneof![small, large].boxed()
        };
        (items, 1..100_u64).prop_map(move |(items, first)| Case {
            bits,
            packet,
            mode: None,
            first,
            step: 1,
            heaps: vec![(repeat, items)],
        })
    })
}

/// Lists of heaps, with more payload than padding is needed for.
fn lists() -> impl Strategy<Value = Case> {
    let heap = || {
        let data = prop::collection::vec(any::<u8>(), 500..5000);
        let value =
            (9..1000_u64, data).prop_map(|(id, data)| Item::Value { inline: false, id, data });
        (any::<bool>(), prop::collection::vec(value, 1..3))
    };
    let mode = prop_oneof![Just(GroupMode::Serial), Just(GroupMode::RoundRobin)];
    let sequence = (1..1000_u64, 1..50_u64);
    (mode, sequence, 96_usize..1500, prop::collection::vec(heap(), 1..9)).prop_map(
        |(mode, (first, step), packet, heaps)| Case {
            bits: 40,
            packet,
            mode: Some(mode),
            first,
            step,
            heaps,
        },
    )
}

fn assert_same(strategy: impl Strategy<Value = Case>) {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let cases: Vec<Case> =
        (0..CASES).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    let asked: String = cases.iter().map(|case| format!("{}\n", case.to_json())).collect();
    let answers = peer::ask("packets.py", &asked);
    assert_eq!(answers.lines().count(), CASES);
    for (case, answer) in cases.iter().zip(answers.lines()) {
        let ours: String = case.send().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(ours == answer, "{case:?}\nours:   {ours}\npeer's: {answer}");
    }
}

#[test]
fn heaps_of_every_shape_are_divided_as_the_peer_divides_them() {
    assert_same(odd());
}

#[test]
fn lists_are_sent_as_the_peer_sends_them() {
    assert_same(lists());
}

//! The same packets through speadway and through spead2: the same heaps, chunks and statistics.
//!
//! Streams are random but reproducible: several heaps, sent in different shapes, their packets
//! mixed, repeated, lost and damaged.

mod peer;

use std::fmt::Write;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRng, TestRunner};
use serde_json::{Value, json};
use speadway::chunk::{Chunk, ChunkPool, Layout, RingPolicy, WhenFull};
use speadway::heap::{Heap, HeapStatus, ItemKind};
use speadway::recv::{
    Flow, Inlet, ReadState, Reader, Stream, StreamConfig, StreamStats, Watch, Worker,
};
use speadway::ring::Ring;
use speadway::wire::{EncodeItem, Flavour, HeapEncoder, ItemPointer, ItemValue, Packet, ids};

/// Streams compared per test. The peer is started once for all of them.
const CASES: usize = 150;

/// Chunks that neither side ever runs out of.
const POOL: usize = 64;

/// Delivers datagrams from a list.
struct Datagrams {
    packets: Vec<Vec<u8>>,
    next: usize,
}

impl Reader for Datagrams {
    fn attach(&mut self, _watch: &mut Watch<'_>) -> std::io::Result<()> {
        Ok(())
    }

    fn read(&mut self, inlet: &mut Inlet<'_>) -> ReadState {
        while let Some(packet) = self.packets.get(self.next) {
            match inlet.datagram(packet, &speadway::heap::Origin::default()) {
                Flow::Next => self.next += 1,
                Flow::Park(reason) => return ReadState::Parked(reason),
            }
            // One packet a batch, as the peer's queue has it: a stop acts at a batch's end.
            if inlet.is_stopped() {
                break;
            }
        }
        ReadState::End
    }

    fn describe(&self) -> String {
        "a list of datagrams".to_owned()
    }
}

/// What a random stream is made of.
#[derive(Clone, Debug)]
struct Recipe {
    heaps: Vec<HeapRecipe>,
    /// Heaps whose packets are mixed.
    mixed: usize,
    max_heaps: usize,
    substreams: usize,
    out_of_order: bool,
    seed: u64,
    faults: u32,
}

#[derive(Clone, Debug)]
struct HeapRecipe {
    number: u64,
    size: usize,
    packet: usize,
    bits: u8,
    repeat: bool,
    unsized_heap: bool,
    immediates: u64,
}

fn heap_recipe(sizes: impl Strategy<Value = usize>) -> impl Strategy<Value = HeapRecipe> {
    let shape = (sizes, 56_usize..160, prop_oneof![Just(40_u8), Just(48)]);
    let flags = (any::<bool>(), prop::bool::weighted(0.2), 0_u64..4);
    (shape, flags).prop_map(|((size, packet, bits), (repeat, unsized_heap, immediates))| {
        HeapRecipe { number: 0, size, packet, bits, repeat, unsized_heap, immediates }
    })
}

fn recipe(sizes: impl Strategy<Value = usize> + 'static) -> impl Strategy<Value = Recipe> {
    let heaps = prop::collection::vec(heap_recipe(sizes), 1..24);
    let limits = (1_usize..5, 1_usize..4, 1_usize..3, any::<bool>());
    (heaps, limits, any::<u64>(), 0_u32..3, 0_u64..20, 1_u64..3).prop_map(
        |(mut heaps, (mixed, max_heaps, substreams, out_of_order), seed, faults, first, step)| {
            for (at, heap) in heaps.iter_mut().enumerate() {
                heap.number = first + step * at as u64;
            }
            Recipe { heaps, mixed, max_heaps, substreams, out_of_order, seed, faults }
        },
    )
}

/// A small generator of its own, so that a recipe says everything.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // Knuth's MMIX generator.
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % sides.max(1)
    }
}

fn packets_of(heap: &HeapRecipe) -> Vec<Vec<u8>> {
    let payload = peer::payload(heap.number, heap.size);
    let split = heap.size / 3;
    let mut items = vec![
        EncodeItem { id: peer::TIMESTAMP, value: ItemValue::Immediate(heap.number) },
        EncodeItem { id: peer::PAYLOAD, value: ItemValue::Addressed(&payload[..split]) },
        EncodeItem { id: peer::PAYLOAD + 1, value: ItemValue::Addressed(&payload[split..]) },
    ];
    for n in 0..heap.immediates {
        let value = ItemValue::Immediate(n * 77 % 13);
        items.push(EncodeItem { id: 0x2000 + n, value });
    }
    let flavour = Flavour::new(heap.bits).unwrap();
    // 104 B have room for all pointers, which is what repeating them needs.
    let packet = if heap.repeat { heap.packet.max(104) } else { heap.packet };
    let cnt = heap.number + 1;
    let encoder = HeapEncoder::new(flavour, cnt, packet, &items, heap.repeat).unwrap();
    let mut packets = encoder.packets();
    if heap.unsized_heap {
        for packet in &mut packets {
            // The second pointer is the heap's length; as a NULL item it says nothing.
            let null = ItemPointer::immediate(flavour, ids::NULL, 0).unwrap();
            packet[16..24].copy_from_slice(&null.to_be_bytes());
        }
    }
    packets
}

/// The packets of a recipe, in the order of their arrival.
fn packets(recipe: &Recipe) -> Vec<Vec<u8>> {
    let mut dice = Dice(recipe.seed);
    let mut waiting: Vec<_> = recipe.heaps.iter().map(packets_of).collect();
    waiting.reverse();
    let mut open: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut sent = Vec::new();
    loop {
        while open.len() < recipe.mixed {
            let Some(mut next) = waiting.pop() else { break };
            next.reverse();
            open.push(next);
        }
        if open.is_empty() {
            return sent;
        }
        let heap = dice.roll(open.len());
        // Reordering within the heap only where the stream allows it and the dice want it.
        let at = match dice.roll(4) {
            0 if recipe.out_of_order => dice.roll(open[heap].len()),
            _ => open[heap].len() - 1,
        };
        let packet = open[heap].remove(at);
        if open[heap].is_empty() {
            open.remove(heap);
        }
        arrive(packet, recipe.faults, &mut dice, &mut sent);
    }
}

/// A packet arrives: whole, twice, not at all, or damaged.
fn arrive(packet: Vec<u8>, faults: u32, dice: &mut Dice, sent: &mut Vec<Vec<u8>>) {
    if faults == 0 || dice.roll(10) > 1 {
        sent.push(packet);
        return;
    }
    match dice.roll(if faults == 1 { 2 } else { 5 }) {
        0 => {}
        1 => sent.extend([packet.clone(), packet]),
        // Not to nothing: the peer takes an empty datagram for a packet.
        2 => sent.push(packet[..1 + dice.roll(packet.len() - 1)].to_vec()),
        _ => {
            let mut damaged = packet;
            let at = dice.roll(damaged.len().min(64));
            damaged[at] ^= 1 << dice.roll(8);
            // A length that no machine has memory for ends the peer's process.
            let sane = Packet::decode_datagram(&damaged).map_or(true, |packet| {
                packet.heap_length().unwrap_or(0) < 1 << 16
                    && packet.payload_offset() < 1 << 16
                    && packet.items().all(|i| i.is_immediate() || i.value() < 1 << 16)
            });
            if sane {
                sent.push(damaged);
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("strings take everything");
        text
    })
}

/// Reproducible recipes.
fn recipes(strategy: &impl Strategy<Value = Recipe>) -> Vec<Recipe> {
    let config = Config::default();
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    (0..CASES).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// The statistics that both sides define.
fn shared_stats(stats: &StreamStats, names: &[&str]) -> Value {
    assert!(stats.packets_balance() && stats.heaps_balance(), "{stats}");
    let all = stats.counters();
    names
        .iter()
        .map(|name| {
            let (_, value) = all.iter().find(|(known, _)| known == name).expect("is a counter");
            ((*name).to_owned(), json!(value))
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

const SHARED: [&str; 5] = [
    "heaps",
    "incomplete_heaps_evicted",
    "incomplete_heaps_flushed",
    "packets",
    "single_packet_heaps",
];

fn pick(stats: &Value, names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| ((*name).to_owned(), stats[*name].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn show_heap(heap: &Heap) -> Value {
    let width = usize::from(heap.flavour().heap_address_bits() / 8);
    let items: Vec<Value> = heap
        .items()
        .map(|item| match item.kind {
            ItemKind::Immediate(value) => {
                json!([item.id, value, hex(&value.to_be_bytes()[8 - width..])])
            }
            ItemKind::Addressed(bytes) => json!([item.id, null, hex(bytes)]),
        })
        .collect();
    json!({
        "cnt": heap.cnt(),
        "complete": heap.status() != HeapStatus::Incomplete,
        "items": items,
        "ranges": heap.payload_ranges().iter().map(|r| json!([r.0, r.1])).collect::<Vec<_>>(),
    })
}

fn stream_config(recipe: &Recipe) -> StreamConfig {
    StreamConfig::default()
        .max_heaps(recipe.max_heaps)
        .substreams(recipe.substreams)
        .allow_out_of_order(recipe.out_of_order)
}

fn peer_config(recipe: &Recipe) -> Value {
    json!({
        "max_heaps": recipe.max_heaps,
        "substreams": recipe.substreams,
        "allow_out_of_order": recipe.out_of_order,
    })
}

fn our_heaps(recipe: &Recipe, packets: Vec<Vec<u8>>) -> Value {
    let ring = Ring::new(1024).unwrap();
    let stream = Stream::heaps()
        .config(stream_config(recipe))
        .contiguous_only(false)
        .keep_payload_ranges(true)
        .ring(&ring, WhenFull::Wait)
        .reader(Datagrams { packets, next: 0 })
        .start(&Worker::new().unwrap())
        .unwrap();
    let heaps: Vec<Value> = ring.iter().map(|heap| show_heap(&heap)).collect();
    stream.wait();
    json!({ "heaps": heaps, "stats": shared_stats(&stream.stats(), &SHARED) })
}

#[test]
fn heaps_are_the_peers() {
    let recipes = recipes(&recipe(1_usize..400));
    let mut cases = String::new();
    for recipe in &recipes {
        let packets: Vec<_> = packets(recipe).iter().map(|packet| hex(packet)).collect();
        let case = json!({
            "kind": "heaps",
            "config": peer_config(recipe),
            "ring": { "contiguous_only": false, "incomplete_keep_payload_ranges": true },
            "packets": packets,
        });
        writeln!(cases, "{case}").unwrap();
    }
    let answers = peer::receive(&cases);
    assert_eq!(answers.lines().count(), CASES);
    for (recipe, answer) in recipes.iter().zip(answers.lines()) {
        let mut theirs: Value = serde_json::from_str(answer).unwrap();
        theirs["stats"] = pick(&theirs["stats"], &SHARED);
        let ours = our_heaps(recipe, packets(recipe));
        compare(&ours, &theirs, recipe);
    }
}

/// Fails with the first difference.
fn compare(ours: &Value, theirs: &Value, recipe: &Recipe) {
    if let Some(difference) = difference("", ours, theirs) {
        panic!("{difference}\nfor {recipe:?}");
    }
}

fn difference(path: &str, ours: &Value, theirs: &Value) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
            a.iter().find_map(|(key, a)| difference(&format!("{path}.{key}"), a, &b[key]))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(at, (a, b))| difference(&format!("{path}[{at}]"), a, b))
        }
        _ if ours == theirs => None,
        _ => Some(format!("{path}\n  ours   {ours}\n  theirs {theirs}")),
    }
}

fn our_chunks(recipe: &Recipe, shape: &Shape, packets: Vec<Vec<u8>>) -> Value {
    let names = [&SHARED[..], &["too_old_heaps", "rejected_heaps"]].concat();
    let layout = Layout::builder(peer::TIMESTAMP, shape.heap_size)
        .heaps_per_chunk(shape.per_chunk)
        .build()
        .unwrap();
    let pool = ChunkPool::zeroed(POOL, layout.chunk_size(), layout.heaps()).unwrap();
    let ring: Ring<Chunk> = Ring::new(POOL).unwrap();
    let stream = Stream::chunks(layout)
        .config(stream_config(recipe))
        .window(shape.window)
        .deduplicate(false)
        .ring(&pool, &ring, RingPolicy::default())
        .reader(Datagrams { packets, next: 0 })
        .start(&Worker::new().unwrap())
        .unwrap();
    let chunks: Vec<Value> = ring.iter().map(|chunk| show_chunk(&chunk, shape.heap_size)).collect();
    stream.wait();
    json!({ "chunks": chunks, "stats": shared_stats(&stream.stats(), &names) })
}

/// A chunk, without the bytes of heaps that are not there: those are arbitrary.
fn show_chunk(chunk: &Chunk, heap_size: usize) -> Value {
    let places = chunk.present().iter().zip(chunk.data().chunks(heap_size));
    let data: String = places.filter(|place| *place.0 != 0).map(|place| hex(place.1)).collect();
    json!({ "id": chunk.id(), "present": hex(chunk.present()), "data": data })
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    heap_size: usize,
    per_chunk: u64,
    window: usize,
}

#[test]
fn chunks_are_the_peers() {
    // Most heaps have the chunk's heap size; others are refused.
    let shape = Shape { heap_size: 120, per_chunk: 3, window: 3 };
    let recipes = recipes(&recipe(prop_oneof![9 => Just(120_usize), 1 => Just(60)]));
    let mut cases = String::new();
    for recipe in &recipes {
        let packets: Vec<_> = packets(recipe).iter().map(|packet| hex(packet)).collect();
        let case = json!({
            "kind": "chunks",
            "config": peer_config(recipe),
            "window": shape.window,
            "heap_size": shape.heap_size,
            "per_chunk": shape.per_chunk,
            "presence": 0,
            "pool": POOL,
            "packets": packets,
        });
        writeln!(cases, "{case}").unwrap();
    }
    let answers = peer::receive(&cases);
    assert_eq!(answers.lines().count(), CASES);
    let names = [&SHARED[..], &["too_old_heaps", "rejected_heaps"]].concat();
    for (recipe, answer) in recipes.iter().zip(answers.lines()) {
        let mut theirs: Value = serde_json::from_str(answer).unwrap();
        theirs["stats"] = pick(&theirs["stats"], &names);
        for chunk in theirs["chunks"].as_array_mut().unwrap() {
            keep_present(chunk, shape.heap_size);
        }
        let ours = our_chunks(recipe, &shape, packets(recipe));
        compare(&ours, &theirs, recipe);
    }
}

/// As [`show_chunk`] does for ours.
fn keep_present(chunk: &mut Value, heap_size: usize) {
    let present = chunk["present"].as_str().unwrap().to_owned();
    let data = chunk["data"].as_str().unwrap().to_owned();
    let there = |place: usize| &present[2 * place..2 * place + 2] != "00";
    let kept: String = (0..present.len() / 2)
        .filter(|&place| there(place))
        .map(|place| &data[2 * heap_size * place..2 * heap_size * (place + 1)])
        .collect();
    chunk["data"] = json!(kept);
}

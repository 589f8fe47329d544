//! Items against spead2: its values decoded here, ours decoded there, and what it sends when.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};
use speadway::heap::Heap;
use speadway::item::{
    HeapGenerator, Item, ItemDescriptor, ItemGroup, Order, Outgoing, Scalar, Select, ValueError,
};
use speadway::recv::readers::MemoryReader;
use speadway::recv::{End, Stream, StreamConfig, Worker};
use speadway::ring::Ring;
use speadway::wire::{BugCompat, EncodeItem, Flavour, HeapEncoder, ids};

/// Has the peer answer cases, as `items.py` says.
fn ask(cases: &[Json]) -> Vec<Json> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("SPEADWAY_PEER_PYTHON")
        .map_or_else(|| root.join(".venv/bin/python"), Into::into);
    assert!(python.exists(), "no {}: run `make venv` first", python.display());
    let mut child = Command::new(python)
        .arg(root.join("tests/peer/items.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the peer starts");
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    let lines: String = cases.iter().map(|case| format!("{case}\n")).collect();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(lines.as_bytes()));
        child.wait_with_output().expect("the peer ends")
    });
    assert!(output.status.success(), "the peer failed");
    let answers = String::from_utf8(output.stdout).expect("the peer answers in JSON");
    answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn bytes(hex: &Json) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.as_str().unwrap().chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn flavour(bits: u8, bug_compat: u32) -> Flavour {
    Flavour::new(bits).unwrap().with_bug_compat(BugCompat::from_bits(bug_compat).unwrap())
}

/// The heaps of a stream, and the group that they make.
fn receive(stream: Vec<u8>, bug_compat: u32) -> (Vec<Heap>, ItemGroup) {
    let ring = Ring::new(1000).unwrap();
    let config = StreamConfig::default().bug_compat(BugCompat::from_bits(bug_compat).unwrap());
    let stream = Stream::heaps()
        .config(config)
        .ring(&ring, speadway::chunk::WhenFull::Wait)
        .reader(MemoryReader::new(stream))
        .start(&Worker::new().unwrap())
        .unwrap();
    let heaps: Vec<Heap> = ring.iter().collect();
    assert_eq!(stream.wait(), End::Finished);
    let mut group = ItemGroup::new();
    for heap in &heaps {
        let update = group.update(heap);
        assert!(update.errors.is_empty() && update.unknown.is_empty(), "{update:?}");
    }
    (heaps, group)
}

fn packets(flavour: Flavour, cnt: u64, heap: &[Outgoing]) -> Vec<u8> {
    let items: Vec<EncodeItem<'_>> = heap.iter().map(Outgoing::to_encode_item).collect();
    HeapEncoder::new(flavour, cnt, 1472, &items, false).unwrap().packets().concat()
}

/// A scalar as the peer writes it.
fn spell(scalar: &Scalar) -> String {
    let double = |value: &f64| format!("{:016x}", value.to_bits());
    match scalar {
        Scalar::Unsigned(number) => number.to_string(),
        Scalar::Signed(number) => number.to_string(),
        Scalar::Float(number) => format!("f{}", double(number)),
        Scalar::Complex(re, im) => format!("c{}{}", double(re), double(im)),
        Scalar::Bool(value) => value.to_string(),
        Scalar::Char(byte) => format!("b{byte:02x}"),
        Scalar::Bytes(bytes) => format!("b{}", hex(bytes)),
        Scalar::Text(text) => format!("t{text}"),
        other => panic!("{other:?}"),
    }
}

/// The item's value as the peer writes it.
fn values(item: &Item) -> Vec<String> {
    let value = item.value().unwrap();
    let is_text = item.descriptor().element().to_string() == "c8" && value.shape().len() == 1;
    if is_text {
        return vec![format!("t{}", value.to_text().unwrap())];
    }
    let mut scalars = value.to_scalars().unwrap();
    if item.descriptor().element().to_string().contains('S') {
        // numpy does not show the zeros that fill a string up.
        for scalar in &mut scalars {
            let Scalar::Bytes(bytes) = scalar else { panic!("{scalar:?}") };
            bytes.truncate(bytes.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1));
        }
    }
    scalars.iter().map(spell).collect()
}

fn assert_equal(group: &ItemGroup, expected: &Json) {
    let expected = expected["items"].as_object().unwrap();
    assert_eq!(group.len(), expected.len());
    for item in group.iter() {
        let expected = &expected[item.name()];
        let context = format!("{item:?} and {expected}");
        assert_eq!(json!(item.id()), expected["id"], "{context}");
        assert_eq!(json!(item.value().unwrap().shape()), expected["shape"], "{context}");
        assert_eq!(json!(item.version()), expected["version"], "{context}");
        assert_eq!(json!(values(item)), expected["values"], "{context}");
    }
}

/// The same items, their bytes made anew from typed values.
fn made_anew(group: &ItemGroup) -> ItemGroup {
    let mut new = ItemGroup::new();
    for item in group.iter() {
        let (descriptor, value) = (item.descriptor(), item.value().unwrap());
        let made = descriptor.scalars_value(value.shape(), &value.to_scalars().unwrap()).unwrap();
        assert_eq!(made.bytes(), value.bytes(), "{item:?}");
        new.add(descriptor.clone()).set(made).unwrap();
    }
    new
}

#[test]
fn random_items_are_equal_in_both_directions() {
    let flavours = [(48, 0), (40, 0), (32, 0), (24, 0), (48, 7), (40, 7), (40, 4), (48, 3)];
    let seeds = 0..48_usize;
    let flavour_of = |seed: usize| flavours[seed % flavours.len()];
    let cases: Vec<Json> = seeds
        .clone()
        .map(|seed| {
            let (bits, bug_compat) = flavour_of(seed);
            json!({"kind": "random", "bits": bits, "bug_compat": bug_compat, "seed": seed, "count": 24})
        })
        .collect();
    let answers = ask(&cases);
    assert_eq!(answers.len(), cases.len());

    let mut back = Vec::new();
    for (seed, answer) in seeds.zip(&answers) {
        let (bits, bug_compat) = flavour_of(seed);
        let (_, group) = receive(bytes(&answer["stream"]), bug_compat);
        assert_equal(&group, answer);
        let flavour = flavour(bits, bug_compat);
        let heap = HeapGenerator::new(flavour)
            .heap(&made_anew(&group), Select::Stale, Select::Stale)
            .unwrap();
        // Our heap is theirs, byte for byte.
        let sent = packets(flavour, 1, &heap);
        assert_eq!(hex(&sent), answer["stream"], "seed {seed}");
        let stream = format!("{}{}", hex(&sent), hex(&packets(flavour, 2, &heap)));
        back.push(json!({"kind": "receive", "bug_compat": bug_compat, "stream": stream}));
    }
    for (mut expected, mut answer) in answers.into_iter().zip(ask(&back)) {
        // It came twice: the versions are higher, all else is the same.
        for items in [&mut expected, &mut answer] {
            for item in items["items"].as_object_mut().unwrap().values_mut() {
                item["version"].take();
            }
        }
        assert_eq!(answer["items"], expected["items"]);
    }
}

#[test]
fn rust_types_arrive_as_they_were() {
    let flavour = Flavour::SPEAD_64_48;
    let numpy = |name, shape: &[u64], dtype, order| {
        ItemDescriptor::numpy(0, name, "", shape, dtype, order).unwrap()
    };
    let format = |name, shape: &[Option<u64>], format: &[(char, u32)]| {
        ItemDescriptor::format(0, name, "", shape, format).unwrap()
    };
    let mut group = ItemGroup::new();
    group.add(numpy("i8", &[], "i1", Order::C)).set_scalar(-5_i8).unwrap();
    group.add(numpy("u16", &[2], ">u2", Order::C)).set_slice(&[1_u16, 65535]).unwrap();
    group
        .add(numpy("i32", &[2, 3], "<i4", Order::Fortran))
        .set_slice(&[0, 1, 2, 3, 4, -5])
        .unwrap();
    group.add(numpy("f64", &[1], ">f8", Order::C)).set_slice(&[-0.25_f64]).unwrap();
    group.add(numpy("f16", &[2], "<f2", Order::C)).set_slice(&[1.5_f32, 1e9]).unwrap();
    group.add(numpy("c64", &[2], "<c8", Order::C)).set_slice(&[(1_f32, 2.0), (3.0, 4.0)]).unwrap();
    group.add(numpy("c128", &[], ">c16", Order::C)).set_scalar((1_f64, -2.0)).unwrap();
    group.add(numpy("bool", &[3], "?", Order::C)).set_slice(&[true, false, true]).unwrap();
    group.add(numpy("S", &[], "S5", Order::C)).set_text("abc").unwrap();
    group.add(numpy("U", &[], ">U5", Order::C)).set_text("a\u{1f52d}").unwrap();
    group.add(format("u48", &[], &[('u', 48)])).set_scalar(1234_u64).unwrap();
    group.add(format("i12", &[None], &[('i', 12)])).set_slice(&[-2048_i16, 0, 2047, 5]).unwrap();
    group.add(format("u128", &[], &[('u', 128)])).set_scalar(u128::MAX - 1).unwrap();
    group.add(format("text", &[None], &[('c', 8)])).set_text("hello").unwrap();
    group.add(format("bits", &[Some(16)], &[('b', 1)])).set_slice(&[true; 16]).unwrap();
    group.add(format("none", &[], &[('u', 8)]));
    let heap = HeapGenerator::new(flavour).heap(&group, Select::Stale, Select::Stale).unwrap();
    let stream = hex(&packets(flavour, 1, &heap));
    let answers = ask(&[json!({"kind": "receive", "bug_compat": 0, "stream": stream})]);
    let float = |value: f64| format!("f{:016x}", value.to_bits());
    let complex = |re: f64, im: f64| format!("c{:016x}{:016x}", re.to_bits(), im.to_bits());
    for (name, shape, expected) in [
        ("i8", json!([]), json!(["-5"])),
        ("u16", json!([2]), json!(["1", "65535"])),
        ("i32", json!([2, 3]), json!(["0", "1", "2", "3", "4", "-5"])),
        ("f64", json!([1]), json!([float(-0.25)])),
        ("f16", json!([2]), json!([float(1.5), float(f64::INFINITY)])),
        ("c64", json!([2]), json!([complex(1.0, 2.0), complex(3.0, 4.0)])),
        ("c128", json!([]), json!([complex(1.0, -2.0)])),
        ("bool", json!([3]), json!(["true", "false", "true"])),
        ("S", json!([]), json!(["b616263"])),
        ("U", json!([]), json!(["ta\u{1f52d}"])),
        ("u48", json!([]), json!(["1234"])),
        ("i12", json!([4]), json!(["-2048", "0", "2047", "5"])),
        ("u128", json!([]), json!([(u128::MAX - 1).to_string()])),
        ("text", json!([5]), json!(["thello"])),
        ("bits", json!([16]), json!(vec!["true"; 16])),
        ("none", Json::Null, Json::Null),
    ] {
        let item = &answers[0]["items"][name];
        assert_eq!((&item["shape"], &item["values"]), (&shape, &expected), "{name}: {item}");
    }
}

#[test]
fn structured_types_travel_as_bytes() {
    let dtype = json!([["a", "<u4"], ["b", ">f4"]]);
    let item =
        json!({"id": 0x1000, "name": "pair", "shape": [], "dtype": dtype, "value": [7, 2.5]});
    let answers = ask(&[json!({"kind": "send", "bits": 48, "bug_compat": 0, "items": [item]})]);
    let (_, group) = receive(bytes(&answers[0]["stream"]), 0);
    let value = group.get("pair").unwrap().value().unwrap();
    assert_eq!(hex(value.bytes()), "0700000040200000");
    assert!(matches!(value.to_scalars(), Err(ValueError::NotUnderstood(_))));
    let flavour = Flavour::SPEAD_64_48;
    let heap = HeapGenerator::new(flavour).heap(&group, Select::All, Select::All).unwrap();
    assert_eq!(hex(&packets(flavour, 1, &heap)), answers[0]["stream"]);
}

#[test]
fn received_values_lie_in_their_heap() {
    let item =
        json!({"id": 0x1000, "name": "x", "shape": [20], "dtype": "u1", "value": vec![3; 20]});
    let answers = ask(&[json!({"kind": "send", "bits": 48, "bug_compat": 0, "items": [item]})]);
    let (heaps, group) = receive(bytes(&answers[0]["stream"]), 0);
    let value = group.get("x").unwrap().value().unwrap();
    assert!(heaps[0].payload().as_ptr_range().contains(&value.bytes().as_ptr()));
    assert_eq!(value.detached(), *value);
    assert!(!value.detached().shared_bytes().is_same(value.shared_bytes()));
}

/// What was added to a heap, as the peer writes it.
fn added(outgoing: &Outgoing, group: &ItemGroup, flavour: Flavour) -> Json {
    if outgoing.id != ids::DESCRIPTOR {
        return json!([outgoing.id]);
    }
    let described = group
        .iter()
        .find(|item| Outgoing::descriptor(item.descriptor(), flavour).unwrap() == *outgoing);
    json!([ids::DESCRIPTOR, described.unwrap().id()])
}

#[test]
fn the_same_things_are_stale() {
    let flavour = Flavour::default();
    let select = |name: &str| match name {
        "stale" => Select::Stale,
        "all" => Select::All,
        _ => Select::None,
    };
    // A small generator of numbers, so that a case can be found again.
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let modes = ["stale", "stale", "stale", "stale", "all", "none"];
    let names = ["a", "b", "c", "d"];
    let mut cases = Vec::new();
    for number in 0..60 {
        let frequency = [None, Some(0), Some(1), Some(2), Some(3), Some(5)][number % 6];
        let mut steps: Vec<Json> =
            (0..4).map(|at| json!(["add", 0x1000 + at, names[at], 8])).collect();
        steps.extend((0..60).map(|_| match random(8) {
            0 => json!(["add", 0x1000 + random(4), names[random(4)], 8 << random(2)]),
            1..=3 => json!(["set", names[random(4)]]),
            _ => json!(["heap", modes[random(6)], modes[random(6)]]),
        }));
        cases.push(json!({"kind": "stale", "frequency": frequency, "steps": steps}));
    }
    for (case, answer) in cases.iter().zip(ask(&cases)) {
        let mut group = ItemGroup::new();
        let mut generator = HeapGenerator::new(flavour);
        if let Some(heaps) = case["frequency"].as_u64() {
            generator = generator.descriptor_frequency(heaps);
        }
        let mut heaps = Vec::new();
        for step in case["steps"].as_array().unwrap() {
            let text = |at: usize| step[at].as_str().unwrap();
            match text(0) {
                "add" => {
                    let (id, bits) = (step[1].as_u64().unwrap(), step[3].as_u64().unwrap() as u32);
                    group
                        .add(ItemDescriptor::format(id, text(2), "", &[], &[('u', bits)]).unwrap());
                }
                "set" => {
                    if let Some(item) = group.get_mut(text(1)) {
                        item.set_scalar(1_u8).unwrap();
                    }
                }
                _ => {
                    let heap = generator.heap(&group, select(text(1)), select(text(2))).unwrap();
                    let heap = heap.iter().map(|outgoing| added(outgoing, &group, flavour));
                    heaps.push(heap.collect::<Vec<_>>());
                }
            }
        }
        let versions: Vec<_> = group.iter().map(|item| (item.id(), item.version())).collect();
        assert_eq!(json!(heaps), answer["heaps"], "{case}");
        assert_eq!(json!(versions), answer["versions"], "{case}");
    }
}

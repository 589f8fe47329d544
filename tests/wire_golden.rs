//! The wire layer against what spead2 does. See `tests/data/wire/README.md`.

use speadway::wire::{
    BugCompat, Descriptor, EncodeItem, Flavour, FormatField, HeapEncoder, ItemValue, Packet,
};

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.trim_matches('-').as_bytes();
    let pairs = digits.chunks(2).map(|pair| str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn list<T>(text: &str, parse: impl Fn(&str) -> T) -> Vec<T> {
    text.split(',').filter(|part| *part != "-").map(parse).collect()
}

fn bug_compat(text: &str) -> BugCompat {
    BugCompat::from_bits(text.parse().unwrap()).unwrap()
}

fn descriptor(words: &[&str]) -> Descriptor {
    let [id, shape, format, name, description, numpy_header] = words else {
        panic!("six words in {words:?}");
    };
    Descriptor {
        id: id.parse().unwrap(),
        name: bytes(name),
        description: bytes(description),
        shape: list(shape, |size| size.parse().ok()),
        format: list(format, |field| {
            let (code, bits) = field.split_once(':').unwrap();
            FormatField { code: code.parse().unwrap(), bits: bits.parse().unwrap() }
        }),
        numpy_header: bytes(numpy_header),
    }
}

/// A heap to encode, and the packets expected of it.
struct Heap {
    flavour: Flavour,
    heap_cnt: u64,
    packet_size: usize,
    repeat_pointers: bool,
    items: Vec<(Kind, u64, Vec<u8>)>,
    packets: Vec<Vec<u8>>,
}

#[derive(Clone, Copy)]
enum Kind {
    Start,
    Stop,
    Inline,
    Addressed,
}

impl Heap {
    fn new(words: &[&str]) -> Self {
        let [bits, compat, cnt, size, repeat] = words else {
            panic!("five words in {words:?}");
        };
        Self {
            flavour: Flavour::new(bits.parse().unwrap())
                .unwrap()
                .with_bug_compat(bug_compat(compat)),
            heap_cnt: cnt.parse().unwrap(),
            packet_size: size.parse().unwrap(),
            repeat_pointers: *repeat == "1",
            items: vec![],
            packets: vec![],
        }
    }

    fn add(&mut self, words: &[&str]) {
        let item = match *words {
            ["start"] => (Kind::Start, 0, vec![]),
            ["stop"] => (Kind::Stop, 0, vec![]),
            ["inline", id, data] => (Kind::Inline, id.parse().unwrap(), bytes(data)),
            ["addressed", id, data] => (Kind::Addressed, id.parse().unwrap(), bytes(data)),
            ["descriptor", ..] => {
                let descriptor = descriptor(&words[1..]);
                let encoded = descriptor.encode(self.flavour).unwrap();
                let decoded = Descriptor::decode(&encoded, self.flavour.bug_compat());
                assert_eq!(decoded.as_ref(), Ok(&descriptor));
                (Kind::Addressed, EncodeItem::descriptor(&[]).id, encoded)
            }
            ["packet", data] => return self.packets.push(bytes(data)),
            _ => panic!("unknown line {words:?}"),
        };
        self.items.push(item);
    }

    fn encode(&self) -> Vec<Vec<u8>> {
        let items: Vec<_> = self
            .items
            .iter()
            .map(|(kind, id, data)| match kind {
                Kind::Start => EncodeItem::STREAM_START,
                Kind::Stop => EncodeItem::STREAM_STOP,
                Kind::Inline => EncodeItem { id: *id, value: ItemValue::Inline(data) },
                Kind::Addressed => EncodeItem { id: *id, value: ItemValue::Addressed(data) },
            })
            .collect();
        HeapEncoder::new(
            self.flavour,
            self.heap_cnt,
            self.packet_size,
            &items,
            self.repeat_pointers,
        )
        .unwrap()
        .packets()
    }
}

#[test]
fn heaps_are_encoded_byte_for_byte() {
    let mut heap: Option<Heap> = None;
    let mut checked = 0;
    for (number, line) in include_str!("data/wire/encode.txt").lines().enumerate() {
        let words: Vec<_> = line.split(' ').collect();
        match (words[0], &mut heap) {
            ("heap", _) => heap = Some(Heap::new(&words[1..])),
            ("end", Some(heap)) => {
                assert_eq!(heap.encode(), heap.packets, "heap that ends in line {}", number + 1);
                for packet in &heap.packets {
                    Packet::decode_datagram(packet).unwrap();
                }
                checked += 1;
            }
            (_, Some(heap)) => heap.add(&words),
            (_, None) => panic!("line {} comes before any heap", number + 1),
        }
    }
    assert!(checked > 300);
}

#[test]
fn the_same_packets_are_accepted() {
    for line in include_str!("data/wire/decode.txt").lines() {
        let (verdict, hex) = line.split_once(' ').unwrap();
        let packet = bytes(hex);
        let decoded = Packet::decode_datagram(&packet);
        assert_eq!(decoded.is_ok(), verdict == "accept", "{decoded:?} of {line}");
    }
}

#[test]
fn descriptors_are_read_alike() {
    let mut lines = include_str!("data/wire/descriptors.txt").lines().peekable();
    while let Some(line) = lines.next() {
        let words: Vec<_> = line.split(' ').collect();
        let expected = lines.next_if(|next| next.starts_with("descriptor")).map(|next| {
            let words: Vec<_> = next.split(' ').collect();
            descriptor(&words[1..])
        });
        let decoded = Descriptor::decode(&bytes(words[2]), bug_compat(words[1]));
        assert_eq!(decoded.ok(), expected, "{line}");
    }
}

//! Properties of the wire layer that hold for any input.

use proptest::collection::vec;
use proptest::prelude::*;
use speadway::wire::{
    BugCompat, Decoder, Descriptor, EncodeItem, Flavour, FormatField, Framing, HeapEncoder,
    ItemPointer, ItemType, ItemValue, Packet, frame, ids,
};

fn flavour() -> impl Strategy<Value = Flavour> {
    (1_u8..8, 0_u32..8).prop_map(|(bytes, bug_compat)| {
        let flavour = Flavour::new(bytes * 8).unwrap();
        flavour.with_bug_compat(BugCompat::from_bits(bug_compat).unwrap())
    })
}

#[derive(Clone, Debug)]
enum Value {
    Immediate(u64),
    Inline(Vec<u8>),
    Addressed(Vec<u8>),
}

fn values() -> impl Strategy<Value = Vec<(u64, Value)>> {
    let value = prop_oneof![
        any::<u64>().prop_map(Value::Immediate),
        vec(any::<u8>(), 0..10).prop_map(Value::Inline),
        vec(any::<u8>(), 0..300).prop_map(Value::Addressed),
    ];
    vec((any::<u64>(), value), 0..12)
}

/// The items, with numbers cut down to what the flavour holds.
fn items(flavour: Flavour, values: &[(u64, Value)]) -> Vec<EncodeItem<'_>> {
    values
        .iter()
        .map(|(id, value)| {
            let id = 5 + id % (flavour.max_id() - 4);
            let value = match value {
                Value::Immediate(value) => ItemValue::Immediate(value & flavour.max_value()),
                Value::Inline(bytes) => ItemValue::Inline(bytes),
                Value::Addressed(bytes) => ItemValue::Addressed(bytes),
            };
            EncodeItem { id, value }
        })
        .collect()
}

/// Bytes that come close to a packet: a good one, changed in a few places and cut or extended.
fn nearly_packet() -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (flavour(), values(), changes, 0_usize..400).prop_map(|(flavour, values, changes, length)| {
        let items = items(flavour, &values);
        let heap = HeapEncoder::new(flavour, 1, 400, &items, false);
        let mut bytes = heap.map_or_else(|_| vec![0x53, 4], |heap| heap.packets().remove(0));
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if length % 3 == 0 {
            bytes.resize(length, 0);
        }
        bytes
    })
}

fn check_any_bytes(bytes: &[u8]) -> Result<(), TestCaseError> {
    let framing = frame(bytes);
    let _ = Descriptor::decode(bytes, BugCompat::PYSPEAD_0_5_2);
    let _ = Descriptor::decode(bytes, BugCompat::NONE);
    let Ok(packet) = Packet::decode(bytes) else {
        return Ok(());
    };
    prop_assert_eq!(packet.bytes(), &bytes[..packet.size()]);
    prop_assert_eq!(packet.size(), 8 + 8 * packet.pointers().len() + packet.payload().len());
    prop_assert_eq!(Packet::decode_datagram(bytes).is_ok(), packet.size() == bytes.len());
    prop_assert_eq!(packet.immediate(ids::HEAP_CNT), Some(packet.heap_cnt()));
    prop_assert_eq!(packet.immediate(ids::HEAP_LENGTH), packet.heap_length());
    prop_assert_eq!(packet.immediate(ids::PAYLOAD_OFFSET), Some(packet.payload_offset()));
    let is_length =
        |pointer: &ItemPointer| pointer.is_immediate() && pointer.id() == ids::PAYLOAD_LENGTH;
    if packet.pointers().filter(is_length).count() == 1 {
        prop_assert_eq!(framing, Framing::Size(packet.size()));
    }
    let stop = packet
        .pointers()
        .any(|pointer| pointer.is_immediate() && (pointer.id(), pointer.value()) == (6, 2));
    prop_assert_eq!(packet.is_stop(), stop);
    let kept = packet.pointers().filter(|pointer| pointer.id() == 0 || pointer.id() > 4);
    prop_assert!(packet.items().eq(kept));
    Ok(())
}

/// The heap's payload and item pointers, gathered from its packets.
fn reassemble(packets: &[Vec<u8>]) -> (Vec<u8>, Vec<ItemPointer>) {
    let (mut payload, mut pointers) = (vec![], vec![]);
    for bytes in packets {
        let packet = Packet::decode_datagram(bytes).unwrap();
        assert_eq!(packet.payload_offset(), payload.len() as u64);
        assert!(!packet.payload().is_empty());
        payload.extend_from_slice(packet.payload());
        pointers.extend(packet.items());
    }
    let last = Packet::decode_datagram(packets.last().unwrap()).unwrap();
    assert_eq!(last.heap_length(), Some(payload.len() as u64));
    (payload, pointers)
}

/// Packets of a few streams, as many of a kind as a decoder may get used to, some of them changed.
fn streams_of_packets() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let change = proptest::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
    let stream = (flavour(), values(), 100_usize..400, any::<bool>(), vec(change, 1..12));
    vec(stream, 1..4).prop_map(|streams| {
        let mut all = Vec::new();
        for (cnt, (flavour, values, size, repeat, changes)) in (1_u64..).zip(streams) {
            let items = items(flavour, &values);
            let Ok(heap) = HeapEncoder::new(flavour, cnt, size, &items, repeat) else { continue };
            let packets = heap.packets();
            for (number, change) in changes.into_iter().enumerate() {
                let mut bytes = packets[number % packets.len()].clone();
                if let Some((index, byte)) = change {
                    let index = index.index(bytes.len());
                    bytes[index] = byte;
                }
                all.push(bytes);
            }
        }
        all
    })
}

proptest! {
    #[test]
    fn a_decoder_says_what_decoding_anew_says(
        packets in streams_of_packets(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut decoder = Decoder::default();
        let cut = cut.index(packets.len().max(1));
        for (number, bytes) in packets.iter().enumerate() {
            let bytes = if number == cut { &bytes[..bytes.len() / 2] } else { &bytes[..] };
            let whole = decoder.decode_datagram(bytes).map(|packet| format!("{packet:?}"));
            prop_assert_eq!(whole, Packet::decode_datagram(bytes).map(|p| format!("{p:?}")));
            let longer = [bytes, &[0; 9]].concat();
            let first = decoder.decode(&longer).map(|packet| format!("{packet:?}"));
            prop_assert_eq!(first, Packet::decode(&longer).map(|p| format!("{p:?}")));
        }
    }

    #[test]
    fn any_bytes_are_safe(bytes in vec(any::<u8>(), 0..200)) {
        check_any_bytes(&bytes)?;
    }

    #[test]
    fn nearly_packets_are_safe(bytes in nearly_packet()) {
        check_any_bytes(&bytes)?;
    }

    #[test]
    fn numpy_headers_are_safe(header in "[{}\\[\\]()',:<u4 a-zTF0-9]{0,60}") {
        let _ = ItemType::parse_numpy_header(header.as_bytes());
    }

    #[test]
    fn frame_asks_for_what_it_needs(bytes in nearly_packet(), cut in any::<prop::sample::Index>()) {
        let whole = frame(&bytes);
        let cut = cut.index(bytes.len() + 1);
        match frame(&bytes[..cut]) {
            Framing::NeedMore(needed) => {
                prop_assert!(needed > cut);
                if let Framing::Size(size) = whole {
                    prop_assert!(needed <= size);
                }
            }
            told => prop_assert_eq!(told, whole),
        }
    }

    #[test]
    fn heaps_come_back(
        (flavour, values) in (flavour(), values()),
        size in 56_usize..600,
        cnt in any::<u64>(),
        repeat in any::<bool>(),
    ) {
        let items = items(flavour, &values);
        let cnt = cnt & flavour.max_value();
        let Ok(heap) = HeapEncoder::new(flavour, cnt, size, &items, repeat) else {
            return Ok(());
        };
        let packets = heap.packets();
        let (payload, pointers) = reassemble(&packets);
        for packet in &packets {
            prop_assert!(packet.len() <= size);
            prop_assert_eq!(Packet::decode(packet).unwrap().heap_cnt(), cnt);
        }
        if repeat {
            prop_assert_eq!(pointers.len() % packets.len(), 0);
        }
        prop_assert!(pointers.len() >= items.len());
        let mut expected_payload = vec![];
        for (item, pointer) in items.iter().zip(pointers) {
            prop_assert_eq!(pointer.id(), item.id);
            match item.value {
                ItemValue::Immediate(value) => {
                    prop_assert!(pointer.is_immediate());
                    prop_assert_eq!(pointer.value(), value);
                }
                ItemValue::Inline(bytes) if pointer.is_immediate() => {
                    let value = pointer.value().to_be_bytes();
                    prop_assert!(value.ends_with(bytes));
                }
                ItemValue::Inline(bytes) | ItemValue::Addressed(bytes) => {
                    prop_assert_eq!(pointer.value(), expected_payload.len() as u64);
                    expected_payload.extend_from_slice(bytes);
                }
            }
        }
        prop_assert!(payload.starts_with(&expected_payload));
        prop_assert!(payload[expected_payload.len()..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn descriptors_come_back(
        flavour in flavour(),
        id in 1_u64..128,
        (name, description, numpy_header) in (
            vec(any::<u8>(), 0..30), vec(any::<u8>(), 0..30), vec(any::<u8>(), 0..30),
        ),
        shape in vec(prop::option::of(0_u64..300), 0..5),
        format in vec((any::<u8>(), 0_u32..300), 0..5),
    ) {
        let format = format.into_iter().map(|(code, bits)| FormatField { code, bits }).collect();
        let descriptor = Descriptor { id, name, description, shape, format, numpy_header };
        // Some numbers do not fit some flavours.
        if let Ok(bytes) = descriptor.encode(flavour) {
            prop_assert_eq!(Descriptor::decode(&bytes, flavour.bug_compat()), Ok(descriptor));
        }
    }
}

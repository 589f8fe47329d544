//! Groups that follow a stream: what heaps with wrong and unusual items do, and what is sent again.

use speadway::chunk::WhenFull;
use speadway::heap::Heap;
use speadway::item::{
    DescriptorError, HeapGenerator, Item, ItemDescriptor, ItemGroup, Order, Outgoing, Select,
    UpdateError, ValueError,
};
use speadway::recv::readers::MemoryReader;
use speadway::recv::{End, Stream, Worker};
use speadway::ring::Ring;
use speadway::wire::{Descriptor, EncodeItem, Flavour, FormatField, HeapEncoder, ItemValue, ids};

const FLAVOUR: Flavour = Flavour::SPEAD_64_48;

fn u8s(id: u64, name: &str, shape: &[Option<u64>]) -> ItemDescriptor {
    ItemDescriptor::format(id, name, "", shape, &[('u', 8)]).unwrap()
}

/// The heap with these items, as it is received.
fn heap(items: &[EncodeItem<'_>]) -> Heap {
    let packets = HeapEncoder::new(FLAVOUR, 1, 1472, items, false).unwrap().packets();
    let ring = Ring::new(1).unwrap();
    let stream = Stream::heaps()
        .ring(&ring, WhenFull::Wait)
        .reader(MemoryReader::new(packets.concat()))
        .start(&Worker::new().unwrap())
        .unwrap();
    let heap = ring.pop().unwrap();
    assert_eq!(stream.wait(), End::Finished);
    heap
}

fn received(outgoing: &[Outgoing]) -> Heap {
    heap(&outgoing.iter().map(Outgoing::to_encode_item).collect::<Vec<_>>())
}

fn addressed(id: u64, value: &[u8]) -> EncodeItem<'_> {
    EncodeItem { id, value: ItemValue::Addressed(value) }
}

fn immediate(id: u64, value: u64) -> EncodeItem<'static> {
    EncodeItem { id, value: ItemValue::Immediate(value) }
}

fn scalar(group: &ItemGroup, name: &str) -> u64 {
    group.get(name).and_then(Item::value).unwrap().to_scalar().unwrap()
}

#[test]
fn a_group_is_learned_and_followed() {
    let mut sender = ItemGroup::new();
    sender.add(u8s(0x1000, "a", &[])).set_scalar(1).unwrap();
    let matrix = ItemDescriptor::numpy(0, "m", "A matrix", &[2, 3], ">f4", Order::Fortran).unwrap();
    sender.add(matrix).set_slice(&[0.5_f32, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
    let mut generator = HeapGenerator::new(FLAVOUR);
    let mut next = |sender: &ItemGroup| {
        received(&generator.heap(sender, Select::Stale, Select::Stale).unwrap())
    };

    let mut group = ItemGroup::new();
    assert_eq!(group.update(&next(&sender)).updated, [0x1001, 0x1000]);
    assert_eq!((group.len(), scalar(&group, "a")), (2, 1));
    let value = group.get("m").unwrap().value().unwrap();
    let array = value.to_array::<f32>().unwrap();
    assert_eq!((array.get(&[0, 2]), array.get(&[1, 0])), (Some(&2.0), Some(&3.0)));

    sender.get_mut("a").unwrap().set_scalar(2).unwrap();
    assert_eq!(group.update(&next(&sender)).updated, [0x1000]);
    assert_eq!((scalar(&group, "a"), group.get("a").unwrap().version()), (2, 5));
    // The item is described anew, and has no value until one comes.
    sender.add(u8s(0x1000, "a", &[None]));
    assert_eq!(group.update(&next(&sender)), Default::default());
    assert!(group.get("a").unwrap().value().is_none());
    assert_eq!(group.get("a").unwrap().version(), 6);
}

#[test]
fn what_is_wrong_does_not_hide_what_is_right() {
    let mut group = ItemGroup::new();
    group.add(u8s(0x1000, "a", &[]));
    group.add(u8s(0x1001, "long", &[Some(5)]));
    group.add(u8s(0x1002, "b", &[]));
    let format = vec![FormatField { code: b'x', bits: 8 }];
    let senseless = Descriptor { id: 0x1000, format, ..Descriptor::default() };
    let senseless = senseless.encode(FLAVOUR).unwrap();
    let update = group.update(&heap(&[
        addressed(ids::DESCRIPTOR, b"no descriptor"),
        addressed(ids::DESCRIPTOR, &senseless),
        immediate(0x1000, 0xff07),
        addressed(0x1001, b"abc"),
        addressed(0x1999, b"unknown"),
        addressed(0x1002, b"\x08more"),
        immediate(ids::STREAM_CTRL, 0),
    ]));
    assert_eq!((update.updated, update.unknown), (vec![0x1002, 0x1000], vec![0x1999]));
    assert_eq!((scalar(&group, "a"), scalar(&group, "b")), (7, 8));
    assert!(group.get("long").unwrap().value().is_none());
    let [first, second, third] = &update.errors[..] else { panic!("{:?}", update.errors) };
    assert!(matches!(first, UpdateError::Undecodable(_)));
    let element = matches!(
        second,
        UpdateError::Descriptor { id: 0x1000, error: DescriptorError::Element(_) }
    );
    assert!(element);
    let error = ValueError::TooShort { elements: 3, needed: 5 };
    assert_eq!(*third, UpdateError::Value { id: 0x1001, error });
    assert_eq!(third.to_string(), "item 0x1001: value is too short: it has 3 elements of 5");
}

#[test]
fn of_several_values_the_last_counts() {
    let mut group = ItemGroup::new();
    group.add(u8s(0x1000, "a", &[]));
    let values = [addressed(0x1000, b"\x01"), addressed(0x1000, b"\x02"), immediate(0x1000, 3)];
    assert_eq!(group.update(&heap(&values)).updated, [0x1000]);
    assert_eq!((scalar(&group, "a"), group.get("a").unwrap().version()), (3, 7));
}

#[test]
fn a_stream_cannot_add_items_without_end() {
    let describe = |id, name: &str| Outgoing::descriptor(&u8s(id, name, &[]), FLAVOUR).unwrap();
    let mut group = ItemGroup::new().max_items(2);
    let update = group.update(&received(&[
        describe(0x1000, "a"),
        describe(0x1001, "b"),
        describe(0x1002, "c"),
        describe(0x1003, "a"),
    ]));
    assert_eq!(update.errors, [UpdateError::Full { id: 0x1002 }]);
    // One that replaces another is no more.
    assert!(group.contains(0x1003) && !group.contains(0x1000) && group.len() == 2);
}

#[test]
fn names_need_not_be_ascii_to_be_received() {
    let format = vec![FormatField { code: b'u', bits: 8 }];
    let name = b"caf\xe9".to_vec();
    let odd = Descriptor { id: 0x1000, name, format, ..Descriptor::default() };
    let odd = odd.encode(FLAVOUR).unwrap();
    let mut group = ItemGroup::new();
    let update = group.update(&heap(&[addressed(ids::DESCRIPTOR, &odd), immediate(0x1000, 5)]));
    assert!(update.errors.is_empty());
    assert_eq!(scalar(&group, "caf\u{fffd}"), 5);
    let again = HeapGenerator::new(FLAVOUR).heap(&group, Select::All, Select::All);
    assert_eq!(again, Err(DescriptorError::NotAscii));
}

#[test]
fn descriptors_come_again_for_late_receivers() {
    let mut group = ItemGroup::new();
    group.add(u8s(0x1000, "a", &[])).set_scalar(1).unwrap();
    let mut generator = HeapGenerator::new(FLAVOUR).descriptor_frequency(3);
    let mut count = |descriptors, data| generator.heap(&group, descriptors, data).unwrap().len();
    let stale: Vec<usize> = (0..7).map(|_| count(Select::Stale, Select::Stale)).collect();
    assert_eq!(stale, [2, 0, 0, 1, 0, 0, 1]);
    assert_eq!(count(Select::All, Select::All), 2);
    assert_eq!(count(Select::None, Select::None), 0);
}

#[test]
fn a_heap_that_fails_does_not_count() {
    let narrow = Flavour::new(56).unwrap();
    let mut group = ItemGroup::new();
    group.add(u8s(0x10, "fits", &[])).set_scalar(1).unwrap();
    group.add(u8s(0x1000, "too large an id", &[]));
    let mut generator = HeapGenerator::new(narrow);
    let error = generator.heap(&group, Select::Stale, Select::Stale).unwrap_err();
    assert!(matches!(error, DescriptorError::Encode(_)));
    group.add(u8s(0x11, "too large an id", &[]));
    let heap = generator.heap(&group, Select::Stale, Select::Stale).unwrap();
    let sent: Vec<u64> = heap.iter().map(|outgoing| outgoing.id).collect();
    assert_eq!(sent, [ids::DESCRIPTOR, 0x10, ids::DESCRIPTOR]);
}

#[test]
fn control_heaps_are_understood() {
    let generator = HeapGenerator::new(FLAVOUR);
    let start = received(&generator.start());
    assert!(start.is_start_of_stream() && !start.is_end_of_stream());
    assert_eq!(ItemGroup::new().update(&start), Default::default());
    assert_eq!(generator.end(), [Outgoing::stream_stop()]);
    let stop = HeapEncoder::stream_stop(FLAVOUR, 1).unwrap().packets();
    let end: Vec<_> = generator.end();
    let end: Vec<EncodeItem<'_>> = end.iter().map(Outgoing::to_encode_item).collect();
    assert_eq!(HeapEncoder::new(FLAVOUR, 1, 1472, &end, false).unwrap().packets(), stop);
}

//! Decoding packets.

use crate::wire::{Framing, Packet, frame};

/// Decodes `bytes` as a packet, and asks of the result what any packet promises.
pub fn packet(bytes: &[u8]) {
    let framing = frame(bytes);
    let datagram = Packet::decode_datagram(bytes);
    let Ok(packet) = Packet::decode(bytes) else {
        return assert!(datagram.is_err(), "a datagram is a packet");
    };
    let size = packet.size();
    assert!(size <= bytes.len() && packet.bytes() == &bytes[..size]);
    assert_eq!(datagram.is_ok(), size == bytes.len());
    assert!(!matches!(framing, Framing::Invalid | Framing::NeedMore(_)), "{framing:?}");
    let payload = packet.payload();
    assert!(packet.bytes().ends_with(payload));
    let end = packet.payload_offset().checked_add(payload.len() as u64);
    if let Some(length) = packet.heap_length() {
        assert!(end.is_some_and(|end| end <= length), "the payload lies in its heap");
    }
    let width = u64::BITS - u32::from(packet.flavour().heap_address_bits());
    for item in packet.items() {
        assert!(item.id() >> (width - 1) == 0 && item.value() <= packet.flavour().max_value());
    }
    for pointer in packet.pointers().filter(|pointer| pointer.is_immediate()) {
        assert!(packet.immediate(pointer.id()).is_some());
    }
    // It is the same packet however much follows it, and none if it is cut.
    let alone = Packet::decode(&bytes[..size]).expect("the packet itself");
    assert_eq!((alone.heap_cnt(), alone.payload()), (packet.heap_cnt(), payload));
    assert!(size == 0 || Packet::decode(&bytes[..size - 1]).is_err());
}

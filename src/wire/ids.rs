//! Item ids that the SPEAD protocol gives a meaning to.

/// Padding: the item is to be ignored, though its address still ends the item before it.
pub const NULL: u64 = 0x00;
/// The heap count: which heap the packet belongs to.
pub const HEAP_CNT: u64 = 0x01;
/// Length of the heap's payload, in bytes.
pub const HEAP_LENGTH: u64 = 0x02;
/// Where this packet's payload goes in the heap's, in bytes.
pub const PAYLOAD_OFFSET: u64 = 0x03;
/// Length of this packet's payload, in bytes.
pub const PAYLOAD_LENGTH: u64 = 0x04;
/// An item descriptor, itself encoded as a packet. See [`Descriptor`](super::Descriptor).
pub const DESCRIPTOR: u64 = 0x05;
/// Stream control; the values are in [`ctrl`](super::ctrl).
pub const STREAM_CTRL: u64 = 0x06;

/// In a descriptor: the item's name.
pub const DESCRIPTOR_NAME: u64 = 0x10;
/// In a descriptor: the item's description.
pub const DESCRIPTOR_DESCRIPTION: u64 = 0x11;
/// In a descriptor: the item's shape.
pub const DESCRIPTOR_SHAPE: u64 = 0x12;
/// In a descriptor: the format of one element, as type codes and bit counts.
pub const DESCRIPTOR_FORMAT: u64 = 0x13;
/// In a descriptor: the id of the item described.
pub const DESCRIPTOR_ID: u64 = 0x14;
/// In a descriptor: a numpy header, which overrides shape and format.
pub const DESCRIPTOR_DTYPE: u64 = 0x15;

/// The first id that is free for users by convention; lower ones are the protocol's.
pub const FIRST_USER: u64 = 0x1000;

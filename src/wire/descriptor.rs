//! Item descriptors: the name, description and type of an item.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use super::decode_error::DecodeError;
use super::flavour::{BugCompat, Flavour};
use super::ids;
use super::packet::Packet;
use super::plan::{Placement, write_header};
use super::pointer::ItemPointer;

/// What a sender says about one of its items.
///
/// It is the value of an item with id [`ids::DESCRIPTOR`], and on the wire it is a packet within
/// the packet. The strings should be ASCII, but senders have been seen to disagree, so they are
/// kept as bytes.
///
/// ```
/// use speadway::wire::{BugCompat, Descriptor, Flavour, FormatField};
///
/// let descriptor = Descriptor {
///     id: 0x1600,
///     name: b"timestamp".to_vec(),
///     description: b"Samples since synchronisation".to_vec(),
///     shape: vec![],
///     format: vec![FormatField { code: b'u', bits: 48 }],
///     numpy_header: vec![],
/// };
/// let bytes = descriptor.encode(Flavour::SPEAD_64_48)?;
/// assert_eq!(Descriptor::decode(&bytes, BugCompat::NONE)?, descriptor);
/// assert_eq!(descriptor.item_type(BugCompat::NONE)?.itemsize_bits(), Some(48));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Descriptor {
    /// Id of the item described; not 0.
    pub id: u64,
    /// Name of the item.
    pub name: Vec<u8>,
    /// Description of the item for humans.
    pub description: Vec<u8>,
    /// Size of each dimension in elements, slowest first; `None` if it varies.
    pub shape: Vec<Option<u64>>,
    /// The fields that make up one element.
    pub format: Vec<FormatField>,
    /// A Python dictionary literal as in numpy's `.npy` files. Unless empty, it takes the place
    /// of `shape` and `format`.
    pub numpy_header: Vec<u8>,
}

/// A field of an element: what it is, and how many bits it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FormatField {
    /// `u` unsigned, `i` signed, `f` floating point, `c` character, `b` boolean; others exist.
    pub code: u8,
    /// Size in bits.
    pub bits: u32,
}

impl fmt::Display for FormatField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.code.escape_ascii(), self.bits)
    }
}

/// Bytes of the two parts of a field in a descriptor's shape or format: first the flag or code,
/// which is always one byte, then this many bytes of number.
struct Widths {
    format: usize,
    shape: usize,
    /// The bit of a shape's flag that says "variable".
    variable: u8,
}

impl Widths {
    fn new(flavour: Flavour, bug_compat: BugCompat) -> Self {
        let spoken = if bug_compat.contains(BugCompat::DESCRIPTOR_WIDTHS) {
            (3, 7)
        } else {
            (flavour.item_id_bytes(), flavour.heap_address_bytes())
        };
        let variable = if bug_compat.contains(BugCompat::SHAPE_BIT_1) { 2 } else { 1 };
        Self { format: spoken.0.into(), shape: spoken.1.into(), variable }
    }
}

impl Descriptor {
    /// Decodes the value of a descriptor item, allowing for the sender's deviations.
    ///
    /// Shape and format are split into as many whole fields as there are; leftover bytes are
    /// ignored, as are items that mean nothing in a descriptor.
    ///
    /// # Errors
    /// If the value is not a packet, or not a whole heap, or does not tell the id.
    pub fn decode(bytes: &[u8], bug_compat: BugCompat) -> Result<Self, DescriptorError> {
        let packet = Packet::decode(bytes).map_err(DescriptorError::Packet)?;
        let payload = packet.payload();
        let length = payload.len() as u64;
        if packet.payload_offset() != 0 || packet.heap_length().is_some_and(|all| all != length) {
            return Err(DescriptorError::Incomplete);
        }
        let widths = Widths::new(packet.flavour(), bug_compat);
        let mut descriptor = Self::default();

        // An addressed item ends where the next one begins, whatever their order in the packet.
        // Of repeated items the one with the highest offset counts, or with the highest value.
        let (mut immediate, mut addressed): (Vec<_>, Vec<_>) =
            packet.items().partition(|pointer| pointer.is_immediate());
        immediate.sort_by_key(|pointer| pointer.value());
        addressed.sort_by_key(|pointer| pointer.value());
        if addressed.last().is_some_and(|last| last.value() > length) {
            return Err(DescriptorError::Incomplete);
        }
        let ends = addressed.iter().skip(1).map(|next| next.value()).chain([length]);
        for (pointer, end) in addressed.iter().zip(ends) {
            // Neither is over the payload's length.
            let value = payload.get(pointer.value() as usize..end as usize).unwrap_or_default();
            if !value.is_empty() {
                descriptor.set(pointer.id(), value, &widths);
            }
        }
        for pointer in immediate {
            let bytes = pointer.value().to_be_bytes();
            let (_, value) = bytes.split_at(packet.flavour().item_id_bytes().into());
            match pointer.id() {
                ids::DESCRIPTOR_ID => descriptor.id = pointer.value(),
                id => descriptor.set(id, value, &widths),
            }
        }
        if descriptor.id == 0 { Err(DescriptorError::NoId) } else { Ok(descriptor) }
    }

    /// Takes the value of one of the items. An id that is not immediate is ignored.
    fn set(&mut self, id: u64, value: &[u8], widths: &Widths) {
        match id {
            ids::DESCRIPTOR_NAME => self.name = value.to_vec(),
            ids::DESCRIPTOR_DESCRIPTION => self.description = value.to_vec(),
            ids::DESCRIPTOR_DTYPE => self.numpy_header = value.to_vec(),
            ids::DESCRIPTOR_FORMAT => {
                self.format = fields(value, widths.format)
                    // The upper bits of a number that is too long for any format are dropped.
                    .map(|(code, bits)| FormatField { code, bits: bits as u32 })
                    .collect();
            }
            ids::DESCRIPTOR_SHAPE => {
                self.shape = fields(value, widths.shape)
                    .map(|(flag, size)| (flag & widths.variable == 0).then_some(size))
                    .collect();
            }
            _ => {}
        }
    }

    /// Encodes the descriptor as the value of a descriptor item, with the flavour's deviations.
    ///
    /// # Errors
    /// If the id, a number of bits, a dimension or the whole does not fit the flavour.
    pub fn encode(&self, flavour: Flavour) -> Result<Vec<u8>, DescriptorEncodeError> {
        let widths = Widths::new(flavour, flavour.bug_compat());
        let (shape, format) = (self.encode_shape(&widths)?, self.encode_format(&widths)?);
        let mut parts = vec![
            (ids::DESCRIPTOR_NAME, &self.name),
            (ids::DESCRIPTOR_DESCRIPTION, &self.description),
            (ids::DESCRIPTOR_FORMAT, &format),
            (ids::DESCRIPTOR_SHAPE, &shape),
        ];
        if !self.numpy_header.is_empty() {
            parts.push((ids::DESCRIPTOR_DTYPE, &self.numpy_header));
        }
        let length = parts.iter().map(|(_, value)| value.len()).sum();
        let too_long =
            DescriptorEncodeError::TooLong { length: length as u64, max: flavour.max_value() };
        if length as u64 > flavour.max_value() {
            return Err(too_long);
        }

        let mut pointers = vec![self.id_pointer(flavour)?];
        let mut offset = 0;
        for (id, value) in &parts {
            let pointer = ItemPointer::addressed(flavour, *id, offset);
            pointers.push(pointer.map_err(|_| too_long)?);
            offset += value.len() as u64;
        }
        let placement = Placement { heap_cnt: 1, heap_length: length as u64, payload: 0..length };
        let mut bytes = Vec::new();
        write_header(&mut bytes, flavour, &placement, &pointers, None);
        bytes.extend(parts.into_iter().flat_map(|(_, value)| value));
        Ok(bytes)
    }

    fn id_pointer(&self, flavour: Flavour) -> Result<ItemPointer, DescriptorEncodeError> {
        // The id must fit the value of this pointer, and later the id of the item's own.
        let max = flavour.max_value().min(flavour.max_id());
        let error = DescriptorEncodeError::Id { id: self.id, max };
        if self.id == 0 || self.id > max {
            return Err(error);
        }
        ItemPointer::immediate(flavour, ids::DESCRIPTOR_ID, self.id).map_err(|_| error)
    }

    fn encode_shape(&self, widths: &Widths) -> Result<Vec<u8>, DescriptorEncodeError> {
        let mut bytes = Vec::new();
        for &dimension in &self.shape {
            let (flag, size) = dimension.map_or((widths.variable, 0), |size| (0, size));
            let max = max_number(widths.shape);
            if size > max {
                return Err(DescriptorEncodeError::Dimension { size, max });
            }
            push_field(&mut bytes, flag, size, widths.shape);
        }
        Ok(bytes)
    }

    fn encode_format(&self, widths: &Widths) -> Result<Vec<u8>, DescriptorEncodeError> {
        let mut bytes = Vec::new();
        for &FormatField { code, bits } in &self.format {
            let max = max_number(widths.format);
            if u64::from(bits) > max {
                return Err(DescriptorEncodeError::FormatBits { bits, max });
            }
            push_field(&mut bytes, code, bits.into(), widths.format);
        }
        Ok(bytes)
    }

    /// The name as text, with U+FFFD for what is not UTF-8.
    pub fn name_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.name)
    }

    /// The description as text, with U+FFFD for what is not UTF-8.
    pub fn description_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.description)
    }
}

/// The whole fields of a shape or format: flag or code, and number.
fn fields(bytes: &[u8], number_width: usize) -> impl Iterator<Item = (u8, u64)> {
    bytes.chunks_exact(1 + number_width).map(|field| {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, &byte| n << 8 | u64::from(byte));
        field.split_first().map_or((0, 0), |(&first, rest)| (first, number(rest)))
    })
}

fn push_field(bytes: &mut Vec<u8>, first: u8, number: u64, number_width: usize) {
    bytes.push(first);
    bytes.extend(number.to_be_bytes().iter().skip(8 - number_width));
}

/// The largest number of this many bytes, 7 at most.
fn max_number(width: usize) -> u64 {
    (1 << (8 * width)) - 1
}

/// Why the value of a descriptor item is not a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DescriptorError {
    /// It is not a packet.
    Packet(DecodeError),
    /// It is a packet, but not a whole heap, or an item lies beyond the heap's end.
    Incomplete,
    /// It does not say which item it describes.
    NoId,
}

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet(error) => write!(f, "descriptor cannot be decoded: {error}"),
            Self::Incomplete => f.write_str("descriptor is not a complete heap"),
            Self::NoId => f.write_str("descriptor has no immediate item id, or 0"),
        }
    }
}

impl Error for DescriptorError {}

/// Why a descriptor does not fit a flavour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DescriptorEncodeError {
    /// The id is 0, or too large.
    Id {
        /// The id.
        id: u64,
        /// The largest that fits.
        max: u64,
    },
    /// A field of the format has too many bits.
    FormatBits {
        /// The field's size in bits.
        bits: u32,
        /// The largest that fits.
        max: u64,
    },
    /// A dimension of the shape is too large.
    Dimension {
        /// The dimension's size in elements.
        size: u64,
        /// The largest that fits.
        max: u64,
    },
    /// Name, description and the rest are too long together.
    TooLong {
        /// Their length in bytes.
        length: u64,
        /// The most that fits, in bytes.
        max: u64,
    },
}

impl fmt::Display for DescriptorEncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id { id, max } => {
                write!(f, "descriptor's item id {id:#x} is not from 1 to {max:#x}")
            }
            Self::FormatBits { bits, max } => {
                write!(f, "descriptor's field of {bits} bits is over {max} bits")
            }
            Self::Dimension { size, max } => {
                write!(f, "descriptor's dimension of {size} elements is over {max}")
            }
            Self::TooLong { length, max } => {
                write!(f, "descriptor of {length} bytes is longer than {max}")
            }
        }
    }
}

impl Error for DescriptorEncodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(id: u64, shape: Vec<Option<u64>>, bits: u32) -> Descriptor {
        let format = vec![FormatField { code: b'u', bits }];
        Descriptor { id, name: b"n".to_vec(), shape, format, ..Descriptor::default() }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let narrow = Flavour::new(8).unwrap();
        let encode = |descriptor: Descriptor, flavour| descriptor.encode(flavour).err();
        assert_eq!(
            encode(descriptor(256, vec![], 8), narrow),
            Some(DescriptorEncodeError::Id { id: 256, max: 255 })
        );
        assert_eq!(
            encode(descriptor(0, vec![], 8), Flavour::SPEAD_64_48),
            Some(DescriptorEncodeError::Id { id: 0, max: 0x7fff })
        );
        assert_eq!(
            encode(descriptor(1, vec![Some(256)], 8), narrow),
            Some(DescriptorEncodeError::Dimension { size: 256, max: 255 })
        );
        assert_eq!(
            encode(descriptor(1, vec![], 256), Flavour::new(56).unwrap()),
            Some(DescriptorEncodeError::FormatBits { bits: 256, max: 255 })
        );
        let long = Descriptor { description: vec![b'x'; 300], ..descriptor(1, vec![], 8) };
        assert_eq!(
            encode(long, narrow),
            Some(DescriptorEncodeError::TooLong { length: 309, max: 255 })
        );
    }

    #[test]
    fn what_is_no_descriptor_is_refused() {
        let decode = |bytes: &[u8]| Descriptor::decode(bytes, BugCompat::NONE).unwrap_err();
        assert_eq!(decode(b""), DescriptorError::Packet(DecodeError::TooSmall));
        let good = descriptor(1, vec![], 8).encode(Flavour::SPEAD_64_48).unwrap();
        let changed = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            decode(&bytes)
        };
        // The heap length, an item's address, and the id.
        assert_eq!(changed(23, 200), DescriptorError::Incomplete);
        assert_eq!(changed(63, 200), DescriptorError::Incomplete);
        assert_eq!(changed(47, 0), DescriptorError::NoId);
    }

    #[test]
    fn names_need_not_be_text() {
        let name = b"caf\xe9".to_vec();
        assert_eq!(Descriptor { name, ..Descriptor::default() }.name_lossy(), "caf\u{fffd}");
    }
}

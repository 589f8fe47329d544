//! The values of items, as their descriptors say they are to be read.

use std::fmt;

use serde_json::Value;
use speadway::wire::{ByteOrder, Element, Flavour, FormatField, ItemType, NumpyType};

/// The first elements of an item.
#[derive(Debug, PartialEq)]
pub(super) struct Decoded {
    shown: Vec<Value>,
    /// How many elements there are.
    pub(super) total: usize,
    is_scalar: bool,
}

impl Decoded {
    pub(super) fn to_json(&self) -> Value {
        match &self.shown[..] {
            [only] if self.is_scalar => only.clone(),
            all => all.to_vec().into(),
        }
    }
}

impl fmt::Display for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shown[..] {
            [only] if self.is_scalar => write!(f, "{only}"),
            all => {
                let values: Vec<String> = all.iter().map(Value::to_string).collect();
                let more = if self.total > all.len() { ", ..." } else { "" };
                write!(f, "[{}{more}]", values.join(", "))
            }
        }
    }
}

/// Up to `max` elements of the value that `bytes` hold; `None` if they are of a type that is not
/// shown.
pub(super) fn decode(item_type: &ItemType, bytes: &[u8], max: usize) -> Option<Decoded> {
    let bits = usize::try_from(item_type.itemsize_bits()?).ok().filter(|&bits| bits > 0)?;
    let room = bytes.len().checked_mul(8)? / bits;
    let fixed = item_type.shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size?));
    let total = fixed.and_then(|count| usize::try_from(count).ok()).map_or(room, |n| n.min(room));
    let mut shown = Vec::new();
    let mut reader = Bits { bytes, at: 0 };
    for at in 0..total.min(max) {
        shown.push(match &item_type.element {
            Element::Numpy(numpy) => {
                let size = bits / 8;
                numpy_value(*numpy, bytes.get(at * size..(at + 1) * size)?)?
            }
            Element::Fields(fields) => fields_value(fields, &mut reader)?,
            Element::OtherNumpy(_) => return None,
        });
    }
    Some(Decoded { shown, total, is_scalar: item_type.shape.is_empty() })
}

/// Bytes that nothing is known of, in hexadecimal.
pub(super) fn raw(bytes: &[u8], max: usize) -> Decoded {
    let shown = bytes.iter().take(max).map(|byte| format!("{byte:02x}").into()).collect();
    Decoded { shown, total: bytes.len(), is_scalar: false }
}

/// An immediate value as the bytes of an item of this type: the last ones of the address field.
/// `None` if the type is larger than that.
pub(super) fn immediate_bytes(
    item_type: &ItemType,
    value: u64,
    flavour: Flavour,
) -> Option<Vec<u8>> {
    let bits = item_type.itemsize_bits()?;
    let count = item_type.shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size?));
    let bits = u32::try_from(bits.checked_mul(count?)?).ok()?;
    if bits == 0 || bits > u32::from(flavour.heap_address_bits()) {
        return None;
    }
    // Fields are read from the most significant bit on, so the value is moved up to there.
    let aligned = value << (64 - bits);
    Some(aligned.to_be_bytes()[..bits.div_ceil(8) as usize].to_vec())
}

fn numpy_value(numpy: NumpyType, bytes: &[u8]) -> Option<Value> {
    let is_big = match numpy.byte_order {
        ByteOrder::Big => true,
        ByteOrder::Little | ByteOrder::None => false,
        ByteOrder::Native => cfg!(target_endian = "big"),
    };
    let number = |bytes: &[u8]| -> u64 {
        let add = |number, &byte: &u8| number << 8 | u64::from(byte);
        if is_big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    };
    let size = u32::try_from(bytes.len()).ok()?;
    match (numpy.kind, size) {
        (b'b', 1) => Some(Value::from(bytes != [0])),
        (b'u', 1 | 2 | 4 | 8) => Some(number(bytes).into()),
        (b'i', 1 | 2 | 4 | 8) => Some(signed(number(bytes), size * 8).into()),
        (b'f', 4 | 8) => Some(float(number(bytes), size * 8)),
        (b'c', 8 | 16) => {
            let (real, imaginary) = bytes.split_at(bytes.len() / 2);
            let part = |bytes| float(number(bytes), size * 4);
            Some(vec![part(real), part(imaginary)].into())
        }
        (b'S', _) => Some(String::from_utf8_lossy(trim(bytes)).into()),
        (b'U', _) => {
            let (characters, _) = bytes.as_chunks::<4>();
            let character = |bytes: &[u8; 4]| {
                let code = u32::try_from(number(bytes)).unwrap_or(u32::MAX);
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            };
            let text: String = characters.iter().map(character).collect();
            Some(text.trim_end_matches('\0').into())
        }
        _ => None,
    }
}

fn trim(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &bytes[..end]
}

fn fields_value(fields: &[FormatField], bits: &mut Bits<'_>) -> Option<Value> {
    let mut values = Vec::with_capacity(fields.len());
    for field in fields {
        let number = bits.take(field.bits)?;
        values.push(match (field.code, field.bits) {
            (b'u', _) => number.into(),
            (b'i', 1..) => signed(number, field.bits).into(),
            (b'f', 32 | 64) => float(number, field.bits),
            (b'b', _) => (number != 0).into(),
            (b'c', 8) => char::from(u8::try_from(number).ok()?).to_string().into(),
            _ => return None,
        });
    }
    if values.len() == 1 { values.pop() } else { Some(values.into()) }
}

/// The number whose lowest `bits` (from 1 to 64) are in two's complement.
fn signed(number: u64, bits: u32) -> i64 {
    let unused = 64 - bits;
    (number << unused) as i64 >> unused
}

fn float(number: u64, bits: u32) -> Value {
    let (value, text) = if bits == 32 {
        let value = f32::from_bits(number as u32);
        // As few digits as tell it from other numbers of 32 bits.
        (value.to_string().parse().unwrap_or(f64::NAN), value.to_string())
    } else {
        let value = f64::from_bits(number);
        (value, value.to_string())
    };
    // JSON has neither infinities nor "not a number".
    if value.is_finite() { value.into() } else { text.into() }
}

/// Reads bit by bit, the most significant first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next `count` bits; `None` if there are not so many, or more than 64.
    fn take(&mut self, count: u32) -> Option<u64> {
        if count > 64 {
            return None;
        }
        let mut number = 0_u64;
        for at in self.at..self.at + count as usize {
            let bit = self.bytes.get(at / 8)? >> (7 - at % 8) & 1;
            number = number << 1 | u64::from(bit);
        }
        self.at += count as usize;
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numpy(descr: &str, shape: &str) -> ItemType {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}");
        ItemType::parse_numpy_header(header.as_bytes()).unwrap()
    }

    fn fields(fields: &[(u8, u32)], shape: Vec<Option<u64>>) -> ItemType {
        let field = |&(code, bits): &(u8, u32)| FormatField { code, bits };
        let element = Element::Fields(fields.iter().map(field).collect());
        ItemType { shape, fortran_order: false, element }
    }

    fn shown(item_type: &ItemType, bytes: &[u8]) -> String {
        decode(item_type, bytes, 3).map_or_else(|| "-".to_owned(), |value| value.to_string())
    }

    #[test]
    fn numpy_types_are_read_in_their_byte_order() {
        assert_eq!(shown(&numpy("<u2", "(2,)"), &[1, 0, 0, 1]), "[1, 256]");
        assert_eq!(shown(&numpy(">i2", "(2,)"), &[0, 1, 255, 254]), "[1, -2]");
        assert_eq!(shown(&numpy("<f4", "()"), &0.1_f32.to_le_bytes()), "0.1");
        assert_eq!(shown(&numpy(">f8", "()"), &f64::INFINITY.to_be_bytes()), "\"inf\"");
        assert_eq!(shown(&numpy("|b1", "(2,)"), &[0, 1]), "[false, true]");
        assert_eq!(shown(&numpy("|S5", "()"), b"ab\0\0\0"), "\"ab\"");
        assert_eq!(shown(&numpy(">U2", "()"), &[0, 0, 0, 0x41, 0, 0, 0, 0]), "\"A\"");
        let complex: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|part| part.to_le_bytes()).collect();
        assert_eq!(shown(&numpy("<c8", "(None,)"), &complex), "[[1.5,-2.0]]");
        assert_eq!(shown(&numpy("|V3", "()"), &[1, 2, 3]), "-");
    }

    #[test]
    fn fields_are_read_bit_by_bit() {
        assert_eq!(
            shown(&fields(&[(b'u', 12)], vec![Some(2)]), &[0x12, 0x34, 0x56]),
            "[291, 1110]"
        );
        assert_eq!(shown(&fields(&[(b'i', 4), (b'u', 4)], vec![]), &[0xf3]), "[-1,3]");
        assert_eq!(shown(&fields(&[(b'c', 8)], vec![None]), b"hi"), r#"["h", "i"]"#);
        assert_eq!(shown(&fields(&[(b'u', 0)], vec![]), &[1]), "-");
        assert_eq!(shown(&fields(&[(b'x', 8)], vec![]), &[1]), "-");
    }

    #[test]
    fn long_values_are_cut_and_short_ones_shown_as_far_as_they_go() {
        let item_type = numpy("<u1", "(5,)");
        assert_eq!(shown(&item_type, &[1, 2, 3, 4, 5]), "[1, 2, 3, ...]");
        assert_eq!(shown(&item_type, &[1, 2]), "[1, 2]");
        assert_eq!(decode(&item_type, &[0; 9], 3).unwrap().total, 5);
        assert_eq!(raw(&[0xab, 1], 1).to_string(), "[\"ab\", ...]");
    }

    #[test]
    fn immediates_are_the_last_bytes_of_their_field() {
        let value = |item_type: &ItemType, value| {
            let bytes = immediate_bytes(item_type, value, Flavour::SPEAD_64_48)?;
            Some(decode(item_type, &bytes, 9)?.to_string())
        };
        assert_eq!(value(&fields(&[(b'u', 48)], vec![]), 7), Some("7".to_owned()));
        assert_eq!(value(&fields(&[(b'i', 12)], vec![]), 0xfff), Some("-1".to_owned()));
        assert_eq!(value(&numpy(">u2", "(2,)"), 0x0001_0002), Some("[1, 2]".to_owned()));
        assert_eq!(value(&numpy("<u8", "()"), 1), None);
    }
}

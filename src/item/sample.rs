//! Rust types that elements can be read as and made from.

use super::bits::{BitReader, BitWriter, f16_to_f64, f64_to_f16};
use super::dtype::{Field, FieldKind};
use super::error::ValueError;

/// A Rust type of element: integers of 8 to 128 bits, `f32`, `f64`, `bool`, and complex numbers as
/// pairs `(f32, f32)` and `(f64, f64)`.
///
/// Reading is possible into any type that holds every value of the field: `u12` into `u16`, `i32` or
/// `f32`, but not into `u8`. Writing is possible from any type as long as the numbers fit;
/// floating point numbers are rounded to the field's precision.
pub trait Sample: convert::Convert + Copy + PartialEq + std::fmt::Debug + Send + 'static {}

/// One field of an element, of whatever type it is.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Scalar {
    /// An unsigned integer.
    Unsigned(u128),
    /// A signed integer.
    Signed(i128),
    /// A floating point number.
    Float(f64),
    /// A complex number.
    Complex(f64, f64),
    /// A boolean.
    Bool(bool),
    /// A character.
    Char(u8),
    /// Bytes, all of the field.
    Bytes(Vec<u8>),
    /// Text, without the zeros that fill the field.
    Text(String),
}

mod convert {
    use super::{Field, FieldKind};

    /// A number on its way between bytes and a type.
    #[derive(Clone, Copy, Debug)]
    pub enum Number {
        Unsigned(u128),
        Signed(i128),
        Float(f64),
        Complex(f64, f64),
        Bool(bool),
    }

    pub trait Convert: Sized {
        const NAME: &'static str;
        /// The field that has exactly these values.
        const KIND: FieldKind;
        const WIDTH: u64;
        /// Whether every value of the field can be told in this type.
        fn accepts(field: &Field) -> bool;
        /// For numbers of fields that are accepted.
        fn from_number(number: Number) -> Self;
        fn to_number(self) -> Number;
        /// All whole numbers in the bytes.
        fn read_all(bytes: &[u8], little_endian: bool) -> Vec<Self>;
        fn write_all(numbers: &[Self], little_endian: bool) -> Vec<u8>;
    }
}

pub(super) use convert::Number;

/// Reading and writing of types that the standard library makes from an array of bytes.
macro_rules! plain_bytes {
    () => {
        fn read_all(bytes: &[u8], little_endian: bool) -> Vec<Self> {
            let (numbers, _) = bytes.as_chunks();
            if little_endian {
                numbers.iter().map(|&bytes| Self::from_le_bytes(bytes)).collect()
            } else {
                numbers.iter().map(|&bytes| Self::from_be_bytes(bytes)).collect()
            }
        }

        fn write_all(numbers: &[Self], little_endian: bool) -> Vec<u8> {
            let mut bytes = vec![0; size_of_val(numbers)];
            for (place, number) in bytes.as_chunks_mut().0.iter_mut().zip(numbers) {
                *place = if little_endian { number.to_le_bytes() } else { number.to_be_bytes() };
            }
            bytes
        }
    };
}

macro_rules! integers {
    ($kind:ident, $wide:ty, $accepts:expr, $($name:ident)*) => {$(
        impl Sample for $name {}
        impl convert::Convert for $name {
            const NAME: &'static str = stringify!($name);
            const KIND: FieldKind = FieldKind::$kind;
            const WIDTH: u64 = Self::BITS as u64;

            fn accepts(field: &Field) -> bool {
                let accepts: fn(FieldKind, u64, u64) -> bool = $accepts;
                accepts(field.kind(), field.bits(), Self::WIDTH)
            }

            fn from_number(number: Number) -> Self {
                match number {
                    Number::Unsigned(number) => number as Self,
                    Number::Signed(number) => number as Self,
                    Number::Float(number) | Number::Complex(number, _) => number as Self,
                    Number::Bool(number) => number.into(),
                }
            }

            fn to_number(self) -> Number {
                Number::$kind(<$wide>::from(self))
            }

            plain_bytes!();
        }
    )*};
}

integers!(
    Unsigned,
    u128,
    |kind, bits, own| matches!(kind, FieldKind::Unsigned | FieldKind::Char) && bits <= own,
    u8 u16 u32 u64 u128
);
integers!(
    Signed,
    i128,
    |kind, bits, own| match kind {
        FieldKind::Signed => bits <= own,
        FieldKind::Unsigned | FieldKind::Char => bits < own,
        _ => false,
    },
    i8 i16 i32 i64 i128
);

macro_rules! floats {
    ($($name:ident)*) => {$(
        impl Sample for $name {}
        impl convert::Convert for $name {
            const NAME: &'static str = stringify!($name);
            const KIND: FieldKind = FieldKind::Float;
            const WIDTH: u64 = size_of::<Self>() as u64 * 8;

            fn accepts(field: &Field) -> bool {
                match field.kind() {
                    FieldKind::Float => field.bits() <= Self::WIDTH,
                    FieldKind::Unsigned | FieldKind::Signed | FieldKind::Char => {
                        field.bits() <= Self::MANTISSA_DIGITS.into()
                    }
                    _ => false,
                }
            }

            fn from_number(number: Number) -> Self {
                match number {
                    Number::Unsigned(number) => number as Self,
                    Number::Signed(number) => number as Self,
                    Number::Float(number) | Number::Complex(number, _) => number as Self,
                    Number::Bool(number) => u8::from(number).into(),
                }
            }

            fn to_number(self) -> Number {
                Number::Float(self.into())
            }

            plain_bytes!();
        }

        impl Sample for ($name, $name) {}
        impl convert::Convert for ($name, $name) {
            const NAME: &'static str = concat!("a pair of ", stringify!($name));
            const KIND: FieldKind = FieldKind::Complex;
            const WIDTH: u64 = size_of::<Self>() as u64 * 8;

            fn accepts(field: &Field) -> bool {
                field.kind() == FieldKind::Complex && field.bits() <= Self::WIDTH
            }

            fn from_number(number: Number) -> Self {
                match number {
                    Number::Complex(re, im) => (re as $name, im as $name),
                    other => (<$name>::from_number(other), 0.0),
                }
            }

            fn to_number(self) -> Number {
                Number::Complex(self.0.into(), self.1.into())
            }

            fn read_all(bytes: &[u8], little_endian: bool) -> Vec<Self> {
                let parts = <$name>::read_all(bytes, little_endian);
                parts.as_chunks().0.iter().map(|&[re, im]| (re, im)).collect()
            }

            fn write_all(numbers: &[Self], little_endian: bool) -> Vec<u8> {
                let parts: Vec<$name> = numbers.iter().flat_map(|&(re, im)| [re, im]).collect();
                <$name>::write_all(&parts, little_endian)
            }
        }
    )*};
}

floats!(f32 f64);

impl Sample for bool {}
impl convert::Convert for bool {
    const NAME: &'static str = "bool";
    const KIND: FieldKind = FieldKind::Bool;
    const WIDTH: u64 = 8;

    fn accepts(field: &Field) -> bool {
        field.kind() == FieldKind::Bool
    }

    fn from_number(number: Number) -> Self {
        matches!(number, Number::Bool(true))
    }

    fn to_number(self) -> Number {
        Number::Bool(self)
    }

    fn read_all(bytes: &[u8], _: bool) -> Vec<Self> {
        bytes.iter().map(|&byte| byte != 0).collect()
    }

    fn write_all(numbers: &[Self], _: bool) -> Vec<u8> {
        numbers.iter().map(|&number| number.into()).collect()
    }
}

impl Field {
    /// The next number; the field is one ([`is_number`](Self::is_number)).
    pub(super) fn read(&self, reader: &mut BitReader<'_>) -> Number {
        let bits = self.bits() as u32;
        match self.kind() {
            FieldKind::Signed => {
                let unused = 128 - bits;
                Number::Signed((self.read_raw(reader, bits) as i128) << unused >> unused)
            }
            FieldKind::Float => Number::Float(self.read_float(reader, bits)),
            FieldKind::Complex => {
                let re = self.read_float(reader, bits / 2);
                Number::Complex(re, self.read_float(reader, bits / 2))
            }
            FieldKind::Bool => Number::Bool(self.read_raw(reader, bits) != 0),
            _ => Number::Unsigned(self.read_raw(reader, bits)),
        }
    }

    fn read_raw(&self, reader: &mut BitReader<'_>, bits: u32) -> u128 {
        let raw = reader.read(bits);
        if self.little_endian() { swap(raw, bits) } else { raw }
    }

    fn read_float(&self, reader: &mut BitReader<'_>, bits: u32) -> f64 {
        let raw = self.read_raw(reader, bits);
        match bits {
            16 => f16_to_f64(raw as u16),
            32 => f32::from_bits(raw as u32).into(),
            _ => f64::from_bits(raw as u64),
        }
    }

    /// Appends a number; the field is one ([`is_number`](Self::is_number)).
    pub(super) fn write(
        &self,
        number: Number,
        writer: &mut BitWriter,
        asked: &'static str,
    ) -> Result<(), ValueError> {
        let bits = self.bits() as u32;
        match (self.kind(), number) {
            (FieldKind::Bool, Number::Bool(number)) => {
                self.write_raw(number.into(), bits, writer);
            }
            (FieldKind::Complex, number) => {
                let (re, im) = match number {
                    Number::Complex(re, im) => (re, im),
                    other => (self.float(other, bits / 2, asked)?, 0.0),
                };
                self.write_float(re, bits / 2, writer);
                self.write_float(im, bits / 2, writer);
            }
            (FieldKind::Float, number) => {
                self.write_float(self.float(number, bits, asked)?, bits, writer);
            }
            (FieldKind::Signed, number) => {
                let signed = match number {
                    Number::Signed(number) => Ok(number),
                    Number::Unsigned(number) => {
                        i128::try_from(number).map_err(|_| self.out_of_range(number))
                    }
                    _ => Err(self.other_type(asked)),
                }?;
                let largest = i128::MAX >> (128 - bits);
                if signed > largest || signed < !largest {
                    return Err(self.out_of_range(signed));
                }
                self.write_raw(signed as u128, bits, writer);
            }
            (FieldKind::Unsigned | FieldKind::Char, number) => {
                let unsigned = match number {
                    Number::Unsigned(number) => Ok(number),
                    Number::Signed(number) => {
                        u128::try_from(number).map_err(|_| self.out_of_range(number))
                    }
                    _ => Err(self.other_type(asked)),
                }?;
                if unsigned > u128::MAX >> (128 - bits) {
                    return Err(self.out_of_range(unsigned));
                }
                self.write_raw(unsigned, bits, writer);
            }
            _ => return Err(self.other_type(asked)),
        }
        Ok(())
    }

    fn write_raw(&self, raw: u128, bits: u32, writer: &mut BitWriter) {
        writer.write(if self.little_endian() { swap(raw, bits) } else { raw }, bits);
    }

    fn write_float(&self, value: f64, bits: u32, writer: &mut BitWriter) {
        let raw = match bits {
            16 => f64_to_f16(value).into(),
            32 => (value as f32).to_bits().into(),
            _ => value.to_bits().into(),
        };
        self.write_raw(raw, bits, writer);
    }

    /// An integer is only taken as a floating point number if it is one exactly.
    fn float(&self, number: Number, bits: u32, asked: &'static str) -> Result<f64, ValueError> {
        let exact = match bits {
            16 => 11,
            32 => f32::MANTISSA_DIGITS,
            _ => f64::MANTISSA_DIGITS,
        };
        let fits = |size: u128| size <= 1 << exact;
        match number {
            Number::Float(number) => Ok(number),
            Number::Unsigned(number) if fits(number) => Ok(number as f64),
            Number::Signed(number) if fits(number.unsigned_abs()) => Ok(number as f64),
            Number::Unsigned(number) => Err(self.out_of_range(number)),
            Number::Signed(number) => Err(self.out_of_range(number)),
            Number::Complex(..) | Number::Bool(_) => Err(self.other_type(asked)),
        }
    }

    fn out_of_range(&self, number: impl ToString) -> ValueError {
        ValueError::OutOfRange { number: number.to_string(), field: *self }
    }

    pub(super) fn other_type(&self, asked: &'static str) -> ValueError {
        ValueError::Type { asked, field: *self }
    }
}

/// The lower `bits`, a multiple of 8, in the opposite byte order.
fn swap(raw: u128, bits: u32) -> u128 {
    raw.swap_bytes().checked_shr(128 - bits).unwrap_or(0)
}

impl Scalar {
    pub(super) fn from_number(number: Number, field: &Field) -> Self {
        match number {
            Number::Unsigned(number) if field.kind() == FieldKind::Char => Self::Char(number as u8),
            Number::Unsigned(number) => Self::Unsigned(number),
            Number::Signed(number) => Self::Signed(number),
            Number::Float(number) => Self::Float(number),
            Number::Complex(re, im) => Self::Complex(re, im),
            Number::Bool(number) => Self::Bool(number),
        }
    }

    pub(super) fn to_number(&self) -> Option<Number> {
        Some(match *self {
            Self::Unsigned(number) => Number::Unsigned(number),
            Self::Signed(number) => Number::Signed(number),
            Self::Float(number) => Number::Float(number),
            Self::Complex(re, im) => Number::Complex(re, im),
            Self::Bool(number) => Number::Bool(number),
            Self::Char(number) => Number::Unsigned(number.into()),
            Self::Bytes(_) | Self::Text(_) => return None,
        })
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Unsigned(_) => "an unsigned integer",
            Self::Signed(_) => "a signed integer",
            Self::Float(_) => "a floating point number",
            Self::Complex(..) => "a complex number",
            Self::Bool(_) => "a boolean",
            Self::Char(_) => "a character",
            Self::Bytes(_) => "bytes",
            Self::Text(_) => "text",
        }
    }
}

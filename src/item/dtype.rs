//! Types of elements: numpy's simple ones, and SPEAD's formats.

use std::error::Error;
use std::fmt;

use crate::wire::{ByteOrder, Element, FormatField, NumpyType};

/// The type of one element of an item: a numpy type, or fields packed bit by bit.
///
/// ```
/// use speadway::item::{ElementType, FieldKind};
///
/// let numpy = ElementType::numpy("<u4")?;
/// assert_eq!(numpy.itemsize_bits(), Some(32));
/// assert_eq!(numpy.to_string(), "<u4");
///
/// let packed = ElementType::format(&[('u', 12), ('b', 1)])?;
/// assert_eq!(packed.itemsize_bits(), Some(13));
/// assert_eq!(packed.fields()[1].kind(), FieldKind::Bool);
/// # Ok::<(), speadway::item::ElementTypeError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ElementType {
    element: Element,
    fields: Vec<Field>,
}

/// A number, or something else, within an element.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    kind: FieldKind,
    bits: u64,
    little_endian: bool,
}

/// What a field is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FieldKind {
    /// An unsigned integer of any number of bits.
    Unsigned,
    /// A signed integer of any number of bits, in two's complement.
    Signed,
    /// A floating point number of 16, 32 or 64 bits.
    Float,
    /// A pair of floating point numbers of 32 or 64 bits each, the real part first.
    Complex,
    /// True unless all bits are zero.
    Bool,
    /// A character of 8 bits.
    Char,
    /// Bytes: numpy's `S`, filled up with zeros.
    Bytes,
    /// Text of 32 bits a character: numpy's `U`, filled up with zeros.
    Text,
    /// Bytes that mean nothing here: numpy's `V`, and floating point types of the machine.
    Opaque,
}

impl ElementType {
    /// The numpy type written like `<u4`. Without a byte order it is that of this machine.
    ///
    /// # Errors
    /// If it is not one of the simple types `b1`, `i1` to `i8`, `u1` to `u8`, `f2` to `f8`, `f16`,
    /// `c8`, `c16`, `c32`, `S`, `U` and `V`, or if it has no size.
    pub fn numpy(dtype: &str) -> Result<Self, ElementTypeError> {
        // numpy's short name of a boolean.
        let name = if dtype == "?" { "b1" } else { dtype };
        let numpy =
            NumpyType::parse(name).ok_or_else(|| ElementTypeError::Dtype(dtype.to_owned()))?;
        Self::from_numpy(numpy)
    }

    /// Elements made of these fields: a code (`u` unsigned, `i` signed, `f` floating point, `c`
    /// character, `b` boolean) and a number of bits each, one after the other without gaps.
    ///
    /// # Errors
    /// If there is no field, or one is not possible: of 0 bits, a floating point number of other
    /// than 32 or 64 bits, a character of other than 8, or of an unknown code.
    pub fn format(fields: &[(char, u32)]) -> Result<Self, ElementTypeError> {
        let field = |&(code, bits): &(char, u32)| {
            let code = u8::try_from(code).map_err(|_| ElementTypeError::Code(code))?;
            Ok(FormatField { code, bits })
        };
        Self::from_format(fields.iter().map(field).collect::<Result<_, _>>()?)
    }

    /// The type as received in a descriptor. Numpy types that are not simple become opaque: items of
    /// that type have a value, but only as bytes.
    ///
    /// # Errors
    /// As [`numpy`](Self::numpy) and [`format`](Self::format).
    pub fn from_wire(element: Element) -> Result<Self, ElementTypeError> {
        match element {
            Element::Numpy(numpy) => Self::from_numpy(numpy),
            Element::Fields(fields) => Self::from_format(fields),
            other @ Element::OtherNumpy(_) => Ok(Self { element: other, fields: vec![] }),
        }
    }

    fn from_numpy(numpy: NumpyType) -> Result<Self, ElementTypeError> {
        let byte_order = byte_order(numpy);
        let numpy = NumpyType { byte_order, ..numpy };
        let error = || ElementTypeError::Dtype(numpy.to_string());
        let kind = match (numpy.kind, numpy.size) {
            (_, 0) => return Err(ElementTypeError::ZeroSize),
            (b'b', 1) => FieldKind::Bool,
            (b'i', 1 | 2 | 4 | 8) => FieldKind::Signed,
            (b'u', 1 | 2 | 4 | 8) => FieldKind::Unsigned,
            (b'f', 2 | 4 | 8) => FieldKind::Float,
            (b'c', 8 | 16) => FieldKind::Complex,
            (b'S', _) => FieldKind::Bytes,
            (b'U', _) => FieldKind::Text,
            (b'V', _) | (b'f', 16) | (b'c', 32) => FieldKind::Opaque,
            _ => return Err(error()),
        };
        let little_endian = byte_order == ByteOrder::Little;
        let field = Field { kind, bits: numpy.itemsize_bytes() * 8, little_endian };
        Ok(Self { element: Element::Numpy(numpy), fields: vec![field] })
    }

    fn from_format(format: Vec<FormatField>) -> Result<Self, ElementTypeError> {
        if format.is_empty() {
            return Err(ElementTypeError::EmptyFormat);
        }
        let field = |field: &FormatField| {
            let kind = match (field.code, field.bits) {
                (code, 0) => return Err(ElementTypeError::ZeroBits(code.into())),
                (b'u', _) => FieldKind::Unsigned,
                (b'i', _) => FieldKind::Signed,
                (b'b', _) => FieldKind::Bool,
                (b'f', 32 | 64) => FieldKind::Float,
                (b'c', 8) => FieldKind::Char,
                (b'f' | b'c', _) => return Err(ElementTypeError::Bits(*field)),
                (code, _) => return Err(ElementTypeError::Code(code.into())),
            };
            Ok(Field { kind, bits: field.bits.into(), little_endian: false })
        };
        let fields = format.iter().map(field).collect::<Result<_, _>>()?;
        Ok(Self { element: Element::Fields(format), fields })
    }

    /// The fields of an element: one of a numpy type, none of a type that is not understood.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Size of one element in bits, never 0; `None` if the type is not understood.
    #[must_use]
    pub fn itemsize_bits(&self) -> Option<u64> {
        let size = self.fields.iter().map(|field| field.bits).sum();
        (size > 0).then_some(size)
    }

    /// Whether it is a numpy type, not a format.
    #[must_use]
    pub fn is_numpy(&self) -> bool {
        !matches!(self.element, Element::Fields(_))
    }

    /// The type as descriptors tell it.
    #[must_use]
    pub fn to_wire(&self) -> &Element {
        &self.element
    }

    /// The only field, if there is only one.
    pub(super) fn single(&self) -> Option<&Field> {
        match &self.fields[..] {
            [field] => Some(field),
            _ => None,
        }
    }
}

impl Field {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> FieldKind {
        self.kind
    }

    /// Its size in bits.
    #[must_use]
    pub fn bits(&self) -> u64 {
        self.bits
    }

    pub(super) fn little_endian(&self) -> bool {
        self.little_endian
    }

    /// Whether it is a number, or a pair, that [`Number`](super::sample::Number) can hold.
    pub(super) fn is_number(&self) -> bool {
        !matches!(self.kind, FieldKind::Bytes | FieldKind::Text | FieldKind::Opaque)
            && self.bits <= 128
    }
}

/// The byte order as numpy writes it down: none if there is nothing to order, and never "native".
fn byte_order(numpy: NumpyType) -> ByteOrder {
    match (numpy.kind, numpy.byte_order) {
        (b'S' | b'V', _) => ByteOrder::None,
        (b'b' | b'i' | b'u', _) if numpy.size == 1 => ByteOrder::None,
        (_, order @ (ByteOrder::Little | ByteOrder::Big)) => order,
        _ if cfg!(target_endian = "little") => ByteOrder::Little,
        _ => ByteOrder::Big,
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.element.fmt(f)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            FieldKind::Unsigned => "unsigned integer",
            FieldKind::Signed => "signed integer",
            FieldKind::Float => "floating point number",
            FieldKind::Complex => "complex number",
            FieldKind::Bool => "boolean",
            FieldKind::Char => "character",
            FieldKind::Bytes => "byte string",
            FieldKind::Text => "text",
            FieldKind::Opaque => "opaque value",
        };
        write!(f, "{kind} of {} bits", self.bits)
    }
}

/// Why there is no such type of elements.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ElementTypeError {
    /// Not one of the simple numpy types.
    Dtype(String),
    /// A numpy type of no size.
    ZeroSize,
    /// A format without fields.
    EmptyFormat,
    /// A field of 0 bits, with its code.
    ZeroBits(char),
    /// A field that cannot have that many bits.
    Bits(FormatField),
    /// A field of an unknown code.
    Code(char),
}

impl fmt::Display for ElementTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dtype(dtype) => write!(
                f,
                "{dtype:?} is no simple numpy type: give one like '<u4', '>f8', '|b1' or '|S5'"
            ),
            Self::ZeroSize => f.write_str("the numpy type has no size: give one of 1 or more"),
            Self::EmptyFormat => f.write_str("the format is empty: give at least one field"),
            Self::ZeroBits(code) => write!(
                f,
                "a field '{}' has 0 bits: give 1 or more, or check the bug compatibility",
                code.escape_debug()
            ),
            Self::Bits(field) => write!(
                f,
                "a field {field} is not possible: floating point has 32 or 64 bits, a character 8"
            ),
            Self::Code(code) => write!(
                f,
                "a field's code '{}' is unknown: give u, i, f, c or b",
                code.escape_debug()
            ),
        }
    }
}

impl Error for ElementTypeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numpy_types_are_written_as_numpy_does() {
        let shown = |dtype| ElementType::numpy(dtype).map(|element| element.to_string());
        for (dtype, written) in [
            ("?", "|b1"),
            ("<u1", "|u1"),
            (">i8", ">i8"),
            ("<S3", "|S3"),
            (">U3", ">U3"),
            ("f2", if cfg!(target_endian = "little") { "<f2" } else { ">f2" }),
        ] {
            assert_eq!(shown(dtype), Ok(written.to_owned()));
        }
        for dtype in ["u3", "O", "M8[ns]", "", "<", "b2", "f1", "c4", "u99999999999"] {
            assert!(matches!(shown(dtype), Err(ElementTypeError::Dtype(_))), "{dtype}");
        }
        assert_eq!(shown("S0"), Err(ElementTypeError::ZeroSize));
    }

    #[test]
    fn impossible_formats_are_refused() {
        let error = |fields: &[(char, u32)]| ElementType::format(fields).unwrap_err();
        assert_eq!(error(&[]), ElementTypeError::EmptyFormat);
        assert_eq!(error(&[('u', 8), ('u', 0)]), ElementTypeError::ZeroBits('u'));
        assert_eq!(error(&[('x', 8)]), ElementTypeError::Code('x'));
        assert_eq!(error(&[('é', 8)]), ElementTypeError::Code('é'));
        for field in [('f', 16), ('f', 7), ('c', 7), ('c', 16)] {
            assert!(matches!(error(&[field]), ElementTypeError::Bits(_)), "{field:?}");
        }
    }
}

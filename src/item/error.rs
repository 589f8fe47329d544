//! What can be wrong with a value.

use std::error::Error;
use std::fmt;

use super::dtype::Field;

/// Why bytes are no value of an item's type, or a value does not fit it.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum ValueError {
    /// Fewer bytes than the shape needs.
    TooShort {
        /// Elements that the bytes hold.
        elements: u64,
        /// Elements that the shape has.
        needed: u64,
    },
    /// Bytes to send that are not exactly as many as the shape needs, or no whole elements.
    Length {
        /// How many there are.
        bytes: usize,
        /// The type that they do not fit.
        expected: String,
    },
    /// The value's shape is not the item's.
    Shape {
        /// That of the value.
        shape: Vec<usize>,
        /// That of the item.
        expected: Vec<Option<u64>>,
    },
    /// A number of elements that is not what the shape makes.
    Count {
        /// How many there are.
        elements: usize,
        /// The shape that they do not fill.
        shape: Vec<usize>,
    },
    /// The element has another type than was asked for or given.
    Type {
        /// What was asked for or given.
        asked: &'static str,
        /// What the element is.
        field: Field,
    },
    /// The number does not fit the field.
    OutOfRange {
        /// The number.
        number: String,
        /// The field.
        field: Field,
    },
    /// An element has several fields, and one was expected.
    Fields(usize),
    /// An element has not so many fields.
    NoField {
        /// The one asked for, counted from 0.
        index: usize,
        /// How many there are.
        fields: usize,
    },
    /// Integers of more than 128 bits are not understood.
    TooWide(Field),
    /// The numpy type is not understood.
    NotUnderstood(String),
    /// The value is not text, or the text has characters that the type cannot hold.
    NotText,
    /// The text is longer than the element.
    TextTooLong {
        /// Its length.
        length: usize,
        /// The most that fits.
        max: usize,
    },
    /// The value was made for another type.
    OtherType {
        /// The value's type.
        value: String,
        /// The item's type.
        item: String,
    },
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { elements, needed } => {
                write!(f, "value is too short: it has {elements} elements of {needed}")
            }
            Self::Length { bytes, expected } => {
                write!(f, "{bytes} bytes are no value of type {expected}: give exactly its size")
            }
            Self::Shape { shape, expected } => {
                write!(f, "value has shape {shape:?}, and the item's is ")?;
                let size = |size: &Option<u64>| size.map_or("any".to_owned(), |s| s.to_string());
                write!(f, "[{}]", expected.iter().map(size).collect::<Vec<_>>().join(", "))
            }
            Self::Count { elements, shape } => {
                write!(f, "{elements} elements do not fill shape {shape:?}: give exactly its size")
            }
            Self::Type { asked, field } => {
                write!(f, "{asked} does not match a {field}: use a type that holds all its values")
            }
            Self::OutOfRange { number, field } => {
                write!(f, "{number} is out of range of a {field}")
            }
            Self::Fields(fields) => {
                write!(f, "each element has {fields} fields: use field() or scalars")
            }
            Self::NoField { index, fields } => {
                write!(f, "no field {index}: each element has {fields}, counted from 0")
            }
            Self::TooWide(field) => {
                write!(f, "a {field} is over 128 bits, the most understood: use its bytes")
            }
            Self::NotUnderstood(dtype) => {
                write!(f, "numpy type {} is not understood: use bytes", dtype.escape_debug())
            }
            Self::NotText => f.write_str(
                "not text: c8 and S hold ASCII, U any characters, in one dimension or none",
            ),
            Self::TextTooLong { length, max } => {
                write!(f, "text of {length} characters is longer than {max}")
            }
            Self::OtherType { value, item } => {
                write!(f, "value of type {value} is not of the item's type {item}")
            }
        }
    }
}

impl Error for ValueError {}

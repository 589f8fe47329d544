//! What a descriptor says about the type of an item, for humans and for consumers.

use std::error::Error;
use std::fmt;

use super::descriptor::{Descriptor, FormatField};
use super::flavour::BugCompat;

/// The type of an item: its shape, and the type of its elements.
///
/// ```
/// use speadway::wire::{BugCompat, Descriptor};
///
/// let descriptor = Descriptor {
///     id: 0x4300,
///     numpy_header: b"{'descr': '<i2', 'fortran_order': False, 'shape': (256, 2)}".to_vec(),
///     ..Descriptor::default()
/// };
/// let item_type = descriptor.item_type(BugCompat::NONE)?;
/// assert_eq!(item_type.to_string(), "<i2 (256, 2)");
/// assert_eq!(item_type.itemsize_bits(), Some(16));
/// assert!(!item_type.is_variable_size());
/// # Ok::<(), speadway::wire::NumpyHeaderError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ItemType {
    /// Size of each dimension in elements; `None` if it varies.
    pub shape: Vec<Option<u64>>,
    /// Whether the first dimension, not the last, is contiguous.
    pub fortran_order: bool,
    /// The type of one element.
    pub element: Element,
}

/// The type of one element of an item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Element {
    /// A simple numpy type.
    Numpy(NumpyType),
    /// A numpy type of another kind, such as a structured one, as it was declared.
    OtherNumpy(String),
    /// Fields packed bit by bit, most significant bit first.
    Fields(Vec<FormatField>),
}

/// A numpy type such as `<u4`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NumpyType {
    /// Order of its bytes.
    pub byte_order: ByteOrder,
    /// Its kind: `b` boolean, `i` signed, `u` unsigned, `f` floating point, `c` complex, `S`
    /// bytes, `U` text, `V` anything.
    pub kind: u8,
    /// The number that follows the kind: characters of 4 bytes for `U`, otherwise bytes.
    pub size: u32,
}

/// Order of bytes as numpy writes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ByteOrder {
    /// `<`
    Little,
    /// `>`
    Big,
    /// `=`, or nothing: that of whoever wrote it.
    Native,
    /// `|`: does not matter.
    None,
}

impl Descriptor {
    /// The type described. If the sender swaps the byte order of numpy types
    /// ([`BugCompat::SWAP_ENDIAN`]), that is undone, for simple types.
    ///
    /// # Errors
    /// If there is a numpy header and it is not one.
    pub fn item_type(&self, bug_compat: BugCompat) -> Result<ItemType, NumpyHeaderError> {
        if self.numpy_header.is_empty() {
            let (shape, element) = (self.shape.clone(), Element::Fields(self.format.clone()));
            return Ok(ItemType { shape, fortran_order: false, element });
        }
        let mut item_type = ItemType::parse_numpy_header(&self.numpy_header)?;
        if let Element::Numpy(numpy) = &mut item_type.element
            && bug_compat.contains(BugCompat::SWAP_ENDIAN)
        {
            numpy.byte_order = numpy.byte_order.swapped();
        }
        Ok(item_type)
    }
}

impl ItemType {
    /// Reads a dictionary literal like those in numpy's `.npy` files, with exactly the keys
    /// `descr`, `fortran_order` and `shape`.
    ///
    /// # Errors
    /// Says what was expected, and where.
    pub fn parse_numpy_header(header: &[u8]) -> Result<Self, NumpyHeaderError> {
        let (mut element, mut fortran_order, mut shape) = (None, None, None);
        let mut parser = Parser { bytes: header, at: 0 };
        parser.expect(b'{', "'{'")?;
        while !parser.take(b'}') {
            let at = parser.at;
            let key = parser.string()?;
            parser.expect(b':', "':'")?;
            match key {
                b"descr" => element = Some(parser.element()?),
                b"fortran_order" => fortran_order = Some(parser.boolean()?),
                b"shape" => shape = Some(parser.shape()?),
                _ => {
                    return Err(NumpyHeaderError { at, expected: "descr, fortran_order or shape" });
                }
            }
            if !parser.take(b',') && parser.peek() != Some(b'}') {
                return Err(parser.error("',' or '}'"));
            }
        }
        if parser.peek().is_some() {
            return Err(parser.error("the end"));
        }
        match (element, fortran_order, shape) {
            (Some(element), Some(fortran_order), Some(shape)) => {
                Ok(Self { shape, fortran_order, element })
            }
            _ => Err(parser.error("all of descr, fortran_order and shape")),
        }
    }

    /// Size of one element in bits, if known.
    pub fn itemsize_bits(&self) -> Option<u64> {
        match &self.element {
            Element::Numpy(numpy) => Some(numpy.itemsize_bytes() * 8),
            Element::OtherNumpy(_) => None,
            // Fewer than 2^32 fields of less than 2^32 bits each fit memory.
            Element::Fields(fields) => Some(fields.iter().map(|field| u64::from(field.bits)).sum()),
        }
    }

    /// Whether a dimension varies from heap to heap.
    pub fn is_variable_size(&self) -> bool {
        self.shape.contains(&None)
    }
}

impl NumpyType {
    /// Reads a type such as `<u4`; `None` if it is not a simple one.
    pub fn parse(text: &str) -> Option<Self> {
        let (byte_order, rest) = match text.as_bytes() {
            [b'<', rest @ ..] => (ByteOrder::Little, rest),
            [b'>', rest @ ..] => (ByteOrder::Big, rest),
            [b'|', rest @ ..] => (ByteOrder::None, rest),
            [b'=', rest @ ..] => (ByteOrder::Native, rest),
            rest => (ByteOrder::Native, rest),
        };
        let (&kind, digits) = rest.split_first()?;
        if !b"biufcSUV".contains(&kind) || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let size = str::from_utf8(digits).ok()?.parse().ok()?;
        Some(Self { byte_order, kind, size })
    }

    /// Size in bytes.
    pub fn itemsize_bytes(self) -> u64 {
        u64::from(self.size) * if self.kind == b'U' { 4 } else { 1 }
    }
}

impl ByteOrder {
    fn swapped(self) -> Self {
        match self {
            Self::Little => Self::Big,
            Self::Big => Self::Little,
            other => other,
        }
    }
}

/// A reader of the few Python literals that a numpy header is made of. It never recurses, so
/// that no header can exhaust the stack.
struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn error(&self, expected: &'static str) -> NumpyHeaderError {
        NumpyHeaderError { at: self.at, expected }
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next byte that is not white space, which becomes the current one.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_ascii_start().len();
        self.rest().first().copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), NumpyHeaderError> {
        if self.take(byte) { Ok(()) } else { Err(self.error(what)) }
    }

    fn word(&mut self, word: &str) -> bool {
        self.peek();
        let found = self.rest().starts_with(word.as_bytes());
        if found {
            self.at += word.len();
        }
        found
    }

    /// A string in either quotes, without escapes.
    fn string(&mut self) -> Result<&'a [u8], NumpyHeaderError> {
        let error = Err(self.error("a string"));
        let Some(quote @ (b'\'' | b'"')) = self.peek() else {
            return error;
        };
        let text = self.rest().get(1..).unwrap_or_default();
        let Some(length) = text.iter().position(|&byte| byte == quote) else {
            return error;
        };
        self.at += length + 2;
        Ok(text.get(..length).unwrap_or_default())
    }

    fn boolean(&mut self) -> Result<bool, NumpyHeaderError> {
        match (self.word("True"), self.word("False")) {
            (true, false) => Ok(true),
            (false, true) => Ok(false),
            _ => Err(self.error("True or False")),
        }
    }

    /// A tuple of dimensions.
    fn shape(&mut self) -> Result<Vec<Option<u64>>, NumpyHeaderError> {
        let mut shape = Vec::new();
        self.expect(b'(', "'('")?;
        while !self.take(b')') {
            shape.push(self.dimension()?);
            if !self.take(b',') && self.peek() != Some(b')') {
                return Err(self.error("',' or ')'"));
            }
        }
        Ok(shape)
    }

    fn dimension(&mut self) -> Result<Option<u64>, NumpyHeaderError> {
        if self.word("None") {
            return Ok(None);
        }
        let rest = self.rest();
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let size = rest.get(..length).and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
        self.at += length;
        size.map(Some).ok_or_else(|| self.error("a dimension"))
    }

    /// A type: a string, or something in brackets that is kept as it is.
    fn element(&mut self) -> Result<Element, NumpyHeaderError> {
        self.peek();
        let start = self.at;
        let text = if matches!(self.peek(), Some(b'[' | b'(')) {
            self.skip_brackets()?;
            self.bytes.get(start..self.at).unwrap_or_default()
        } else {
            self.string()?
        };
        let expected = "a type in UTF-8";
        let text = str::from_utf8(text).map_err(|_| NumpyHeaderError { at: start, expected })?;
        Ok(NumpyType::parse(text)
            .map_or_else(|| Element::OtherNumpy(text.to_owned()), Element::Numpy))
    }

    fn skip_brackets(&mut self) -> Result<(), NumpyHeaderError> {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some(b'[' | b'(') => depth += 1,
                Some(b']' | b')') => depth -= 1,
                Some(b'\'' | b'"') => {
                    self.string()?;
                    continue;
                }
                Some(_) => {}
                None => return Err(self.error("a closing bracket")),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

impl fmt::Display for ItemType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.element)?;
        for (i, dimension) in self.shape.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            match dimension {
                Some(size) => write!(f, "{size}")?,
                None => f.write_str("None")?,
            }
        }
        // As Python writes tuples.
        f.write_str(if self.shape.len() == 1 { ",)" } else { ")" })?;
        f.write_str(if self.fortran_order { " fortran order" } else { "" })
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numpy(numpy) => numpy.fmt(f),
            Self::OtherNumpy(text) => write!(f, "{}", text.escape_debug()),
            Self::Fields(fields) => fields.iter().enumerate().try_for_each(|(i, field)| {
                f.write_str(if i == 0 { "" } else { "," })?;
                field.fmt(f)
            }),
        }
    }
}

impl fmt::Display for NumpyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.byte_order {
            ByteOrder::Little => "<",
            ByteOrder::Big => ">",
            ByteOrder::Native => "=",
            ByteOrder::None => "|",
        })?;
        write!(f, "{}{}", char::from(self.kind), self.size)
    }
}

/// Why the numpy header of a descriptor is not one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NumpyHeaderError {
    at: usize,
    expected: &'static str,
}

impl fmt::Display for NumpyHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "descriptor's numpy header: expected {} at byte {}", self.expected, self.at)
    }
}

impl Error for NumpyHeaderError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str) -> Result<ItemType, NumpyHeaderError> {
        ItemType::parse_numpy_header(header.as_bytes())
    }

    #[test]
    fn simple_headers_are_read() {
        let shown = |header: &str| parse(header).unwrap().to_string();
        assert_eq!(
            shown("{'descr': '<u4', 'fortran_order': False, 'shape': (3, None)}"),
            "<u4 (3, None)"
        );
        assert_eq!(
            shown("{\"shape\":(),'fortran_order':True, 'descr' : '|S5',}  \n"),
            "|S5 () fortran order"
        );
        assert_eq!(shown("{'shape': (7,), 'fortran_order': False, 'descr': 'f8'}"), "=f8 (7,)");
    }

    #[test]
    fn structured_types_stay_text() {
        let header =
            "{'descr': [('a', '<u4'), ('b)', '>f4', (2,))], 'fortran_order': False, 'shape': (2,)}";
        let item_type = parse(header).unwrap();
        let text = "[('a', '<u4'), ('b)', '>f4', (2,))]".to_owned();
        assert_eq!(item_type.element, Element::OtherNumpy(text));
        assert_eq!((item_type.itemsize_bits(), item_type.shape), (None, vec![Some(2)]));
    }

    #[test]
    fn broken_headers_are_refused() {
        for header in [
            "",
            "{",
            "{}",
            "{'descr': '<u4'}",
            "{'descr': '<u4', 'fortran_order': False, 'shape': 3}",
            "{'descr': '<u4', 'fortran_order': False, 'shape': (3 4)}",
            "{'descr': '<u4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<u4', 'fortran_order': False, 'shape': (3,), 'x': 1}",
            "{'descr': '<u4', 'fortran_order': 0, 'shape': (3,)}",
            "{'descr': [('a', '<u4', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<u4', 'fortran_order': False, 'shape': (3,)} x",
        ] {
            assert!(parse(header).is_err(), "{header}");
        }
        let error = parse("{'descr' '<u4'}").unwrap_err().to_string();
        assert_eq!(error, "descriptor's numpy header: expected ':' at byte 9");
    }

    #[test]
    fn swapped_byte_order_is_undone() {
        let numpy_header = b"{'descr': '>u4', 'fortran_order': False, 'shape': ()}".to_vec();
        let descriptor = Descriptor { numpy_header, ..Descriptor::default() };
        let shown = |bug_compat| descriptor.item_type(bug_compat).unwrap().to_string();
        assert_eq!(shown(BugCompat::NONE), ">u4 ()");
        assert_eq!(shown(BugCompat::SWAP_ENDIAN), "<u4 ()");
    }

    #[test]
    fn sizes_are_in_bits() {
        let bits = |text: &str| NumpyType::parse(text).map(|numpy| numpy.itemsize_bytes() * 8);
        assert_eq!(bits("<u4"), Some(32));
        assert_eq!(bits("<U3"), Some(96));
        assert_eq!(bits("<M8[ns]"), None);
        let format =
            vec![FormatField { code: b'u', bits: 7 }, FormatField { code: b'f', bits: 32 }];
        let descriptor = Descriptor { format, shape: vec![Some(3), None], ..Descriptor::default() };
        let item_type = descriptor.item_type(BugCompat::NONE).unwrap();
        assert_eq!(item_type.itemsize_bits(), Some(39));
        assert_eq!(item_type.to_string(), "u7,f32 (3, None)");
    }
}

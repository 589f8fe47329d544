//! Values of items: bytes, and what they mean.

use std::sync::Arc;

use super::bits::BitReader;
use super::bytes::Bytes;
use super::dtype::{ElementType, Field, FieldKind};
use super::error::ValueError;
use super::sample::{Sample, Scalar};
use super::shape;

/// In which order the elements of an array lie in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// The last dimension is contiguous.
    #[default]
    C,
    /// The first dimension is contiguous.
    Fortran,
}

/// An array of any number of dimensions, in C order; a single element if there are none.
#[derive(Clone, PartialEq, Debug)]
pub struct Array<T> {
    shape: Vec<usize>,
    data: Vec<T>,
}

impl<T> Array<T> {
    /// The array of this shape, filled with `data` in C order.
    ///
    /// # Errors
    /// If there are not exactly as many elements as the shape has.
    pub fn new(shape: Vec<usize>, data: Vec<T>) -> Result<Self, ValueError> {
        if shape::len(&shape) == data.len() {
            Ok(Self { shape, data })
        } else {
            Err(ValueError::Count { elements: data.len(), shape })
        }
    }

    /// Size of each dimension.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, the last dimension contiguous.
    #[must_use]
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// The elements, the last dimension contiguous.
    #[must_use]
    pub fn into_data(self) -> Vec<T> {
        self.data
    }

    /// The element at this index; `None` if it is outside, or has too few or many dimensions.
    #[must_use]
    pub fn get(&self, index: &[usize]) -> Option<&T> {
        // The sizes of an array without elements may not be multiplied: another may be huge.
        if self.data.is_empty() || index.len() != self.shape.len() {
            return None;
        }
        let mut place = 0;
        for (&at, &size) in index.iter().zip(&self.shape) {
            if at >= size {
                return None;
            }
            place = place * size + at;
        }
        self.data.get(place)
    }
}

/// The value of an item: bytes that were found to have the right size for its type.
///
/// It comes from an [`ItemDescriptor`](super::ItemDescriptor), and cloning it is cheap. Nothing is
/// converted before it is asked for.
///
/// ```
/// use speadway::item::{ItemDescriptor, Order};
///
/// let samples = ItemDescriptor::numpy(0x3300, "samples", "", &[2, 2], ">i2", Order::C)?;
/// let value = samples.value(&[1_i16, -2, 3, -4])?;
/// assert_eq!(value.bytes(), [0, 1, 0xff, 0xfe, 0, 3, 0xff, 0xfc]);
/// // Any type that holds 16 bits can be asked for.
/// assert_eq!(value.to_vec::<i64>()?, [1, -2, 3, -4]);
/// assert_eq!(value.to_array::<f32>()?.get(&[1, 0]), Some(&3.0));
/// assert!(value.to_vec::<u16>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Value {
    element: Arc<ElementType>,
    shape: Vec<usize>,
    order: Order,
    bytes: Bytes,
}

impl Value {
    /// `bytes` has exactly the size of the shape, if the element has one.
    pub(super) fn new(
        element: Arc<ElementType>,
        shape: Vec<usize>,
        order: Order,
        bytes: Bytes,
    ) -> Self {
        Self { element, shape, order, bytes }
    }

    /// The type of its elements.
    #[must_use]
    pub fn element(&self) -> &ElementType {
        &self.element
    }

    /// Size of each dimension.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// In which order the elements are in [`bytes`](Self::bytes).
    #[must_use]
    pub fn order(&self) -> Order {
        self.order
    }

    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        shape::len(&self.shape)
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes as they are sent and received.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, to be held on their own. Those of a received value keep all of its heap's payload
    /// in memory.
    #[must_use]
    pub fn shared_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// A copy of the value that does not keep the heap it came with in memory.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { bytes: self.bytes.to_vec().into(), ..self.clone() }
    }

    /// All elements in C order.
    ///
    /// # Errors
    /// If the type does not hold every value of the element's, or elements have several fields.
    pub fn to_vec<T: Sample>(&self) -> Result<Vec<T>, ValueError> {
        match self.element.fields() {
            [] => Err(self.not_understood()),
            [_] => self.field(0),
            fields => Err(ValueError::Fields(fields.len())),
        }
    }

    /// The array.
    ///
    /// # Errors
    /// As [`to_vec`](Self::to_vec).
    pub fn to_array<T: Sample>(&self) -> Result<Array<T>, ValueError> {
        Array::new(self.shape.clone(), self.to_vec()?)
    }

    /// The only element.
    ///
    /// # Errors
    /// If there are more or less, and as [`to_vec`](Self::to_vec).
    pub fn to_scalar<T: Sample>(&self) -> Result<T, ValueError> {
        self.check_single()?;
        let first = self.to_vec()?.first().copied();
        first.ok_or_else(|| ValueError::Shape { shape: self.shape.clone(), expected: vec![] })
    }

    /// Field number `index` of all elements in C order.
    ///
    /// # Errors
    /// If there is no such field, or the type does not hold every value of it.
    pub fn field<T: Sample>(&self, index: usize) -> Result<Vec<T>, ValueError> {
        let fields = self.element.fields();
        let Some(field) = fields.get(index) else {
            return Err(ValueError::NoField { index, fields: fields.len() });
        };
        if !field.is_number() && field.bits() > 128 && is_integer(field) {
            return Err(ValueError::TooWide(*field));
        }
        if !T::accepts(field) {
            return Err(field.other_type(T::NAME));
        }
        let numbers = if fields.len() == 1 && field.kind() == T::KIND && field.bits() == T::WIDTH {
            T::read_all(&self.bytes, field.little_endian())
        } else {
            self.unpack(index, field)
        };
        Ok(self.in_c_order(numbers))
    }

    /// The field of each element, whatever its alignment.
    fn unpack<T: Sample>(&self, index: usize, field: &Field) -> Vec<T> {
        let bits = |fields: &[Field]| fields.iter().map(Field::bits).sum();
        let (before, after) = self.element.fields().split_at(index);
        let before: u64 = bits(before);
        let after: u64 = bits(after) - field.bits();
        let mut reader = BitReader::new(&self.bytes);
        let next = |_| {
            reader.skip(before);
            let number = T::from_number(field.read(&mut reader));
            reader.skip(after);
            number
        };
        (0..self.len()).map(next).collect()
    }

    /// All fields of all elements in C order, the fields of an element together.
    ///
    /// # Errors
    /// If the type is not understood, or has integers of more than 128 bits, or if text is not.
    pub fn to_scalars(&self) -> Result<Vec<Scalar>, ValueError> {
        let fields = self.element.fields();
        if fields.is_empty() {
            return Err(self.not_understood());
        }
        if let Some(wide) = fields.iter().find(|field| !field.is_number()) {
            if is_integer(wide) {
                return Err(ValueError::TooWide(*wide));
            }
            return self.strings(wide);
        }
        if let [field] = fields {
            let mut reader = BitReader::new(&self.bytes);
            let next = |_| Scalar::from_number(field.read(&mut reader), field);
            return Ok(self.in_c_order((0..self.len()).map(next).collect()));
        }
        // Formats are always in C order.
        let mut reader = BitReader::new(&self.bytes);
        let mut next = |field: &Field| Scalar::from_number(field.read(&mut reader), field);
        Ok((0..self.len()).flat_map(|_| fields.iter().map(&mut next).collect::<Vec<_>>()).collect())
    }

    /// The elements of a numpy type that is no number.
    fn strings(&self, field: &Field) -> Result<Vec<Scalar>, ValueError> {
        let size = usize::try_from(field.bits() / 8).unwrap_or(usize::MAX).max(1);
        let scalar = |bytes: &[u8]| {
            Ok(match field.kind() {
                FieldKind::Text => Scalar::Text(read_text(bytes, field)?),
                _ => Scalar::Bytes(bytes.to_vec()),
            })
        };
        let scalars = self.bytes.chunks_exact(size).map(scalar).collect::<Result<_, _>>()?;
        Ok(self.in_c_order(scalars))
    }

    /// The text: a scalar or one dimension of `c8`, or a single `S` or `U`. Zeros do not count: all
    /// of them in `c8`, and those at the end in the others.
    ///
    /// # Errors
    /// If it is none, or not in ASCII (unless `U`).
    pub fn to_text(&self) -> Result<String, ValueError> {
        let Some(field) = self.element.single() else {
            return Err(ValueError::NotText);
        };
        let ascii = |bytes: Vec<u8>| match String::from_utf8(bytes) {
            Ok(text) if text.is_ascii() => Ok(text),
            _ => Err(ValueError::NotText),
        };
        match field.kind() {
            FieldKind::Char if self.shape.len() < 2 => {
                ascii(self.bytes.iter().copied().filter(|&byte| byte != 0).collect())
            }
            FieldKind::Bytes if self.len() == 1 => ascii(without_zeros(&self.bytes).to_vec()),
            FieldKind::Text if self.len() == 1 => read_text(&self.bytes, field),
            _ => Err(ValueError::NotText),
        }
    }

    fn in_c_order<T: Clone>(&self, elements: Vec<T>) -> Vec<T> {
        match self.order {
            Order::C => elements,
            Order::Fortran => shape::fortran_to_c(elements, &self.shape),
        }
    }

    fn check_single(&self) -> Result<(), ValueError> {
        if self.len() == 1 {
            return Ok(());
        }
        Err(ValueError::Shape { shape: self.shape.clone(), expected: vec![] })
    }

    fn not_understood(&self) -> ValueError {
        ValueError::NotUnderstood(self.element.to_string())
    }
}

/// Whether a field that is no number is one in principle.
pub(super) fn is_integer(field: &Field) -> bool {
    !matches!(field.kind(), FieldKind::Bytes | FieldKind::Text | FieldKind::Opaque)
}

/// Without the zeros that fill a string up.
fn without_zeros(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

fn read_text(bytes: &[u8], field: &Field) -> Result<String, ValueError> {
    let (characters, _) = bytes.as_chunks();
    let little = field.little_endian();
    let code = |&bytes| if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
    let text = characters.iter().map(|bytes| char::from_u32(code(bytes)));
    let text: String = text.collect::<Option<_>>().ok_or(ValueError::NotText)?;
    Ok(text.trim_end_matches('\0').to_owned())
}

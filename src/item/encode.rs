//! Values made by and for a descriptor.

use std::ops::Range;

use super::bits::BitWriter;
use super::bytes::Bytes;
use super::descriptor::ItemDescriptor;
use super::dtype::{Field, FieldKind};
use super::error::ValueError;
use super::sample::{Sample, Scalar};
use super::shape;
use super::value::{Array, Order, Value, is_integer};
use crate::wire::Flavour;

/// Making values.
impl ItemDescriptor {
    /// The value with these elements, in C order. A dimension that varies takes what there is.
    ///
    /// # Errors
    /// If there are not as many as the shape needs, or one does not fit the type, or an element has
    /// several fields.
    pub fn value<T: Sample>(&self, elements: &[T]) -> Result<Value, ValueError> {
        self.encode_samples(self.shape_of(elements.len())?, elements)
    }

    /// The value of a scalar item.
    ///
    /// # Errors
    /// If the item is no scalar, and as [`value`](Self::value).
    pub fn scalar_value<T: Sample>(&self, element: T) -> Result<Value, ValueError> {
        self.encode_samples(self.check_shape(&[])?, &[element])
    }

    /// The value with these elements.
    ///
    /// # Errors
    /// If the shape is not the item's, and as [`value`](Self::value).
    pub fn array_value<T: Sample>(&self, array: &Array<T>) -> Result<Value, ValueError> {
        self.encode_samples(self.check_shape(array.shape())?, array.data())
    }

    /// The value made of these scalars: all fields of all elements in C order.
    ///
    /// # Errors
    /// If there are not as many as the shape needs, or one does not fit its field.
    pub fn scalars_value(&self, shape: &[usize], scalars: &[Scalar]) -> Result<Value, ValueError> {
        let shape = self.check_shape(shape)?;
        let fields = self.element().fields();
        if fields.is_empty() {
            return Err(ValueError::NotUnderstood(self.element().to_string()));
        }
        if shape::len(&shape).checked_mul(fields.len()) != Some(scalars.len()) {
            return Err(ValueError::Count { elements: scalars.len(), shape });
        }
        let ordered;
        let scalars = match self.order() {
            Order::C => scalars,
            // Numpy types have one field only.
            Order::Fortran => {
                ordered = shape::c_to_fortran(scalars.to_vec(), &shape);
                &ordered
            }
        };
        let mut writer = BitWriter::default();
        for (scalar, field) in scalars.iter().zip(fields.iter().cycle()) {
            write_scalar(scalar, field, &mut writer)?;
        }
        Ok(self.made(shape, writer.finish()))
    }

    /// The value of a text: one dimension or a scalar of `c8`, or a single `S` or `U`. Shorter text is
    /// filled up with zeros in the latter.
    ///
    /// # Errors
    /// If the item holds no text or other text, or it has another length.
    pub fn text_value(&self, text: &str) -> Result<Value, ValueError> {
        let kind = self.element().single().map(Field::kind);
        match kind {
            Some(FieldKind::Char) if self.shape().len() < 2 && text.is_ascii() => {
                self.bytes_value(text.as_bytes().to_vec())
            }
            Some(FieldKind::Bytes | FieldKind::Text) => {
                self.scalars_value(&[], &[Scalar::Text(text.to_owned())])
            }
            _ => Err(ValueError::NotText),
        }
    }

    /// The value that is sent as these bytes, without copying them.
    ///
    /// # Errors
    /// If they are not exactly as many as the shape needs.
    pub fn bytes_value(&self, bytes: impl Into<Bytes>) -> Result<Value, ValueError> {
        let bytes = bytes.into();
        let length = || ValueError::Length { bytes: bytes.len(), expected: self.type_name() };
        match self.locate(bytes.len(), false) {
            Ok((shape, range)) if range.len() == bytes.len() => Ok(self.value_of(shape, bytes)),
            _ => Err(length()),
        }
    }

    /// The value of an item with these bytes in a heap's payload. There may be more than it needs.
    ///
    /// # Errors
    /// If there are fewer than it needs.
    pub fn decode(&self, bytes: impl Into<Bytes>) -> Result<Value, ValueError> {
        let bytes = bytes.into();
        let (shape, range) = self.locate(bytes.len(), false)?;
        Ok(self.value_of(shape, bytes.slice(range).unwrap_or_default()))
    }

    /// The value of an item with this number in its pointer: the last of its bytes, as many as needed.
    ///
    /// # Errors
    /// If the flavour's pointers have fewer than it needs.
    pub fn decode_immediate(&self, value: u64, flavour: Flavour) -> Result<Value, ValueError> {
        let bytes = value.to_be_bytes();
        let bytes = bytes.get(usize::from(flavour.item_id_bytes())..).unwrap_or_default();
        let (shape, range) = self.locate(bytes.len(), true)?;
        Ok(self.value_of(shape, bytes.get(range).unwrap_or_default().to_vec().into()))
    }

    /// Which shape a value in so many bytes has, and which of them it needs.
    fn locate(
        &self,
        bytes: usize,
        immediate: bool,
    ) -> Result<(Vec<usize>, Range<usize>), ValueError> {
        let Some(itemsize) = self.itemsize_bits() else {
            return Ok((self.dynamic_shape(0), 0..bytes));
        };
        let elements = (bytes as u64).saturating_mul(8) / itemsize;
        let shape = self.dynamic_shape(elements);
        let needed = shape::count(shape.iter().map(|&size| size as u64));
        if needed > elements {
            return Err(ValueError::TooShort { elements, needed });
        }
        // No more than `bytes`, as `needed` is no more than `elements`.
        let size = ((needed * itemsize).div_ceil(8) as usize).min(bytes);
        let start = if immediate { bytes - size } else { 0 };
        Ok((shape, start..start + size))
    }

    fn encode_samples<T: Sample>(
        &self,
        shape: Vec<usize>,
        elements: &[T],
    ) -> Result<Value, ValueError> {
        let field = match self.element().fields() {
            [] => return Err(ValueError::NotUnderstood(self.element().to_string())),
            [field] => field,
            fields => return Err(ValueError::Fields(fields.len())),
        };
        if !field.is_number() {
            let wide = is_integer(field);
            return Err(if wide { ValueError::TooWide(*field) } else { field.other_type(T::NAME) });
        }
        let ordered;
        let elements = match self.order() {
            Order::C => elements,
            Order::Fortran => {
                ordered = shape::c_to_fortran(elements.to_vec(), &shape);
                &ordered
            }
        };
        if field.kind() == T::KIND && field.bits() == T::WIDTH {
            return Ok(self.made(shape, T::write_all(elements, field.little_endian())));
        }
        let bits = (elements.len() as u64).saturating_mul(field.bits());
        let mut writer = BitWriter::with_capacity(bits.div_ceil(8) as usize);
        for element in elements {
            field.write(element.to_number(), &mut writer, T::NAME)?;
        }
        Ok(self.made(shape, writer.finish()))
    }

    /// The shape of a value with exactly this many elements.
    fn shape_of(&self, elements: usize) -> Result<Vec<usize>, ValueError> {
        let shape = self.dynamic_shape(elements as u64);
        if shape::len(&shape) == elements {
            return Ok(shape);
        }
        Err(ValueError::Count { elements, shape })
    }

    fn check_shape(&self, shape: &[usize]) -> Result<Vec<usize>, ValueError> {
        let shape = shape.to_vec();
        if self.compatible_shape(&shape) {
            return Ok(shape);
        }
        Err(ValueError::Shape { shape, expected: self.shape().to_vec() })
    }

    fn made(&self, shape: Vec<usize>, bytes: Vec<u8>) -> Value {
        self.value_of(shape, bytes.into())
    }

    fn value_of(&self, shape: Vec<usize>, bytes: Bytes) -> Value {
        Value::new(self.shared_element().clone(), shape, self.order(), bytes)
    }

    /// The type and shape, for errors.
    pub(super) fn type_name(&self) -> String {
        let size = |size: &Option<u64>| size.map_or_else(|| "any".to_owned(), |s| s.to_string());
        let shape: Vec<_> = self.shape().iter().map(size).collect();
        format!("{} [{}]", self.element(), shape.join(", "))
    }
}

fn write_scalar(scalar: &Scalar, field: &Field, writer: &mut BitWriter) -> Result<(), ValueError> {
    if field.is_number() {
        let number = scalar.to_number().ok_or_else(|| field.other_type(scalar.name()))?;
        return field.write(number, writer, scalar.name());
    }
    match (field.kind(), scalar) {
        (FieldKind::Text, Scalar::Text(text)) => {
            let code = |character: char| {
                let code = u32::from(character);
                u128::from(if field.little_endian() { code.swap_bytes() } else { code })
            };
            write_filled(text.chars().map(code), 32, field, writer)
        }
        (FieldKind::Bytes, Scalar::Text(text)) if !text.is_ascii() => Err(ValueError::NotText),
        (FieldKind::Bytes, Scalar::Text(text)) => {
            write_filled(text.bytes().map(u128::from), 8, field, writer)
        }
        (FieldKind::Bytes | FieldKind::Opaque, Scalar::Bytes(bytes)) => {
            write_filled(bytes.iter().map(|&byte| byte.into()), 8, field, writer)
        }
        _ if is_integer(field) => Err(ValueError::TooWide(*field)),
        _ => Err(field.other_type(scalar.name())),
    }
}

/// Writes units of so many bits, and zeros up to the end of the field.
fn write_filled(
    units: impl Iterator<Item = u128>,
    bits: u32,
    field: &Field,
    writer: &mut BitWriter,
) -> Result<(), ValueError> {
    let max = usize::try_from(field.bits() / u64::from(bits)).unwrap_or(usize::MAX);
    let units: Vec<u128> = units.collect();
    if units.len() > max {
        return Err(ValueError::TextTooLong { length: units.len(), max });
    }
    let zeros = std::iter::repeat_n(0, max - units.len());
    units.into_iter().chain(zeros).for_each(|unit| writer.write(unit, bits));
    Ok(())
}

//! Elements of formats that numpy has no type for, as Python numbers.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyByteArray, PyBytes, PyInt, PyList, PyTuple};
use speadway::item::{Bytes, ItemDescriptor, Scalar};

use crate::args::Int;
use crate::buffers::HeldBytes;

/// The most bits that the library reads or writes at once. Wider fields are done in pieces.
const PIECE: u32 = 128;
/// An id that is allowed; none matters here.
const ANY_ID: u64 = 0x1000;

/// The numbers of `count` elements that lie in `raw`: one each if the format has one field, or else
/// tuples.
#[pyfunction]
pub(crate) fn unpack_bits<'py>(
    format: Vec<(char, Int<u32>)>,
    raw: &Bound<'py, PyAny>,
    count: usize,
) -> PyResult<Bound<'py, PyList>> {
    let py = raw.py();
    let fields = Fields::new(&format);
    let bytes = Bytes::Shared(Arc::new(HeldBytes::readable(raw)?));
    let value = fields.descriptor(count)?.decode(bytes).map_err(refused)?;
    let scalars = value.to_scalars().map_err(refused)?;
    let mut scalars = scalars.into_iter();
    let list = PyList::empty(py);
    for _ in 0..count {
        match &fields.0[..] {
            [only] => list.append(only.read(py, &mut scalars)?)?,
            several => {
                let numbers = several.iter().map(|field| field.read(py, &mut scalars));
                list.append(PyTuple::new(py, numbers.collect::<PyResult<Vec<_>>>()?)?)?;
            }
        }
    }
    Ok(list)
}

/// The bytes of elements: the reverse of [`unpack_bits`]. The last byte is filled up with zeros.
#[pyfunction]
pub(crate) fn pack_bits<'py>(
    format: Vec<(char, Int<u32>)>,
    elements: &Bound<'py, PyList>,
) -> PyResult<Bound<'py, PyByteArray>> {
    let fields = Fields::new(&format);
    let mut scalars = Vec::new();
    for element in elements {
        match &fields.0[..] {
            [only] => only.write(&element, &mut scalars)?,
            several => {
                let numbers = element.cast::<PyTuple>()?;
                for (field, number) in several.iter().zip(numbers) {
                    field.write(&number, &mut scalars)?;
                }
            }
        }
    }
    let count = elements.len();
    let value = fields.descriptor(count)?.scalars_value(&[count], &scalars).map_err(refused)?;
    Ok(PyByteArray::new(elements.py(), value.bytes()))
}

fn refused(error: impl ToString) -> PyErr {
    PyValueError::new_err(error.to_string())
}

struct Fields(Vec<Field>);

#[derive(Clone, Copy)]
struct Field {
    code: char,
    bits: u32,
}

impl Fields {
    fn new(format: &[(char, Int<u32>)]) -> Self {
        Self(format.iter().map(|&(code, bits)| Field { code, bits: bits.0 }).collect())
    }

    /// Describes `count` elements to the library.
    fn descriptor(&self, count: usize) -> PyResult<ItemDescriptor> {
        let pieces: Vec<_> = self.0.iter().flat_map(Field::pieces).collect();
        let shape = [Some(count as u64)];
        ItemDescriptor::format(ANY_ID, "", "", &shape, &pieces).map_err(refused)
    }
}

impl Field {
    fn is_wide(&self) -> bool {
        self.bits > PIECE
    }

    /// The field itself, or what it is cut into: the first piece takes the odd bits.
    fn pieces(&self) -> Vec<(char, u32)> {
        if !self.is_wide() {
            return vec![(self.code, self.bits)];
        }
        let whole = (self.bits - 1) / PIECE;
        let first = self.bits - whole * PIECE;
        std::iter::once(first).chain((0..whole).map(|_| PIECE)).map(|bits| ('u', bits)).collect()
    }

    /// The next number, made of the field's pieces.
    fn read<'py>(
        &self,
        py: Python<'py>,
        scalars: &mut impl Iterator<Item = Scalar>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if self.is_wide() {
            return self.join(py, scalars);
        }
        Ok(match scalars.next() {
            Some(Scalar::Unsigned(number)) => number.into_pyobject(py)?.into_any(),
            Some(Scalar::Signed(number)) => number.into_pyobject(py)?.into_any(),
            Some(Scalar::Float(number)) => number.into_pyobject(py)?.into_any(),
            Some(Scalar::Bool(truth)) => truth.into_pyobject(py)?.to_owned().into_any(),
            Some(Scalar::Char(byte)) => PyBytes::new(py, &[byte]).into_any(),
            other => return Err(refused(format!("no number but {other:?}"))),
        })
    }

    fn join<'py>(
        &self,
        py: Python<'py>,
        scalars: &mut impl Iterator<Item = Scalar>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut bytes = Vec::new();
        for (at, (_, bits)) in self.pieces().into_iter().enumerate() {
            let Some(Scalar::Unsigned(mut piece)) = scalars.next() else {
                return Err(refused("a piece of a field is missing"));
            };
            if at == 0 && self.code == 'i' {
                let unused = PIECE - bits;
                piece = ((piece << unused) as i128 >> unused) as u128;
            }
            bytes.extend(piece.to_be_bytes());
        }
        if self.code == 'b' {
            let truth = bytes.iter().any(|&byte| byte != 0);
            return Ok(truth.into_pyobject(py)?.to_owned().into_any());
        }
        let arguments = (PyBytes::new(py, &bytes), intern!(py, "big"));
        let signed = [(intern!(py, "signed"), self.code == 'i')].into_py_dict(py)?;
        py.get_type::<PyInt>().call_method(intern!(py, "from_bytes"), arguments, Some(&signed))
    }

    /// Appends the number, or its pieces.
    fn write(&self, number: &Bound<'_, PyAny>, scalars: &mut Vec<Scalar>) -> PyResult<()> {
        let scalar = match self.code {
            'b' if self.is_wide() => {
                let truth = number.is_truthy()?.into();
                let zeros = self.pieces().len() - 1;
                scalars.extend((0..zeros).map(|_| Scalar::Unsigned(0)));
                Scalar::Unsigned(truth)
            }
            'b' => Scalar::Bool(number.is_truthy()?),
            'f' => Scalar::Float(number.extract()?),
            'c' => Scalar::Char(number.extract::<&[u8]>()?.first().copied().unwrap_or(0)),
            _ => {
                // As numpy does not: text and fractions become whole numbers, too.
                let whole = number.py().get_type::<PyInt>().call1((number,))?;
                self.check(&whole)?;
                if self.is_wide() {
                    return self.cut(&whole, scalars);
                }
                match self.code {
                    'i' => Scalar::Signed(whole.extract()?),
                    _ => Scalar::Unsigned(whole.extract()?),
                }
            }
        };
        scalars.push(scalar);
        Ok(())
    }

    /// Checks that the field has room for a whole number.
    fn check(&self, whole: &Bound<'_, PyAny>) -> PyResult<()> {
        let negative = whole.lt(0)?;
        // Of a negative number in two's complement, the bits that say something are those of this.
        let size = if negative { whole.bitnot()? } else { whole.clone() };
        let bits: u64 = size.call_method0(intern!(whole.py(), "bit_length"))?.extract()?;
        let room = u64::from(self.bits) - u64::from(self.code == 'i');
        if bits > room || negative && self.code != 'i' {
            let Self { code, bits } = self;
            return Err(refused(format!("{whole} is out of range for {code}{bits}")));
        }
        Ok(())
    }

    fn cut(&self, whole: &Bound<'_, PyAny>, scalars: &mut Vec<Scalar>) -> PyResult<()> {
        let py = whole.py();
        let pieces = self.pieces();
        let size = pieces.len() * (PIECE as usize / 8);
        let signed = [(intern!(py, "signed"), self.code == 'i')].into_py_dict(py)?;
        let bytes = whole.call_method(
            intern!(py, "to_bytes"),
            (size, intern!(py, "big")),
            Some(&signed),
        )?;
        let bytes = bytes.cast::<PyBytes>()?.as_bytes();
        let (wide, _) = bytes.as_chunks();
        for (&piece, (_, bits)) in wide.iter().zip(pieces) {
            let unused = PIECE - bits;
            scalars.push(Scalar::Unsigned(u128::from_be_bytes(piece) << unused >> unused));
        }
        Ok(())
    }
}

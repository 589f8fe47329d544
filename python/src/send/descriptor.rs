//! Descriptors to send, from whatever has the attributes of a raw descriptor.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use speadway::wire::{Descriptor, FormatField};

use crate::args::Int;

/// The descriptor that `raw` is: `id`, `name`, `description`, `shape` (sizes, `None` for what
/// varies), `format` (pairs of code and bits), `numpy_header`.
pub(super) fn read(raw: &Bound<'_, PyAny>) -> PyResult<Descriptor> {
    let py = raw.py();
    let Int(id) = raw.getattr(intern!(py, "id"))?.extract::<Int<i128>>()?;
    let out_of_range = || PyValueError::new_err(format!("Item ID out of range: {id}"));
    let id = u64::try_from(id).ok().filter(|&id| id > 0).ok_or_else(out_of_range)?;
    let shape = raw.getattr(intern!(py, "shape"))?.extract::<Vec<Option<Int<u64>>>>()?;
    let format = raw.getattr(intern!(py, "format"))?.extract::<Vec<(char, Int<u32>)>>()?;
    Ok(Descriptor {
        id,
        name: bytes(&raw.getattr(intern!(py, "name"))?)?,
        description: bytes(&raw.getattr(intern!(py, "description"))?)?,
        shape: shape.into_iter().map(|size| size.map(|Int(size)| size)).collect(),
        format: format.into_iter().map(field).collect::<PyResult<_>>()?,
        numpy_header: bytes(&raw.getattr(intern!(py, "numpy_header"))?)?,
    })
}

fn bytes(object: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    Ok(object.cast::<PyBytes>()?.as_bytes().to_vec())
}

fn field((code, Int(bits)): (char, Int<u32>)) -> PyResult<FormatField> {
    let wrong = |_| PyValueError::new_err(format!("{code:?} is not the code of a format"));
    Ok(FormatField { code: u8::try_from(code).map_err(wrong)?, bits })
}

//! `RawDescriptor`: a descriptor as it is on the wire.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use speadway::wire::{Descriptor, FormatField};

use crate::args::Int;

/// What a sender says about one of its items, as it is on the wire: strings are bytes.
#[pyclass(module = "speadway", subclass, weakref, frozen)]
#[derive(Default)]
pub(crate) struct RawDescriptor {
    fields: Mutex<Fields>,
}

/// The fields, of which Python may set any to anything that can be sent or not.
#[derive(Default)]
struct Fields {
    id: i64,
    name: Vec<u8>,
    description: Vec<u8>,
    shape: Vec<Option<i64>>,
    format: Vec<(char, i64)>,
    numpy_header: Vec<u8>,
}

impl RawDescriptor {
    /// A descriptor that was received. As in the reference, shape and format are not shown if there is
    /// a numpy header, which takes their place.
    pub(crate) fn from_core(mut core: Descriptor) -> Self {
        if !core.numpy_header.is_empty() {
            core.shape.clear();
            core.format.clear();
        }
        let field = |field: FormatField| (char::from(field.code), i64::from(field.bits));
        // Ids have at most 63 bits, and sizes are limited by the payload.
        let size = |size: u64| i64::try_from(size).unwrap_or(i64::MAX);
        let fields = Fields {
            id: size(core.id),
            name: core.name,
            description: core.description,
            shape: core.shape.into_iter().map(|one| one.map(size)).collect(),
            format: core.format.into_iter().map(field).collect(),
            numpy_header: core.numpy_header,
        };
        Self { fields: Mutex::new(fields) }
    }

    fn lock(&self) -> MutexGuard<'_, Fields> {
        self.fields.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl RawDescriptor {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self::default()
    }

    fn __init__(&self) {}

    /// The id of the item that is described.
    #[getter]
    fn id(&self) -> i64 {
        self.lock().id
    }

    #[setter]
    fn set_id(&self, value: Int<i64>) {
        self.lock().id = value.0;
    }

    /// The item's name.
    #[getter]
    fn name<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.lock().name)
    }

    #[setter]
    fn set_name(&self, value: &Bound<'_, PyBytes>) {
        self.lock().name = value.as_bytes().to_vec();
    }

    /// What the item is, for people.
    #[getter]
    fn description<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.lock().description)
    }

    #[setter]
    fn set_description(&self, value: &Bound<'_, PyBytes>) {
        self.lock().description = value.as_bytes().to_vec();
    }

    /// The length of each axis; `None` where it varies.
    #[getter]
    fn shape(&self) -> Vec<Option<i64>> {
        self.lock().shape.clone()
    }

    #[setter]
    fn set_shape(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let sizes: Vec<Option<Int<i64>>> = value
            .extract()
            .map_err(|_| PyTypeError::new_err("shape must be a list of int or None"))?;
        // The reference has negative sizes stand for what varies.
        let size = |size: Option<Int<i64>>| size.map(|size| size.0).filter(|&size| size >= 0);
        self.lock().shape = sizes.into_iter().map(size).collect();
        Ok(())
    }

    /// The fields of an element: pairs of code and bits.
    #[getter]
    fn format(&self) -> Vec<(char, i64)> {
        self.lock().format.clone()
    }

    #[setter]
    fn set_format(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let pairs: Vec<(String, Int<i64>)> = value.extract().map_err(|_| {
            PyTypeError::new_err("format must be a list of (code, bits), each a str and an int")
        })?;
        let pair = |(code, bits): (String, Int<i64>)| {
            let mut chars = code.chars();
            match (chars.next(), chars.next()) {
                (Some(code), None) => Ok((code, bits.0)),
                _ => Err(PyValueError::new_err(format!("a code is one character, not {code:?}"))),
            }
        };
        let format = pairs.into_iter().map(pair).collect::<PyResult<_>>()?;
        self.lock().format = format;
        Ok(())
    }

    /// The type as numpy's `.npy` files have it; empty if shape and format say it.
    #[getter]
    fn numpy_header<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.lock().numpy_header)
    }

    #[setter]
    fn set_numpy_header(&self, value: &Bound<'_, PyBytes>) {
        self.lock().numpy_header = value.as_bytes().to_vec();
    }
}

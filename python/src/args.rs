//! Conversion of arguments as the reference does it: a number that does not fit is a `TypeError`.

use pyo3::PyTypeInfo;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyString};

/// A whole number argument of Rust type `T`.
///
/// Accepts what has `__index__`, such as numpy's integers, and refuses what does not fit `T`,
/// negative numbers above all, with `TypeError` rather than Python's `OverflowError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Int<T>(pub(crate) T);

impl<'a, 'py, T> FromPyObject<'a, 'py> for Int<T>
where
    T: TryFrom<i128>,
{
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let refuse = |why: &str| {
            let shown = object.repr().map_or_else(|_| "?".to_owned(), |text| text.to_string());
            PyTypeError::new_err(format!("{shown} is not a whole number {why}"))
        };
        if object.is_instance_of::<PyFloat>() {
            return Err(refuse("but a float"));
        }
        let number = match object.cast::<PyInt>() {
            Ok(number) => number.to_owned().into_any(),
            Err(_) => object
                .call_method0("__index__")
                .map_err(|_| refuse("nor something that can stand for one"))?,
        };
        let wide = number.extract::<i128>().map_err(|_| refuse("that fits"))?;
        T::try_from(wide)
            .map(Self)
            .map_err(|_| refuse(&format!("that fits {}", std::any::type_name::<T>())))
    }
}

/// A yes or no: `bool`, `None`, or anything that can be one and is not a container, such as numbers
/// and numpy's booleans. As pybind11's implicit conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Truth(pub(crate) bool);

impl<'a, 'py> FromPyObject<'a, 'py> for Truth {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if object.is_none() || object.get_type().hasattr("__bool__")? {
            return object.is_truthy().map(Self);
        }
        Err(PyTypeError::new_err(format!("{} is neither True nor False", object.repr()?)))
    }
}

/// Sets the attributes of a new object that is configured by keywords alone. Only attributes of the
/// native class `T` may be set so.
pub(crate) fn set_keywords<T: PyTypeInfo>(
    object: &Bound<'_, T>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    let class = T::type_object(object.py());
    for (name, value) in keywords.into_iter().flatten() {
        if !class.hasattr(name.cast::<PyString>()?)? {
            let class = class.name()?;
            let text = format!("{class}() got an unexpected keyword argument {}", name.repr()?);
            return Err(PyTypeError::new_err(text));
        }
        object.as_any().setattr(name.cast::<PyString>()?, value)?;
    }
    Ok(())
}

//! Conversion of arguments as the reference does it: a number that does not fit is a `TypeError`, and
//! `None` is not the same as nothing.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};

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

/// An argument that may be left out. Unlike an `Option` it does not take `None`.
pub(crate) enum Maybe<T> {
    Given(T),
    LeftOut,
}

impl<'a, 'py, T> FromPyObject<'a, 'py> for Maybe<T>
where
    T: FromPyObject<'a, 'py>,
{
    type Error = T::Error;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> Result<Self, T::Error> {
        object.extract().map(Self::Given)
    }
}

impl<T> Maybe<T> {
    /// What was given, if anything was.
    pub(crate) fn given(self) -> Option<T> {
        match self {
            Self::Given(value) => Some(value),
            Self::LeftOut => None,
        }
    }
}

//! Conversion of arguments as the reference does it: a number that does not fit is a `TypeError`, and
//! `None` is not the same as nothing.

use pyo3::PyTypeInfo;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyString, PyTuple};

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

/// The arguments of one way to call `function`, by the names of its parameters; `None` for those
/// that were not given. For functions that can be called in several ways.
pub(crate) fn bind<'py, const N: usize>(
    function: &str,
    parameters: [&str; N],
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<[Option<Bound<'py, PyAny>>; N]> {
    let refuse = |why: String| Err(PyTypeError::new_err(format!("{function}() {why}")));
    if args.len() > N {
        return refuse(format!("takes at most {N} arguments, {} were given", args.len()));
    }
    let mut bound = std::array::from_fn(|at| args.get_item(at).ok());
    for (name, value) in kwargs.into_iter().flatten() {
        let name: String = name.extract()?;
        match parameters.iter().position(|parameter| *parameter == name) {
            None => return refuse(format!("got an unexpected keyword argument '{name}'")),
            Some(at) if bound[at].is_some() => {
                return refuse(format!("got multiple values for argument '{name}'"));
            }
            Some(at) => bound[at] = Some(value),
        }
    }
    Ok(bound)
}

/// An argument that [`bind`] found, converted, or its default.
pub(crate) fn or_default<'py, T>(argument: &Option<Bound<'py, PyAny>>, default: T) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py>,
{
    argument.as_ref().map_or(Ok(default), |value| value.extract().map_err(Into::into))
}

/// An argument that [`bind`] has to have found, converted.
pub(crate) fn required<'py, T>(
    function: &str,
    name: &str,
    argument: &Option<Bound<'py, PyAny>>,
) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py>,
{
    match argument {
        Some(value) => value.extract().map_err(Into::into),
        None => Err(PyTypeError::new_err(format!("{function}() needs the argument '{name}'"))),
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

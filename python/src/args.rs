//! Conversion of arguments as the reference does it: a number that does not fit is a `TypeError`, and
//! `None` is not the same as nothing.

use pyo3::PyTypeInfo;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyIterator, PyString, PyTuple};

/// A whole number argument of Rust type `T`.
///
/// Accepts what `int()` makes one of, such as numpy's numbers, but neither `float` nor text, as
/// pybind11 does. Refuses what does not fit `T`, negative numbers above all, with `TypeError` rather
/// than Python's `OverflowError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Int<T>(pub(crate) T);

impl<'a, 'py, T> FromPyObject<'a, 'py> for Int<T>
where
    T: TryFrom<i128>,
{
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        T::try_from(wide(object)?).map(Self).map_err(|_| no_whole_number(object, "that fits"))
    }
}

fn wide(object: Borrowed<'_, '_, PyAny>) -> PyResult<i128> {
    if object.is_instance_of::<PyFloat>() {
        return Err(no_whole_number(object, "but a float"));
    }
    let number = match object.cast::<PyInt>() {
        Ok(number) => number.to_owned().into_any(),
        Err(_) => whole(object)
            .ok_or_else(|| no_whole_number(object, "nor something that can stand for one"))?,
    };
    number.extract().map_err(|_| no_whole_number(object, "that fits"))
}

#[cold]
fn no_whole_number(object: Borrowed<'_, '_, PyAny>, why: &str) -> PyErr {
    let shown = object.repr().map_or_else(|_| "?".to_owned(), |text| text.to_string());
    PyTypeError::new_err(format!("{shown} is not a whole number {why}"))
}

/// The number that an object which is none says it stands for, if it does.
fn whole<'py>(object: Borrowed<'_, 'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let class = object.get_type();
    // What has neither is text, which `int` would parse.
    let is_number =
        ["__int__", "__index__"].iter().any(|name| class.hasattr(name).unwrap_or(false));
    if !is_number {
        return None;
    }
    object.py().get_type::<PyInt>().call1((object,)).ok()
}

/// A yes or no: `bool`, `None`, or anything that can be one and is not a container, such as numbers
/// and numpy's booleans. As pybind11's implicit conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Truth(pub(crate) bool);

impl<'a, 'py> FromPyObject<'a, 'py> for Truth {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let can_be_asked = object.is_none() || object.get_type().hasattr("__bool__")?;
        if can_be_asked && let Ok(truth) = object.is_truthy() {
            return Ok(Self(truth));
        }
        Err(PyTypeError::new_err(format!("{} is neither True nor False", object.repr()?)))
    }
}

/// Text: `str`, or UTF-8 in `bytes` or a `bytearray`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl<'a, 'py> FromPyObject<'a, 'py> for Text {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self(String::from_utf8_lossy(bytes.as_bytes()).into_owned()));
        }
        if let Ok(bytes) = object.cast::<PyByteArray>() {
            return Ok(Self(String::from_utf8_lossy(&bytes.to_vec()).into_owned()));
        }
        object.extract().map(Self)
    }
}

/// Several of something, in what [`elements`] takes apart.
#[derive(Clone, Debug)]
pub(crate) struct Several<T>(pub(crate) Vec<T>);

impl<'a, 'py, T> FromPyObject<'a, 'py> for Several<T>
where
    T: for<'b> FromPyObject<'b, 'py>,
{
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let one = |item: PyResult<Bound<'py, PyAny>>| item?.extract().map_err(Into::into);
        elements(&object)?.map(one).collect::<PyResult<_>>().map(Self)
    }
}

/// What can be several things without being a sequence, by the names of its types.
const COLLECTIONS: [&str; 8] =
    ["set", "frozenset", "generator", "dict_keys", "dict_values", "dict_items", "map", "zip"];

/// What is in a sequence, a set, a generator or the like, but neither in text nor in a `dict`, nor in
/// any other iterator. As pybind11's conversion to a vector.
pub(crate) fn elements<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyIterator>> {
    let class = object.get_type();
    let kind = class.name()?;
    let is_one = object.is_instance_of::<PyString>()
        || object.is_instance_of::<PyBytes>()
        || object.is_instance_of::<PyDict>();
    let are_several = class.hasattr("__getitem__")? || COLLECTIONS.iter().any(|name| kind == *name);
    if is_one || !are_several {
        return Err(PyTypeError::new_err(format!("a sequence is needed, not {kind}")));
    }
    object.try_iter()
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
    let bound = by_place(&parameters, args, kwargs)
        .map_err(|why| PyTypeError::new_err(format!("{function}() {why}")))?;
    let mut bound = bound.into_iter();
    Ok(std::array::from_fn(|_| bound.next().flatten()))
}

/// The arguments of a call by their places among `parameters`, or why they do not fit these.
pub(crate) fn by_place<'py>(
    parameters: &[&str],
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> Result<Vec<Option<Bound<'py, PyAny>>>, String> {
    let most = parameters.len();
    if args.len() > most {
        return Err(format!("takes at most {most} arguments, {} were given", args.len()));
    }
    let mut bound: Vec<_> = args.iter().map(Some).collect();
    bound.resize_with(most, || None);
    for (name, value) in kwargs.into_iter().flatten() {
        let name = name.to_string();
        match parameters.iter().position(|parameter| *parameter == name) {
            None => return Err(format!("got an unexpected keyword argument '{name}'")),
            Some(at) if bound[at].is_some() => {
                return Err(format!("got multiple values for argument '{name}'"));
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

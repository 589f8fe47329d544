//! Calls that may be made in several ways, told apart by names and types of their arguments.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::config::StreamConfig;
use crate::args::by_place;

/// The arguments of a call.
pub(super) struct Call<'a, 'py> {
    args: &'a Bound<'py, PyTuple>,
    kwargs: Option<&'a Bound<'py, PyDict>>,
}

/// The arguments of a call for one way of making it: by place among its names.
pub(super) struct Bindings<'py>(Vec<Option<Bound<'py, PyAny>>>);

impl<'a, 'py> Call<'a, 'py> {
    pub(super) fn new(
        args: &'a Bound<'py, PyTuple>,
        kwargs: Option<&'a Bound<'py, PyDict>>,
    ) -> Self {
        Self { args, kwargs }
    }

    /// The arguments under these names, if they fit them: none too many, none unknown, none twice.
    pub(super) fn bind(&self, names: &[&str]) -> Option<Bindings<'py>> {
        by_place(names, self.args, self.kwargs).ok().map(Bindings)
    }

    /// No way of making the call fits.
    pub(super) fn refuse(&self, class: &str, forms: &[&str]) -> PyErr {
        let mut message = format!("incompatible arguments of {class}(); it can be called as");
        for form in forms {
            message += &format!("\n    {class}({form})");
        }
        let kinds = |objects: Vec<Bound<'py, PyAny>>| {
            let kind = |object: &Bound<'py, PyAny>| object.get_type().name().map(|n| n.to_string());
            objects.iter().filter_map(|object| kind(object).ok()).collect::<Vec<_>>().join(", ")
        };
        message += &format!("\nbut was called with ({})", kinds(self.args.iter().collect()));
        if let Some(kwargs) = self.kwargs {
            message += &format!(" and {}", kwargs.keys());
        }
        PyTypeError::new_err(message)
    }
}

impl<'py> Bindings<'py> {
    /// The argument at `place`; `None` if it was not given or is of another type.
    pub(super) fn get<T>(&self, place: usize) -> Option<T>
    where
        T: for<'a> FromPyObject<'a, 'py>,
    {
        self.0[place].as_ref()?.extract().ok()
    }

    /// The argument at `place`, or `default` if it was not given; `None` if it is of another type.
    pub(super) fn get_or<T>(&self, place: usize, default: T) -> Option<T>
    where
        T: for<'a> FromPyObject<'a, 'py>,
    {
        if self.0[place].is_none() { Some(default) } else { self.get(place) }
    }

    /// The stream configuration at `place`, or the default.
    pub(super) fn config(&self, place: usize) -> Option<super::config::Options> {
        let given = match &self.0[place] {
            None => None,
            Some(object) => Some(object.cast::<StreamConfig>().ok()?),
        };
        Some(StreamConfig::options(given))
    }
}

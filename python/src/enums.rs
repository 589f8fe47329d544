//! Enumerations: members of Python's own `enum.Enum`, as the reference's are.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

/// An enumeration whose members are numbered from 0 in the order of their names.
pub(crate) struct Enumeration {
    module: &'static str,
    /// With the class that it belongs to: `StreamStatConfig.Mode`.
    qualname: &'static str,
    names: &'static [&'static str],
    class: PyOnceLock<Py<PyType>>,
}

impl Enumeration {
    /// Describes the class; it is made when it is first needed.
    pub(crate) const fn new(
        module: &'static str,
        qualname: &'static str,
        names: &'static [&'static str],
    ) -> Self {
        Self { module, qualname, names, class: PyOnceLock::new() }
    }

    /// The class.
    pub(crate) fn class<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyType>> {
        let class = self.class.get_or_try_init(py, || {
            let name = self.qualname.rsplit('.').next().unwrap_or(self.qualname);
            let members: Vec<_> =
                self.names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
            let options = PyDict::new(py);
            options.set_item("module", self.module)?;
            options.set_item("qualname", self.qualname)?;
            let base = py.import("enum")?.getattr("Enum")?;
            let class = base.call((name, members), Some(&options))?;
            Ok::<_, PyErr>(class.cast_into::<PyType>()?.unbind())
        })?;
        Ok(class.bind(py).clone())
    }

    /// The member with this number.
    pub(crate) fn member<'py>(
        &self,
        py: Python<'py>,
        number: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.class(py)?.call1((number,))
    }

    /// The number of a member; `TypeError` for anything else.
    pub(crate) fn number(&self, member: &Bound<'_, PyAny>) -> PyResult<usize> {
        if member.is_instance(self.class(member.py())?.as_any())? {
            return member.getattr("value")?.extract();
        }
        let shown = member.repr()?;
        Err(PyTypeError::new_err(format!("{shown} is not a member of {}", self.qualname)))
    }
}

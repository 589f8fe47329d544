//! `RateMethod` and `GroupMode`: enumerations of Python's own kind, as in the reference.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};
use speadway::send::GroupMode;

/// A Python enumeration whose members have the values 0, 1, ...
struct Enumeration {
    name: &'static str,
    members: &'static [&'static str],
    made: PyOnceLock<(Py<PyType>, Vec<Py<PyAny>>)>,
}

static RATE_METHOD: Enumeration = Enumeration::new("RateMethod", &["SW", "HW", "AUTO"]);
static GROUP_MODE: Enumeration = Enumeration::new("GroupMode", &["ROUND_ROBIN", "SERIAL"]);

/// Who keeps the rate, as the number of a member of `RateMethod`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateMethod(usize);

impl RateMethod {
    pub(crate) const AUTO: Self = Self(2);

    pub(crate) fn to_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(RATE_METHOD.made(py)?.1[self.0].clone_ref(py))
    }

    pub(crate) fn from_python(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        RATE_METHOD.number(object).map(Self)
    }
}

/// The mode that a member of `GroupMode` stands for.
pub(crate) fn group_mode(object: &Bound<'_, PyAny>) -> PyResult<GroupMode> {
    let number = GROUP_MODE.number(object)?;
    Ok(if number == 0 { GroupMode::RoundRobin } else { GroupMode::Serial })
}

/// Adds the enumerations to the module.
pub(super) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    for enumeration in [&RATE_METHOD, &GROUP_MODE] {
        module.add(enumeration.name, &enumeration.made(module.py())?.0)?;
    }
    Ok(())
}

impl Enumeration {
    const fn new(name: &'static str, members: &'static [&'static str]) -> Self {
        Self { name, members, made: PyOnceLock::new() }
    }

    fn made(&self, py: Python<'_>) -> PyResult<&(Py<PyType>, Vec<Py<PyAny>>)> {
        self.made.get_or_try_init(py, || {
            let numbered = self.members.iter().zip(0..).collect::<Vec<_>>();
            let options = PyDict::new(py);
            options.set_item("module", "speadway.send")?;
            let made = py.import("enum")?.getattr("Enum")?;
            let made = made.call((self.name, numbered), Some(&options))?;
            let member = |name: &&str| Ok(made.getattr(*name)?.unbind());
            let members = self.members.iter().map(member).collect::<PyResult<_>>()?;
            Ok((made.cast_into::<PyType>()?.unbind(), members))
        })
    }

    /// The number of the member that `object` is.
    fn number(&self, object: &Bound<'_, PyAny>) -> PyResult<usize> {
        let (_, members) = self.made(object.py())?;
        members.iter().position(|member| member.is(object)).ok_or_else(|| {
            let kind = object.get_type();
            let (name, first) = (self.name, self.members[0]);
            PyTypeError::new_err(format!("a {name} is needed, such as {name}.{first}, not {kind}"))
        })
    }
}

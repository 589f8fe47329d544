//! `RateMethod` and `GroupMode`.

use pyo3::prelude::*;
use speadway::send::GroupMode;

use crate::enums::Enumeration;

static RATE_METHOD: Enumeration =
    Enumeration::new("speadway.send", "RateMethod", &["SW", "HW", "AUTO"]);
static GROUP_MODE: Enumeration =
    Enumeration::new("speadway.send", "GroupMode", &["ROUND_ROBIN", "SERIAL"]);

/// Who keeps the rate, as the number of a member of `RateMethod`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RateMethod(usize);

impl RateMethod {
    pub(super) const AUTO: Self = Self(2);

    pub(super) fn to_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        RATE_METHOD.member(py, self.0)
    }

    pub(super) fn from_python(member: &Bound<'_, PyAny>) -> PyResult<Self> {
        RATE_METHOD.number(member).map(Self)
    }
}

/// The mode that a member of `GroupMode` stands for.
pub(super) fn group_mode(member: &Bound<'_, PyAny>) -> PyResult<GroupMode> {
    let number = GROUP_MODE.number(member)?;
    Ok(if number == 0 { GroupMode::RoundRobin } else { GroupMode::Serial })
}

/// Adds the enumerations to the module.
pub(super) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("RateMethod", RATE_METHOD.class(module.py())?)?;
    module.add("GroupMode", GROUP_MODE.class(module.py())?)
}

//! `speadway.send`.

use pyo3::prelude::*;

/// Sending.
#[pymodule(gil_used = false)]
pub(crate) mod send {}

//! `speadway.recv`.

mod base;

use pyo3::prelude::*;

/// Receiving.
#[pymodule(gil_used = false)]
pub(crate) mod recv {
    #[pymodule_export]
    use super::base::StreamBase;
}

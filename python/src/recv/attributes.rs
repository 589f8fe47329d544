//! What configurations have in common: they are made by keywords, each of which is an attribute too.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use crate::waiting::Late;

/// What a configuration says, once its `__init__` has run.
pub(crate) struct Attributes<T>(Late<Mutex<T>>);

impl<T> Default for Attributes<T> {
    fn default() -> Self {
        Self(Late::default())
    }
}

impl<T> Attributes<T> {
    /// Of a configuration that is not made from Python.
    pub(crate) fn with(value: T) -> Self {
        let attributes = Self::default();
        attributes.init(value);
        attributes
    }

    /// To be called from `__init__`.
    pub(crate) fn init(&self, value: T) {
        self.0.init(Mutex::new(value));
    }

    /// To read or change them. Not while code of Python's runs: it might ask for the same.
    pub(crate) fn lock(&self) -> PyResult<MutexGuard<'_, T>> {
        Ok(self.0.get()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Attributes of a configuration. Each is read by its first closure, and set by its second from a value
/// that has been converted; the second may return early with an error.
macro_rules! attributes {
    ($class:ident { $(
        $(#[$doc:meta])*
        $get:ident, $set:ident: $given:ty => $shown:ty,
        |$from:ident| $read:expr,
        |$to:ident, $value:ident| $write:expr;
    )* }) => {
        #[pymethods]
        impl $class { $(
            $(#[$doc])*
            #[getter]
            fn $get(&self) -> PyResult<$shown> {
                let $from = &*self.attributes.lock()?;
                Ok($read)
            }

            #[setter]
            fn $set(&self, $value: $given) -> PyResult<()> {
                let $to = &mut *self.attributes.lock()?;
                $write;
                Ok(())
            }
        )* }
    };
}
pub(crate) use attributes;

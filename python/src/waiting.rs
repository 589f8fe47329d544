//! Waiting without the GIL but not without signals, and objects that were not initialised.

use std::sync::OnceLock;
use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// How often a thread that waits looks for signals: what Ctrl-C takes at most. It is short for a
/// person and costs ten wake-ups a second.
const SIGNALS: Duration = Duration::from_millis(100);

/// Calls `attempt` without the GIL until it gives something, each time with how long it may block;
/// in between, signals are handled, which may raise `KeyboardInterrupt`.
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    mut attempt: impl FnMut(Duration) -> Option<T> + Send,
) -> PyResult<T> {
    loop {
        if let Some(value) = py.detach(|| attempt(SIGNALS)) {
            return Ok(value);
        }
        py.check_signals()?;
    }
}

/// What the native part of an object holds once `__init__` has run.
///
/// Classes are made in `__init__`, not in `__new__`, so that a subclass may have an `__init__` with
/// other arguments.
pub(crate) struct Late<T>(OnceLock<T>);

impl<T> Default for Late<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Late<T> {
    /// What `__init__` made.
    pub(crate) fn get(&self) -> PyResult<&T> {
        self.0.get().ok_or_else(|| {
            PyTypeError::new_err("__init__() must be called when overriding __init__")
        })
    }

    /// Takes it out, to be dropped by hand.
    pub(crate) fn take(&mut self) -> Option<T> {
        self.0.take()
    }

    /// To be called from `__init__`; a second call changes nothing.
    pub(crate) fn init(&self, value: T) {
        let _ = self.0.set(value);
    }
}

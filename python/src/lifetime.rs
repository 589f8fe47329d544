//! The end of the interpreter: whatever still runs is stopped, the newest first.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use pyo3::prelude::*;

/// Something that must not run on after the interpreter.
pub(crate) trait Stop: Send + Sync {
    /// Stops it and waits for that. Called without the GIL.
    fn stop(&self);
}

static RUNNING: Mutex<Vec<Weak<dyn Stop>>> = Mutex::new(Vec::new());

/// Has `object` stopped at the end of the interpreter, if it still exists then.
pub(crate) fn register(object: &Arc<impl Stop + 'static>) {
    let object: Arc<dyn Stop> = Arc::clone(object) as _;
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.retain(|other| other.strong_count() > 0);
    running.push(Arc::downgrade(&object));
}

/// Stops everything that runs. Registered with `atexit` when the package is imported.
#[pyfunction]
pub(crate) fn stop_all(py: Python<'_>) {
    py.detach(|| {
        let running = std::mem::take(&mut *RUNNING.lock().unwrap_or_else(PoisonError::into_inner));
        running.iter().rev().filter_map(Weak::upgrade).for_each(|object| object.stop());
    });
}

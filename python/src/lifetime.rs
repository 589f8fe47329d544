//! The end of the interpreter: whatever still runs is stopped, the newest first. And forked
//! processes, in which nothing runs.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::process;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pyo3::prelude::*;

use crate::logging;

/// Something that must not run on after the interpreter.
pub(crate) trait Stop: Send + Sync {
    /// Stops it and waits for that. Called without the GIL.
    fn stop(&self);
}

static RUNNING: Mutex<Vec<Running>> = Mutex::new(Vec::new());

/// What runs, and in which process.
struct Running {
    process: u32,
    object: Weak<dyn Stop>,
}

/// Has `object` stopped at the end of the interpreter, if it still exists then.
pub(crate) fn register(object: &Arc<impl Stop + 'static>) {
    let object: Arc<dyn Stop> = Arc::clone(object) as _;
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.retain(|other| other.object.strong_count() > 0);
    running.push(Running { process: process::id(), object: Arc::downgrade(&object) });
}

/// Stops everything that runs. Registered with `atexit` when the package is imported.
#[pyfunction]
pub(crate) fn stop_all(py: Python<'_>) {
    py.detach(|| {
        let running = std::mem::take(&mut *RUNNING.lock().unwrap_or_else(PoisonError::into_inner));
        let here = running.iter().rev().filter(|running| running.process == process::id());
        here.filter_map(|running| running.object.upgrade()).for_each(|object| object.stop());
        logging::stop();
    });
}

/// Something that has threads, and so works only in the process that made it. In a forked child it is
/// not dropped: the threads are not there, and whoever waits for them waits for ever.
pub(crate) struct OfProcess<T> {
    process: u32,
    value: ManuallyDrop<Arc<T>>,
}

impl<T> OfProcess<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        Self { process: process::id(), value: ManuallyDrop::new(value) }
    }

    /// Whether this is the process that made it.
    pub(crate) fn is_here(&self) -> bool {
        self.process == process::id()
    }

    /// The value, to be dropped; `None` in a forked child.
    pub(crate) fn into_inner(self) -> Option<Arc<T>> {
        self.is_here().then(|| ManuallyDrop::into_inner(self.value))
    }
}

impl<T> Deref for OfProcess<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        &self.value
    }
}

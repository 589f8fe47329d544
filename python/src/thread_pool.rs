//! `speadway.ThreadPool`: a number of workers, which streams are given in turn.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use speadway::recv::Worker;

use crate::args::{Int, Several};
use crate::errors::OrRaise;
use crate::lifetime::OfProcess;
use crate::waiting::Late;

/// Threads that streams run on. A stream stays on the thread that it was given when it was made;
/// streams are given threads in turn.
#[pyclass(module = "speadway", subclass, weakref, frozen)]
pub(crate) struct ThreadPool {
    workers: Late<OfProcess<Workers>>,
}

struct Workers {
    /// Empty once stopped.
    all: Mutex<Vec<Worker>>,
    next: AtomicUsize,
}

#[pymethods]
impl ThreadPool {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { workers: Late::default() }
    }

    #[pyo3(signature = (threads = Int(1), affinity = Several(Vec::new())))]
    fn __init__(&self, threads: Int<i32>, affinity: Several<Int<i32>>) -> PyResult<()> {
        let count = usize::try_from(threads.0).ok().filter(|&count| count > 0);
        let count =
            count.ok_or_else(|| PyValueError::new_err("at least one thread is required"))?;
        let cores = affinity
            .0
            .iter()
            .map(|core| core.0)
            .cycle()
            .map(Some)
            .chain(Some(None).into_iter().cycle());
        let workers = cores.take(count).map(start).collect::<PyResult<Vec<_>>>()?;
        let pool = Workers { all: Mutex::new(workers), next: AtomicUsize::new(0) };
        self.workers.init(OfProcess::new(Arc::new(pool)));
        Ok(())
    }

    /// Takes no more streams. Those that run go on until they are stopped.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let pool = self.workers.get()?;
        if !pool.is_here() {
            return Ok(());
        }
        let workers = std::mem::take(&mut *pool.all.lock().unwrap_or_else(PoisonError::into_inner));
        py.detach(|| drop(workers)); // joins threads that no stream uses
        Ok(())
    }

    /// Pins the calling thread to a core; where that is refused, a warning is logged.
    #[staticmethod]
    fn set_affinity(core: Int<i32>) {
        if !pin(core.0) {
            log::warn!("cannot pin the calling thread to core {}", core.0);
        }
    }
}

impl ThreadPool {
    /// The worker whose turn it is.
    pub(crate) fn worker(&self) -> PyResult<Worker> {
        let pool = self.workers.get()?;
        if !pool.is_here() {
            let text = "the thread pool is the parent process's: make one after the fork";
            return Err(PyRuntimeError::new_err(text));
        }
        let workers = pool.all.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = pool.next.fetch_add(1, Ordering::Relaxed);
        let worker = turn.checked_rem(workers.len()).and_then(|at| workers.get(at));
        worker.cloned().ok_or_else(|| PyRuntimeError::new_err("the thread pool has been stopped"))
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        let workers = self.workers.take().and_then(OfProcess::into_inner);
        // That joins threads. Without an interpreter to detach from it happens with the closure.
        let _ = Python::try_attach(move |py| py.detach(move || drop(workers)));
    }
}

/// A worker on `core`, or anywhere if that is refused: the reference only warns.
fn start(core: Option<i32>) -> PyResult<Worker> {
    let Some(core) = core else { return Worker::new().or_raise() };
    let pinned = usize::try_from(core).ok().map(|core| Worker::builder().pin(core).start());
    match pinned {
        Some(Ok(worker)) => Ok(worker),
        Some(Err(error)) => {
            log::warn!("{error}; it runs unpinned, and may lose packets");
            Worker::new().or_raise()
        }
        None => {
            log::warn!("cannot pin a thread to core {core}; it runs unpinned");
            Worker::new().or_raise()
        }
    }
}

/// How many cores the kernel's interface can name, `CPU_SETSIZE` of Linux; `core_affinity` panics
/// beyond.
const CORES: usize = 1024;

fn pin(core: i32) -> bool {
    usize::try_from(core)
        .is_ok_and(|id| id < CORES && core_affinity::set_for_current(core_affinity::CoreId { id }))
}

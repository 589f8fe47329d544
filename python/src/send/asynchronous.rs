//! Sending that tells asyncio when it is done.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit, intern};
use speadway::send::SendError;

use super::enums;
use super::heap::Heap;
use super::reference::{self, How};
use super::stream::{Stream, Work};
use crate::args::Int;
use crate::errors::OrRaise;
use crate::waiting::{Late, wait};

/// The native half of asyncio's streams: futures are completed by `process_callbacks`, which is to
/// be called when `fd` is readable.
#[pyclass(module = "speadway.send", extends = Stream, subclass, frozen)]
#[derive(Default)]
pub(crate) struct AsyncStream {
    inner: Late<Arc<Inner>>,
}

struct Inner {
    /// What was queued and is not processed yet, oldest first.
    pending: Mutex<VecDeque<Pending>>,
    results: Arc<Results>,
}

/// A future, and the heaps that it is about. They are held here as well as by the stream, so that
/// it is a thread with the GIL that lets go of their memory, just before the future is completed.
struct Pending {
    future: Py<PyAny>,
    heaps: Work,
    /// Futures of those who wait until all up to here is done.
    flushes: Vec<Py<PyAny>>,
}

/// Where the worker leaves results, in the order in which things were queued.
struct Results {
    arrived: Mutex<Vec<Result<u64, SendError>>>,
    /// Has one byte in it while there are some: that is one system call for many heaps.
    writable: PipeWriter,
    /// Here as well, so that it is still open when a stream that nobody holds any more sends what
    /// is left.
    readable: PipeReader,
}

impl Results {
    fn lock(&self) -> MutexGuard<'_, Vec<Result<u64, SendError>>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, result: Result<u64, SendError>) {
        let mut arrived = self.lock();
        arrived.push(result);
        if arrived.len() == 1
            && let Err(error) = (&self.writable).write_all(&[0])
        {
            log::error!("cannot tell asyncio that a heap was sent: {error}");
        }
    }

    fn take(&self) -> io::Result<Vec<Result<u64, SendError>>> {
        let mut arrived = self.lock();
        if !arrived.is_empty() {
            (&self.readable).read_exact(&mut [0])?;
        }
        Ok(std::mem::take(&mut *arrived))
    }
}

impl AsyncStream {
    /// An instance without a stream yet.
    pub(super) fn unstarted() -> PyClassInitializer<Self> {
        PyClassInitializer::from(Stream::default()).add_subclass(Self::default())
    }

    /// To be called from `__init__` of the class that knows the transport, which is to tell the
    /// garbage collector of the futures.
    pub(super) fn start(&self, collected: &Collected) -> PyResult<()> {
        let (readable, writable) = io::pipe().map_err(PyOSError::new_err)?;
        let results = Arc::new(Results { arrived: Mutex::default(), writable, readable });
        let inner = Arc::new(Inner { pending: Mutex::default(), results });
        collected.0.init(Arc::clone(&inner));
        self.inner.init(inner);
        Ok(())
    }
}

#[pymethods]
impl AsyncStream {
    /// Readable when there is something for `process_callbacks`.
    #[getter]
    fn fd(&self) -> PyResult<i32> {
        Ok(self.inner.get()?.results.readable.as_raw_fd())
    }

    /// Queues a heap; `future` gets the bytes of its packets, or what went wrong.
    fn _queue_heap(
        slf: &Bound<'_, Self>,
        future: Py<PyAny>,
        heap: &Bound<'_, Heap>,
        cnt: Int<i64>,
        substream_index: Int<usize>,
        rate: f64,
    ) -> PyResult<()> {
        let how = How { cnt: cnt.0, substream_index: substream_index.0, rate };
        let packet_size = slf.as_super().get().running()?.packet_size;
        Self::queue(slf, future, Work::One(how.send(heap.get(), packet_size)?))
    }

    /// Queues a list of heaps; `future` gets the bytes of all packets, or what went wrong.
    fn _queue_heaps(
        slf: &Bound<'_, Self>,
        future: Py<PyAny>,
        heaps: &Bound<'_, PyAny>,
        mode: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let mode = enums::group_mode(mode)?;
        let packet_size = slf.as_super().get().running()?.packet_size;
        Self::queue(slf, future, Work::Many(reference::heaps(heaps, packet_size)?, mode))
    }

    /// Completes `future` when all that was queued so far is done; false if that is so already.
    fn _queue_flush(&self, future: Py<PyAny>) -> PyResult<bool> {
        let mut pending = self.inner.get()?.lock();
        let Some(last) = pending.back_mut() else { return Ok(false) };
        last.flushes.push(future);
        Ok(true)
    }

    /// Waits until all that was queued so far has been sent or has failed. Futures are completed
    /// later, by the event loop.
    fn flush(slf: &Bound<'_, Self>) -> PyResult<()> {
        let stream = slf.as_super().get();
        let running = stream.running()?;
        let heaps = running.queued();
        wait(slf.py(), |timeout| match running.wait_for(heaps, timeout) {
            true => Some(Ok(())),
            false => stream.check_process().err().map(Err),
        })?
    }

    /// Completes the futures of what is done. Says whether more is on its way.
    fn process_callbacks(&self, py: Python<'_>) -> PyResult<bool> {
        let inner = self.inner.get()?;
        let results = inner.results.take()?;
        let done = {
            let mut pending = inner.lock();
            let count = results.len().min(pending.len());
            pending.drain(..count).collect::<Vec<_>>()
        };
        for (Pending { future, heaps, flushes }, result) in done.into_iter().zip(results) {
            drop(heaps);
            complete(future.bind(py), result);
            flushes.iter().for_each(|flush| resolve(flush.bind(py), || Ok(py.None())));
        }
        Ok(!inner.lock().is_empty())
    }
}

impl AsyncStream {
    fn queue(slf: &Bound<'_, Self>, future: Py<PyAny>, heaps: Work) -> PyResult<()> {
        let py = slf.py();
        let inner = slf.get().inner.get()?;
        let results = Arc::clone(&inner.results);
        let queued = slf.as_super().get().running()?.queue(
            &heaps,
            move |result| results.push(result),
            || {
                let future = future.clone_ref(py);
                inner.lock().push_back(Pending {
                    future,
                    heaps: heaps.clone(),
                    flushes: Vec::new(),
                });
            },
        );
        if let Err(error) = queued {
            complete(future.bind(py), Err(error));
        }
        Ok(())
    }
}

/// What the garbage collector is to know of an asynchronous stream. It is the most derived native
/// class that has to implement `__traverse__`: with PyO3 0.30 one between two that do not may never
/// return, as the compiler makes one function of those two.
#[derive(Default)]
pub(super) struct Collected(Late<Arc<Inner>>);

impl Collected {
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Nobody waits for anything with this lock held, but the collector cannot wait at all.
        let Ok(inner) = self.0.get() else { return Ok(()) };
        let Ok(pending) = inner.pending.try_lock() else { return Ok(()) };
        for Pending { future, flushes, .. } in &*pending {
            visit.call(future)?;
            flushes.iter().try_for_each(|flush| visit.call(flush))?;
        }
        Ok(())
    }

    pub(super) fn clear(&self) {
        let Ok(inner) = self.0.get() else { return };
        // What is dropped may run code, so not with the lock held.
        let forgotten = std::mem::take(&mut *inner.lock());
        drop(forgotten);
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn complete(future: &Bound<'_, PyAny>, result: Result<u64, SendError>) {
    let py = future.py();
    resolve(future, || Ok(result.or_raise()?.into_pyobject(py)?.into_any().unbind()));
}

/// Gives `future` its value or exception, unless it was cancelled. If that fails, as it does when
/// the event loop is closed, the others still get theirs.
fn resolve(future: &Bound<'_, PyAny>, result: impl FnOnce() -> PyResult<Py<PyAny>>) {
    let py = future.py();
    let set = || -> PyResult<()> {
        if future.call_method0(intern!(py, "done"))?.is_truthy()? {
            return Ok(());
        }
        match result() {
            Ok(value) => future.call_method1(intern!(py, "set_result"), (value,))?,
            Err(error) => {
                future.call_method1(intern!(py, "set_exception"), (error.into_value(py),))?
            }
        };
        Ok(())
    };
    if let Err(error) = set() {
        error.write_unraisable(py, Some(future));
    }
}

//! `recv.ChunkRingbuffer`.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use speadway::chunk::Chunk as Core;
use speadway::ring::{Producer, Ring, TryPopError, TryPushError};

use super::chunk::{Chunk, arrive, depart};
use crate::args::Int;
use crate::errors::{Empty, Full, OrRaise, Stopped};
use crate::waiting::{Late, wait};

/// A bounded queue of chunks between threads, first in first out.
///
/// `maxsize` is how many chunks it can hold, at least 1. Any number of threads may get and put. Once
/// it has been stopped, or its last producer has been removed, puts raise `speadway.Stopped`, and so
/// do gets when everything has been taken. Iterating gets chunks until then.
#[pyclass(module = "speadway.recv", subclass, weakref, frozen)]
pub(crate) struct ChunkRingbuffer {
    inner: Late<Inner>,
}

struct Inner {
    ring: Ring<Core>,
    /// Those that Python has added; streams have their own.
    producers: Mutex<Vec<Producer<Core>>>,
}

impl ChunkRingbuffer {
    /// The ring of the library.
    pub(crate) fn ring(&self) -> PyResult<&Ring<Core>> {
        Ok(&self.inner.get()?.ring)
    }

    fn producers(&self) -> PyResult<MutexGuard<'_, Vec<Producer<Core>>>> {
        Ok(self.inner.get()?.producers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
impl ChunkRingbuffer {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { inner: Late::default() }
    }

    fn __init__(&self, maxsize: Int<usize>) -> PyResult<()> {
        let ring = Ring::new(maxsize.0).or_raise()?;
        self.inner.init(Inner { ring, producers: Mutex::default() });
        Ok(())
    }

    /// How many chunks it can hold.
    #[getter]
    fn maxsize(&self) -> PyResult<usize> {
        Ok(self.ring()?.capacity())
    }

    /// How many chunks it holds now.
    fn qsize(&self) -> PyResult<usize> {
        Ok(self.ring()?.len())
    }

    /// Whether it holds nothing now.
    fn empty(&self) -> PyResult<bool> {
        Ok(self.ring()?.is_empty())
    }

    /// Whether it holds all it can.
    fn full(&self) -> PyResult<bool> {
        Ok(self.ring()?.is_full())
    }

    /// Takes the oldest chunk, waiting for one if there is none.
    ///
    /// Raises `speadway.Stopped` at the end, and `speadway.Empty` if nothing has come after `timeout`
    /// seconds (`None`: wait for ever).
    #[pyo3(signature = (timeout = None))]
    fn get(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<Chunk>> {
        let ring = self.ring()?;
        let core = match ring.try_pop() {
            Err(TryPopError::Empty) => pop_waiting(py, ring, deadline(timeout)?)?,
            popped => popped,
        };
        arrive(py, core.map_err(nothing)?)
    }

    /// Takes the oldest chunk; raises `speadway.Empty` if there is none, `speadway.Stopped` at the
    /// end.
    fn get_nowait(&self, py: Python<'_>) -> PyResult<Py<Chunk>> {
        arrive(py, self.ring()?.try_pop().map_err(nothing)?)
    }

    /// Puts a chunk in, waiting for room if there is none. The chunk loses its buffers until it is
    /// taken out.
    ///
    /// Raises `speadway.Stopped` once the ring has been stopped, `speadway.Full` if there is no room
    /// after `timeout` seconds (`None`: wait for ever), and `ValueError` if `data` or `present` is not
    /// set; the chunk then keeps its buffers.
    #[pyo3(signature = (chunk, timeout = None))]
    fn put(&self, chunk: &Bound<'_, Chunk>, timeout: Option<f64>) -> PyResult<()> {
        let ring = self.ring()?;
        let deadline = deadline(timeout)?;
        match ring.try_push(depart(chunk)?) {
            Ok(()) => Ok(()),
            Err(TryPushError::Full(core)) => push_waiting(chunk.py(), ring, core, deadline),
            Err(TryPushError::Closed(core)) => refuse(chunk.py(), core, stopped()),
        }
    }

    /// As `put`, but raises `speadway.Full` at once if there is no room.
    fn put_nowait(&self, chunk: &Bound<'_, Chunk>) -> PyResult<()> {
        put_now(chunk.py(), self.ring()?, depart(chunk)?)
    }

    /// Ends the ring: puts fail from now on, and gets when everything has been taken. Whether this
    /// was the first time.
    fn stop(&self) -> PyResult<bool> {
        Ok(self.ring()?.close())
    }

    /// Registers a producer: the ring ends with the last one.
    fn add_producer(&self) -> PyResult<()> {
        let producer = self.ring()?.producer();
        self.producers()?.push(producer);
        Ok(())
    }

    /// Takes back an `add_producer`. Whether it was the last, and the ring has ended.
    fn remove_producer(&self) -> PyResult<bool> {
        let mut producers = self.producers()?;
        let Some(producer) = producers.pop() else { return Ok(false) };
        producer.end();
        Ok(producers.is_empty() && self.ring()?.is_closed())
    }

    /// A file descriptor that is readable while `get_nowait` would not raise `speadway.Empty`. It may
    /// only be polled. Once asked for, it costs the ring system calls.
    #[getter]
    fn data_fd(&self) -> PyResult<RawFd> {
        Ok(self.ring()?.data_fd().or_raise()?.as_raw_fd())
    }

    /// A file descriptor that is readable while `put_nowait` would not raise `speadway.Full`. It may
    /// only be polled. Once asked for, it costs the ring system calls.
    #[getter]
    fn space_fd(&self) -> PyResult<RawFd> {
        Ok(self.ring()?.space_fd().or_raise()?.as_raw_fd())
    }

    /// What the ring has counted: chunks `pushed`, `popped` and `evicted`, the most it held at once
    /// (`high_water`), how often it was found full or empty, and how long its users have waited, in
    /// nanoseconds; with its `capacity` and `size`.
    #[getter]
    fn counters(&self) -> PyResult<BTreeMap<&'static str, u64>> {
        let stats = self.ring()?.stats();
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Ok(BTreeMap::from([
            ("capacity", stats.capacity as u64),
            ("size", stats.len as u64),
            ("high_water", stats.high_water as u64),
            ("pushed", stats.pushed),
            ("popped", stats.popped),
            ("evicted", stats.evicted),
            ("full_events", stats.full_events),
            ("empty_events", stats.empty_events),
            ("producer_wait_ns", nanos(stats.producer_wait)),
            ("consumer_wait_ns", nanos(stats.consumer_wait)),
        ]))
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<Chunk>>> {
        let ring = self.ring()?;
        let core = match ring.try_pop() {
            Err(TryPopError::Empty) => pop_waiting(py, ring, None)?,
            popped => popped,
        };
        match core {
            Ok(core) => arrive(py, core).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let ring = slf.get().ring()?;
        let state = if ring.is_closed() { ", stopped" } else { "" };
        let name = slf.get_type().name()?;
        Ok(format!("<{name} with {} of {} chunks{state}>", ring.len(), ring.capacity()))
    }
}

/// Puts `core` in the ring at once. If that fails it goes back to its Python chunk, and the reason is
/// raised.
pub(crate) fn put_now(py: Python<'_>, ring: &Ring<Core>, core: Core) -> PyResult<()> {
    match ring.try_push(core) {
        Ok(()) => Ok(()),
        Err(TryPushError::Full(core)) => refuse(py, core, full()),
        Err(TryPushError::Closed(core)) => refuse(py, core, stopped()),
    }
}

fn refuse(py: Python<'_>, core: Core, error: PyErr) -> PyResult<()> {
    arrive(py, core)?;
    Err(error)
}

/// Pops without the GIL, until the deadline or a signal.
fn pop_waiting(
    py: Python<'_>,
    ring: &Ring<Core>,
    deadline: Option<Instant>,
) -> PyResult<Result<Core, TryPopError>> {
    wait(py, |limit| {
        let left = left(deadline);
        match ring.pop_timeout(left.map_or(limit, |left| left.min(limit))) {
            Err(TryPopError::Empty) if left.is_none_or(|left| !left.is_zero()) => None,
            popped => Some(popped),
        }
    })
}

/// Pushes without the GIL, until the deadline or a signal. What is not pushed goes back to its Python
/// chunk.
fn push_waiting(
    py: Python<'_>,
    ring: &Ring<Core>,
    core: Core,
    deadline: Option<Instant>,
) -> PyResult<()> {
    let mut held = Some(core);
    let outcome = wait(py, |limit| {
        let core = held.take()?;
        let left = left(deadline);
        match ring.push_timeout(core, left.map_or(limit, |left| left.min(limit))) {
            Ok(()) => Some(Ok(())),
            Err(TryPushError::Closed(core)) => {
                held = Some(core);
                Some(Err(stopped as fn() -> PyErr))
            }
            Err(TryPushError::Full(core)) => {
                held = Some(core);
                let expired = left.is_some_and(|left| left.is_zero());
                expired.then_some(Err(full as fn() -> PyErr))
            }
        }
    });
    if let Some(core) = held {
        arrive(py, core)?;
    }
    outcome?.map_err(|reason| reason())
}

/// When a wait of `timeout` seconds ends; `None` if never.
fn deadline(timeout: Option<f64>) -> PyResult<Option<Instant>> {
    let Some(seconds) = timeout else { return Ok(None) };
    if seconds.is_nan() || seconds < 0.0 {
        return Err(PyValueError::new_err(format!("a timeout of {seconds} s cannot be")));
    }
    // A time too far to express is no limit.
    Ok(Duration::try_from_secs_f64(seconds).ok().and_then(|time| Instant::now().checked_add(time)))
}

fn left(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

fn nothing(reason: TryPopError) -> PyErr {
    match reason {
        TryPopError::Empty => Empty::new_err("ring buffer is empty"),
        TryPopError::Ended => stopped(),
    }
}

fn full() -> PyErr {
    Full::new_err("ring buffer is full")
}

fn stopped() -> PyErr {
    Stopped::new_err("ring buffer has been stopped")
}

//! `InprocStream`, for threads and for asyncio.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;
use pyo3::{PyTraverseError, PyVisit};
use speadway::send::transport::InprocTransport;

use super::asynchronous::{AsyncStream, Collected};
use super::blocking::SyncStream;
use super::config::StreamConfig;
use super::stream::{Kind, Stream};
use crate::args::{Maybe, elements};
use crate::inproc::InprocQueue;
use crate::thread_pool::ThreadPool;
use crate::waiting::Late;

/// The queues of a stream, which are its substreams.
struct Queues(Vec<Py<InprocQueue>>);

impl<'a, 'py> FromPyObject<'a, 'py> for Queues {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let refuse = || PyTypeError::new_err("a sequence of InprocQueue is needed");
        let queue = |queue: PyResult<Bound<'py, PyAny>>| {
            Ok(queue?.cast_into::<InprocQueue>().map_err(|_| refuse())?.unbind())
        };
        Ok(Self(elements(&object)?.map(queue).collect::<PyResult<_>>()?))
    }
}

impl Queues {
    /// Starts a stream to the queues.
    fn start(
        &self,
        stream: &Bound<'_, Stream>,
        thread_pool: &Bound<'_, ThreadPool>,
        config: Maybe<Bound<'_, StreamConfig>>,
        kind: Kind,
    ) -> PyResult<()> {
        if self.0.is_empty() {
            return Err(PyValueError::new_err("queues is empty: there is nowhere to send to"));
        }
        let core = |queue: &Py<InprocQueue>| queue.get().core().cloned();
        let queues = self.0.iter().map(core).collect::<PyResult<Vec<_>>>()?;
        let options = StreamConfig::options(config.given().as_ref());
        let worker = thread_pool.get().worker()?;
        stream.get().start(&worker, InprocTransport::new(&queues), &options, kind, true)
    }

    fn list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.0.iter().map(|queue| queue.clone_ref(py)))
    }
}

/// Sends heaps to queues in this process, each of which is a substream.
#[pyclass(module = "speadway.send", extends = SyncStream, subclass, frozen)]
pub(crate) struct InprocStream {
    queues: Late<Queues>,
}

#[pymethods]
impl InprocStream {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyAny>,
        _kwargs: Option<&Bound<'_, PyAny>>,
    ) -> PyClassInitializer<Self> {
        SyncStream::unstarted().add_subclass(Self { queues: Late::default() })
    }

    #[pyo3(signature = (thread_pool, queues, config = Maybe::LeftOut))]
    fn __init__(
        slf: &Bound<'_, Self>,
        thread_pool: &Bound<'_, ThreadPool>,
        queues: Queues,
        config: Maybe<Bound<'_, StreamConfig>>,
    ) -> PyResult<()> {
        queues.start(slf.as_super().as_super(), thread_pool, config, Kind::Waiting)?;
        slf.get().queues.init(queues);
        Ok(())
    }

    /// The queues.
    #[getter]
    fn queues<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.queues.get()?.list(py)
    }
}

/// The native half of `speadway.send.asyncio.InprocStream`.
#[pyclass(module = "speadway.send", extends = AsyncStream, subclass, frozen)]
#[derive(Default)]
pub(crate) struct InprocStreamAsyncio {
    queues: Late<Queues>,
    collected: Collected,
}

#[pymethods]
impl InprocStreamAsyncio {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyAny>,
        _kwargs: Option<&Bound<'_, PyAny>>,
    ) -> PyClassInitializer<Self> {
        AsyncStream::unstarted().add_subclass(Self::default())
    }

    #[pyo3(signature = (thread_pool, queues, config = Maybe::LeftOut))]
    fn __init__(
        slf: &Bound<'_, Self>,
        thread_pool: &Bound<'_, ThreadPool>,
        queues: Queues,
        config: Maybe<Bound<'_, StreamConfig>>,
    ) -> PyResult<()> {
        let stream = slf.as_super();
        queues.start(stream.as_super(), thread_pool, config, Kind::Asynchronous)?;
        stream.get().start(&slf.get().collected)?;
        slf.get().queues.init(queues);
        Ok(())
    }

    /// The queues.
    #[getter]
    fn queues<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.queues.get()?.list(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.collected.traverse(&visit)
    }

    fn __clear__(&self) {
        self.collected.clear();
    }
}

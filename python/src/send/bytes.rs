//! `BytesStream`.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use speadway::send::transport::{BytesTransport, Received};

use super::blocking::SyncStream;
use super::config::StreamConfig;
use super::stream::Kind;
use crate::args::Maybe;
use crate::thread_pool::ThreadPool;
use crate::waiting::Late;

/// Sends heaps into memory: packets one after the other, which a receiver's `add_buffer_reader`
/// takes.
#[pyclass(module = "speadway.send", extends = SyncStream, subclass, frozen)]
pub(crate) struct BytesStream {
    received: Late<Received>,
}

#[pymethods]
impl BytesStream {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyAny>,
        _kwargs: Option<&Bound<'_, PyAny>>,
    ) -> PyClassInitializer<Self> {
        SyncStream::unstarted().add_subclass(Self { received: Late::default() })
    }

    #[pyo3(signature = (thread_pool, config = Maybe::LeftOut))]
    fn __init__(
        slf: &Bound<'_, Self>,
        thread_pool: &Bound<'_, ThreadPool>,
        config: Maybe<Bound<'_, StreamConfig>>,
    ) -> PyResult<()> {
        let (transport, received) = BytesTransport::new();
        let stream = slf.as_super().as_super().get();
        let options = StreamConfig::options(config.given().as_ref());
        stream.start(&thread_pool.get().worker()?, transport, &options, Kind::Waiting, false)?;
        slf.get().received.init(received);
        Ok(())
    }

    /// All packets that were sent so far.
    fn getvalue<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(self.received.get()?.read(|bytes| PyBytes::new(py, bytes)))
    }
}

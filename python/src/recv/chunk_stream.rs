//! `recv.ChunkRingStream`.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use speadway::chunk::Chunk as Core;
use speadway::recv::Stream;
use speadway::ring::Ring;

use super::base::StreamBase;
use super::chunk::{Chunk, put_free};
use super::chunk_config::{ChunkStreamConfig, Placing};
use super::chunk_exchange::exchange;
use super::chunk_ring::ChunkRingbuffer;
use super::config::StreamConfig;
use super::stats::StatSource;
use crate::args::Maybe;
use crate::errors::OrRaise;
use crate::thread_pool::ThreadPool;
use crate::waiting::Late;

/// A stream that fills chunks: it takes them from a free ring and puts them, filled, in a data ring.
///
/// Return chunks with `add_free_chunk` (or their own `recycle`). There should be as many as the
/// window, the data ring and the consumer may hold, and room for all of them in the free ring.
///
/// When the sender or the readers end the stream, everything received is delivered and then the data
/// ring ends, if it has no other producer. `stop()` stops both rings at once.
#[pyclass(module = "speadway.recv", extends = StreamBase, subclass, frozen)]
pub(crate) struct ChunkRingStream {
    pair: Late<RingPair>,
}

/// The two rings of a stream or group.
pub(crate) struct RingPair {
    data: Py<ChunkRingbuffer>,
    free: Py<ChunkRingbuffer>,
    data_ring: Ring<Core>,
    free_ring: Ring<Core>,
}

impl RingPair {
    pub(crate) fn new(
        data: &Bound<'_, ChunkRingbuffer>,
        free: &Bound<'_, ChunkRingbuffer>,
    ) -> PyResult<Self> {
        Ok(Self {
            data_ring: data.get().ring()?.clone(),
            free_ring: free.get().ring()?.clone(),
            data: data.clone().unbind(),
            free: free.clone().unbind(),
        })
    }

    pub(crate) fn data(&self) -> &Py<ChunkRingbuffer> {
        &self.data
    }

    pub(crate) fn free(&self) -> &Py<ChunkRingbuffer> {
        &self.free
    }

    /// The rings of the library: data, free.
    pub(crate) fn rings(&self) -> (Ring<Core>, Ring<Core>) {
        (self.data_ring.clone(), self.free_ring.clone())
    }

    pub(crate) fn add_free_chunk(&self, chunk: &Bound<'_, Chunk>) -> PyResult<()> {
        put_free(&self.free_ring, chunk)
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.data)?;
        visit.call(&self.free)
    }
}

/// Gives a builder of the library (a stream's or a member's) what `ChunkSettings` say about heaps.
macro_rules! with_chunk_settings {
    ($builder:expr, $config:expr, $chunks:expr) => {{
        let chunks = $chunks;
        let mut builder = $builder
            .config($config)
            .window(chunks.max_chunks)
            .max_heap_extra(chunks.max_heap_extra)
            .deduplicate(chunks.deduplicate);
        if chunks.packet_presence > 0 {
            builder = builder.packet_presence(chunks.packet_presence);
        }
        if let Some(max_jump) = chunks.max_jump {
            builder = builder.max_jump(max_jump);
        }
        builder
    }};
}
pub(crate) use with_chunk_settings;

/// An argument that has to be given though one before it need not.
fn required<T>(argument: Option<T>, name: &str) -> PyResult<T> {
    argument.ok_or_else(|| PyTypeError::new_err(format!("the argument {name} is required")))
}

#[pymethods]
impl ChunkRingStream {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyAny>,
        _kwargs: Option<&Bound<'_, PyAny>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(StreamBase::default()).add_subclass(Self { pair: Late::default() })
    }

    #[pyo3(signature = (
        thread_pool,
        config = Maybe::LeftOut,
        chunk_stream_config = None,
        data_ringbuffer = None,
        free_ringbuffer = None,
    ))]
    fn __init__(
        slf: &Bound<'_, Self>,
        thread_pool: &Bound<'_, ThreadPool>,
        config: Maybe<Bound<'_, StreamConfig>>,
        chunk_stream_config: Option<&Bound<'_, ChunkStreamConfig>>,
        data_ringbuffer: Option<&Bound<'_, ChunkRingbuffer>>,
        free_ringbuffer: Option<&Bound<'_, ChunkRingbuffer>>,
    ) -> PyResult<()> {
        if slf.get().pair.get().is_ok() {
            return Ok(()); // a second call: the first stream stays
        }
        let mut settings = StreamConfig::given(slf.py(), config.given().as_ref())?.for_chunks();
        let chunks = required(chunk_stream_config, "chunk_stream_config")?.get().settings()?;
        let data = required(data_ringbuffer, "data_ringbuffer")?;
        let pair = RingPair::new(data, required(free_ringbuffer, "free_ringbuffer")?)?;
        let stats = StatSource::chunks(settings.stats.clone());
        settings.stats = stats.list();
        let builder = match chunks.placing(stats.custom())? {
            Placing::Layout(layout) => Stream::chunks(layout),
            Placing::Function(function) => Stream::chunks(function),
        };
        let mut builder = with_chunk_settings!(builder, settings.core(), &chunks);
        if let Some(age) = chunks.max_age {
            builder = builder.max_age(age);
        }
        let (data, free) = pair.rings();
        let (allocate, ready, registration) = exchange(&free, &data, chunks.policy);
        let worker = thread_pool.get().worker()?;
        let stream = builder.callbacks(allocate, ready).start(&worker).or_raise()?;
        registration.register();
        slf.get().pair.init(pair);
        slf.as_super().get().init(stream.handle(), settings, stats, move || {
            data.close();
            free.close();
            stream.stop();
        });
        Ok(())
    }

    /// Puts a chunk in the free ring, with nothing present.
    ///
    /// Raises `speadway.Full` if there is no room. Once the ring has been stopped, nothing happens.
    fn add_free_chunk(&self, chunk: &Bound<'_, Chunk>) -> PyResult<()> {
        self.pair.get()?.add_free_chunk(chunk)
    }

    /// The ring that filled chunks are put in.
    #[getter]
    fn data_ringbuffer(&self, py: Python<'_>) -> PyResult<Py<ChunkRingbuffer>> {
        Ok(self.pair.get()?.data().clone_ref(py))
    }

    /// The ring that chunks are taken from.
    #[getter]
    fn free_ringbuffer(&self, py: Python<'_>) -> PyResult<Py<ChunkRingbuffer>> {
        Ok(self.pair.get()?.free().clone_ref(py))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.pair.get().map_or(Ok(()), |pair| pair.traverse(&visit))
    }
}

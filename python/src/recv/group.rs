//! `recv.ChunkStreamRingGroup` and its members.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyIndexError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PySlice};
use pyo3::{PyTraverseError, PyVisit};
use speadway::chunk::{Chunk as Core, Eviction, RingPolicy};
use speadway::recv::{ConfigError, Group, Member};
use speadway::ring::Ring;

use super::base::StreamBase;
use super::chunk::Chunk;
use super::chunk_config::{ChunkSettings, ChunkStreamConfig, Placing};
use super::chunk_exchange::exchange;
use super::chunk_ring::ChunkRingbuffer;
use super::chunk_stream::{RingPair, with_chunk_settings};
use super::config::StreamConfig;
use super::group_config::{ChunkStreamGroupConfig, GroupSettings};
use super::stats::StatSource;
use crate::args::Int;
use crate::errors::{IntoPyErr, OrRaise};
use crate::lifetime::OfProcess;
use crate::thread_pool::ThreadPool;
use crate::waiting::Late;

/// Streams that fill one sequence of chunks together: a sequence of its members.
///
/// Chunks come from the free ring and go to the data ring, as with `ChunkRingStream`. A chunk is
/// handed over when all members have moved past it.
#[pyclass(module = "speadway.recv", subclass, weakref, frozen)]
pub(crate) struct ChunkStreamRingGroup {
    inner: Late<Inner>,
}

struct Inner {
    running: OfProcess<Running>,
    pair: RingPair,
    config: Py<ChunkStreamGroupConfig>,
    members: Mutex<Vec<Py<ChunkStreamGroupMember>>>,
}

/// A group of the library. Its members hold it too: stopping one stops all.
struct Running {
    group: Mutex<Group>,
    data: Ring<Core>,
    free: Ring<Core>,
}

impl Running {
    /// Whoever has it may take as long as members take to end, but needs no GIL meanwhile.
    fn group(&self) -> MutexGuard<'_, Group> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.data.close();
        self.free.close();
        self.group().stop();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A stream that is a member of a group. Stopping it stops the group.
#[pyclass(module = "speadway.recv", extends = StreamBase, subclass, frozen)]
pub(crate) struct ChunkStreamGroupMember {
    /// A member keeps its group, and the group its members: for the garbage collector to untie.
    group: Py<ChunkStreamRingGroup>,
}

#[pymethods]
impl ChunkStreamGroupMember {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyAny>,
        _kwargs: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        Err(PyTypeError::new_err(
            "No constructor defined! Members are made by ChunkStreamRingGroup.emplace_back",
        ))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.group)
    }
}

impl Drop for ChunkStreamRingGroup {
    fn drop(&mut self) {
        let running = self.inner.take().and_then(|inner| inner.running.into_inner());
        // That may end the group, which takes a moment.
        let _ = Python::try_attach(move |py| py.detach(move || drop(running)));
    }
}

impl ChunkStreamRingGroup {
    fn members(&self) -> PyResult<MutexGuard<'_, Vec<Py<ChunkStreamGroupMember>>>> {
        Ok(self.inner.get()?.members.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All members, in a list of Python's.
    fn list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let members: Vec<_> = self.members()?.iter().map(|member| member.clone_ref(py)).collect();
        PyList::new(py, members)
    }
}

/// Starts a group without members, which are added one by one.
fn start(settings: GroupSettings, data: &Ring<Core>, free: &Ring<Core>) -> PyResult<Group> {
    let (allocate, ready, registration) = exchange(free, data, settings.policy);
    let mut builder = Group::builder()
        .window(settings.max_chunks)
        .eviction(settings.eviction)
        .callbacks(allocate, ready);
    if settings.eviction == Eviction::Lossless && settings.max_age.is_some() {
        return Err(PyValueError::new_err(
            "max_age can lose data: in a lossless group it is max_age_in_lossless",
        ));
    }
    if let Some(age) = settings.max_age_in_lossless.or(settings.max_age) {
        builder = builder.max_age_in_lossless(age);
    }
    let group = builder.start().or_raise()?;
    registration.register();
    Ok(group)
}

/// What is said about the rings is said to the group.
fn refuse_what_is_the_groups(chunks: &ChunkSettings) -> PyResult<()> {
    if chunks.max_age.is_some() || chunks.policy != RingPolicy::default() {
        return Err(PyValueError::new_err(
            "max_age, when_empty and when_full of a group's members are set in the group's \
             ChunkStreamGroupConfig",
        ));
    }
    Ok(())
}

fn cannot_add(error: ConfigError) -> PyErr {
    match error {
        ConfigError::MemberWindow { member, group } => PyValueError::new_err(format!(
            "stream max_chunks must not be larger than group max_chunks ({member} > {group})"
        )),
        ConfigError::GroupStarted => PyRuntimeError::new_err(
            "Cannot add a stream after group has started receiving data: add all members before \
             their readers",
        ),
        ConfigError::GroupClosed => {
            PyRuntimeError::new_err("Cannot add a stream to a stopped group")
        }
        other => other.into_py_err(),
    }
}

#[pymethods]
impl ChunkStreamRingGroup {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { inner: Late::default() }
    }

    fn __init__(
        &self,
        py: Python<'_>,
        config: &Bound<'_, ChunkStreamGroupConfig>,
        data_ringbuffer: &Bound<'_, ChunkRingbuffer>,
        free_ringbuffer: &Bound<'_, ChunkRingbuffer>,
    ) -> PyResult<()> {
        if self.inner.get().is_ok() {
            return Ok(()); // a second call: the first group stays
        }
        let settings = config.get().settings()?;
        let pair = RingPair::new(data_ringbuffer, free_ringbuffer)?;
        let (data, free) = pair.rings();
        let config = Py::new(py, ChunkStreamGroupConfig::with(settings))?;
        let group = Mutex::new(start(settings, &data, &free)?);
        let running = OfProcess::new(Arc::new(Running { group, data, free }));
        self.inner.init(Inner { running, pair, config, members: Mutex::default() });
        Ok(())
    }

    /// Adds a stream, which is returned. All members have to be added before any receives.
    ///
    /// Raises `ValueError` if its window is larger than the group's, `RuntimeError` if the group has
    /// received data or has been stopped.
    #[pyo3(signature = (thread_pool, config, chunk_stream_config))]
    fn emplace_back(
        slf: &Bound<'_, Self>,
        thread_pool: Option<&Bound<'_, ThreadPool>>,
        config: &Bound<'_, StreamConfig>,
        chunk_stream_config: &Bound<'_, ChunkStreamConfig>,
    ) -> PyResult<Py<ChunkStreamGroupMember>> {
        let (py, inner) = (slf.py(), slf.get().inner.get()?);
        // An error of another type than elsewhere, as the reference's is.
        let thread_pool =
            thread_pool.ok_or_else(|| PyValueError::new_err("thread_pool must not be None"))?;
        let mut settings = config.get().settings(py)?.for_chunks();
        let chunks = chunk_stream_config.get().settings()?;
        refuse_what_is_the_groups(&chunks)?;
        let stats = StatSource::chunks(settings.stats.clone());
        settings.stats = stats.list();
        let member = match chunks.placing(stats.custom())? {
            Placing::Layout(layout) => Member::new(layout),
            // SAFETY: that no two members are placed on the same bytes is what the documentation of
            // `ChunkStreamConfig.place` asks of users, as the reference does. Writes stay inside
            // the chunk whatever the function answers.
            Placing::Function(function) => unsafe { Member::with_placement(function) },
        };
        let member = with_chunk_settings!(member, settings.core(), &chunks);
        let worker = thread_pool.get().worker()?;
        let running = Arc::clone(&inner.running);
        let added = py.detach(|| running.group().add(&worker, member).map(|added| added.handle()));
        let handle = added.map_err(cannot_add)?;
        let native = ChunkStreamGroupMember { group: slf.clone().unbind() };
        let base = PyClassInitializer::from(StreamBase::default());
        let member = Bound::new(py, base.add_subclass(native))?;
        member.as_super().get().init(handle, settings, stats, move || running.stop());
        slf.get().members()?.push(member.clone().unbind());
        Ok(member.unbind())
    }

    /// Stops all members and both rings at once: nothing more is delivered.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let running = &self.inner.get()?.running;
        if running.is_here() {
            py.detach(|| running.stop());
        }
        Ok(())
    }

    /// The configuration that the group was made with; changes to it have no effect.
    #[getter]
    fn config(&self, py: Python<'_>) -> PyResult<Py<ChunkStreamGroupConfig>> {
        Ok(self.inner.get()?.config.clone_ref(py))
    }

    /// Puts a chunk in the free ring, with nothing present.
    ///
    /// Raises `speadway.Full` if there is no room. Once the ring has been stopped, nothing happens.
    fn add_free_chunk(&self, chunk: &Bound<'_, Chunk>) -> PyResult<()> {
        self.inner.get()?.pair.add_free_chunk(chunk)
    }

    /// The ring that filled chunks are put in.
    #[getter]
    fn data_ringbuffer(&self, py: Python<'_>) -> PyResult<Py<ChunkRingbuffer>> {
        Ok(self.inner.get()?.pair.data().clone_ref(py))
    }

    /// The ring that chunks are taken from.
    #[getter]
    fn free_ringbuffer(&self, py: Python<'_>) -> PyResult<Py<ChunkRingbuffer>> {
        Ok(self.inner.get()?.pair.free().clone_ref(py))
    }

    /// The group's own counters; those of its members are theirs.
    #[getter]
    fn counters(&self, py: Python<'_>) -> PyResult<BTreeMap<&'static str, u64>> {
        let running = &self.inner.get()?.running;
        let stats = py.detach(|| running.group().stats());
        Ok(BTreeMap::from([
            ("chunks_opened", stats.chunks_opened),
            ("chunks_refused", stats.chunks_refused),
            ("chunks_delivered", stats.chunks_delivered),
            ("backlog", stats.backlog as u64),
            ("head", stats.head),
            ("tail", stats.tail),
            ("live_members", stats.live_members as u64),
        ]))
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.members()?.len())
    }

    fn __getitem__<'py>(
        &self,
        py: Python<'py>,
        index: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let members = self.list(py)?;
        if index.is_instance_of::<PySlice>() {
            return members.as_any().get_item(index);
        }
        let at = index.extract::<Int<i64>>()?.0;
        members.as_any().get_item(at).map_err(|_| {
            PyIndexError::new_err(format!("no member {at}: the group has {}", members.len()))
        })
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let name = slf.get_type().name()?;
        Ok(format!("<{name} of {} streams>", slf.get().__len__()?))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(inner) = self.inner.get() else { return Ok(()) };
        inner.pair.traverse(&visit)?;
        visit.call(&inner.config)?;
        let Ok(members) = inner.members.try_lock() else { return Ok(()) };
        members.iter().try_for_each(|member| visit.call(member))
    }

    fn __clear__(&self) {
        if let Ok(mut members) = self.members() {
            let gone = std::mem::take(&mut *members);
            drop(members);
            drop(gone);
        }
    }
}

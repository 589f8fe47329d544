//! `speadway.MemoryAllocator` and what allocates in other ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use speadway::memory::{
    Allocator, Buffer, HeapAllocator, HugePages, MapOptions, MemoryError, MemoryPool as CorePool,
    MmapAllocator as CoreMmap,
};

use crate::args::{Int, Truth, bind, or_default, required};
use crate::thread_pool::ThreadPool;
use crate::waiting::Late;

/// Where heaps' memory comes from: blocks of the system's allocator, with all their pages touched.
#[pyclass(module = "speadway", subclass, weakref, frozen)]
#[derive(Default)]
pub(crate) struct MemoryAllocator {
    core: Late<Arc<dyn Allocator>>,
}

impl MemoryAllocator {
    /// The allocator as the library has it.
    pub(crate) fn core(&self) -> PyResult<Arc<dyn Allocator>> {
        Ok(Arc::clone(self.core.get()?))
    }

    /// One that is ready to use.
    pub(crate) fn make(py: Python<'_>) -> PyResult<Py<Self>> {
        let allocator = Self::default();
        allocator.core.init(Arc::new(HeapAllocator));
        Py::new(py, allocator)
    }
}

#[pymethods]
impl MemoryAllocator {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self::default()
    }

    fn __init__(&self) {
        self.core.init(Arc::new(HeapAllocator));
    }
}

/// Memory mapped from the kernel, each block by itself and with all its pages there.
///
/// `flags` are those of `mmap`, of which `MAP_HUGETLB` matters: huge pages or none. With
/// `prefer_huge` there are huge pages if the system has them, and ordinary ones otherwise. With `node`
/// all pages are from that NUMA node, as the kernel numbers them (see `node_of_core`); if it has no
/// memory, `ValueError` is raised.
#[pyclass(module = "speadway", extends = MemoryAllocator, subclass, frozen)]
pub(crate) struct MmapAllocator;

#[pymethods]
impl MmapAllocator {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyAny>,
        _kwargs: Option<&Bound<'_, PyAny>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(MemoryAllocator::default()).add_subclass(Self)
    }

    #[pyo3(signature = (flags = Int(0), prefer_huge = Truth(false), *, node = None))]
    fn __init__(
        slf: &Bound<'_, Self>,
        flags: Int<i32>,
        prefer_huge: Truth,
        node: Option<usize>,
    ) -> PyResult<()> {
        let huge_pages = if prefer_huge.0 {
            HugePages::Prefer
        } else if flags.0 & HUGE_PAGES_FLAG != 0 {
            HugePages::Require
        } else {
            HugePages::No
        };
        let options = MapOptions { huge_pages, populate: true, node };
        if node.is_some() {
            // Here there is somebody to tell, unlike where heaps are received.
            let tried = Buffer::mapped(1, MapOptions { huge_pages: HugePages::No, ..options });
            tried.map_err(|error| PyValueError::new_err(error.to_string()))?;
        }
        slf.as_super().get().core.init(Arc::new(CoreMmap::new(options)));
        Ok(())
    }
}

/// The NUMA node that a core belongs to, both as the kernel numbers them.
#[pyfunction]
pub(crate) fn node_of_core(core: usize) -> PyResult<usize> {
    Ok(speadway::memory::node_of_core(core)?)
}

#[cfg(target_os = "linux")]
const HUGE_PAGES_FLAG: i32 = libc::MAP_HUGETLB;
#[cfg(not(target_os = "linux"))]
const HUGE_PAGES_FLAG: i32 = 0;

/// A pool of blocks of `upper` bytes, for heaps of `lower` to `upper` bytes; others are allocated as
/// without it. In one of these ways:
///
/// - `(lower, upper, max_free, initial, allocator=None)`: `initial` blocks are there from the start,
///   and up to `max_free` are kept;
/// - `(thread_pool, lower, upper, max_free, initial, low_water, allocator=None)`: as that, and when
///   fewer than `low_water` are free, more are made in the background.
#[pyclass(module = "speadway", extends = MemoryAllocator, subclass, frozen)]
pub(crate) struct MemoryPool {
    core: Late<Arc<CorePool>>,
}

/// How a pool is made.
struct PoolArguments {
    lower: usize,
    upper: usize,
    max_free: usize,
    initial: usize,
    low_water: Option<usize>,
    inner: Arc<dyn Allocator>,
}

const POOL: &str = "MemoryPool";

impl PoolArguments {
    fn new(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let by_name = kwargs.map_or(Ok(false), |kwargs| kwargs.contains("thread_pool"))?;
        let in_background =
            by_name || args.get_item(0).is_ok_and(|first| first.is_instance_of::<ThreadPool>());
        let number = |name, argument: &Option<_>| required::<Int<usize>>(POOL, name, argument);
        let ([lower, upper, max_free, initial, allocator], low_water) = if in_background {
            let names =
                ["thread_pool", "lower", "upper", "max_free", "initial", "low_water", "allocator"];
            let [pool, lower, upper, max_free, initial, low_water, allocator] =
                bind(POOL, names, args, kwargs)?;
            required::<PyRef<'_, ThreadPool>>(POOL, "thread_pool", &pool)?;
            let low_water = number("low_water", &low_water)?.0;
            ([lower, upper, max_free, initial, allocator], Some(low_water))
        } else {
            let names = ["lower", "upper", "max_free", "initial", "allocator"];
            (bind(POOL, names, args, kwargs)?, None)
        };
        let allocator: Option<PyRef<'_, MemoryAllocator>> = or_default(&allocator, None)?;
        let initial = number("initial", &initial)?.0;
        Ok(Self {
            lower: number("lower", &lower)?.0,
            upper: number("upper", &upper)?.0,
            // The reference keeps what it makes at first even if that is more.
            max_free: number("max_free", &max_free)?.0.max(initial),
            initial,
            low_water,
            inner: allocator.map_or_else(|| Ok(Arc::new(HeapAllocator) as _), |one| one.core())?,
        })
    }
}

#[pymethods]
impl MemoryPool {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyAny>,
        _kwargs: Option<&Bound<'_, PyAny>>,
    ) -> PyClassInitializer<Self> {
        let pool = Self { core: Late::default() };
        PyClassInitializer::from(MemoryAllocator::default()).add_subclass(pool)
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let PoolArguments { lower, upper, max_free, initial, low_water, inner } =
            PoolArguments::new(args, kwargs)?;
        let pool = slf.py().detach(|| CorePool::new(lower, upper, max_free, initial, inner));
        let pool = Arc::new(pool.map_err(|error| PyValueError::new_err(error.to_string()))?);
        let core: Arc<dyn Allocator> = match low_water {
            None => Arc::clone(&pool) as _,
            Some(low_water) => {
                let filling = Arc::default();
                let pool = Arc::clone(&pool);
                Arc::new(Filled { pool, low_water, goal: initial.max(low_water), filling })
            }
        };
        slf.as_super().get().core.init(core);
        slf.get().core.init(pool);
        Ok(())
    }

    /// Whether a warning is logged when the pool is empty (True).
    #[getter]
    fn warn_on_empty(&self) -> PyResult<bool> {
        Ok(self.core.get()?.warn_on_empty())
    }

    #[setter]
    fn set_warn_on_empty(&self, value: Truth) -> PyResult<()> {
        self.core.get()?.set_warn_on_empty(value.0);
        Ok(())
    }
}

/// A pool that a thread of its own fills up when it runs low. The thread is there only while it has
/// something to do: pages are touched on it that would otherwise hold up a stream.
struct Filled {
    pool: Arc<CorePool>,
    low_water: usize,
    goal: usize,
    filling: Arc<AtomicBool>,
}

impl Allocator for Filled {
    fn allocate(&self, len: usize) -> Result<Buffer, MemoryError> {
        let buffer = self.pool.allocate(len)?;
        if self.pool.free() < self.low_water && !self.filling.swap(true, Ordering::Acquire) {
            let (pool, filling, goal) = (Arc::clone(&self.pool), self.filling.clone(), self.goal);
            let filler = thread::Builder::new().name("speadway-pool".to_owned());
            let started = filler.spawn(move || {
                if let Err(error) = pool.fill(goal) {
                    log::warn!("cannot fill a memory pool: {error}");
                }
                filling.store(false, Ordering::Release);
            });
            if let Err(error) = started {
                self.filling.store(false, Ordering::Release);
                log::warn!("cannot start a thread to fill a memory pool: {error}");
            }
        }
        Ok(buffer)
    }
}

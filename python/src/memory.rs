//! `speadway.MemoryAllocator` and what allocates in other ways.

use std::sync::Arc;

use pyo3::prelude::*;
use speadway::memory::{Allocator, HeapAllocator};

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

    /// To be called from `__init__` of subclasses.
    pub(crate) fn init(&self, core: Arc<dyn Allocator>) {
        self.core.init(core);
    }

    /// One that is ready to use.
    pub(crate) fn make(py: Python<'_>) -> PyResult<Py<Self>> {
        let allocator = Self::default();
        allocator.init(Arc::new(HeapAllocator));
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
        self.init(Arc::new(HeapAllocator));
    }
}

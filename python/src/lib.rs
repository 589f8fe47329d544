//! The extension module of the Python package `speadway`: the native half of its classes.
//!
//! Each class has a file of its own. What several need is in `args` (conversion of arguments),
//! `buffers` (memory of Python objects), `enums` (Python's `enum`), `errors` (exceptions),
//! `lifetime` (the end of the interpreter, and forks), `logging`, `sockets` (Python's, and host
//! names) and `waiting` (without the GIL, but not without signals).

mod args;
mod buffers;
mod constants;
mod enums;
mod errors;
mod flavour;
mod inproc;
mod items;
mod lifetime;
mod logging;
mod memory;
mod patience;
mod raw_descriptor;
mod recv;
mod send;
mod sockets;
mod thread_pool;
mod throttle;
mod waiting;

use mimalloc::MiMalloc;
use pyo3::prelude::*;

/// Heaps are allocated on a worker and freed on a Python thread. The C library's allocator has the two
/// wait for each other at every heap (measured with heaps of 4 KiB: 12 µs a heap instead of 1).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Native half of the package `speadway`.
#[pymodule(gil_used = false)]
mod _speadway {
    #[pymodule_export]
    use super::errors::{Empty, Full, Stopped};
    #[pymodule_export]
    use super::flavour::Flavour;
    #[pymodule_export]
    use super::inproc::InprocQueue;
    #[pymodule_export]
    use super::items::{pack_bits, unpack_bits, update_items};
    #[pymodule_export]
    use super::lifetime::stop_all;
    #[pymodule_export]
    use super::logging::log_info;
    #[pymodule_export]
    use super::memory::{MemoryAllocator, MemoryPool, MmapAllocator, node_of_core};
    #[pymodule_export]
    use super::raw_descriptor::RawDescriptor;
    #[pymodule_export]
    use super::recv::recv;
    #[pymodule_export]
    use super::send::send;
    #[pymodule_export]
    use super::thread_pool::ThreadPool;
    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        constants::add(module)?;
        logging::start();
        // So that `from speadway._speadway.recv import ...` finds them.
        let modules = module.py().import("sys")?.getattr("modules")?;
        for name in ["recv", "send"] {
            modules.set_item(format!("speadway._speadway.{name}"), module.getattr(name)?)?;
        }
        Ok(())
    }
}

//! The extension module of the Python package `speadway`: the native half of its classes.
//!
//! Each class has a file of its own. What several need is in [`args`] (conversion of arguments),
//! [`enums`] (Python's `enum`), [`errors`] (exceptions), [`buffers`] (memory of Python objects), [`waiting`] (without the GIL, but
//! not without signals) and [`lifetime`] (the end of the interpreter).

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
mod raw_descriptor;
mod recv;
mod send;
mod sockets;
mod thread_pool;
mod throttle;
mod waiting;

use pyo3::prelude::*;

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
    use super::memory::{MemoryAllocator, MemoryPool, MmapAllocator};
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

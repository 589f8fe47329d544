//! `speadway.InprocQueue`.

use pyo3::prelude::*;
use speadway::recv::readers::InprocQueue as Core;

use crate::buffers::HeldBytes;
use crate::errors::Stopped;
use crate::waiting::Late;

/// A queue of packets within the process, from senders to a receive stream. It has no limit.
#[pyclass(module = "speadway", subclass, weakref, frozen)]
pub(crate) struct InprocQueue {
    core: Late<Core>,
}

impl InprocQueue {
    /// The queue as the library has it; clones are handles of the same queue.
    pub(crate) fn core(&self) -> PyResult<&Core> {
        self.core.get()
    }
}

#[pymethods]
impl InprocQueue {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { core: Late::default() }
    }

    fn __init__(&self) {
        self.core.init(Core::new());
    }

    /// Adds a copy of a packet. `Stopped` once the queue has been stopped.
    #[pyo3(signature = (packet, /))]
    fn add_packet(&self, packet: &Bound<'_, PyAny>) -> PyResult<()> {
        let bytes = HeldBytes::readable(packet)?;
        let added = self.core.get()?.add_packet(bytes.as_ref());
        added.map_err(|stopped| Stopped::new_err(stopped.to_string()))
    }

    /// Ends the queue: what is in it is still received, then the stream that reads it ends.
    fn stop(&self) -> PyResult<()> {
        self.core.get()?.stop();
        Ok(())
    }
}

//! `speadway.send.PacketGenerator`.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use speadway::send::Packets;

use super::heap::Heap;
use crate::args::Int;
use crate::errors::OrRaise;
use crate::waiting::Late;

/// The packets of a heap, one after the other, as `bytes`.
#[pyclass(module = "speadway.send", subclass, weakref, frozen)]
pub(crate) struct PacketGenerator {
    packets: Late<Mutex<Packets>>,
}

#[pymethods]
impl PacketGenerator {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { packets: Late::default() }
    }

    /// Divides `heap` into packets of at most `max_packet_size` bytes, as heap number `cnt`.
    /// ValueError if they are too small for it, or the number too large for its flavour.
    fn __init__(
        &self,
        heap: &Bound<'_, Heap>,
        cnt: Int<u64>,
        max_packet_size: Int<usize>,
    ) -> PyResult<()> {
        let core = heap.get().core()?;
        self.packets.init(Mutex::new(core.packets(cnt.0, max_packet_size.0).or_raise()?));
        Ok(())
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let mut packets = self.packets.get()?.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(packets.next().map(|packet| PyBytes::new(py, &packet)))
    }
}

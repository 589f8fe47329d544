//! `speadway.send.StreamConfig`.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use speadway::send::{
    DEFAULT_BURST_RATE_RATIO, DEFAULT_BURST_SIZE, DEFAULT_MAX_HEAPS, DEFAULT_MAX_PACKET_SIZE,
    SendConfig,
};

use super::enums::RateMethod;
use crate::args::{Int, set_keywords};

/// How a stream sends. All options are given by keyword, and are attributes that can be set; a
/// stream keeps a copy of what they were when it was made.
///
/// max_packet_size: the largest packet in bytes (1472), rounded down to a multiple of 8. The
///     network's own headers come on top.
/// rate: bytes of packets a second; 0 (the default) is as fast as it goes.
/// burst_size: bytes sent in one go before looking at the clock (65536).
/// max_heaps: heaps that may wait to be sent (4), those in lists included.
/// burst_rate_ratio: how much faster than the rate a stream may be to make up for delays (1.05).
/// rate_method: who keeps the rate. AUTO (the default) and SW are the stream's worker; HW is for
///     hardware that can, and is the same as SW elsewhere.
#[pyclass(module = "speadway.send", subclass, weakref, frozen)]
pub(crate) struct StreamConfig {
    options: Mutex<Options>,
}

/// What a `StreamConfig` holds.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    pub(crate) max_packet_size: usize,
    pub(crate) max_heaps: usize,
    rate: f64,
    burst_size: usize,
    burst_rate_ratio: f64,
    rate_method: RateMethod,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_packet_size: DEFAULT_MAX_PACKET_SIZE,
            max_heaps: DEFAULT_MAX_HEAPS,
            rate: 0.0,
            burst_size: DEFAULT_BURST_SIZE,
            burst_rate_ratio: DEFAULT_BURST_RATE_RATIO,
            rate_method: RateMethod::AUTO,
        }
    }
}

impl Options {
    /// The configuration of the library. Packets that are too small are not an error before a heap
    /// is sent.
    pub(crate) fn core(&self) -> SendConfig {
        SendConfig::default()
            .max_packet_size(self.max_packet_size.max(speadway::wire::MIN_PACKET_SIZE))
            .rate(self.rate)
            .burst_size(self.burst_size)
            .max_heaps(self.max_heaps)
            .burst_rate_ratio(self.burst_rate_ratio)
    }
}

impl StreamConfig {
    pub(crate) fn get(&self) -> Options {
        *self.options.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The options of `config`, or the defaults if there is none.
    pub(crate) fn options(config: Option<&Bound<'_, Self>>) -> Options {
        config.map_or_else(Options::default, |config| config.get().get())
    }

    fn change(&self, change: impl FnOnce(&mut Options)) {
        change(&mut self.options.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[pymethods]
impl StreamConfig {
    #[classattr]
    const DEFAULT_MAX_PACKET_SIZE: usize = DEFAULT_MAX_PACKET_SIZE;
    #[classattr]
    const DEFAULT_MAX_HEAPS: usize = DEFAULT_MAX_HEAPS;
    #[classattr]
    const DEFAULT_BURST_SIZE: usize = DEFAULT_BURST_SIZE;
    #[classattr]
    const DEFAULT_BURST_RATE_RATIO: f64 = DEFAULT_BURST_RATE_RATIO;

    #[classattr]
    #[pyo3(name = "DEFAULT_RATE_METHOD")]
    fn default_rate_method(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        RateMethod::AUTO.to_python(py)
    }

    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { options: Mutex::new(Options::default()) }
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        if !args.is_empty() {
            return Err(PyTypeError::new_err("options of a StreamConfig are given by keyword"));
        }
        set_keywords(slf, kwargs)
    }

    /// The largest packet in bytes.
    #[getter]
    fn max_packet_size(&self) -> usize {
        self.get().max_packet_size
    }

    #[setter]
    fn set_max_packet_size(&self, bytes: Int<usize>) {
        self.change(|options| options.max_packet_size = bytes.0);
    }

    /// Bytes of packets a second; 0 is as fast as it goes.
    #[getter]
    fn rate(&self) -> f64 {
        self.get().rate
    }

    #[setter]
    fn set_rate(&self, rate: f64) -> PyResult<()> {
        if !rate.is_finite() || rate < 0.0 {
            let message = format!("rate must be non-negative and finite, not {rate}");
            return Err(PyValueError::new_err(message));
        }
        self.change(|options| options.rate = rate);
        Ok(())
    }

    /// Bytes sent in one go before looking at the clock.
    #[getter]
    fn burst_size(&self) -> usize {
        self.get().burst_size
    }

    #[setter]
    fn set_burst_size(&self, bytes: Int<usize>) {
        self.change(|options| options.burst_size = bytes.0);
    }

    /// Heaps that may wait to be sent.
    #[getter]
    fn max_heaps(&self) -> usize {
        self.get().max_heaps
    }

    #[setter]
    fn set_max_heaps(&self, heaps: Int<usize>) -> PyResult<()> {
        if heaps.0 == 0 {
            return Err(PyValueError::new_err("max_heaps must be positive"));
        }
        self.change(|options| options.max_heaps = heaps.0);
        Ok(())
    }

    /// How much faster than the rate the stream may be to make up for delays.
    #[getter]
    fn burst_rate_ratio(&self) -> f64 {
        self.get().burst_rate_ratio
    }

    #[setter]
    fn set_burst_rate_ratio(&self, ratio: f64) -> PyResult<()> {
        if !ratio.is_finite() || ratio < 1.0 {
            let message = format!("burst_rate_ratio must be at least 1.0 and finite, not {ratio}");
            return Err(PyValueError::new_err(message));
        }
        self.change(|options| options.burst_rate_ratio = ratio);
        Ok(())
    }

    /// Bytes a second at which delays are made up for: `rate * burst_rate_ratio`.
    #[getter]
    fn burst_rate(&self) -> f64 {
        let options = self.get();
        options.rate * options.burst_rate_ratio
    }

    /// Who keeps the rate.
    #[getter]
    fn rate_method<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get().rate_method.to_python(py)
    }

    #[setter]
    fn set_rate_method(&self, method: &Bound<'_, PyAny>) -> PyResult<()> {
        let method = RateMethod::from_python(method)?;
        self.change(|options| options.rate_method = method);
        Ok(())
    }
}

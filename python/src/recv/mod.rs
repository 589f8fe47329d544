//! `speadway.recv`.

mod base;
mod config;
mod ibv;
mod readers;
mod ring_config;
mod stat_config;
mod stats;

use pyo3::prelude::*;

/// Receiving.
#[pymodule(gil_used = false)]
pub(crate) mod recv {
    #[pymodule_export]
    use super::base::StreamBase;
    #[pymodule_export]
    use super::config::StreamConfig;
    #[pymodule_export]
    use super::ibv::UdpIbvConfig;
    #[pymodule_export]
    use super::ring_config::RingStreamConfig;
    #[pymodule_export]
    use super::stat_config::StreamStatConfig;
    #[pymodule_export]
    use super::stats::StreamStats;
}

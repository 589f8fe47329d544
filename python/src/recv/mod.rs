//! `speadway.recv`.

mod base;
mod chunk;
mod chunk_ring;

use pyo3::prelude::*;

/// Receiving.
#[pymodule(gil_used = false)]
pub(crate) mod recv {
    #[pymodule_export]
    use super::base::StreamBase;
    #[pymodule_export]
    use super::chunk::Chunk;
    #[pymodule_export]
    use super::chunk_ring::ChunkRingbuffer;
}

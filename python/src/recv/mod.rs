//! `speadway.recv`.

mod attributes;
mod base;
mod chunk;
mod chunk_config;
mod chunk_exchange;
mod chunk_ring;
mod chunk_stream;
mod config;
mod group;
mod group_config;
mod heap;
mod layout;
mod outlet;
mod place;
mod raw_item;
mod readers;
mod ring_config;
mod stat_config;
mod stats;
mod stream;

pub(crate) use config::{MEMCPY_NONTEMPORAL, MEMCPY_STD};
pub(crate) use heap::Heap;
use pyo3::prelude::*;

/// Receiving.
#[pymodule(gil_used = false)]
pub(crate) mod recv {
    #[pymodule_export]
    use super::base::StreamBase;
    #[pymodule_export]
    use super::chunk::Chunk;
    #[pymodule_export]
    use super::chunk_config::ChunkStreamConfig;
    #[pymodule_export]
    use super::chunk_ring::ChunkRingbuffer;
    #[pymodule_export]
    use super::chunk_stream::ChunkRingStream;
    #[pymodule_export]
    use super::config::StreamConfig;
    #[pymodule_export]
    use super::group::{ChunkStreamGroupMember, ChunkStreamRingGroup};
    #[pymodule_export]
    use super::group_config::ChunkStreamGroupConfig;
    #[pymodule_export]
    use super::heap::{Heap, IncompleteHeap};
    #[pymodule_export]
    use super::layout::{Axis, Layout};
    #[pymodule_export]
    use super::raw_item::RawItem;
    #[pymodule_export]
    use super::ring_config::RingStreamConfig;
    #[pymodule_export]
    use super::stat_config::StreamStatConfig;
    #[pymodule_export]
    use super::stats::StreamStats;
    #[pymodule_export]
    use super::stream::Stream;
}

//! Receiving: streams, groups, their workers and readers.

mod chunk_sink;
mod config;
mod engine;
mod group;
mod heap_sink;
mod reader;
pub mod readers;
#[cfg(all(test, not(speadway_loom)))]
mod sim;
mod stats;
mod stream;
mod task;
mod worker;

pub use config::{
    ConfigError, DEFAULT_MAX_CHUNKS, DEFAULT_MAX_HEAP_SIZE, DEFAULT_MAX_HEAPS, DEFAULT_QUANTUM,
    StreamConfig, WindowSize,
};
pub use engine::Flow;
pub use group::{Group, GroupBuilder, Member};
pub use reader::{Inlet, ReadState, Reader, Watch};
pub use stats::StreamStats;
pub use stream::{ChunkStreamBuilder, HeapStreamBuilder, Stream};
pub use task::End;
pub use worker::{WaitStrategy, Worker, WorkerBuilder};

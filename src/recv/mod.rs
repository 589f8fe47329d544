//! Receiving: streams, groups, their workers and readers.
//!
//! A [`Stream`] takes packets from its [`readers`] and makes heaps or chunks of them, on a
//! [`Worker`]. A [`Group`] is several streams that fill one sequence of chunks. Both are described
//! by a builder, started, and then run until their sender or their sources end, or until they are
//! told to [`finish`](StreamHandle::finish) (everything received is delivered) or to
//! [`stop`](StreamHandle::stop) (at once).
//!
//! A stream that cannot go on (no free chunk, a full ring, a lossless group whose other members are
//! behind) is *parked*: it leaves its worker to the others and its packets to the kernel, and is
//! woken when there is room. Every park is counted, with its reason and time.

mod chunk_sink;
mod config;
mod control;
mod engine;
#[cfg(all(any(test, speadway_fuzz), not(speadway_loom)))]
#[doc(hidden)]
pub mod fuzz;
mod group;
mod heap_sink;
mod look;
mod reader;
pub mod readers;
mod rejects;
#[cfg(all(test, not(speadway_loom)))]
mod sim;
mod stats;
mod stream;
mod task;
mod timer;
mod worker;
#[cfg(all(any(test, speadway_fuzz), not(speadway_loom)))]
mod world;

pub use config::{
    ConfigError, DEFAULT_MAX_CHUNKS, DEFAULT_MAX_HEAP_SIZE, DEFAULT_MAX_HEAPS, DEFAULT_QUANTUM,
    StreamConfig, WindowSize,
};
pub use control::End;
pub use engine::Flow;
pub use group::{Group, GroupBuilder, Member};
pub(crate) use look::Look;
pub use reader::{Inlet, ReadState, Reader, Watch};
pub(crate) use stats::Counter;
pub use stats::StreamStats;
pub use stream::{ChunkStreamBuilder, HeapStreamBuilder, Stream, StreamHandle};
pub(crate) use worker::{Polled, Task, TaskCx, as_worker, on_worker, panic_message};
pub use worker::{WaitStrategy, Worker, WorkerBuilder};

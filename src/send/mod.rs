//! Sending: heaps to packets to transports.
//!
//! A [`SendStream`] runs on a [`Worker`](crate::recv::Worker), beside receive streams if you like.
//! [`Heap`]s wait in its queue; it divides them into packets (their payload is never copied where
//! the transport can take it from where it lies), keeps the rate, and hands them to a
//! [`transport`].

mod batch;
mod config;
mod heap;
mod pacer;
mod request;
mod stream;
mod task;
pub mod transport;

pub use config::{
    DEFAULT_BURST_RATE_RATIO, DEFAULT_BURST_SIZE, DEFAULT_DROP_TIMEOUT, DEFAULT_MAX_HEAPS,
    DEFAULT_MAX_PACKET_SIZE, Pacing, SendConfig, SendConfigError,
};
pub use heap::{Heap, Packets};
pub use request::{GroupMode, HeapRef, SendError, Ticket};
pub use stream::{SendStats, SendStream};

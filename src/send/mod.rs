//! Sending: heaps to packets to transports.
//!
//! A [`SendStream`] runs on a [`Worker`](crate::recv::Worker), beside receive streams if you like.
//! [`Heap`]s wait in its queue; it divides them into packets (their payload is never copied where
//! the transport can take it from where it lies), keeps the rate, and hands them to a
//! [`transport`].

mod active;
mod batch;
mod config;
mod departures;
mod heap;
#[cfg(all(test, speadway_loom))]
mod models;
mod pacer;
mod request;
mod seat;
mod shared;
mod stream;
mod task;
#[cfg(all(test, not(speadway_loom)))]
mod tests;
pub mod transport;
mod turn;

pub use config::{
    DEFAULT_BURST_RATE_RATIO, DEFAULT_BURST_SIZE, DEFAULT_DROP_TIMEOUT, DEFAULT_MAX_HEAPS,
    DEFAULT_MAX_PACKET_SIZE, Pacing, SendConfig, SendConfigError, SendThread,
};
pub use heap::{Heap, Packets};
pub use request::{GroupMode, HeapRef, SendError, Ticket};
pub use shared::SendStats;
pub use stream::SendStream;

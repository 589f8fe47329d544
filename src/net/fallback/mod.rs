//! What every Unix offers: one datagram a call. Through `socket2` alone.

pub(super) mod options;
pub(super) mod pacing;
mod recv;
mod send;

pub(super) use recv::Batch as Receives;
pub(super) use send::Batch as Sends;

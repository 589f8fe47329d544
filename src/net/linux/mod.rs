//! What Linux offers: many datagrams a call, trains of datagrams, counted drops.

pub(super) mod options;
pub(super) mod pacing;
mod recv;
mod send;
mod sockopt;

pub(super) use recv::Batch as Receives;
pub(super) use send::Batch as Sends;

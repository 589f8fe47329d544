//! What Linux offers: many datagrams a call, trains of datagrams, counted drops.

pub(super) mod options;
mod recv;

pub(super) use recv::Batch;

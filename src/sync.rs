//! The synchronisation primitives that the models replace.
//!
//! Code whose interleavings are model-checked (`RUSTFLAGS="--cfg speadway_loom"`) takes its mutexes
//! and atomics from here: loom's under the models, the standard library's otherwise.

#[cfg(speadway_loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
};
#[cfg(not(speadway_loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
};

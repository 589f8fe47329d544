//! Chunks, where heaps go in them, and the windows that hold them open.
//!
//! A stream holds the consecutive chunks of its *window* open, places the payload of heaps in them
//! as a [`Layout`] (or any [`Place`]) says, and hands each over when the window moves past it:
//!
//! * ids are consecutive; those before the first that is seen are opened too, so that the window is
//!   full, and ids that consumers see are strictly increasing;
//! * an id more than a window ahead hands over everything and starts there;
//! * an id before the window is too old, and counted.
//!
//! Chunks come from an [`Allocate`] and go to a [`Ready`]; a [`ChunkPool`] and a ring are both in
//! one ([`ring_exchange`]). Nothing here knows of sockets or threads.

mod consume;
mod data;
mod exchange;
mod gate;
mod group;
mod guard;
mod layout;
mod lone;
#[cfg(all(test, speadway_loom))]
mod models;
mod place;
mod pool;
mod view;
mod window;

pub use consume::{Chunks, Tally};
pub use data::{Chunk, Contribution};
pub(crate) use exchange::Cx;
pub use exchange::{
    Allocate, Allocation, ParkReason, Ready, RingAllocate, RingPolicy, RingReady, WhenEmpty,
    WhenFull, ring_exchange,
};
pub(crate) use gate::{Flush, Gate, GateGuard};
pub use group::{Eviction, GroupStats};
pub(crate) use group::{Group, GroupParts, JoinError, Laggard, MemberSupply, Units};
pub(crate) use guard::{JumpGuard, Verdict};
pub(crate) use layout::Division;
pub use layout::{Layout, LayoutBuilder, LayoutError};
pub(crate) use lone::Lone;
pub use place::{HeapContext, Place, Placement};
pub use pool::{ChunkPool, PoolError, PoolStats};
pub(crate) use view::ChunkView;
pub(crate) use window::{Reach, Supply, Window};

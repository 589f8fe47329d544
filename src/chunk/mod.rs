//! Chunks, where heaps go in them, and the windows that hold them open.
//!
//! Nothing here knows of sockets or threads. A [`Window`](window::Window) holds the consecutive
//! chunks that one stream has open; what is behind it (a lone stream's callbacks, or a group that
//! shares chunks among its members) is a [`Supply`](window::Supply).

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
pub(crate) use window::{Reach, Supply, Window};

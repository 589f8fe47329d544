//! Values of the stream control item, [`ids::STREAM_CTRL`](super::ids::STREAM_CTRL).

/// The stream starts.
pub const STREAM_START: u64 = 0;
/// The heap repeats descriptors sent earlier.
pub const DESCRIPTOR_REISSUE: u64 = 1;
/// The stream ends. The only value a receiver acts on.
pub const STREAM_STOP: u64 = 2;
/// The heap carries changed descriptors.
pub const DESCRIPTOR_UPDATE: u64 = 3;

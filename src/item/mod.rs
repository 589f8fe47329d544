//! Items.
mod bytes;
pub use bytes::Bytes;

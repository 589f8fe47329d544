//! The `chunk` layer.

//! The `recv` layer.

//! The `ring` layer.

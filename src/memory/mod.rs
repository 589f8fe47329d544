//! The `memory` layer.

//! Ending a ring with its last producer.

use super::Ring;
use crate::sync::Ordering;
use std::fmt;
use std::ops::Deref;

/// A registered producer of a ring; from [`Ring::producer`].
///
/// When the last registered producer is dropped, the ring [closes](Ring::close). A clone is another
/// registered producer. It dereferences to its [`Ring`], so push through it.
///
/// ```
/// use speadway::ring::{Ended, Ring};
///
/// let ring = Ring::new(4)?;
/// let first = ring.producer();
/// let second = first.clone();
/// first.push(1)?;
/// first.end();
/// second.push(2)?;
/// drop(second);
/// assert_eq!(ring.iter().collect::<Vec<_>>(), [1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping the last producer closes the ring"]
pub struct Producer<T> {
    ring: Ring<T>,
}

impl<T> Ring<T> {
    /// Register a producer: the ring closes when the last one registered is gone.
    ///
    /// A ring on which none was ever registered closes only by [`close`](Self::close). One may be
    /// registered on a closed ring; its pushes fail.
    pub fn producer(&self) -> Producer<T> {
        // Relaxed: the count orders nothing by itself; whoever holds a producer got it from a thread
        // that had already counted it.
        self.shared.producers.fetch_add(1, Ordering::Relaxed);
        Producer { ring: self.clone() }
    }
}

impl<T> Producer<T> {
    /// Nothing more will come from this producer. The same as dropping it.
    pub fn end(self) {}

    /// The ring it pushes to.
    pub fn ring(&self) -> &Ring<T> {
        &self.ring
    }
}

impl<T> Clone for Producer<T> {
    fn clone(&self) -> Self {
        self.ring.producer()
    }
}

impl<T> Deref for Producer<T> {
    type Target = Ring<T>;

    fn deref(&self) -> &Ring<T> {
        &self.ring
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        // Release: all this producer pushed; acquire: what the others did before they ended.
        if self.ring.shared.producers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ring.close();
        }
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Producer").field(&self.ring).finish()
    }
}

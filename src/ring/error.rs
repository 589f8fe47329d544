//! The ways a ring says no. Whatever could not be pushed is given back.

use std::error::Error;
use std::fmt;

/// A ring of this capacity cannot be made.
///
/// ```
/// use speadway::ring::{CapacityError, Ring};
///
/// assert_eq!(Ring::<u8>::new(0).unwrap_err(), CapacityError::Zero);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CapacityError {
    /// The capacity is 0.
    Zero,
    /// There is no memory for this many values.
    TooLarge {
        /// What was asked for, in values.
        capacity: usize,
    },
}

impl fmt::Display for CapacityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => {
                f.write_str("a ring needs a capacity of at least 1: a value is never handed over directly, it waits in the ring")
            }
            Self::TooLarge { capacity } => {
                write!(f, "no memory for a ring of {capacity} values: use a smaller capacity")
            }
        }
    }
}

impl Error for CapacityError {}

/// The ring is closed; here is the value that could not be pushed.
///
/// ```
/// use speadway::ring::{Closed, Ring};
///
/// let ring = Ring::new(1)?;
/// ring.close();
/// let Err(Closed(value)) = ring.push("chunk") else { unreachable!() };
/// assert_eq!(value, "chunk");
/// # Ok::<(), speadway::ring::CapacityError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Closed<T>(pub T);

impl<T> Closed<T> {
    /// The value that could not be pushed.
    pub fn into_inner(self) -> T {
        self.0
    }
}

// By hand, here and below: the value need not be `Debug` for the error to be.
impl<T> fmt::Debug for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed(..)")
    }
}

impl<T> fmt::Display for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ring is closed: it takes nothing more")
    }
}

impl<T> Error for Closed<T> {}

/// Why a push that does not wait (or not for ever) failed, with the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TryPushError<T> {
    /// The ring is full.
    Full(T),
    /// The ring is closed: no later push will succeed either.
    Closed(T),
}

impl<T> TryPushError<T> {
    /// The value that could not be pushed.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(value) | Self::Closed(value) => value,
        }
    }

    /// Whether a later push may succeed.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

impl<T> From<Closed<T>> for TryPushError<T> {
    fn from(Closed(value): Closed<T>) -> Self {
        Self::Closed(value)
    }
}

impl<T> fmt::Debug for TryPushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() { "Full(..)" } else { "Closed(..)" })
    }
}

impl<T> fmt::Display for TryPushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the ring is full: wait for a consumer, or use a larger ring",
            Self::Closed(_) => "the ring is closed: it takes nothing more",
        })
    }
}

impl<T> Error for TryPushError<T> {}

/// The ring is closed and everything in it has been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ring has ended: it is closed and everything in it has been taken")
    }
}

impl Error for Ended {}

/// Why a pop that does not wait (or not for ever) got nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryPopError {
    /// The ring is empty; something may still come.
    Empty,
    /// The ring is closed and everything in it has been taken.
    Ended,
}

impl From<Ended> for TryPopError {
    fn from(Ended: Ended) -> Self {
        Self::Ended
    }
}

impl fmt::Display for TryPopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the ring is empty: nothing has arrived yet"),
            Self::Ended => Ended.fmt(f),
        }
    }
}

impl Error for TryPopError {}

//! Choices of the library's, as words on the command line.

use clap::ValueEnum;
use speadway::chunk::Eviction;

/// [`Eviction`] on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EvictionChoice {
    /// The oldest chunk is handed over; who still fills it loses what is missing
    Eager,
    /// Who is ahead waits; nothing is lost while the sockets' buffers hold
    Lossless,
}

impl From<EvictionChoice> for Eviction {
    fn from(choice: EvictionChoice) -> Self {
        match choice {
            EvictionChoice::Eager => Self::Eager,
            EvictionChoice::Lossless => Self::Lossless,
        }
    }
}

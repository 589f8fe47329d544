//! What can go wrong when a socket is set up, and what to do about it.

use std::fmt;
use std::io;

/// An error from setting up a socket: what was attempted, what the system said, what to do.
///
/// Errors of the receive and send calls themselves are plain [`io::Error`]s.
#[derive(Debug)]
#[non_exhaustive]
pub enum NetError {
    /// The operating system refused a call.
    System {
        /// What was attempted, as in "bind UDP 0.0.0.0:7148".
        attempt: String,
        /// What the system answered.
        source: io::Error,
        /// What to do about it; empty if the answer says it all.
        advice: String,
    },
    /// No network interface of this host matches the one asked for.
    NoInterface {
        /// The interface asked for, as in "with the address 10.0.0.1".
        wanted: String,
        /// The interfaces there are, as in "lo (127.0.0.1), eth0 (192.0.2.2)".
        known: String,
    },
    /// An adopted file descriptor is not the kind of socket that is needed.
    WrongSocket {
        /// The kind needed, as in "an IPv4 or IPv6 UDP socket".
        wanted: &'static str,
        /// The kind found.
        found: String,
    },
    /// The configuration contradicts itself.
    BadConfig {
        /// The contradiction and how to resolve it.
        problem: String,
    },
}

impl NetError {
    pub(super) fn system(attempt: impl Into<String>, source: io::Error) -> Self {
        Self::System { attempt: attempt.into(), source, advice: String::new() }
    }

    pub(super) fn bad_config(problem: impl Into<String>) -> Self {
        Self::BadConfig { problem: problem.into() }
    }

    /// The same error with `text` as its advice, if the system's answer is of `kind`.
    pub(super) fn advise(mut self, kind: io::ErrorKind, text: &str) -> Self {
        if let Self::System { source, advice, .. } = &mut self
            && source.kind() == kind
        {
            *advice = text.to_owned();
        }
        self
    }

    /// The kind of error, in the terms of the standard library.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::System { source, .. } => source.kind(),
            Self::NoInterface { .. } => io::ErrorKind::NotFound,
            Self::WrongSocket { .. } | Self::BadConfig { .. } => io::ErrorKind::InvalidInput,
        }
    }

    /// The error number of the system, if the system refused a call.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::System { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { attempt, source, advice } if advice.is_empty() => {
                write!(f, "cannot {attempt}: {source}")
            }
            Self::System { attempt, source, advice } => {
                write!(f, "cannot {attempt}: {source}; {advice}")
            }
            Self::NoInterface { wanted, known } => {
                write!(f, "no network interface {wanted}; this host has {known}")
            }
            Self::WrongSocket { wanted, found } => {
                write!(f, "the file descriptor is {found}, but {wanted} is needed")
            }
            Self::BadConfig { problem } => f.write_str(problem),
        }
    }
}

impl std::error::Error for NetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<NetError> for io::Error {
    /// Keeps the kind and the text. The error number is then only inside: read it before with
    /// [`NetError::raw_os_error`] if it is needed.
    fn from(error: NetError) -> Self {
        Self::new(error.kind(), error)
    }
}

/// Adds what was attempted to an [`io::Result`].
pub(super) trait Attempt<T> {
    /// `what` is only built if there is an error.
    fn attempt<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, NetError>;
}

impl<T> Attempt<T> for io::Result<T> {
    fn attempt<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, NetError> {
        self.map_err(|source| NetError::system(what(), source))
    }
}

//! What can be wrong with a capture.

use std::fmt;
use std::io;

/// Why a capture cannot be read, or not to its end. The texts name the file, and the position in it.
#[derive(Debug)]
#[non_exhaustive]
pub enum PcapError {
    /// The file cannot be opened.
    Open {
        /// Its name.
        name: String,
        /// What the system answered.
        source: io::Error,
    },
    /// It does not start as a pcap or pcapng file does.
    NotACapture {
        /// Its name.
        name: String,
        /// What it seems to be, and what to do.
        found: &'static str,
    },
    /// The packets are wrapped in a way that is not understood.
    LinkType {
        /// The file's name.
        name: String,
        /// The link type, as numbered by tcpdump.org.
        link_type: u32,
    },
    /// The system cannot read the file any further.
    Read {
        /// Its name.
        name: String,
        /// Where, in bytes from the start.
        offset: u64,
        /// What the system answered.
        source: io::Error,
    },
    /// The file ends within a record.
    Cut {
        /// Its name.
        name: String,
        /// Where the record starts, in bytes.
        offset: u64,
    },
    /// What is there cannot be a record.
    Corrupt {
        /// The file's name.
        name: String,
        /// Where it starts, in bytes.
        offset: u64,
        /// What is wrong with it.
        problem: String,
    },
}

impl fmt::Display for PcapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { name, source } => write!(f, "cannot open {name}: {source}"),
            Self::NotACapture { name, found } => {
                write!(f, "{name} is no pcap or pcapng capture: {found}")
            }
            Self::LinkType { name, link_type } => write!(
                f,
                "{name} has link type {link_type}, which is not supported: capture Ethernet, \
                 Linux cooked, loopback or raw IP packets"
            ),
            Self::Read { name, offset, source } => {
                write!(f, "cannot read {name} at byte {offset}: {source}")
            }
            Self::Cut { name, offset } => write!(
                f,
                "{name} is cut short: it ends within the record that starts at byte {offset}"
            ),
            Self::Corrupt { name, offset, problem } => {
                write!(f, "{name} is damaged at byte {offset}: {problem}")
            }
        }
    }
}

impl std::error::Error for PcapError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open { source, .. } | Self::Read { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<PcapError> for io::Error {
    fn from(error: PcapError) -> Self {
        let kind = match &error {
            PcapError::Open { source, .. } | PcapError::Read { source, .. } => source.kind(),
            PcapError::Cut { .. } => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

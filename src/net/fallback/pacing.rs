//! Whether the kernel paces: not here.

use std::io;
use std::net::SocketAddr;

use super::super::pacing::Discipline;

pub(in super::super) fn outgoing(_destination: SocketAddr) -> io::Result<u32> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "pacing by the kernel is supported on Linux only",
    ))
}

pub(in super::super) fn discipline(_index: u32) -> io::Result<Option<(Discipline, u32)>> {
    Ok(None)
}

/// No clock, as there is no discipline that would go by it.
pub(in super::super) fn nanos(_discipline: Discipline) -> u64 {
    0
}

//! Whether the kernel paces: not here.

use std::io;
use std::net::SocketAddr;

pub(in super::super) fn outgoing(_destination: SocketAddr) -> io::Result<u32> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "pacing by the kernel is supported on Linux only",
    ))
}

pub(in super::super) fn paces(_index: u32) -> io::Result<bool> {
    Ok(false)
}

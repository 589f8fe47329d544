//! Whether the kernel would keep a rate, before it is asked to.

use std::io;
use std::net::SocketAddr;

use super::imp::pacing;
use super::interface::{Interface, interfaces};

/// Fails unless the interface that packets to `destination` leave from has the queueing discipline that
/// keeps rates: any socket accepts a rate, and on most interfaces nothing comes of it. `multicast` is
/// the interface chosen for multicast.
pub(crate) fn require_kernel_pacing(
    destination: SocketAddr,
    multicast: &Interface,
) -> io::Result<()> {
    let chosen = match destination.ip().is_multicast() {
        true => multicast.resolve().map_err(io::Error::other)?,
        false => 0,
    };
    let index = if chosen == 0 { pacing::outgoing(destination)? } else { chosen };
    if pacing::paces(index)? {
        return Ok(());
    }
    let named = interfaces()?.into_iter().find(|interface| interface.index == index);
    let name = named.map_or_else(|| format!("number {index}"), |interface| interface.name);
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        format!(
            "the interface {name} to {} does not pace: give it the fq queueing discipline \
             (tc qdisc replace dev {name} root fq), or do without kernel pacing",
            destination.ip()
        ),
    ))
}

//! Socket options where there is nothing but what `socket2` offers everywhere.

use std::io;
use std::net::IpAddr;

use socket2::Socket;

use super::super::Interface;
use super::super::pacing::Discipline;

/// The setting that limits buffers on the BSDs and macOS.
pub(in super::super) const RECV_LIMIT: &str = "kern.ipc.maxsockbuf";
pub(in super::super) const SEND_LIMIT: &str = RECV_LIMIT;

/// Below this, in bytes, a refused buffer size is reported instead of halved: every system grants
/// as much.
const BUFFER_MIN: usize = 64 * 1024;

pub(in super::super) fn recv_buffer(socket: &Socket) -> io::Result<usize> {
    socket.recv_buffer_size()
}

/// Asks for a receive buffer, and for less until it is granted: the BSDs refuse what is too much.
pub(in super::super) fn set_recv_buffer(socket: &Socket, bytes: usize) -> io::Result<()> {
    largest_granted(bytes, |bytes| socket.set_recv_buffer_size(bytes))
}

pub(in super::super) fn send_buffer(socket: &Socket) -> io::Result<usize> {
    socket.send_buffer_size()
}

/// As [`set_recv_buffer`], for the other direction.
pub(in super::super) fn set_send_buffer(socket: &Socket, bytes: usize) -> io::Result<()> {
    largest_granted(bytes, |bytes| socket.set_send_buffer_size(bytes))
}

fn largest_granted(mut bytes: usize, set: impl Fn(usize) -> io::Result<()>) -> io::Result<()> {
    loop {
        match set(bytes) {
            Err(_) if bytes / 2 >= BUFFER_MIN => bytes /= 2,
            result => return result,
        }
    }
}

pub(in super::super) fn gro(_socket: &Socket) -> bool {
    false
}

pub(in super::super) fn set_gro(_socket: &Socket, _on: bool) {}

pub(in super::super) fn gso(_socket: &Socket) -> bool {
    false
}

pub(in super::super) fn count_drops(_socket: &Socket) {}

pub(in super::super) fn drops(_socket: &Socket) -> io::Result<u32> {
    Err(unsupported("counting dropped packets"))
}

pub(in super::super) fn set_timestamps(_socket: &Socket) -> io::Result<()> {
    Err(unsupported("time-stamping packets"))
}

pub(in super::super) fn set_busy_poll(_socket: &Socket, _micros: u32) -> io::Result<()> {
    Err(unsupported("busy polling"))
}

pub(in super::super) fn set_max_pacing_rate(_socket: &Socket, _rate: u64) -> io::Result<()> {
    Err(unsupported("pacing by the kernel"))
}

pub(in super::super) fn set_departure_times(
    _socket: &Socket,
    _discipline: Discipline,
) -> io::Result<()> {
    Err(unsupported("pacing by departure times"))
}

pub(in super::super) fn only_own_groups(_socket: &Socket, _group: IpAddr) {}

/// Joins a group for the packets of one source; for IPv4 only.
pub(in super::super) fn join_source(
    socket: &Socket,
    group: IpAddr,
    source: IpAddr,
    interface: u32,
) -> io::Result<()> {
    let (IpAddr::V4(group), IpAddr::V4(source)) = (group, source) else {
        return Err(unsupported("choosing the source of an IPv6 group"));
    };
    let interface = Interface::Index(interface).resolve_v4()?;
    socket.join_ssm_v4(&source, &group, &interface)
}

fn unsupported(what: &str) -> io::Error {
    let text = format!("{what} is supported on Linux only");
    io::Error::new(io::ErrorKind::Unsupported, text)
}

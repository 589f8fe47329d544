//! Socket options as Linux knows them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use socket2::Socket;

use super::super::pacing::Discipline;
use super::sockopt::{get_option, set_option, to_c, zeroed};

/// The settings that limit the buffers of unprivileged processes.
pub(in super::super) const RECV_LIMIT: &str = "net.core.rmem_max";
pub(in super::super) const SEND_LIMIT: &str = "net.core.wmem_max";

/// Linux doubles the size asked for, to make room for its bookkeeping, and reports it doubled
/// (socket(7), `SO_RCVBUF`).
const DOUBLING: usize = 2;

/// The kernel computes twice the size in an `int` (`__sock_set_rcvbuf` in net/core/sock.c).
const BUFFER_MAX: usize = i32::MAX as usize / DOUBLING;

/// How many values `SO_MEMINFO` reports (`SK_MEMINFO_VARS` in linux/sock_diag.h).
const MEMINFO_VARS: usize = 9;

pub(in super::super) fn recv_buffer(socket: &Socket) -> io::Result<usize> {
    Ok(socket.recv_buffer_size()? / DOUBLING)
}

/// Asks for a receive buffer, first with the privilege to exceed the system's limit.
pub(in super::super) fn set_recv_buffer(socket: &Socket, bytes: usize) -> io::Result<()> {
    let bytes = bytes.min(BUFFER_MAX);
    let forced =
        set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes as libc::c_int);
    forced.or_else(|_| socket.set_recv_buffer_size(bytes))
}

/// Whether the kernel merges datagrams on this socket; false where it does not know how.
pub(in super::super) fn gro(socket: &Socket) -> bool {
    get_option::<libc::c_int>(socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO)
        .is_ok_and(|value| value != 0)
}

/// Asks for datagrams to be merged or not. A kernel that cannot (before 5.0) changes nothing.
pub(in super::super) fn set_gro(socket: &Socket, on: bool) {
    let value = libc::c_int::from(on);
    if let Err(error) = set_option(socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO, value) {
        log::debug!("UDP_GRO stays as it is: {error}");
    }
}

/// Has each received message carry the count of those dropped before it.
pub(in super::super) fn count_drops(socket: &Socket) {
    let on: libc::c_int = 1;
    if let Err(error) = set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RXQ_OVFL, on) {
        log::debug!("packets dropped by the kernel are not counted: {error}");
    }
}

/// How many messages the kernel has dropped on this socket since it was made, modulo 2^32.
pub(in super::super) fn drops(socket: &Socket) -> io::Result<u32> {
    let info: [u32; MEMINFO_VARS] = get_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO)?;
    Ok(info[libc::SK_MEMINFO_DROPS as usize])
}

pub(in super::super) fn set_timestamps(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, on)
}

pub(in super::super) fn set_busy_poll(socket: &Socket, micros: u32) -> io::Result<()> {
    socket.set_busy_poll(micros)
}

/// Limits the socket to the groups, interfaces and sources that it joined itself. Kernels before
/// 4.20 cannot for IPv6.
pub(in super::super) fn only_own_groups(socket: &Socket, group: IpAddr) {
    let result = match group {
        IpAddr::V4(_) => socket.set_multicast_all_v4(false),
        IpAddr::V6(_) => socket.set_multicast_all_v6(false),
    };
    if let Err(error) = result {
        log::debug!("packets of {group} that other sockets joined are received too: {error}");
    }
}

/// Joins a group for the packets of one source. An interface of 0 is chosen by the kernel.
pub(in super::super) fn join_source(
    socket: &Socket,
    group: IpAddr,
    source: IpAddr,
    interface: u32,
) -> io::Result<()> {
    let mut request = zeroed::<libc::group_source_req>();
    request.gsr_interface = interface;
    request.gsr_group = to_c(SocketAddr::new(group, 0));
    request.gsr_source = to_c(SocketAddr::new(source, 0));
    let level = if group.is_ipv4() { libc::IPPROTO_IP } else { libc::IPPROTO_IPV6 };
    set_option(socket.as_fd(), level, libc::MCAST_JOIN_SOURCE_GROUP, request)
}

pub(in super::super) fn send_buffer(socket: &Socket) -> io::Result<usize> {
    Ok(socket.send_buffer_size()? / DOUBLING)
}

/// Asks for a send buffer, first with the privilege to exceed the system's limit.
pub(in super::super) fn set_send_buffer(socket: &Socket, bytes: usize) -> io::Result<()> {
    let bytes = bytes.min(BUFFER_MAX);
    let forced =
        set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, bytes as libc::c_int);
    forced.or_else(|_| socket.set_send_buffer_size(bytes))
}

/// Whether the kernel splits trains (since 4.18). An older one must not be handed any: it would
/// ignore the segment size and send one huge packet.
pub(in super::super) fn gso(socket: &Socket) -> bool {
    get_option::<libc::c_int>(socket.as_fd(), libc::SOL_UDP, libc::UDP_SEGMENT).is_ok()
}

/// The kernel takes an `unsigned long` (32 bits before 5.0).
pub(in super::super) fn set_max_pacing_rate(socket: &Socket, rate: u64) -> io::Result<()> {
    let rate = libc::c_ulong::try_from(rate).unwrap_or(libc::c_ulong::MAX);
    set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, rate)
}

/// Lets each message carry the time at which it is to leave (since 4.19), by the clock of `discipline`.
/// For that of `etf` it takes `CAP_NET_ADMIN`.
pub(in super::super) fn set_departure_times(
    socket: &Socket,
    discipline: Discipline,
) -> io::Result<()> {
    let mut value = zeroed::<libc::sock_txtime>();
    value.clockid = match discipline {
        Discipline::Fq => libc::CLOCK_MONOTONIC,
        Discipline::Etf => libc::CLOCK_TAI,
    };
    set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_TXTIME, value)
}

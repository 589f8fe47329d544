//! What `socket2` does not offer on any system, and C socket addresses.
#![allow(unsafe_code)]

use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Turns the -1 of a system call into the error it stands for.
pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Whether a read (or an accept) would find something, an error included, without blocking.
pub(super) fn is_readable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one `pollfd`, as the count says, that lives across the call.
    match check(unsafe { libc::poll(&raw mut poll, 1, 0) }) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        ready => ready.map(|count| count > 0),
    }
}

/// Receives what is there from a connected socket, as many bytes as fit, without blocking even if
/// the socket does: `WouldBlock` if nothing is there, 0 bytes at the end.
pub(crate) fn recv_now(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        // SAFETY: the pointer and the length are those of a buffer that lives across the call.
        let result = unsafe {
            libc::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT)
        };
        match usize::try_from(result) {
            Ok(count) => return Ok(count),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// The address that a C socket address holds, if it is of an IP family.
///
/// # Safety
/// `address` is null or points to a whole socket address of the family it states.
pub(super) unsafe fn from_c(address: *const libc::sockaddr) -> Option<SocketAddr> {
    // SAFETY: null or valid, as the caller promises.
    match libc::c_int::from(unsafe { address.as_ref() }?.sa_family) {
        libc::AF_INET => {
            // SAFETY: the family says that a whole `sockaddr_in` is there.
            let v4 = unsafe { ptr::read_unaligned(address.cast::<libc::sockaddr_in>()) };
            let port = u16::from_be(v4.sin_port);
            Some(SocketAddr::from((v4.sin_addr.s_addr.to_ne_bytes(), port)))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that a whole `sockaddr_in6` is there.
            let v6 = unsafe { ptr::read_unaligned(address.cast::<libc::sockaddr_in6>()) };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

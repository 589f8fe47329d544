//! Socket options that `socket2` does not offer, by number.
#![allow(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::super::raw::check;

/// Marks the C types that may be handed to the kernel as the bytes they consist of.
///
/// # Safety
/// Every bit pattern must be a valid value, and no byte may be left uninitialised when a value is
/// built by [`zeroed`] and field assignment.
pub(super) unsafe trait Plain: Copy {}

// SAFETY: integers and arrays of them; any bits are a value.
unsafe impl Plain for libc::c_int {}
// SAFETY: as above.
unsafe impl Plain for libc::c_ulong {}
// SAFETY: as above.
unsafe impl<const N: usize> Plain for [u32; N] {}
// SAFETY: as above, with padding that `zeroed` initialises.
unsafe impl Plain for libc::sockaddr_storage {}
// SAFETY: a C struct of integers and byte arrays; any bits are a value.
unsafe impl Plain for libc::group_source_req {}
// SAFETY: two integers.
unsafe impl Plain for libc::sock_txtime {}

/// A value of all-zero bytes, padding included.
pub(super) fn zeroed<T: Plain>() -> T {
    // SAFETY: `Plain` promises that any bit pattern, so also all zeros, is a valid value.
    unsafe { std::mem::zeroed() }
}

/// `setsockopt` with a value of a plain C type.
pub(super) fn set_option<T: Plain>(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: T,
) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `value`, which lives across the call; the
    // kernel only reads it.
    let result =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), len) };
    check(result).map(drop)
}

/// `getsockopt` of a plain C type; bytes the kernel does not fill stay zero.
pub(super) fn get_option<T: Plain>(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<T> {
    let mut value = zeroed::<T>();
    let mut len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `value`, which lives across the call, and any
    // bytes the kernel may write there are a valid `T` (`Plain`).
    let result = unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut len)
    };
    check(result).map(|_| value)
}

/// An address as the C socket address that holds any family.
pub(super) fn to_c(address: SocketAddr) -> libc::sockaddr_storage {
    let address = socket2::SockAddr::from(address);
    let mut storage = zeroed::<libc::sockaddr_storage>();
    // SAFETY: `as_ptr` is valid for `len` bytes, which is no more than the storage holds, and the
    // two do not overlap.
    unsafe {
        ptr::copy_nonoverlapping(
            address.as_ptr().cast::<u8>(),
            (&raw mut storage).cast::<u8>(),
            address.len() as usize,
        );
    }
    storage
}

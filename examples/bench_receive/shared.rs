//! Memory that is a file too, so that the kernel sends its pages and copies nothing.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::{self, NonNull};
use std::slice;

/// The smallest page there is. What starts on a page is not cut at its end.
pub(crate) const PAGE: usize = 4096;

pub(crate) struct Shared {
    file: File,
    start: NonNull<u8>,
    len: usize,
}

impl Shared {
    /// `len` zeros, in pages that are there.
    pub(crate) fn new(len: usize) -> io::Result<Self> {
        // SAFETY: the name is a C string.
        let descriptor = unsafe { libc::memfd_create(c"packets".as_ptr(), libc::MFD_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new, open and nobody else's.
        let file = unsafe { File::from_raw_fd(descriptor) };
        file.set_len(len as u64)?;
        let (access, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
        // SAFETY: a mapping at an address of the kernel's choice touches no other memory.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, descriptor, 0) };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => {
                Ok(Self { file, start, len })
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is `len` bytes of a file that is never shorter, and borrowed with this
        // value. What the kernel still sends of it, it only reads.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// Sends some of the bytes as one message. They must stay as they are until it has been received.
    pub(crate) fn send(&self, socket: &UdpSocket, at: usize, len: usize) -> io::Result<usize> {
        let mut offset = libc::off_t::try_from(at).map_err(io::Error::other)?;
        // SAFETY: the kernel reads and writes the offset, which lives across the call.
        let sent = unsafe {
            libc::sendfile(socket.as_raw_fd(), self.file.as_raw_fd(), &raw mut offset, len)
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever used its bytes had borrowed this value.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

//! What the standard library does not offer of the system.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;

/// CPU seconds of this process so far, in user and in kernel mode.
pub(crate) fn cpu_seconds() -> f64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to room for a `rusage`, which is all that the call writes; zeros are
    // a valid one if it fails.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Sets an option whose value is a number.
pub(crate) fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: pointer and length describe `value`, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), len)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Memory for the messages of one receive call.
pub(crate) struct Messages {
    memory: Vec<u8>,
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    controls: Vec<[u64; CONTROL_WORDS]>,
}

/// Bytes of a slot: more than an IP packet can have.
const SLOT: usize = 65536;
/// A slot starts so far into a page.
const OFF_PAGE: usize = 64;
/// Room for one control message with a number.
const CONTROL_WORDS: usize = 4;

impl Messages {
    pub(crate) fn new(count: usize) -> Self {
        // SAFETY: C structs of integers and pointers, of which zeros are a valid value.
        let header = unsafe { MaybeUninit::<libc::mmsghdr>::zeroed().assume_init() };
        Self {
            memory: vec![0; count * 2 * SLOT],
            headers: vec![header; count],
            vectors: vec![libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; count],
            controls: vec![[0; CONTROL_WORDS]; count],
        }
    }

    /// Waits for messages; how many came.
    pub(crate) fn receive(&mut self, socket: &impl AsRawFd) -> io::Result<usize> {
        for (slot, header) in self.headers.iter_mut().enumerate() {
            let start = slot * (SLOT + OFF_PAGE) + OFF_PAGE;
            let memory = &mut self.memory[start..start + SLOT];
            self.vectors[slot] =
                libc::iovec { iov_base: memory.as_mut_ptr().cast(), iov_len: memory.len() };
            header.msg_hdr.msg_iov = &raw mut self.vectors[slot];
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = self.controls[slot].as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = size_of_val(&self.controls[slot]) as _;
        }
        // SAFETY: every header was just pointed at memory of this value, with its length, and a
        // null timeout is allowed.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as _,
                libc::MSG_WAITFORONE as _,
                ptr::null_mut(),
            )
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    /// The bytes of message `slot`, and the size of the datagrams in it.
    pub(crate) fn message(&self, slot: usize) -> (&[u8], usize) {
        let header = &self.headers[slot];
        let start = slot * (SLOT + OFF_PAGE) + OFF_PAGE;
        let bytes = &self.memory[start..start + header.msg_len as usize];
        let mut segment = bytes.len();
        // SAFETY: the control buffer and its length are as the kernel left them.
        let control = unsafe { libc::CMSG_FIRSTHDR(&raw const header.msg_hdr) };
        // SAFETY: null, or a whole control message in the buffer.
        if let Some(message) = unsafe { control.as_ref() }
            && (message.cmsg_level, message.cmsg_type) == (libc::SOL_UDP, libc::UDP_GRO)
        {
            // SAFETY: the kernel passes the size as an int.
            let size = unsafe { ptr::read_unaligned(libc::CMSG_DATA(control).cast::<i32>()) };
            segment = usize::try_from(size).unwrap_or(segment);
        }
        (bytes, segment.max(1))
    }
}

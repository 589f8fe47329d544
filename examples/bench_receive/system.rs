//! What the standard library does not offer of the system.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;

use speadway::chunk::Chunk;

use crate::copy::{CopyMode, copy};
use crate::load::HEADER;

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

/// Copies payload as the library does past the caches.
#[inline]
pub(crate) fn copy_past_caches(from: &[u8], to: &mut [u8]) {
    assert!(from.len() == to.len());
    // SAFETY: both are of one length, and `to` is borrowed exclusively.
    unsafe { copy(from, to.as_mut_ptr(), CopyMode::NonTemporal) };
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
        (bytes, segment(header, bytes.len()))
    }
}

/// The size of the datagrams of a message of `len` bytes that was received.
///
/// The control buffer that it points to must be live.
fn segment(header: &libc::mmsghdr, len: usize) -> usize {
    let mut segment = len;
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
    segment.max(1)
}

/// Where a payload goes: a part of a chunk.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) chunk: usize,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// Memory for what is no payload of the messages of one receive call, whose payloads go straight
/// to chunks.
pub(crate) struct Scatter {
    headers: Vec<libc::mmsghdr>,
    slots: Vec<Pieces>,
}

/// Of one message: headers, then whatever comes behind the payloads that were expected.
struct Pieces {
    headers: Vec<[u8; HEADER]>,
    spill: Vec<u8>,
    vectors: Vec<libc::iovec>,
    control: [u64; CONTROL_WORDS],
}

/// A message that was received in pieces.
pub(crate) struct Scattered<'a> {
    pub(crate) len: usize,
    /// The size of its datagrams.
    pub(crate) segment: usize,
    /// Whether it was longer than there was room.
    pub(crate) cut: bool,
    pub(crate) headers: &'a [[u8; HEADER]],
    spill: &'a [u8],
}

impl Scatter {
    pub(crate) fn new(count: usize) -> Self {
        // SAFETY: C structs of integers and pointers, of which zeros are a valid value.
        let header = unsafe { MaybeUninit::<libc::mmsghdr>::zeroed().assume_init() };
        let pieces = || Pieces {
            headers: Vec::new(),
            spill: vec![0; SLOT],
            vectors: Vec::new(),
            control: [0; CONTROL_WORDS],
        };
        Self { headers: vec![header; count], slots: (0..count).map(|_| pieces()).collect() }
    }

    /// Waits for messages, whose payloads go to these places; how many came.
    pub(crate) fn receive(
        &mut self,
        socket: &impl AsRawFd,
        chunks: &mut [Chunk],
        places: &[Vec<Place>],
    ) -> io::Result<usize> {
        for ((header, pieces), places) in self.headers.iter_mut().zip(&mut self.slots).zip(places) {
            pieces.aim(chunks, places);
            header.msg_hdr.msg_iov = pieces.vectors.as_mut_ptr();
            header.msg_hdr.msg_iovlen = pieces.vectors.len() as _;
            header.msg_hdr.msg_control = pieces.control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = size_of_val(&pieces.control) as _;
        }
        // SAFETY: every header was just pointed at memory of this value, and at parts of chunks
        // that are borrowed until the end, and a null timeout is allowed.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                places.len().min(self.headers.len()) as _,
                libc::MSG_WAITFORONE as _,
                ptr::null_mut(),
            )
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    pub(crate) fn message(&self, slot: usize) -> Scattered<'_> {
        let (header, pieces) = (&self.headers[slot], &self.slots[slot]);
        let len = header.msg_len as usize;
        Scattered {
            len,
            segment: segment(header, len),
            cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            headers: &pieces.headers,
            spill: &pieces.spill,
        }
    }
}

impl Pieces {
    /// Makes the vectors of a message whose payloads are to go to these places.
    fn aim(&mut self, chunks: &mut [Chunk], places: &[Place]) {
        let vector = |bytes: &mut [u8]| libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        self.headers.resize(places.len().max(self.headers.len()), [0; HEADER]);
        self.vectors.clear();
        for (place, header) in places.iter().zip(&mut self.headers) {
            let payload = &mut chunks[place.chunk].data_mut()[place.start..place.start + place.len];
            self.vectors.extend([vector(header), vector(payload)]);
        }
        self.vectors.push(vector(&mut self.spill));
    }
}

impl Scattered<'_> {
    /// The bytes of the message in order, from where its pieces are.
    pub(crate) fn gather(&self, chunks: &mut [Chunk], places: &[Place], into: &mut Vec<u8>) {
        into.clear();
        for (place, header) in places.iter().zip(self.headers) {
            into.extend_from_slice(header);
            let payload = &chunks[place.chunk].data_mut()[place.start..place.start + place.len];
            into.extend_from_slice(payload);
        }
        into.extend_from_slice(self.spill);
        into.truncate(self.len);
    }
}

//! `recvmmsg` into the staging memory.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::{Duration, SystemTime};

use socket2::Socket;

use super::super::raw::from_c;
use super::super::receiver::{Drops, ReceiveBatch, Wanted};
use super::super::staging::{Message, Staging};
use super::sockopt::zeroed;

/// Room for the control messages of one received message, in bytes. Ours take 80 (`UDP_GRO`,
/// `SO_RXQ_OVFL` and `SCM_TIMESTAMPNS` of 24, 24 and 32); an adopted socket may have more options
/// on (`IP_PKTINFO`, `IP_TOS`, ...). The kernel writes those after ours, so none of ours is lost
/// if they do not fit.
const CONTROL_LEN: usize = 256;

/// Control messages start with a `cmsghdr`, whose alignment is at most that of a `u64`.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_LEN]);

/// The arrays that one `recvmmsg` call takes, allocated once.
///
/// Their pointers are written right before each call and used by nothing after it, so the arrays
/// and the staging memory may move in between.
pub(in super::super) struct Batch {
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    controls: Box<[Control]>,
    names: Box<[libc::sockaddr_storage]>,
    wanted: Wanted,
    drops: Drops,
}

// SAFETY: the pointers that keep the arrays from being `Send` are dead between calls (above).
unsafe impl Send for Batch {}

impl Batch {
    pub(in super::super) fn new(slots: usize, wanted: Wanted, drops: Drops) -> Self {
        let vector = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        // SAFETY: a C struct of integers and pointers, of which all zeros is a valid value.
        let header = unsafe { MaybeUninit::<libc::mmsghdr>::zeroed().assume_init() };
        Self {
            headers: vec![header; slots].into(),
            vectors: vec![vector; slots].into(),
            controls: vec![Control([0; CONTROL_LEN]); slots].into(),
            names: vec![zeroed(); if wanted.source { slots } else { 0 }].into(),
            wanted,
            drops,
        }
    }

    /// Points every header at its slot. The kernel overwrites the lengths, so they are set anew.
    fn prepare(&mut self, staging: &mut Staging) {
        for (slot, header) in self.headers.iter_mut().enumerate() {
            let memory = staging.slot_mut(slot);
            self.vectors[slot].iov_base = memory.as_mut_ptr().cast();
            self.vectors[slot].iov_len = memory.len();
            let header = &mut header.msg_hdr;
            header.msg_iov = &raw mut self.vectors[slot];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut self.controls[slot]).cast();
            header.msg_controllen = CONTROL_LEN as _;
            if let Some(name) = self.names.get_mut(slot) {
                header.msg_name = ptr::from_mut(name).cast();
                header.msg_namelen = size_of::<libc::sockaddr_storage>() as _;
            }
        }
    }

    /// One call. Returns how many headers were filled; 0 if nothing was waiting.
    fn call(&mut self, socket: &Socket) -> io::Result<usize> {
        loop {
            // SAFETY: `prepare` has just pointed every header at memory that this thread holds
            // exclusively and that lives across the call: one vector, one control buffer and
            // possibly one name each, with their true lengths. A null timeout is allowed.
            let count = unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    self.headers.as_mut_ptr(),
                    self.headers.len() as _,
                    libc::MSG_DONTWAIT as _,
                    ptr::null_mut(),
                )
            };
            if let Ok(count) = usize::try_from(count) {
                return Ok(count);
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Ok(0),
                _ => return Err(error),
            }
        }
    }

    /// What the kernel says about the message in `slot`.
    fn message(&mut self, slot: usize) -> Message {
        let header = &self.headers[slot];
        let mut message = Message {
            len: header.msg_len as usize,
            cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            ..Message::default()
        };
        if let Some(name) = self.names.get(slot) {
            // SAFETY: the kernel has stored a whole address of the family it states, or left
            // the zeros of `AF_UNSPEC` there.
            message.source = unsafe { from_c(ptr::from_ref(name).cast()) };
        }
        self.read_controls(slot, &mut message);
        message
    }

    fn read_controls(&mut self, slot: usize, message: &mut Message) {
        let header = &raw const self.headers[slot].msg_hdr;
        // SAFETY: the header's control buffer and its length are as the kernel left them.
        let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
        // SAFETY: `next` is null or a whole control message header within the buffer.
        while let Some(control) = unsafe { next.as_ref() } {
            match (control.cmsg_level, control.cmsg_type) {
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    // SAFETY: the kernel passes the segment size as an int (`udp_cmsg_recv`).
                    let size = unsafe { data::<libc::c_int>(next) };
                    message.segment = usize::try_from(size).unwrap_or(0);
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    // SAFETY: the kernel passes its count as a u32 (`sock_recv_drops`).
                    self.drops.observe(unsafe { data::<u32>(next) });
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) if self.wanted.time => {
                    // SAFETY: the kernel passes a timespec (`__sock_recv_timestamp`).
                    message.time = system_time(unsafe { data::<libc::timespec>(next) });
                }
                _ => {}
            }
            // SAFETY: `header` and `next` are the buffer's and a control message in it.
            next = unsafe { libc::CMSG_NXTHDR(header, next) };
        }
    }
}

/// The value that a control message carries.
///
/// # Safety
/// `control` is a whole control message whose data is a `T`, of which any bits are a value.
unsafe fn data<T: Copy>(control: *const libc::cmsghdr) -> T {
    // SAFETY: as the caller promises; the data may be less aligned than `T` asks for.
    unsafe { ptr::read_unaligned(libc::CMSG_DATA(control).cast::<T>()) }
}

fn system_time(time: libc::timespec) -> Option<SystemTime> {
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let nanos = u32::try_from(time.tv_nsec).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

impl ReceiveBatch for Batch {
    fn receive(&mut self, socket: &Socket, staging: &mut Staging) -> io::Result<()> {
        self.prepare(staging);
        for slot in 0..self.call(socket)? {
            let message = self.message(slot);
            staging.push(message);
        }
        Ok(())
    }

    fn drops(&mut self) -> &mut Drops {
        &mut self.drops
    }

    fn total_drops(&self) -> u64 {
        self.drops.total()
    }
}

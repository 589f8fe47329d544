//! `sendmmsg`, with packets of equal size in trains (`UDP_SEGMENT`), and with times at which they leave
//! (`SCM_TXTIME`).
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;

use socket2::{SockAddr, Socket};

use super::super::pacing::MESSAGES_AHEAD;
use super::super::sender::{PacketParts, SendBatch, TRAIN_BYTES, TRAIN_PACKETS};

/// Messages per call. More gain nothing: the cost of the call is spread thin by then.
const MESSAGES: usize = 64;

/// The most vectors of one message (`UIO_MAXIOV`).
const TRAIN_VECTORS: usize = 1024;

/// How much later than the first packet of a train, in nanoseconds, others of it might have left: less
/// than 1 ms, as for TCP (`sk_pacing_shift` in net/core/sock.c).
const TRAIN_NANOS: u64 = 1_000_000;

/// The bytes of control messages that carry a `u16` and a `u64`, as `CMSG_SPACE` counts them.
const CONTROL_LEN: usize = space(size_of::<u16>()) + space(size_of::<u64>());

const fn space(value: usize) -> usize {
    // SAFETY: it only computes.
    unsafe { libc::CMSG_SPACE(value as u32) as usize }
}

/// Control messages start with a `cmsghdr`, whose alignment is at most that of a `u64`.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_LEN]);

/// Packets that go to the kernel as one message: `packets` of `size` bytes, the last of which may
/// be shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Train {
    packets: usize,
    size: usize,
    vectors: usize,
    /// When it leaves, if not at once.
    departure: Option<u64>,
}

impl Train {
    /// The longest train that `packets`, which are not empty, start with. Packets of more than
    /// `limit` bytes go alone. With `departures`, those of a train are close to each other.
    fn starting(packets: &[PacketParts<'_>], departures: &[u64], limit: usize) -> Self {
        let size = packets[0].len();
        let departure = departures.first().copied();
        let mut train = Self { packets: 1, size, vectors: vectors(&packets[0]), departure };
        if size == 0 || size > limit {
            return train;
        }
        let mut most = TRAIN_PACKETS.min(TRAIN_BYTES / size);
        if let Some(first) = departure {
            let close = |at: &&u64| at.saturating_sub(first) < TRAIN_NANOS;
            most = departures.iter().take(most).take_while(close).count();
        }
        for packet in packets.iter().take(most).skip(1) {
            let (len, vectors) = (packet.len(), train.vectors + vectors(packet));
            if len > size || len == 0 || vectors > TRAIN_VECTORS {
                break;
            }
            train = Self { packets: train.packets + 1, vectors, ..train };
            if len < size {
                break;
            }
        }
        train
    }
}

fn vectors(packet: &PacketParts<'_>) -> usize {
    2 + packet.more.len()
}

/// The arrays that one `sendmmsg` call takes, allocated once.
///
/// Their pointers are written right before each call and used by nothing after it.
pub(in super::super) struct Batch {
    headers: Box<[libc::mmsghdr]>,
    controls: Box<[Control]>,
    vectors: Vec<libc::iovec>,
    trains: Vec<Train>,
    /// Packets of up to this size go in trains; 0 if none do.
    limit: usize,
}

// SAFETY: the pointers that keep the arrays from being `Send` are dead between calls (above).
unsafe impl Send for Batch {}

impl Batch {
    pub(in super::super) fn new(gso: bool) -> Self {
        // SAFETY: a C struct of integers and pointers, of which all zeros is a valid value.
        let header = unsafe { MaybeUninit::<libc::mmsghdr>::zeroed().assume_init() };
        Self {
            headers: vec![header; MESSAGES].into(),
            controls: vec![Control([0; CONTROL_LEN]); MESSAGES].into(),
            vectors: Vec::with_capacity(MESSAGES * 2),
            trains: Vec::with_capacity(MESSAGES),
            limit: if gso { TRAIN_BYTES } else { 0 },
        }
    }

    /// Fills the arrays for the first of `packets`, as many as `messages` take.
    fn prepare(
        &mut self,
        mut packets: &[PacketParts<'_>],
        mut departures: &[u64],
        destination: Option<&SockAddr>,
        messages: usize,
    ) {
        self.trains.clear();
        self.vectors.clear();
        while !packets.is_empty() && self.trains.len() < messages {
            let train = Train::starting(packets, departures, self.limit);
            let (these, rest) = packets.split_at(train.packets);
            departures = departures.get(train.packets..).unwrap_or_default();
            for packet in these {
                self.vectors.extend([vector(packet.header), vector(packet.payload)]);
                self.vectors.extend(packet.more.iter().map(|piece| vector(piece)));
            }
            self.trains.push(train);
            packets = rest;
        }
        self.point(destination);
    }

    /// Points the headers at their vectors, now that these do not move any more.
    fn point(&mut self, destination: Option<&SockAddr>) {
        let mut vectors = self.vectors.as_mut_slice();
        let messages = self.headers.iter_mut().zip(self.controls.iter_mut());
        for (train, (header, control)) in self.trains.iter().zip(messages) {
            let (these, rest) = vectors.split_at_mut(train.vectors);
            vectors = rest;
            let header = &mut header.msg_hdr;
            header.msg_iov = these.as_mut_ptr();
            header.msg_iovlen = these.len() as _;
            // The kernel only reads the destination, though its C type does not say so.
            header.msg_name = destination.map_or(ptr::null_mut(), |address| {
                address.as_ptr().cast::<libc::c_void>().cast_mut()
            });
            header.msg_namelen = destination.map_or(0, SockAddr::len);
            header.msg_control = ptr::null_mut();
            header.msg_controllen = 0;
            if train.packets > 1 {
                // A train's packets are no longer than `TRAIN_BYTES`, which fits.
                let size = (train.size as u16).to_ne_bytes();
                add_control(header, control, (libc::SOL_UDP, libc::UDP_SEGMENT), size);
            }
            if let Some(departure) = train.departure {
                let departure = departure.to_ne_bytes();
                add_control(header, control, (libc::SOL_SOCKET, libc::SCM_TXTIME), departure);
            }
        }
    }

    /// One call. Returns how many messages were sent.
    ///
    /// # Safety
    /// What the arrays were filled from still lives.
    unsafe fn call(&mut self, socket: &Socket) -> io::Result<usize> {
        loop {
            // SAFETY: `prepare` has pointed the first headers, one for each train, at live
            // vectors and control buffers with their true lengths; the bytes they describe and
            // the destination live, as the caller promises. The kernel writes only `msg_len`.
            let count = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    self.headers.as_mut_ptr(),
                    self.trains.len() as _,
                    libc::MSG_DONTWAIT as _,
                )
            };
            if let Ok(count) = usize::try_from(count) {
                return Ok(count);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    /// After a refused first message: whether to try its packets again in shorter or no trains.
    fn forgo(&mut self, error: &io::Error) -> bool {
        let Some(train) = self.trains.first().filter(|train| train.packets > 1) else {
            return false;
        };
        match error.raw_os_error() {
            // The segments do not fit the route's MTU, which single packets need not (they are
            // fragmented). Kernels differ in which of the two they answer.
            Some(libc::EMSGSIZE | libc::EINVAL) => self.limit = train.size - 1,
            // The device cannot compute the checksums of segments.
            Some(libc::EIO | libc::EOPNOTSUPP) => self.limit = 0,
            _ => return false,
        }
        log::debug!("UDP_SEGMENT is no longer used above {} bytes: {error}", self.limit);
        true
    }
}

fn vector(piece: &[u8]) -> libc::iovec {
    // The kernel only reads what is sent, though its C type does not say so.
    libc::iovec { iov_base: piece.as_ptr().cast::<libc::c_void>().cast_mut(), iov_len: piece.len() }
}

/// Adds a control message of a level and type to those of a message, which are in `control`.
fn add_control<const N: usize>(
    header: &mut libc::msghdr,
    control: &mut Control,
    (level, kind): (libc::c_int, libc::c_int),
    value: [u8; N],
) {
    let used: usize = header.msg_controllen as _;
    header.msg_control = ptr::from_mut(control).cast();
    header.msg_controllen = (used + space(N)) as _;
    let message = control.0[used..used + space(N)].as_mut_ptr().cast::<libc::cmsghdr>();
    // SAFETY: there are as many bytes as a control message with the value takes, so its header and
    // data are within them. They are aligned, as the buffer and what each message takes are.
    unsafe {
        (*message).cmsg_level = level;
        (*message).cmsg_type = kind;
        (*message).cmsg_len = libc::CMSG_LEN(N as u32) as _;
        ptr::write_unaligned(libc::CMSG_DATA(message).cast(), value);
    }
}

impl SendBatch for Batch {
    fn send(
        &mut self,
        socket: &Socket,
        destination: Option<&SockAddr>,
        packets: &[PacketParts<'_>],
        departures: &[u64],
    ) -> io::Result<usize> {
        let (mut sent, limit) = (0, self.limit);
        let mut ahead = if departures.is_empty() { usize::MAX } else { MESSAGES_AHEAD };
        while sent < packets.len() && ahead > 0 {
            let departures = departures.get(sent..).unwrap_or_default();
            self.prepare(&packets[sent..], departures, destination, MESSAGES.min(ahead));
            // SAFETY: `packets` and `destination` are borrowed across the call.
            match unsafe { self.call(socket) } {
                Ok(messages) => {
                    ahead -= messages;
                    sent +=
                        self.trains[..messages].iter().map(|train| train.packets).sum::<usize>();
                }
                Err(error) if self.forgo(&error) => {}
                Err(_) if sent > 0 => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    // It met a single packet, too: the train was not to blame.
                    self.limit = limit;
                    return Err(error);
                }
            }
        }
        Ok(sent)
    }

    fn gso(&self) -> bool {
        self.limit > 0
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::*;

    fn train(sizes: &[usize], limit: usize) -> (usize, usize) {
        let bytes = vec![0; 70_000];
        let parts = |size: &usize| PacketParts::new(&bytes[..size / 2], &bytes[..size - size / 2]);
        let packets: Vec<_> = sizes.iter().map(parts).collect();
        let train = Train::starting(&packets, &[], limit);
        (train.packets, train.size)
    }

    #[test]
    fn a_train_is_of_packets_that_leave_within_a_millisecond() {
        let packets = [PacketParts::new(&[0; 100], &[]); 10];
        for (apart, expected) in [(0, 10), (99_999, 10), (250_000, 4), (999_999, 2), (1 << 40, 1)] {
            let departures: Vec<_> = (0..10).map(|at| 7 + at * apart).collect();
            let train = Train::starting(&packets, &departures, TRAIN_BYTES);
            assert_eq!((train.packets, train.departure), (expected, Some(7)));
        }
    }

    #[test]
    fn messages_carry_what_the_kernel_is_to_read() {
        let packets = [PacketParts::new(&[0; 100], &[]); 3];
        let departures = [1 << 60, (1 << 60) + 1, 1 << 61];
        let mut batch = Batch::new(true);
        batch.prepare(&packets, &departures, None, MESSAGES);
        let control = |at: usize| {
            let len: usize = batch.headers[at].msg_hdr.msg_controllen as _;
            batch.controls[at].0[..len].to_vec()
        };
        let message = |level: i32, kind: i32, value: &[u8]| {
            let len = size_of::<libc::cmsghdr>() + value.len();
            let (level, kind) = (level.to_ne_bytes(), kind.to_ne_bytes());
            let mut bytes = [&len.to_ne_bytes(), &level[..], &kind[..], value].concat();
            bytes.resize(bytes.len().next_multiple_of(size_of::<usize>()), 0);
            bytes
        };
        let time = |at: u64| message(libc::SOL_SOCKET, libc::SCM_TXTIME, &at.to_ne_bytes());
        let segment = message(libc::SOL_UDP, libc::UDP_SEGMENT, &100_u16.to_ne_bytes());
        assert_eq!(control(0), [segment, time(1 << 60)].concat());
        assert_eq!(control(1), time(1 << 61));
        batch.prepare(&packets[..1], &[], None, MESSAGES);
        assert!(batch.headers[0].msg_hdr.msg_control.is_null());
    }

    #[test]
    fn a_train_is_of_equal_packets_and_one_shorter_last() {
        assert_eq!(train(&[100, 100, 100], TRAIN_BYTES), (3, 100));
        assert_eq!(train(&[100, 100, 99, 99], TRAIN_BYTES), (3, 100));
        assert_eq!(train(&[100, 101, 101], TRAIN_BYTES), (1, 100));
        assert_eq!(train(&[100, 100, 0], TRAIN_BYTES), (2, 100));
        assert_eq!(train(&[0, 0], TRAIN_BYTES), (1, 0));
    }

    #[test]
    fn a_train_stays_within_what_the_kernel_takes() {
        assert_eq!(train(&[1; 100], TRAIN_BYTES), (64, 1));
        assert_eq!(train(&[8972; 10], TRAIN_BYTES), (7, 8972));
        assert_eq!(train(&[1472; 64], TRAIN_BYTES), (44, 1472));
        assert_eq!(train(&[65_507, 1], TRAIN_BYTES), (1, 65_507));
        assert_eq!(train(&[66_000, 66_000], TRAIN_BYTES), (1, 66_000));
        assert_eq!(train(&[100, 100], 99), (1, 100));
        assert_eq!(train(&[100, 100], 0), (1, 100));
    }

    #[test]
    fn trains_are_not_blamed_for_what_single_packets_meet() {
        // Nothing leaves this host from the address that it talks to itself with.
        let here: SockAddr = std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into();
        let elsewhere: SockAddr = std::net::SocketAddr::from(([192, 0, 2, 1], 9)).into();
        let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        socket.bind(&here).unwrap();
        let mut batch = Batch::new(true);
        let packets = [PacketParts::new(b"header", b"payload"); 3];
        batch.send(&socket, Some(&elsewhere), &packets, &[]).unwrap_err();
        assert_eq!(batch.limit, TRAIN_BYTES);
    }

    #[test]
    fn a_train_of_many_pieces_ends_before_too_many() {
        let pieces = [IoSlice::new(b"x"); 298];
        let packets = [PacketParts::default().with_more(&pieces); 10];
        let train = Train::starting(&packets, &[], TRAIN_BYTES);
        assert_eq!((train.packets, train.vectors), (3, 900));
    }
}

//! The least that sending can cost here: the kernel alone, given messages that were prepared before.
//!
//! `send_floor HEAP PACKET LIST SECONDS [RATE]`: heaps of HEAP bytes in packets of up to PACKET bytes,
//! for SECONDS, into a socket that nobody reads. Packets and calls are those of `bench_send` with the
//! same arguments (LIST and RATE change nothing), but the same headers and messages are sent again
//! and again, by one thread that does nothing else. Prints what `bench_send` prints.
#![allow(unsafe_code)]

use std::error::Error;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use speadway::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue};

/// What one message may carry over IPv4: `UDP_MAX_SEGMENTS` (linux/udp.h) and 65535 less the headers.
const SEGMENTS: usize = 64;
const BYTES: usize = 65_507;

/// Messages a call: as many as `sendmmsg` is given by the library.
const MESSAGES: usize = 16;

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 24]);

/// A packet: its header, and which bytes of the heap follow.
struct Packet {
    header: Vec<u8>,
    payload: std::ops::Range<usize>,
}

impl Packet {
    fn len(&self) -> usize {
        self.header.len() + self.payload.len()
    }
}

/// The packets of `heaps` heaps.
fn packets(data: &[u8], size: usize, heaps: usize) -> Result<Vec<Packet>, Box<dyn Error>> {
    let items = [
        EncodeItem { id: 0x1600, value: ItemValue::Immediate(1) },
        EncodeItem { id: 0x3300, value: ItemValue::Addressed(data) },
    ];
    let mut packets = Vec::new();
    for cnt in 1..=heaps {
        let mut heap = HeapEncoder::new(Flavour::default(), cnt as u64, size, &items, false)?;
        let mut offset = 0;
        loop {
            let mut header = Vec::new();
            let Some(parts) = heap.next_packet(&mut header) else { break };
            let start = offset;
            offset += parts.map(<[u8]>::len).sum::<usize>();
            packets.push(Packet { header, payload: start..offset });
        }
    }
    Ok(packets)
}

/// How many of the first of `packets` one message takes: all of one size, but for a shorter last.
fn train(packets: &[Packet]) -> usize {
    let size = packets[0].len();
    let most = SEGMENTS.min(BYTES / size).max(1);
    let equal = packets.iter().take(most).take_while(|packet| packet.len() == size).count();
    let shorter = packets.get(equal).is_some_and(|packet| packet.len() < size);
    equal + usize::from(shorter && equal < most)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<f64> =
        std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let &[heap, packet, _, seconds, ..] = &arguments[..] else {
        return Err("usage: send_floor HEAP PACKET LIST SECONDS".into());
    };
    let sink = UdpSocket::bind("127.0.0.1:0")?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(sink.local_addr()?)?;
    let data = vec![1; heap as usize];
    // Enough heaps for the messages, however many heaps one of them takes.
    let heaps = (MESSAGES * BYTES / data.len().max(1)).max(MESSAGES);
    let packets = packets(&data, packet as usize, heaps)?;

    let (mut messages, mut rest) = (Vec::new(), &packets[..]);
    while !rest.is_empty() && messages.len() < MESSAGES {
        let (these, others) = rest.split_at(train(rest));
        messages.push(these);
        rest = others;
    }
    // Half a heap cannot be sent again and again.
    let sent = messages.iter().map(|these| these.len()).sum::<usize>();
    let (per_call, bytes) = (
        sent as f64 * heaps as f64 / packets.len() as f64,
        packets[..sent].iter().map(Packet::len).sum::<usize>(),
    );

    let vector = |bytes: &[u8]| libc::iovec {
        iov_base: bytes.as_ptr().cast::<libc::c_void>().cast_mut(),
        iov_len: bytes.len(),
    };
    let mut vectors: Vec<Vec<libc::iovec>> = messages
        .iter()
        .map(|these| {
            let pieces = these
                .iter()
                .flat_map(|packet| [vector(&packet.header), vector(&data[packet.payload.clone()])]);
            pieces.collect()
        })
        .collect();
    let mut controls = [Control([0; 24]); MESSAGES];
    // SAFETY: C structs of integers and pointers, of which all zeros is a valid value.
    let mut headers: [libc::mmsghdr; MESSAGES] = unsafe { std::mem::zeroed() };
    for (number, these) in messages.iter().enumerate() {
        let header = &mut headers[number].msg_hdr;
        header.msg_iov = vectors[number].as_mut_ptr();
        header.msg_iovlen = vectors[number].len() as _;
        if these.len() > 1 {
            header.msg_control = (&raw mut controls[number]).cast();
            header.msg_controllen = size_of::<Control>() as _;
            // SAFETY: the control buffer just set is aligned and has room for a header and a `u16`
            // (CMSG_SPACE(2) is 24 at most).
            unsafe {
                let message = libc::CMSG_FIRSTHDR(header);
                (*message).cmsg_level = libc::SOL_UDP;
                (*message).cmsg_type = libc::UDP_SEGMENT;
                (*message).cmsg_len = libc::CMSG_LEN(2) as _;
                libc::CMSG_DATA(message).cast::<u16>().write_unaligned(these[0].len() as u16);
            }
        }
    }

    let (start, cpu) = (Instant::now(), cpu_seconds()?);
    let mut calls = 0_u64;
    while start.elapsed() < Duration::from_secs_f64(seconds) {
        for _ in 0..16 {
            // SAFETY: the headers point at live vectors, packets and control buffers, which nothing
            // changes.
            let count = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    headers.as_mut_ptr(),
                    messages.len() as _,
                    libc::MSG_DONTWAIT as _,
                )
            };
            if usize::try_from(count) != Ok(messages.len()) {
                return Err(io::Error::last_os_error().into());
            }
            calls += 1;
        }
    }
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    let (bytes, heaps) = (calls * bytes as u64, (calls as f64 * per_call) as u64);
    println!(
        "{{\"bytes\": {bytes}, \"heaps\": {heaps}, \"seconds\": {seconds:.6}, \"cpu\": {cpu:.2}, \
         \"rate\": {:.0}}}",
        bytes as f64 / seconds
    );
    Ok(())
}

/// CPU seconds so far, in user and kernel mode.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
    // A tick is 10 ms wherever this is run.
    Ok(ticks as f64 / 100.0)
}

//! The sender: the same for all receivers, and on none of speadway's sending paths.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::Result;
use crate::load::{self, HeapTemplate};
use crate::options::Options;
use crate::system::set_option;

/// What one message may have over IPv4: 65535 less 28 bytes of headers, and 64 datagrams.
const MESSAGE_MAX: usize = 65507;
const SEGMENTS_MAX: usize = 64;

/// A sender that was held up does not catch up with more than this: the receiver's buffer holds
/// little more at high rates, and it is not the receiver that was late.
const CATCH_UP: Duration = Duration::from_micros(300);

/// The end is sent several times, as it may get lost.
const STOPS: usize = 20;

pub(crate) fn send(options: &Options) -> Result<()> {
    if let Some(core) = options.core {
        core_affinity::set_for_current(core_affinity::CoreId { id: core });
    }
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(("127.0.0.1", options.port))?;
    let mut heap = HeapTemplate::new(options)?;
    let mut message = heap.packet;
    if options.merge {
        set_option(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, heap.packet.try_into()?)?;
        message *= (MESSAGE_MAX / heap.packet).min(SEGMENTS_MAX);
    }
    let per_byte = if options.rate > 0.0 { 1.0 / options.rate } else { 0.0 };
    let start = Instant::now();
    let mut due = start;
    for number in 0..options.heaps {
        heap.set_number(number);
        for part in heap.bytes.chunks(message) {
            due = due.max(wait_for(due) - CATCH_UP);
            send_all(&socket, part)?;
            due += Duration::from_secs_f64(part.len() as f64 * per_byte);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{{\"seconds\": {seconds:.6}}}");
    for _ in 0..STOPS {
        std::thread::sleep(Duration::from_millis(5));
        // The receiver may have gone.
        let _ = socket.send(&load::stop()?);
    }
    Ok(())
}

fn wait_for(due: Instant) -> Instant {
    loop {
        let now = Instant::now();
        if now >= due {
            return now;
        }
        std::hint::spin_loop();
    }
}

fn send_all(socket: &UdpSocket, part: &[u8]) -> Result<()> {
    loop {
        match socket.send(part) {
            Ok(_) => return Ok(()),
            // The device's queue is full.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

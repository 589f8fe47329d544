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
    if let Some(core) = options.core() {
        core_affinity::set_for_current(core);
    }
    let mut sender = Sender::new(options, &options.ports)?;
    let per_byte = if options.rate > 0.0 { 1.0 / options.rate } else { 0.0 };
    let start = Instant::now();
    let mut due = start;
    for _ in 0..options.heaps {
        sender.heap(|part| {
            due = due.max(wait_for(due) - CATCH_UP);
            due += Duration::from_secs_f64(part as f64 * per_byte);
        })?;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{{\"seconds\": {seconds:.6}}}");
    for _ in 0..STOPS {
        std::thread::sleep(Duration::from_millis(5));
        sender.stop()?;
    }
    Ok(())
}

/// Sends heaps to ports of this host, in turns.
pub(crate) struct Sender {
    sockets: Vec<UdpSocket>,
    heap: HeapTemplate,
    /// Bytes of a message.
    message: usize,
    /// Whether heaps have one sequence of numbers, or one for each port.
    group: bool,
    sent: u64,
}

impl Sender {
    pub(crate) fn new(options: &Options, ports: &[u16]) -> Result<Self> {
        let heap = HeapTemplate::new(options)?;
        let sockets = ports.iter().map(|&port| {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(("127.0.0.1", port))?;
            if options.merge {
                set_option(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, heap.packet.try_into()?)?;
            }
            Ok(socket)
        });
        let sockets: Vec<_> = sockets.collect::<Result<_>>()?;
        let message = heap.packet * packets_of_a_message(options, heap.packet);
        Ok(Self { sockets, heap, message, group: options.group, sent: 0 })
    }

    /// Sends the next heap. `before` is told the length of each message.
    pub(crate) fn heap(&mut self, mut before: impl FnMut(usize)) -> Result<()> {
        let sockets = self.sockets.len() as u64;
        self.heap.set_number(if self.group { self.sent } else { self.sent / sockets });
        let socket = &self.sockets[(self.sent % sockets) as usize];
        for part in self.heap.bytes.chunks(self.message) {
            before(part.len());
            send_all(socket, part)?;
        }
        self.sent += 1;
        Ok(())
    }

    /// Sends the end, which may get lost.
    fn stop(&self) -> Result<()> {
        for socket in &self.sockets {
            // The receiver may have gone.
            let _ = socket.send(&load::stop()?);
        }
        Ok(())
    }
}

/// How many packets of this size a message takes.
pub(crate) fn packets_of_a_message(options: &Options, packet: usize) -> usize {
    if options.merge { (MESSAGE_MAX / packet).min(SEGMENTS_MAX) } else { 1 }
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

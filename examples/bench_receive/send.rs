//! The sender: the same for all receivers, and on none of speadway's sending paths.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::Result;
use crate::load::{self, HeapTemplate};
use crate::options::Options;
use crate::shared::{PAGE, Shared};
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
    packets: Packets,
    /// Whether heaps have one sequence of numbers, or one for each port.
    group: bool,
    sent: u64,
}

/// Where packets are before they are sent.
enum Packets {
    /// Copied by the kernel, in messages of so many bytes.
    Copied(HeapTemplate, usize),
    /// In pages that the kernel sends as they are.
    Pages(Trains),
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
        let packets = match options.splice {
            true => Packets::Pages(Trains::new(options, &heap, sockets.len())?),
            false => Packets::Copied(heap, message),
        };
        Ok(Self { sockets, packets, group: options.group, sent: 0 })
    }

    /// Sends the next heap. `before` is told the length of each message.
    pub(crate) fn heap(&mut self, mut before: impl FnMut(usize)) -> Result<()> {
        let sockets = self.sockets.len() as u64;
        let number = if self.group { self.sent } else { self.sent / sockets };
        let socket = &self.sockets[(self.sent % sockets) as usize];
        self.sent += 1;
        match &mut self.packets {
            Packets::Copied(heap, message) => {
                heap.set_number(number);
                for part in heap.bytes.chunks(*message) {
                    before(part.len());
                    send_all(part.len(), || socket.send(part))?;
                }
            }
            Packets::Pages(trains) => {
                let start = trains.next(number);
                for &Train { at, len } in &trains.of_a_heap {
                    before(len);
                    send_all(len, || trains.memory.send(socket, start + at, len))?;
                }
            }
        }
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

/// Heaps that take turns, as what has been sent must stay until it has been received.
struct Trains {
    memory: Shared,
    of_a_heap: Vec<Train>,
    /// Size of all packets but the last.
    packet: usize,
    /// Bytes from one heap to the next.
    step: usize,
    next: usize,
}

/// A message of a heap, and where it starts.
struct Train {
    at: usize,
    len: usize,
}

/// Memory for each port: twice what a receive buffer takes (`buffer` in the options is doubled by the
/// kernel, socket(7)).
const IN_FLIGHT: usize = 16 << 20;

impl Trains {
    fn new(options: &Options, heap: &HeapTemplate, ports: usize) -> Result<Self> {
        let size = heap.packet * packets_of_a_message(options, heap.packet);
        let mut of_a_heap = Vec::new();
        let mut step = 0;
        for part in heap.bytes.chunks(size) {
            of_a_heap.push(Train { at: step, len: part.len() });
            step += part.len().next_multiple_of(PAGE);
        }
        let heaps = (ports * IN_FLIGHT).div_ceil(step);
        let mut memory = Shared::new(heaps * step)?;
        for room in memory.bytes_mut().chunks_mut(step) {
            for (train, part) in of_a_heap.iter().zip(heap.bytes.chunks(size)) {
                room[train.at..train.at + train.len].copy_from_slice(part);
            }
        }
        Ok(Self { memory, of_a_heap, packet: heap.packet, step, next: 0 })
    }

    /// Makes the next heap that of `number`; where it starts.
    fn next(&mut self, number: u64) -> usize {
        let bytes = self.memory.bytes_mut();
        let start = self.next;
        self.next = if start + self.step == bytes.len() { 0 } else { start + self.step };
        for train in &self.of_a_heap {
            let train = start + train.at..start + train.at + train.len;
            load::set_number(&mut bytes[train], self.packet, number);
        }
        start
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

fn send_all(len: usize, send: impl Fn() -> std::io::Result<usize>) -> Result<()> {
    loop {
        match send() {
            Ok(sent) if sent == len => return Ok(()),
            Ok(sent) => return Err(format!("{sent} of {len} bytes were sent").into()),
            // The device's queue is full.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

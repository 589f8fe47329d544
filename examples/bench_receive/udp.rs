//! From UDP, by a stream.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use speadway::net::{ReceiverConfig, UdpConfig};
use speadway::recv::WaitStrategy;
use speadway::recv::readers::UdpReader;
use speadway::ring::Ring;

use crate::options::Options;
use crate::send::Sender;
use crate::streams::{self, Streams};
use crate::system::{cpu_seconds, set_option};
use crate::{Result, memory};

pub(crate) fn stream(options: &Options) -> Result<()> {
    let layout = memory::layout(options)?;
    let pool = memory::pool(options, layout.heaps())?;
    let ring = Ring::new(options.chunks)?;
    let workers = streams::workers(options, |builder| match options.coalesce {
        0 => builder,
        micros => builder.wait(WaitStrategy::Coalesce(Duration::from_micros(micros))),
    })?;
    let receiver = ReceiverConfig::default().gro(options.merge).batch(options.batch);
    let socket = UdpConfig::new(([127, 0, 0, 1], 0).into()).recv_buffer(options.buffer);
    let readers = (0..options.streams).map(|_| UdpReader::bind_with(&socket, &receiver));
    let readers: Vec<_> = readers.collect::<std::result::Result<_, _>>()?;
    let ports: Vec<_> = readers.iter().map(|reader| reader.local_addr().port()).collect();
    let streams = Streams::start(options, &layout, &workers, (&pool, &ring), readers)?;
    let done = Done::start(&ports);
    let heaps = memory::consume(&ring);
    streams.wait();
    let (bytes, batches) = streams.counted();
    done.print(heaps, bytes, batches);
    Ok(())
}

/// From "ready" to the end.
pub(crate) struct Done {
    start: Instant,
    cpu: f64,
}

/// For the loops that do without the library: keeps this thread on its core, and gives it a socket.
pub(crate) fn pin_and_bind(options: &Options) -> Result<UdpSocket> {
    if let Some(core) = options.core() {
        core_affinity::set_for_current(core);
    }
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let buffer = libc::c_int::try_from(options.buffer)?;
    set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, buffer)?;
    set_option(&socket, libc::SOL_UDP, libc::UDP_GRO, options.merge.into())?;
    Ok(socket)
}

/// What a receiver sends to itself, where the time that receiving takes by itself is to be measured:
/// without waking up, and without a sender on another core.
pub(crate) struct Bursts {
    sender: Sender,
    heaps: u64,
    burst: u64,
    sent: u64,
}

impl Bursts {
    pub(crate) fn new(options: &Options, port: u16) -> Result<Option<Self>> {
        if options.burst == 0 {
            return Ok(None);
        }
        let sender = Sender::new(options, &[port])?;
        Ok(Some(Self { sender, heaps: options.heaps, burst: options.burst, sent: 0 }))
    }

    /// Sends the next burst if `received` heaps were all there were. Whether there is one.
    pub(crate) fn go_on(&mut self, received: u64, done: &mut Done) -> Result<bool> {
        if received < self.sent {
            return Ok(true);
        }
        let before = cpu_seconds();
        for _ in 0..self.burst {
            self.sender.heap(|_| ())?;
        }
        self.sent += self.burst;
        done.cpu += cpu_seconds() - before;
        Ok(self.sent <= self.heaps)
    }
}

impl Done {
    /// Tells the world that the sockets of `ports` are read.
    pub(crate) fn start(ports: &[u16]) -> Self {
        let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
        println!("{}", ports.join(","));
        Self { start: Instant::now(), cpu: cpu_seconds() }
    }

    pub(crate) fn print(&self, heaps: u64, bytes: u64, batches: u64) {
        let (seconds, cpu) = (self.start.elapsed().as_secs_f64(), cpu_seconds() - self.cpu);
        println!(
            "{{\"heaps\": {heaps}, \"bytes\": {bytes}, \"batches\": {batches}, \
             \"seconds\": {seconds:.6}, \"cpu\": {cpu:.6}}}"
        );
    }
}

//! From UDP, by a stream.

use std::time::{Duration, Instant};

use speadway::chunk::RingPolicy;
use speadway::net::{ReceiverConfig, UdpConfig};
use speadway::recv::readers::UdpReader;
use speadway::recv::{Stream, WaitStrategy};
use speadway::ring::Ring;

use crate::options::Options;
use crate::system::cpu_seconds;
use crate::{Result, memory};

pub(crate) fn stream(options: &Options) -> Result<()> {
    let layout = memory::layout(options)?;
    let pool = memory::pool(options, layout.heaps())?;
    let ring = Ring::new(options.chunks)?;
    let mut builder = memory::worker(options);
    if options.coalesce > 0 {
        builder = builder.wait(WaitStrategy::Coalesce(Duration::from_micros(options.coalesce)));
    }
    let worker = builder.start()?;
    let receiver = ReceiverConfig::default().gro(options.merge).batch(options.batch);
    let socket = UdpConfig::new(([127, 0, 0, 1], 0).into()).recv_buffer(options.buffer);
    let reader = UdpReader::bind_with(&socket, &receiver)?;
    let port = reader.local_addr().port();
    let stream = Stream::chunks(layout)
        .config(options.stream_config())
        .window(options.window)
        .ring(&pool, &ring, RingPolicy::default())
        .reader(reader)
        .start(&worker)?;
    let done = Done::start(port);
    let heaps = memory::consume(&ring);
    stream.wait();
    let stats = stream.stats();
    done.print(heaps, stats.bytes_placed, stats.batches);
    Ok(())
}

/// From "ready" to the end.
pub(crate) struct Done {
    start: Instant,
    cpu: f64,
}

impl Done {
    /// Tells the world that the socket of `port` is read.
    pub(crate) fn start(port: u16) -> Self {
        println!("{port}");
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

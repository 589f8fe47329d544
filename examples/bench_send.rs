//! Sends into a socket that nobody reads, and says what that cost.
//!
//! `bench_send HEAP PACKET LIST SECONDS [RATE [RATIO]]`: heaps of HEAP bytes in packets of up to PACKET
//! bytes, in lists of LIST (1: one by one), for about SECONDS, at RATE bytes a second (0: as fast
//! as it goes) and after a delay RATIO times that (1.05). With --blocking each heap or list is waited for,
//! and --worker or --caller say which thread sends (`SendThread`). Prints one line of JSON: bytes and
//! heaps sent, seconds taken, CPU seconds used.
//! `benches/peers/send.py` runs it beside the peer.

use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use speadway::net::UdpSendConfig;
use speadway::recv::Worker;
use speadway::send::transport::UdpTransport;
use speadway::send::{GroupMode, Heap, HeapRef, SendConfig, SendStream, SendThread};
use speadway::wire::Flavour;

/// Heaps, or lists, that wait at most.
const QUEUE: usize = 16;

/// CPU seconds of all threads so far, in user and kernel mode.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name before it may contain spaces.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
    // A tick is 10 ms wherever this is run.
    Ok(ticks as f64 / 100.0)
}

fn send(
    stream: &SendStream,
    heap: &Arc<Heap>,
    list: usize,
    blocking: bool,
    end: Instant,
) -> Result<(), Box<dyn Error>> {
    if list <= 1 {
        while Instant::now() < end {
            for _ in 0..QUEUE {
                match blocking {
                    true => stream.send_blocking(Arc::clone(heap)).map(drop)?,
                    false => stream.send_waiting(Arc::clone(heap))?,
                }
            }
        }
        return Ok(());
    }
    let heaps: Arc<[HeapRef]> = (0..list).map(|_| HeapRef::from(Arc::clone(heap))).collect();
    while Instant::now() < end {
        if blocking {
            stream.send_list_blocking(&heaps, GroupMode::Serial)?;
            continue;
        }
        stream.wait_for_space();
        let _ticket = stream.send_list(&heaps, GroupMode::Serial)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (flags, numbers): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|text| text.starts_with("--"));
    let has = |flag: &str| flags.iter().any(|given| given == flag);
    let arguments: Vec<f64> = numbers.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let thread = match (has("--worker"), has("--caller")) {
        (true, _) => SendThread::Worker,
        (_, true) => SendThread::Caller,
        _ => SendThread::default(),
    };
    let &[heap, packet, list, seconds, ref rest @ ..] = &arguments[..] else {
        return Err("usage: bench_send [--blocking] [--worker | --caller] HEAP PACKET LIST SECONDS [RATE [RATIO]]".into());
    };
    let sink = UdpSocket::bind("127.0.0.1:0")?;
    let to: SocketAddr = sink.local_addr()?;
    let transport = UdpTransport::open(&[to], &UdpSendConfig::to(to))?;
    let config = SendConfig::default()
        .max_packet_size(packet as usize)
        .max_heaps(QUEUE)
        .thread(thread)
        .burst_rate_ratio(rest.get(1).copied().unwrap_or(1.05))
        .rate(rest.first().copied().unwrap_or(0.0));
    let stream = SendStream::start(&Worker::new()?, transport, config)?;
    let heap =
        Heap::new(Flavour::default()).immediate(0x1600, 1)?.item(0x3300, vec![1; heap as usize])?;
    let heap = Arc::new(heap);

    let (start, cpu) = (Instant::now(), cpu_seconds()?);
    send(
        &stream,
        &heap,
        list as usize,
        has("--blocking"),
        start + Duration::from_secs_f64(seconds),
    )?;
    stream.flush()?;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    let stats = stream.stats();
    if let Some(error) = stream.last_error() {
        return Err(error.into());
    }
    let (bytes, heaps) = (stats.bytes, stats.heaps);
    println!(
        "{{\"bytes\": {bytes}, \"heaps\": {heaps}, \"seconds\": {seconds:.6}, \"cpu\": {cpu:.2}, \
         \"rate\": {:.0}}}",
        bytes as f64 / seconds
    );
    Ok(())
}

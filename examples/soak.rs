//! Sends to itself over loopback for a long time and checks every byte: `soak MINUTES` (`make soak`).
//!
//! Session after session, each with its own sockets, workers, pools and rings: a lossless group of
//! two TCP streams as fast as they go, of which nothing may be missing, and beside it a UDP stream
//! that looks for the highest rate at which nothing is lost, and whose packets must add up: sent =
//! received + dropped by the kernel. That is exact without GRO, and whenever nothing was dropped; of a
//! train of merged datagrams that it drops the kernel counts one, so that with GRO (every other session)
//! each drop may be as many as a train holds. Threads and open files must be as many after each
//! session as after the first, and memory must not grow.

use std::error::Error;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use speadway::chunk::{Chunk, ChunkPool, Eviction, Layout, RingPolicy};
use speadway::net::{UdpConfig, UdpSendConfig};
use speadway::recv::readers::{TcpConfig, TcpReader, UdpReader};
use speadway::recv::{Group, Member, Stream, StreamConfig, Worker};
use speadway::ring::Ring;
use speadway::send::transport::{TcpTransport, UdpTransport};
use speadway::send::{Heap, HeapRef, SendConfig, SendStream};
use speadway::wire::Flavour;

type Failure = Box<dyn Error + Send + Sync>;

const SESSION: Duration = Duration::from_secs(20);
const SEQUENCE: u64 = 0x1600;
const HEAP: usize = 64 << 10;
const HEAPS_PER_CHUNK: u64 = 16;
const MEMBERS: usize = 2;
/// Different payloads, used in turn: a heap in another's place shows.
const PATTERNS: usize = 31;
const UDP_PACKET: usize = 8972;
/// What the kernel merges is a datagram itself, so of at most so many.
const TRAIN: u64 = 65_535 / UDP_PACKET as u64;
/// The rate that UDP starts with, in bytes/s.
const FIRST_RATE: f64 = 100e6;
/// A stream that receives nothing for this long has read everything, even on a busy machine.
const QUIET: Duration = Duration::from_secs(10);
/// How much memory may come and go, in bytes, if the allocator keeps none of it (see `make soak`).
const SLACK: u64 = 32 << 20;

/// The payloads of a sender.
struct Patterns(Vec<Arc<[u8]>>);

impl Patterns {
    fn new(sender: usize) -> Self {
        let byte = |which: usize, at: usize| (at * 7 + (at >> 8) + which * 11 + sender * 101) as u8;
        let pattern = |which| (0..HEAP).map(|at| byte(which, at)).collect();
        Self((0..PATTERNS).map(pattern).collect())
    }

    fn of(&self, number: u64) -> &Arc<[u8]> {
        &self.0[number as usize % PATTERNS]
    }

    fn heap(&self, number: u64) -> Result<Heap, Failure> {
        let heap = Heap::new(Flavour::default()).repeat_pointers(true);
        Ok(heap.immediate(SEQUENCE, number)?.item(0x3300, Arc::clone(self.of(number)))?)
    }
}

fn layout(members: usize) -> Result<Layout, Failure> {
    let layout = Layout::builder(SEQUENCE, HEAP).heaps_per_chunk(HEAPS_PER_CHUNK);
    Ok(layout.member_axis(members).build()?)
}

/// What a session came to.
#[derive(Debug, Default)]
struct Account {
    tcp_bytes: u64,
    udp_bytes: u64,
    udp_sent: u64,
    udp_drops: u64,
    /// The rate that UDP has come to, in bytes/s.
    udp_rate: f64,
}

/// Compares what is present with what was sent; how many heaps that is.
fn check(chunk: &Chunk, patterns: &[Patterns]) -> Result<u64, Failure> {
    for (slot, _) in chunk.present().iter().enumerate().filter(|flag| *flag.1 != 0) {
        let number = chunk.id() * HEAPS_PER_CHUNK + (slot / patterns.len()) as u64;
        let sent = patterns[slot % patterns.len()].of(number);
        if chunk.data()[slot * HEAP..][..HEAP] != sent[..] {
            return Err(format!("heap {number} of chunk {} is damaged", chunk.id()).into());
        }
    }
    Ok(chunk.n_present())
}

/// Sends as fast as the connection takes it; how many heaps that was.
fn send_tcp(to: TcpStream, patterns: &Patterns, end: Instant) -> Result<u64, Failure> {
    let config = SendConfig::default().max_packet_size(32 << 10).max_heaps(8);
    let stream = SendStream::start(&Worker::new()?, TcpTransport::new(to)?, config)?;
    let mut heaps = 0;
    // Whole chunks, as many from each sender as it likes.
    while Instant::now() < end || heaps % HEAPS_PER_CHUNK != 0 {
        stream.send_waiting(patterns.heap(heaps)?)?;
        heaps += 1;
    }
    stream.send_waiting(Heap::stream_stop(Flavour::default()))?;
    stream.flush()?;
    Ok(heaps)
}

fn tcp_session(patterns: &[Patterns], end: Instant) -> Result<u64, Failure> {
    let layout = layout(MEMBERS)?;
    let pool = ChunkPool::zeroed(6, layout.chunk_size(), layout.heaps())?;
    let ring = Ring::new(2)?;
    let mut group = Group::builder().window(4).eviction(Eviction::Lossless).ring(
        &pool,
        &ring,
        RingPolicy::default(),
    );
    let mut addresses = Vec::new();
    for _ in 0..MEMBERS {
        let reader = TcpReader::listen("127.0.0.1:0".parse()?, &TcpConfig::default())?;
        addresses.push(reader.local_addr());
        let member = Member::new(layout.clone()).window(2).reader(reader);
        group = group.member(&Worker::new()?, member);
    }
    let group = group.start()?;
    let heaps = std::thread::scope(|scope| -> Result<u64, Failure> {
        let senders: Vec<_> = addresses
            .iter()
            .zip(patterns)
            .map(|(&to, patterns)| {
                scope.spawn(move || send_tcp(TcpStream::connect(to)?, patterns, end))
            })
            .collect();
        let (mut present, mut next) = (0, 0);
        for chunk in &ring {
            if chunk.id() != next {
                return Err(format!("chunk {} after {next}", chunk.id()).into());
            }
            next += 1;
            present += check(&chunk, patterns)?;
        }
        let mut sent = 0;
        for sender in senders {
            sent += sender.join().map_err(|_| "a sender panicked")??;
        }
        if present != sent {
            return Err(format!("TCP: {sent} heaps sent, {present} received").into());
        }
        Ok(sent)
    })?;
    for member in group.members() {
        let stats = member.stats();
        if !(stats.packets_balance() && stats.heaps_balance()) {
            return Err(format!("TCP: the counters do not add up: {stats}").into());
        }
    }
    Ok(heaps * HEAP as u64)
}

/// Looks for the rate: up while nothing is lost, down when something is.
fn adapt(rate: f64, lost: bool) -> f64 {
    if lost { rate * 0.9 } else { rate * 1.03 }
}

fn udp_session(
    patterns: &Patterns,
    rate: f64,
    gro: bool,
    end: Instant,
) -> Result<Account, Failure> {
    let layout = layout(1)?;
    let pool = ChunkPool::zeroed(6, layout.chunk_size(), layout.heaps())?;
    let ring = Ring::new(2)?;
    let config = UdpConfig::new("127.0.0.1:0".parse()?).recv_buffer(8 << 20).gro(gro);
    let reader = UdpReader::bind(&config)?;
    let to = reader.local_addr();
    let stream = Stream::chunks(layout)
        .config(StreamConfig::default().allow_out_of_order(true))
        .window(2)
        .ring(&pool, &ring, RingPolicy::default())
        .reader(reader)
        .start(&Worker::new()?)?;
    let transport = UdpTransport::open(&[to], &UdpSendConfig::to(to))?;
    let config = SendConfig::default().max_packet_size(UDP_PACKET).max_heaps(8);
    let sender = SendStream::start(&Worker::new()?, transport, config)?;
    let mut account = Account { udp_rate: rate, ..Account::default() };
    std::thread::scope(|scope| -> Result<(), Failure> {
        let consumer = scope.spawn(|| -> Result<u64, Failure> {
            let own = std::slice::from_ref(patterns);
            ring.iter().try_fold(0, |present, chunk| Ok(present + check(&chunk, own)?))
        });
        let (mut number, mut look, mut drops) = (0, Instant::now(), 0);
        while Instant::now() < end {
            let heap = HeapRef::from(patterns.heap(number)?).rate(account.udp_rate);
            sender.send_waiting(heap)?;
            number += 1;
            if look.elapsed() > Duration::from_secs(1) {
                let now = stream.stats().kernel_drops;
                account.udp_rate = adapt(account.udp_rate, now > drops);
                (look, drops) = (Instant::now(), now);
            }
        }
        sender.flush()?;
        until_read(&stream, sender.stats().packets);
        stream.finish();
        stream.wait();
        let present = consumer.join().map_err(|_| "the consumer panicked")??;
        account.udp_bytes = present * HEAP as u64;
        Ok(())
    })?;
    let (sent, stats) = (sender.stats(), stream.stats());
    account.udp_sent = sent.packets;
    account.udp_drops = stats.kernel_drops;
    let (lost, drops) = (sent.packets.checked_sub(stats.packets_received), stats.kernel_drops);
    let most = drops * if gro { TRAIN } else { 1 };
    let explained = lost.is_some_and(|lost| (drops..=most).contains(&lost));
    if !(explained && stats.packets_balance() && stats.heaps_balance()) {
        return Err(format!("UDP (GRO: {gro}): {} packets sent, but: {stats}", sent.packets).into());
    }
    Ok(account)
}

/// Waits until what is in the socket has been read, as far as can be told: the last drops are known
/// only at the end.
fn until_read(stream: &Stream, sent: u64) {
    let (mut last, mut since) = (0, Instant::now());
    while since.elapsed() < QUIET {
        let stats = stream.stats();
        if stats.packets_received + stats.kernel_drops == sent {
            return;
        }
        if stats.packets_received != last {
            (last, since) = (stats.packets_received, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Threads, open files, and bytes of memory of this process.
fn holdings() -> Result<(usize, usize, u64), Failure> {
    let count = |directory| -> Result<usize, Failure> { Ok(std::fs::read_dir(directory)?.count()) };
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let resident: u64 = pages.split(' ').nth(1).ok_or("no second number")?.parse()?;
    Ok((count("/proc/self/task")?, count("/proc/self/fd")?, resident * 4096))
}

fn session(rate: f64, gro: bool) -> Result<Account, Failure> {
    let patterns: Vec<_> = (0..=MEMBERS).map(Patterns::new).collect();
    let (tcp, udp) = patterns.split_at(MEMBERS);
    let end = Instant::now() + SESSION;
    std::thread::scope(|scope| {
        let tcp = scope.spawn(|| tcp_session(tcp, end));
        let mut account = udp_session(&udp[0], rate, gro, end)?;
        account.tcp_bytes = tcp.join().map_err(|_| "the TCP session panicked")??;
        Ok(account)
    })
}

fn main() -> Result<(), Failure> {
    let minutes: f64 = std::env::args().nth(1).ok_or("usage: soak MINUTES")?.parse()?;
    let start = Instant::now();
    let (mut total, mut rate, mut first) = (Account::default(), FIRST_RATE, None);
    let mut gro = false;
    while start.elapsed().as_secs_f64() < minutes * 60.0 {
        // Merged datagrams are what is usual, and single ones are counted exactly.
        gro = !gro;
        let account = session(rate, gro)?;
        rate = account.udp_rate;
        let (threads, files, memory) = holdings()?;
        let (threads_first, files_first, memory_first) =
            *first.get_or_insert((threads, files, memory));
        println!(
            "{:6.0} s: TCP {:5.2} GB, UDP {:5.2} GB at {:4.0} MB/s, {} of {} packets dropped, \
             {threads} threads, {files} files, {} MiB",
            start.elapsed().as_secs_f64(),
            account.tcp_bytes as f64 / 1e9,
            account.udp_bytes as f64 / 1e9,
            rate / 1e6,
            account.udp_drops,
            account.udp_sent,
            memory >> 20,
        );
        if (threads, files) != (threads_first, files_first) || memory > memory_first + SLACK {
            return Err(
                "threads, files or memory are not as many as after the first session".into()
            );
        }
        total.tcp_bytes += account.tcp_bytes;
        total.udp_bytes += account.udp_bytes;
        total.udp_sent += account.udp_sent;
        total.udp_drops += account.udp_drops;
    }
    println!(
        "TCP: {:.1} GB, nothing missing. UDP: {:.1} GB in {} packets, {} dropped by the kernel, all \
         accounted for.",
        total.tcp_bytes as f64 / 1e9,
        total.udp_bytes as f64 / 1e9,
        total.udp_sent,
        total.udp_drops,
    );
    Ok(())
}

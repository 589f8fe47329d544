//! The receiving side of trials: sockets, threads and memory that stay, and streams that come and go.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use speadway::chunk::{Chunk, ChunkPool, Chunks, Layout, RingPolicy, Tally};
use speadway::heap::HeapOutcome;
use speadway::memory::{Allocator, CopyMode, HeapAllocator, HugePages, MapOptions, MmapAllocator};
use speadway::net::{ReceiverConfig, UdpConfig, UdpSocket, bind_udp};
use speadway::recv::readers::UdpReader;
use speadway::recv::{End, Stream, StreamConfig, StreamStats, WaitStrategy, Worker};
use speadway::ring::Ring;
use speadway::wire::ids::HEAP_CNT;

use super::host::cpu_time;
use super::protocol::{Opened, Received, Receiving, StreamReceived, Wait};
use crate::endpoint;
use crate::units::Bytes;

/// Streams that one agent takes: more than any host has cores.
const MAX_STREAMS: usize = 1024;

/// Chunks of a stream: what memory does not limit, as chunks may be small, has to have a limit too.
const MAX_CHUNKS: usize = 1 << 16;

/// The largest packet: what UDP can carry.
const MAX_PACKET: usize = 1 << 16;

/// Finished chunks that may wait to be looked at.
const RING: usize = 2;

/// After so long without a packet the rest is not believed to come. Loopback takes microseconds and
/// a network milliseconds; a busy host may not run a thread for some time.
const SETTLED: Duration = Duration::from_millis(300);

/// What somebody else sends to the same port may never end, and a stream that failed reads no more.
const LONGEST_SETTLING: Duration = Duration::from_secs(10);

/// How often to look whether all has arrived.
const LOOK: Duration = Duration::from_millis(2);

/// Receives trial after trial.
pub(super) struct Receiver {
    receiving: Receiving,
    lanes: Vec<Lane>,
}

/// What a stream needs that outlives it.
struct Lane {
    socket: UdpSocket,
    worker: Worker,
    core: Option<usize>,
    pool: ChunkPool,
}

/// A trial that is being received.
pub(super) struct Running {
    streams: Vec<(Stream, JoinHandle<Tally>)>,
    /// Duplicates of the streams' sockets, to see whether something waits in them.
    sockets: Vec<OwnedFd>,
    cpu: Duration,
}

impl Receiver {
    /// Gets all that trials need, with no more than `max_memory` bytes for chunks.
    pub(super) fn open(receiving: Receiving, max_memory: usize) -> Result<Self> {
        check(&receiving, max_memory)?;
        let workers = workers(&receiving)?;
        let lanes = receiving.streams.iter().enumerate().map(|(at, endpoint)| {
            let mut config =
                UdpConfig::new(endpoint.address).recv_buffer(receiving.buffer).gro(receiving.gro);
            if let Some(name) = &endpoint.interface {
                config = config.interface(endpoint::interface(name));
            }
            let socket = bind_udp(&config).map_err(|error| anyhow!("{error}"))?;
            let (worker, core) = &workers[at % workers.len()];
            Ok(Lane { socket, worker: worker.clone(), core: *core, pool: pool(&receiving)? })
        });
        let lanes = lanes.collect::<Result<_>>()?;
        Ok(Self { receiving, lanes })
    }

    /// What a sender has to know.
    pub(super) fn opened(&self) -> Vec<Opened> {
        let lane = |lane: &Lane| {
            let buffer = lane.socket.recv_buffer();
            Opened {
                address: lane.socket.local_addr(),
                buffer: buffer.granted,
                hint: buffer.sysctl_hint(),
                core: lane.core,
            }
        };
        self.lanes.iter().map(lane).collect()
    }

    /// Receives heaps from number `first` on, the first of a chunk; older ones are refused.
    pub(super) fn begin(&self, first: u64) -> Result<Running> {
        let layout = layout(&self.receiving, first)?;
        let cpu = cpu_time();
        let streams = self.lanes.iter().enumerate().map(|(id, lane)| {
            let receiver = ReceiverConfig::default()
                .max_datagram(self.receiving.packet)
                .gro(self.receiving.gro);
            let reader = UdpReader::adopt(lane.socket.as_fd(), &receiver)
                .map_err(|error| anyhow!("{error}"))?;
            let ring = Ring::new(RING)?;
            let copy_mode = match self.receiving.non_temporal {
                true => CopyMode::NonTemporal,
                false => CopyMode::Cached,
            };
            let stream = Stream::chunks(layout.clone())
                .config(StreamConfig::default().stream_id(id as u64).copy_mode(copy_mode))
                .window(self.receiving.window)
                .ring(&lane.pool, &ring, RingPolicy::default())
                .reader(reader)
                .start(&lane.worker)?;
            let consumer = thread::Builder::new().spawn(move || consume(&ring));
            Ok((stream, consumer.context("cannot start a thread that takes chunks")?))
        });
        let streams = streams.collect::<Result<_>>()?;
        let sockets = self.lanes.iter().map(|lane| lane.socket.as_fd().try_clone_to_owned());
        Ok(Running { streams, sockets: sockets.collect::<io::Result<_>>()?, cpu })
    }
}

/// Looks at all chunks, which go back to their pool.
fn consume(ring: &Ring<Chunk>) -> Tally {
    let mut chunks = Chunks::new(ring);
    chunks.by_ref().for_each(drop);
    chunks.tally()
}

impl Running {
    /// Waits until what was sent has arrived, or nothing more comes, and says what did.
    pub(super) fn finish(self, heaps: &[u64]) -> Result<Received> {
        if heaps.len() != self.streams.len() {
            bail!("there are {} streams, not {}", self.streams.len(), heaps.len());
        }
        self.settle(heaps);
        let cpu = cpu_time().saturating_sub(self.cpu);
        let mut streams = Vec::new();
        for (stream, consumer) in self.streams {
            stream.finish();
            let end = stream.wait();
            let tally = consumer.join().map_err(|_| anyhow!("the consumer panicked"))?;
            streams.push(received(&stream.stats(), tally, &end));
        }
        Ok(Received { streams, cpu: cpu.as_secs_f64() })
    }

    fn settle(&self, heaps: &[u64]) {
        let start = Instant::now();
        let (mut last, mut since) = (0, start);
        while start.elapsed() < LONGEST_SETTLING {
            let stats: Vec<StreamStats> =
                self.streams.iter().map(|(stream, _)| stream.stats()).collect();
            let placed = |stats: &StreamStats| stats.outcome(HeapOutcome::Placed);
            if stats.iter().zip(heaps).all(|(stats, &sent)| placed(stats) >= sent) {
                return;
            }
            let packets = stats.iter().map(|stats| stats.packets_received).sum();
            // On a busy host the receiving thread may be the one that does not come.
            if packets != last || self.sockets.iter().any(has_unread) {
                (last, since) = (packets, Instant::now());
            } else if since.elapsed() > SETTLED {
                return;
            }
            thread::sleep(LOOK);
        }
    }
}

/// Whether a datagram, or an error, waits in the socket.
fn has_unread(socket: &OwnedFd) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    !matches!(rustix::net::recv(socket, &mut [0u8; 1], flags), Err(Errno::AGAIN))
}

fn received(stats: &StreamStats, tally: Tally, end: &End) -> StreamReceived {
    let tells_loss = |name: &str| {
        name == "kernel_drops"
            || name == "reader_errors"
            || name.starts_with("packets_discarded.")
            || (name.starts_with("heaps.") && name != "heaps.placed")
    };
    let counters = stats.counters().into_iter();
    StreamReceived {
        heaps_present: tally.heaps_present,
        heaps_placed: stats.outcome(HeapOutcome::Placed),
        packets: stats.packets_received,
        payload: stats.bytes_placed,
        kernel_drops: stats.kernel_drops,
        losses: counters.filter(|(name, value)| *value != 0 && tells_loss(name)).collect(),
        balances: stats.packets_balance() && stats.heaps_balance(),
        failure: match end {
            End::Failed(why) => Some(why.clone()),
            _ => None,
        },
    }
}

/// Heaps are placed by their count, which every heap has.
fn layout(receiving: &Receiving, origin: u64) -> Result<Layout> {
    Layout::builder(HEAP_CNT, receiving.heap_size)
        .origin(origin)
        .heaps_per_chunk(receiving.heaps_per_chunk)
        .build()
        .context("the chunks cannot be laid out like this; look at --chunk and --heap-size")
}

/// Refuses what a master should not ask for, before anything is allocated.
fn check(receiving: &Receiving, max_memory: usize) -> Result<()> {
    let streams = receiving.streams.len();
    if !(1..=MAX_STREAMS).contains(&streams) {
        bail!("an agent receives from 1 to {MAX_STREAMS} streams, not {streams}");
    }
    if receiving.window == 0 || receiving.chunks < receiving.window {
        bail!(
            "--chunks {} and --window {}: the window has to be at least 1, and its chunks have \
             to be there",
            receiving.chunks,
            receiving.window
        );
    }
    if receiving.chunks > MAX_CHUNKS || receiving.packet > MAX_PACKET {
        bail!(
            "--chunks {} and --packet {}: at most {MAX_CHUNKS} and {MAX_PACKET} are possible",
            receiving.chunks,
            receiving.packet
        );
    }
    let chunk = layout(receiving, 0)?.chunk_size();
    let wanted = chunk.checked_mul(receiving.chunks).and_then(|lane| lane.checked_mul(streams));
    if wanted.is_none_or(|wanted| wanted > max_memory) {
        bail!(
            "{streams} streams with {} chunks of {} each take more than the agent's --max-memory \
             of {}",
            receiving.chunks,
            Bytes(chunk as u64),
            Bytes(max_memory as u64)
        );
    }
    Ok(())
}

/// The threads that streams take turns on, and where they are pinned.
fn workers(receiving: &Receiving) -> Result<Vec<(Worker, Option<usize>)>> {
    let wait = match receiving.wait {
        Wait::Sleep => WaitStrategy::Sleep,
        Wait::Spin => WaitStrategy::Spin,
        Wait::Coalesce(seconds) => WaitStrategy::Coalesce(
            Duration::try_from_secs_f64(seconds).context("--coalesce is no time to wait")?,
        ),
    };
    let cores = match &receiving.pin[..] {
        [] => vec![None; receiving.streams.len()],
        cores => cores.iter().copied().take(receiving.streams.len()).map(Some).collect(),
    };
    let start = |(at, core): (usize, Option<usize>)| {
        let worker = Worker::builder().name(format!("receive-{at}")).wait(wait);
        let worker = core.into_iter().fold(worker, |worker, core| worker.pin(core));
        let worker = worker.start().context("cannot start a receiving thread; look at --pin")?;
        Ok((worker, core))
    };
    cores.into_iter().enumerate().map(start).collect()
}

/// Chunks whose memory is there before the first packet.
fn pool(receiving: &Receiving) -> Result<ChunkPool> {
    let layout = layout(receiving, 0)?;
    let allocator: Box<dyn Allocator> = if receiving.huge_pages {
        let options =
            MapOptions { huge_pages: HugePages::Prefer, populate: true, ..MapOptions::default() };
        Box::new(MmapAllocator::new(options))
    } else {
        Box::new(HeapAllocator)
    };
    let (chunks, size, flags) = (receiving.chunks, layout.chunk_size(), layout.flags());
    ChunkPool::allocated(chunks, size, flags, &*allocator)
        .map_err(|error| anyhow!("{error}; use smaller --chunk or fewer --chunks"))
}

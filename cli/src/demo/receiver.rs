//! The receiving side: a group of streams, a pool and a ring.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, anyhow};
use speadway::chunk::{Chunk, ChunkPool, Layout, RingPolicy};
use speadway::net::{DEFAULT_MAX_DATAGRAM, ReceiverConfig, UdpConfig};
use speadway::recv::readers::UdpReader;
use speadway::recv::{Group, Member, StreamConfig, Worker};
use speadway::ring::Ring;

use super::flow;
use super::options::Plan;
use super::sender::SEQUENCE;

/// Chunks that may wait for the consumer.
const RING: usize = 4;

/// A running receiver.
pub(super) struct Receiver {
    pub(super) group: Group,
    pub(super) ring: Ring<Chunk>,
    pub(super) addresses: Vec<SocketAddr>,
    /// The smallest receive buffer that the kernel granted, in bytes.
    pub(super) granted: usize,
    /// The most packets that may be on the way to each port.
    pub(super) limits: Vec<u64>,
}

impl Receiver {
    pub(super) fn start(plan: &Plan) -> Result<Self> {
        let layout = Layout::builder(SEQUENCE, plan.heap_size)
            .heaps_per_chunk(plan.heaps_per_chunk)
            .member_axis(plan.ports)
            .build()
            .context("--chunk-heaps, --heap-size and --ports do not make a chunk")?;
        // The windows, the ring, and one that the consumer looks at.
        let chunks = plan.window + RING + 1;
        let pool = ChunkPool::zeroed(chunks, layout.chunk_size(), layout.heaps())
            .map_err(|error| anyhow!("{error}; use smaller chunks or fewer"))?;
        let ring = Ring::new(RING)?;
        let workers = (0..plan.workers)
            .map(|at| Worker::builder().name(format!("receive-{at}")).start())
            .collect::<Result<Vec<_>, _>>()
            .context("cannot start the receiving threads; use fewer --workers")?;
        let mut builder = Group::builder().window(plan.window).eviction(plan.eviction).ring(
            &pool,
            &ring,
            RingPolicy::default(),
        );
        let (mut addresses, mut limits, mut smallest) = (Vec::new(), Vec::new(), usize::MAX);
        for port in 0..plan.ports {
            let reader = bind(plan)?;
            let granted = reader.recv_buffer().granted;
            addresses.push(reader.local_addr());
            limits.push(limit(plan, granted));
            smallest = smallest.min(granted);
            let member = Member::new(layout.clone())
                .config(StreamConfig::default().stream_id(port as u64))
                .window(plan.window - 1)
                .reader(reader);
            builder = builder.member(&workers[port % workers.len()], member);
        }
        let group = builder.start()?;
        Ok(Self { group, ring, addresses, granted: smallest, limits })
    }
}

fn bind(plan: &Plan) -> Result<UdpReader> {
    let config = UdpConfig::new((Ipv4Addr::LOCALHOST, 0).into()).recv_buffer(plan.buffer);
    let receiver = ReceiverConfig::default().max_datagram(plan.packet.max(DEFAULT_MAX_DATAGRAM));
    UdpReader::bind_with(&config, &receiver).map_err(|error| anyhow!("{error}"))
}

/// The most packets on the way to a port: what its socket holds, and, so that no port drops out of
/// the window of chunks because another is served first, one chunk less than that window.
fn limit(plan: &Plan, granted: usize) -> u64 {
    let window = (plan.window as u64 - 1)
        .saturating_mul(plan.heaps_per_chunk)
        .saturating_mul(plan.packets_per_heap);
    // The packet that is being worked on may or may not have been counted as taken.
    let window = window.saturating_sub(1).max(1);
    flow::packets_that_fit(granted, plan.packet).min(window)
}

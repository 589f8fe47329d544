//! The sending side of trials: a stream to each destination, at a rate, for a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use speadway::net::{Interface, UdpSendConfig};
use speadway::recv::Worker;
use speadway::send::transport::UdpTransport;
use speadway::send::{GroupMode, Heap, HeapRef, SendConfig, SendStats, SendStream};
use speadway::wire::Flavour;

use super::options::{Sending, Workload};
use crate::endpoint;

/// The item that carries the payload.
const SAMPLES: u64 = 0x4300;

/// Heaps are given to a stream in lists of about this many bytes: enough that handing them over
/// does not show beside sending them (some 0.1 ms at 100 Gb/s).
const LIST_BYTES: usize = 2 << 20;

/// A list takes no longer than this at its rate, so that a trial ends when it should.
const LIST_SECONDS: f64 = 0.01;

/// Lists that wait: one that is sent, and the next.
const QUEUE: usize = 2;

/// Sends trial after trial.
pub(super) struct Sender {
    lanes: Vec<Lane>,
    heap: Arc<Heap>,
    heap_size: usize,
}

struct Lane {
    stream: SendStream,
    to: SocketAddr,
    /// What had been counted before the trial.
    before: SendStats,
}

/// What was sent to one destination.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) heaps: u64,
    pub(super) packets: u64,
    /// Bytes of packets.
    pub(super) bytes: u64,
    pub(super) time: Duration,
}

impl Sender {
    /// Opens a socket for each of `destinations`, for packets of up to `packet` bytes.
    pub(super) fn open(
        destinations: &[SocketAddr],
        packet: usize,
        workload: &Workload,
        sending: &Sending,
    ) -> Result<Self> {
        let workers = workers(destinations.len(), &sending.send_pin)?;
        let lanes = destinations.iter().enumerate().map(|(at, &to)| {
            let transport = UdpTransport::open(&[to], &udp_config(to, at, sending));
            let config = SendConfig::default()
                .max_packet_size(packet)
                .burst_size(sending.burst)
                .max_heaps(QUEUE);
            let transport = transport.map_err(|error| anyhow!("{error}"))?;
            let stream = SendStream::start(&workers[at % workers.len()], transport, config)
                .context("packets cannot be sent like this; look at --packet")?;
            Ok(Lane { stream, to, before: SendStats::default() })
        });
        let heap_size = workload.heap_size;
        let heap = Heap::new(Flavour::default())
            .item(SAMPLES, vec![0x5a; heap_size])
            .context("such heaps cannot be; look at --heap-size")?;
        Ok(Self { lanes: lanes.collect::<Result<_>>()?, heap: Arc::new(heap), heap_size })
    }

    /// Sends heaps numbered from `first` on to all destinations for a `time`, each with its share of
    /// `rate` bytes a second or as fast as it goes.
    pub(super) fn send(
        &mut self,
        rate: Option<f64>,
        time: Duration,
        first: u64,
    ) -> Result<Vec<Sent>> {
        let share = rate.map(|rate| rate / self.lanes.len() as f64);
        let list = self.list(share);
        thread::scope(|scope| {
            let send = |lane| {
                let sending = || Lane::send(lane, &list, time, first);
                thread::Builder::new().spawn_scoped(scope, sending)
            };
            let lanes: Vec<_> = self.lanes.iter_mut().map(send).collect();
            let joined = lanes.into_iter().map(|lane| {
                let lane = lane.context("cannot start a sending thread; use fewer streams")?;
                lane.join().map_err(|_| anyhow!("a sending thread panicked"))?
            });
            joined.collect()
        })
    }

    fn list(&self, rate: Option<f64>) -> Arc<[HeapRef]> {
        let bytes = rate.map_or(LIST_BYTES, |rate| LIST_BYTES.min((rate * LIST_SECONDS) as usize));
        let heaps = (bytes / self.heap_size).max(1);
        // 0 is as fast as it goes.
        let heap = HeapRef::from(Arc::clone(&self.heap)).rate(rate.unwrap_or(0.0));
        vec![heap; heaps].into()
    }
}

impl Lane {
    fn send(&mut self, list: &Arc<[HeapRef]>, time: Duration, first: u64) -> Result<Sent> {
        let cannot = || format!("cannot send to {}", self.to);
        self.stream.set_cnt_sequence(first, 1);
        let start = Instant::now();
        // One list at least, however short the time.
        loop {
            // Its completion is not waited for: `flush` does that for all.
            self.stream.send_list(list, GroupMode::Serial).map(drop).with_context(cannot)?;
            self.stream.wait_for_space();
            if start.elapsed() >= time {
                break;
            }
        }
        self.stream.flush().with_context(cannot)?;
        let time = start.elapsed();
        if let Some(error) = self.stream.last_error() {
            return Err(error).with_context(cannot);
        }
        let now = self.stream.stats();
        let before = std::mem::replace(&mut self.before, now);
        Ok(Sent {
            heaps: now.heaps - before.heaps,
            packets: now.packets - before.packets,
            bytes: now.bytes - before.bytes,
            time,
        })
    }
}

fn udp_config(to: SocketAddr, at: usize, sending: &Sending) -> UdpSendConfig {
    let interface = match &sending.send_interface[..] {
        [] => Interface::Any,
        names => endpoint::interface(&names[at % names.len()]),
    };
    UdpSendConfig::to(to)
        .gso(!sending.no_gso)
        .send_buffer(sending.send_buffer)
        .multicast_ttl(sending.ttl)
        .interface(interface)
}

fn workers(streams: usize, cores: &[usize]) -> Result<Vec<Worker>> {
    let cores = match cores {
        [] => vec![None; streams],
        cores => cores.iter().copied().take(streams).map(Some).collect(),
    };
    let start = |(at, core): (usize, Option<usize>)| {
        let worker = Worker::builder().name(format!("send-{at}"));
        let worker = core.into_iter().fold(worker, |worker, core| worker.pin(core));
        worker.start().context("cannot start a sending thread; look at --send-pin")
    };
    cores.into_iter().enumerate().map(start).collect()
}

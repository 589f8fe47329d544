//! The sending side: one thread that serves all ports in turn.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use speadway::net::{PacketParts, UdpSendConfig, UdpSender};
use speadway::wire::{EncodeError, Flavour, HeapEncoder, HeapPlan, ItemPointer};

use super::flow::Flow;
use super::options::{Amount, Damage, Plan};
use super::pattern;
use super::receiver::Receiver;

/// The item that numbers the heaps of a port.
pub(super) const SEQUENCE: u64 = 0x1600;

/// The item that carries the samples.
const SAMPLES: u64 = 0x4300;

/// How long to wait for the receiver, or the time to send: about what it takes for a few dozen
/// packets to arrive, and no less than a timer is good for.
const WAIT: Duration = Duration::from_micros(50);

/// How a port's heap number `round` becomes packets.
pub(super) fn heap_plan(
    flavour: Flavour,
    round: u64,
    heap_size: usize,
    packet: usize,
) -> Result<HeapPlan, EncodeError> {
    let pointers = vec![
        ItemPointer::immediate(flavour, SEQUENCE, round)?,
        ItemPointer::addressed(flavour, SAMPLES, 0)?,
    ];
    HeapPlan::new(flavour, round + 1, packet, pointers, heap_size, false)
}

/// What was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) heaps: u64,
    pub(super) payload: u64,
    pub(super) packets: u64,
    pub(super) time: Duration,
}

/// Sends heaps to all ports.
pub(super) struct Sender<'a> {
    plan: &'a Plan,
    lanes: Vec<Lane<'a>>,
    payload: Vec<u8>,
}

/// The way to one port.
struct Lane<'a> {
    flow: Flow<'a>,
    socket: UdpSender,
    address: SocketAddr,
    /// The headers of a heap's packets, one after another; kept for its memory.
    headers: Vec<u8>,
    packets: u64,
    bytes: u64,
}

impl<'a> Sender<'a> {
    pub(super) fn new(plan: &'a Plan, receiver: &'a Receiver) -> Result<Self> {
        let ports = receiver.addresses.iter().zip(receiver.group.members()).zip(&receiver.limits);
        let lanes = ports
            .map(|((&address, stream), &limit)| {
                let socket = UdpSender::open(&UdpSendConfig::to(address).connect(address))
                    .map_err(|error| anyhow!("{error}"))?;
                let flow = Flow::new(stream, limit);
                Ok(Lane { flow, socket, address, headers: Vec::new(), packets: 0, bytes: 0 })
            })
            .collect::<Result<_>>()?;
        Ok(Self { plan, lanes, payload: vec![0; plan.heap_size] })
    }

    /// Sends all there is to send, or until told to `stop`.
    pub(super) fn run(mut self, stop: &AtomicBool) -> Result<Sent> {
        let started = Instant::now();
        let mut round = 0;
        while !stop.load(Ordering::Relaxed) && !self.is_enough(round, started.elapsed()) {
            for port in 0..self.lanes.len() {
                self.pace(started);
                self.send_heap(port, round)?;
            }
            round += 1;
        }
        let time = started.elapsed();
        let heaps = round * self.lanes.len() as u64;
        for lane in &mut self.lanes {
            lane.send_stop(round + 1)?;
        }
        Ok(Sent {
            heaps,
            payload: heaps * self.plan.heap_size as u64,
            packets: self.lanes.iter().map(|lane| lane.packets).sum(),
            time,
        })
    }

    fn is_enough(&self, round: u64, time: Duration) -> bool {
        match self.plan.amount {
            Amount::Rounds(rounds) => round >= rounds,
            // Something has to be shown however short the time is.
            Amount::Time(limit) => round > 0 && time >= limit,
        }
    }

    /// Waits until the next heap is due.
    fn pace(&self, started: Instant) {
        let Some(gigabits) = self.plan.rate else { return };
        let bytes: u64 = self.lanes.iter().map(|lane| lane.bytes).sum();
        let due = started + Duration::from_secs_f64(bytes as f64 * 8.0 / (gigabits * 1e9));
        while let Some(left) = due.checked_duration_since(Instant::now()) {
            if left > 2 * WAIT { thread::sleep(left - WAIT) } else { thread::yield_now() }
        }
    }

    fn send_heap(&mut self, port: usize, round: u64) -> Result<()> {
        // The first heap of the last port: there is one however little is sent.
        let is_victim = (port, round) == (self.lanes.len() - 1, 0);
        let damage = self.plan.damage.filter(|_| is_victim);
        if damage == Some(Damage::Lose) {
            return Ok(());
        }
        pattern::fill(port, round, &mut self.payload);
        if damage == Some(Damage::Corrupt) {
            let middle = self.payload.len() / 2;
            self.payload[middle] ^= 1;
        }
        let plan = heap_plan(Flavour::default(), round, self.plan.heap_size, self.plan.packet)?;
        self.lanes[port].send_heap(plan, &self.payload)
    }
}

impl Lane<'_> {
    fn send_heap(&mut self, mut plan: HeapPlan, payload: &[u8]) -> Result<()> {
        let mut headers = std::mem::take(&mut self.headers);
        headers.clear();
        let mut pieces = Vec::new();
        while let Some(range) = plan.next_packet(&mut headers) {
            pieces.push((headers.len(), range));
        }
        let mut start = 0;
        let packets: Vec<_> = pieces
            .into_iter()
            .map(|(end, range)| {
                let header = &headers[std::mem::replace(&mut start, end)..end];
                PacketParts::new(header, &payload[range])
            })
            .collect();
        let sent = self.send(&packets);
        self.headers = headers;
        sent
    }

    /// Ends the stream.
    fn send_stop(&mut self, heap_cnt: u64) -> Result<()> {
        let heap = HeapEncoder::stream_stop(Flavour::default(), heap_cnt)?.packets();
        let packets: Vec<_> = heap.iter().map(|packet| PacketParts::new(packet, &[])).collect();
        self.send(&packets)
    }

    /// Sends all `packets`, no faster than they are taken.
    fn send(&mut self, mut packets: &[PacketParts<'_>]) -> Result<()> {
        while !packets.is_empty() {
            let room = usize::try_from(self.flow.room()?).unwrap_or(usize::MAX);
            let sent = match self.socket.send(None, &packets[..packets.len().min(room)]) {
                Ok(sent) => sent,
                // The answer to an earlier packet, to a receiver that has ended: nobody listens.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    return Err(anyhow!("{} no longer receives", self.address));
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot send to {}", self.address));
                }
            };
            self.flow.sent(sent);
            self.packets += sent as u64;
            self.bytes += packets[..sent].iter().map(|packet| packet.len() as u64).sum::<u64>();
            packets = &packets[sent..];
            if sent == 0 {
                thread::sleep(WAIT);
            }
        }
        Ok(())
    }
}

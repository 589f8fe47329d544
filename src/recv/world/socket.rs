//! Sockets of the simulated network, and the reader that a stream has for each.

use std::collections::VecDeque;
use std::io;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, Weak};
use std::task::Waker;

use super::{World, lock};
use crate::heap::Origin;
use crate::recv::Flow;
use crate::recv::reader::{Inlet, ReadState, Reader, Watch};

/// What a planned panic says.
pub(super) const PLANNED: &str = "planned";

/// A packet that has arrived.
pub(super) struct Arrived {
    bytes: Vec<u8>,
    damaged: bool,
    /// The stream has seen it.
    offered: bool,
}

impl Arrived {
    pub(super) fn new(bytes: Vec<u8>, damaged: bool) -> Self {
        Self { bytes, damaged, offered: false }
    }
}

/// A socket: what has arrived and the stream was not done with.
pub(super) struct Socket {
    pub(super) stream: usize,
    pub(super) queue: VecDeque<Arrived>,
    /// How many of these the reader has received and holds.
    pub(super) held: usize,
    pub(super) eof: bool,
    /// What did not fit.
    pub(super) drops: u64,
    /// Packets that the stream was done with.
    pub(super) taken: u64,
    /// Nobody reads it any more.
    pub(super) closed: bool,
    /// It is watched for by its worker, as a descriptor is; otherwise it calls the stream's waker.
    pub(super) watched: bool,
    waker: Option<Waker>,
}

impl Socket {
    pub(super) fn new(stream: usize, watched: bool) -> Self {
        Self {
            stream,
            queue: VecDeque::new(),
            held: 0,
            eof: false,
            drops: 0,
            taken: 0,
            closed: false,
            watched,
            waker: None,
        }
    }

    /// Something arrived: whom to call. (A worker that watches is told by the world.)
    pub(super) fn stir(&mut self) -> Option<Waker> {
        if self.watched { None } else { self.waker.take() }
    }
}

pub(super) struct SocketReader {
    pub(super) world: Weak<World>,
    pub(super) socket: Arc<Mutex<Socket>>,
    /// Reads a stream of bytes instead of datagrams.
    pub(super) framed: bool,
}

impl SocketReader {
    /// Offers what the reader holds; the reason if the stream cannot take it all.
    fn deliver(&self, world: &World, inlet: &mut Inlet<'_>) -> Option<ReadState> {
        while lock(&self.socket).held > 0 {
            let train = self.next_train(world);
            let (done, flow) = train.offer(self.framed, inlet);
            let mut socket = lock(&self.socket);
            socket.queue.drain(..done);
            socket.held -= done;
            socket.taken += done as u64;
            if let Flow::Park(reason) = flow {
                world.note(|| format!("    {} packets wait: {reason:?}", socket.held));
                return Some(ReadState::Parked(reason));
            }
        }
        None
    }

    /// Some of the packets that are held, which lie one after the other.
    fn next_train(&self, world: &World) -> Train {
        let longest = lock(&world.choices).between(1, world.plan.train);
        let mut socket = lock(&self.socket);
        let (stream, held) = (socket.stream, socket.held);
        let mut train = Train::default();
        for packet in socket.queue.iter_mut().take(held.min(longest)) {
            if !train.may_go_on_with(packet, self.framed) {
                break;
            }
            if !std::mem::replace(&mut packet.offered, true) {
                let mut oracle = lock(&world.oracle);
                oracle.offered(&world.plan, stream, &packet.bytes, packet.damaged);
            }
            train.push(packet);
        }
        train
    }

    /// Receives up to a batch; what there is to say if nothing has arrived.
    fn receive(&self, world: &World, inlet: &Inlet<'_>) -> Option<ReadState> {
        let mut socket = lock(&self.socket);
        socket.held = socket.queue.len().min(world.plan.batch);
        if socket.held > 0 {
            return None;
        }
        if socket.eof {
            return Some(ReadState::End);
        }
        let waker = (!socket.watched).then(|| inlet.waker().clone());
        socket.waker = waker;
        Some(ReadState::Empty)
    }

    fn nothing_waits(&self) -> bool {
        lock(&self.socket).queue.is_empty()
    }
}

/// Packets that lie one after the other, as the kernel merges them or a connection carries them.
#[derive(Default)]
struct Train {
    bytes: Vec<u8>,
    /// Where each packet ends.
    ends: Vec<usize>,
    damaged: bool,
}

impl Train {
    /// Datagrams are merged if they are as long as the first, or the last of them and shorter.
    /// In a stream of bytes what is damaged would take along what follows it.
    fn may_go_on_with(&self, packet: &Arrived, framed: bool) -> bool {
        let Some(&first) = self.ends.first() else { return true };
        if framed {
            return !self.damaged && !packet.damaged;
        }
        let merged = self.bytes.len() == first * self.ends.len();
        merged && (1..=first).contains(&packet.bytes.len())
    }

    fn push(&mut self, packet: &Arrived) {
        self.bytes.extend_from_slice(&packet.bytes);
        self.ends.push(self.bytes.len());
        self.damaged |= packet.damaged;
    }

    /// Says how many packets the stream is done with.
    fn offer(&self, framed: bool, inlet: &mut Inlet<'_>) -> (usize, Flow) {
        let (all, origin) = (self.ends.len(), Origin::default());
        let (bytes, flow) = if framed && !self.bytes.is_empty() {
            // Without a packet at its start a piece is lost.
            inlet.packets_in(&self.bytes, all, &origin).unwrap_or((self.bytes.len(), Flow::Next))
        } else {
            inlet.datagrams(&self.bytes, self.ends[0].max(1), &origin)
        };
        if flow == Flow::Next {
            assert!(self.damaged || bytes == self.bytes.len(), "all of a train is taken");
            return (all, flow);
        }
        (self.ends.iter().take_while(|end| **end <= bytes).count(), flow)
    }
}

impl Reader for SocketReader {
    fn attach(&mut self, watch: &mut Watch<'_>) -> io::Result<()> {
        if lock(&self.socket).watched {
            watch.watch_nothing();
        }
        Ok(())
    }

    fn read(&mut self, inlet: &mut Inlet<'_>) -> ReadState {
        let Some(world) = self.world.upgrade() else { return ReadState::End };
        world.interlude();
        world.panic_perhaps();
        if let Some(parked) = self.deliver(&world, inlet) {
            return parked;
        }
        if world.chance(world.plan.faults.error) {
            let error = io::Error::other(PLANNED);
            let fails = world.chance(20);
            return if fails { ReadState::Failed(error) } else { ReadState::Error(error) };
        }
        let state = self.receive(&world, inlet).or_else(|| self.deliver(&world, inlet));
        match state {
            Some(state) => state,
            // Some readers know that there is no more.
            None if self.nothing_waits() && world.chance(50) => {
                self.receive(&world, inlet).unwrap_or(ReadState::Batch)
            }
            None if world.chance(30) => ReadState::Partial,
            None => ReadState::Batch,
        }
    }

    fn detach(&mut self, _watch: &mut Watch<'_>) {
        lock(&self.socket).closed = true;
    }

    fn kernel_drops(&mut self, _exact: bool) -> u64 {
        lock(&self.socket).drops
    }

    fn describe(&self) -> String {
        "a simulated socket".to_owned()
    }
}

impl Drop for SocketReader {
    fn drop(&mut self) {
        lock(&self.socket).closed = true;
    }
}

impl World {
    /// A callback's panic, without the noise that the hook makes of one.
    pub(super) fn panic_perhaps(&self) {
        if self.chance(self.plan.faults.panic) {
            resume_unwind(Box::new(PLANNED));
        }
    }
}

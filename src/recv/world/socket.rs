//! Sockets of the simulated network, and the reader that a stream has for each.

use std::collections::VecDeque;
use std::io;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, Weak};
use std::task::Waker;

use super::{World, lock};
use crate::chunk::ParkReason;
use crate::heap::Origin;
use crate::recv::Flow;
use crate::recv::reader::{Inlet, ReadState, Reader, Watch};

/// What a planned panic says.
pub(super) const PLANNED: &str = "planned";

/// A packet that has arrived.
pub(super) struct Arrived {
    pub(super) bytes: Arc<[u8]>,
    pub(super) damaged: bool,
}

/// A socket: what has arrived and was not read.
pub(super) struct Socket {
    pub(super) stream: usize,
    pub(super) queue: VecDeque<Arrived>,
    pub(super) eof: bool,
    /// What did not fit.
    pub(super) drops: u64,
    /// Packets that the stream was done with.
    pub(super) taken: u64,
    /// Nobody reads it any more.
    pub(super) closed: bool,
    /// The stream has begun with the first packet.
    begun: bool,
    /// It is watched for by its worker, as a descriptor is; otherwise it calls the stream's waker.
    pub(super) watched: bool,
    waker: Option<Waker>,
}

impl Socket {
    pub(super) fn new(stream: usize, watched: bool) -> Self {
        Self {
            stream,
            queue: VecDeque::new(),
            eof: false,
            drops: 0,
            taken: 0,
            closed: false,
            begun: false,
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
    /// Offers the first packet. `Err` if the read ends here.
    fn offer(&self, world: &World, inlet: &mut Inlet<'_>) -> Result<(), ReadState> {
        let (bytes, fresh) = {
            let mut socket = lock(&self.socket);
            let Some(first) = socket.queue.front() else {
                if socket.eof {
                    return Err(ReadState::End);
                }
                let waker = (!socket.watched).then(|| inlet.waker().clone());
                socket.waker = waker;
                return Err(ReadState::Empty);
            };
            let (bytes, damaged) = (Arc::clone(&first.bytes), first.damaged);
            let fresh = !std::mem::replace(&mut socket.begun, true);
            (bytes, fresh.then_some((socket.stream, damaged)))
        };
        if let Some((stream, damaged)) = fresh {
            lock(&world.oracle).offered(&world.plan, stream, &bytes, damaged);
        }
        match self.hand_over(&bytes, inlet) {
            Flow::Park(reason) => Err(self.parked(world, reason)),
            Flow::Next => {
                let mut socket = lock(&self.socket);
                socket.queue.pop_front();
                socket.begun = false;
                socket.taken += 1;
                Ok(())
            }
        }
    }

    fn hand_over(&self, bytes: &[u8], inlet: &mut Inlet<'_>) -> Flow {
        // A stream of bytes has no empty piece; without a packet at its start a piece is lost.
        if self.framed && !bytes.is_empty() {
            inlet.packets_in(bytes, 1, &Origin::default()).map_or(Flow::Next, |(_, flow)| flow)
        } else {
            inlet.datagram(bytes, &Origin::default())
        }
    }

    fn parked(&self, world: &World, reason: ParkReason) -> ReadState {
        world.note(|| format!("    the packet waits: {reason:?}"));
        ReadState::Parked(reason)
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
        // An error is told between packets, never while one waits.
        if !lock(&self.socket).begun && world.chance(world.plan.faults.error) {
            let error = io::Error::other(PLANNED);
            let fails = world.chance(20);
            return if fails { ReadState::Failed(error) } else { ReadState::Error(error) };
        }
        for _ in 0..world.plan.batch {
            if let Err(state) = self.offer(&world, inlet) {
                return state;
            }
        }
        if world.chance(30) { ReadState::Partial } else { ReadState::Batch }
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

//! Packets into queues within the process.

use std::io;
use std::task::{Poll, Waker};

use super::Transport;
use crate::net::PacketParts;
use crate::recv::Watch;
use crate::recv::readers::{InprocQueue, PacketBytes, TryAddError};
use crate::ring::Waiter;

/// Copies packets into queues, each a substream. A bounded queue that is full holds the stream up.
#[derive(Debug)]
pub struct InprocTransport {
    queues: Vec<InprocQueue>,
    /// The queue that was full, and our place among those who wait for room.
    full: usize,
    waiter: Waiter,
}

impl InprocTransport {
    /// Sends to `queues`.
    #[must_use]
    pub fn new(queues: &[InprocQueue]) -> Self {
        Self { queues: queues.to_vec(), full: 0, waiter: Waiter::default() }
    }
}

impl Transport for InprocTransport {
    fn substreams(&self) -> usize {
        self.queues.len()
    }

    fn attach(&mut self, _watch: &mut Watch<'_>) -> io::Result<()> {
        Ok(())
    }

    fn send(&mut self, substream: usize, packets: &[PacketParts<'_>]) -> io::Result<usize> {
        let Some(queue) = self.queues.get(substream) else {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        };
        for (sent, packet) in packets.iter().enumerate() {
            let mut bytes = Vec::with_capacity(packet.len());
            bytes.extend_from_slice(packet.header);
            bytes.extend_from_slice(packet.payload);
            packet.more.iter().for_each(|piece| bytes.extend_from_slice(piece));
            match queue.try_add_packet(PacketBytes::from(bytes)) {
                Ok(()) => {}
                Err(TryAddError::Full(_)) => {
                    self.full = substream;
                    return Ok(sent);
                }
                Err(TryAddError::Stopped(_)) if sent > 0 => return Ok(sent),
                Err(TryAddError::Stopped(_)) => {
                    return Err(io::Error::new(
                        io::ErrorKind::BrokenPipe,
                        "the in-process queue is stopped",
                    ));
                }
            }
        }
        Ok(packets.len())
    }

    fn wait_for_room(&mut self, waker: &Waker) -> bool {
        match self.queues.get(self.full) {
            Some(queue) => queue.poll_room(&mut self.waiter, waker) == Poll::Ready(()),
            None => true,
        }
    }
}

//! Packets into memory, one after the other.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::Transport;
use crate::net::PacketParts;
use crate::recv::Watch;

/// Appends packets to a buffer in memory.
#[derive(Debug, Default)]
pub struct BytesTransport {
    received: Received,
}

/// What a [`BytesTransport`] was sent so far.
#[derive(Clone, Debug, Default)]
pub struct Received(Arc<Mutex<Vec<u8>>>);

impl Received {
    /// Takes all packets that were sent since the last time.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Received {
    /// Looks at what is there, without taking it. Sending waits meanwhile.
    pub fn read<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        look(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl BytesTransport {
    /// A transport, and where its packets arrive.
    #[must_use]
    pub fn new() -> (Self, Received) {
        let transport = Self::default();
        let received = transport.received.clone();
        (transport, received)
    }
}

impl Transport for BytesTransport {
    fn substreams(&self) -> usize {
        1
    }

    fn attach(&mut self, _watch: &mut Watch<'_>) -> io::Result<()> {
        Ok(())
    }

    fn send(&mut self, _substream: usize, packets: &[PacketParts<'_>]) -> io::Result<usize> {
        let mut bytes = self.received.0.lock().unwrap_or_else(PoisonError::into_inner);
        for packet in packets {
            bytes.extend_from_slice(packet.header);
            bytes.extend_from_slice(packet.payload);
            packet.more.iter().for_each(|piece| bytes.extend_from_slice(piece));
        }
        Ok(packets.len())
    }
}

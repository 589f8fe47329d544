//! A loop over `recvfrom` into the staging memory.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::ptr;

use socket2::Socket;

use super::super::receiver::{Drops, ReceiveBatch, Wanted};
use super::super::staging::{Message, Staging};

pub(in super::super) struct Batch {
    slots: usize,
    wanted: Wanted,
    drops: Drops,
}

impl Batch {
    pub(in super::super) fn new(slots: usize, wanted: Wanted, drops: Drops) -> Self {
        Self { slots, wanted, drops }
    }
}

/// Receives one datagram; `None` if none is waiting.
fn receive_one(
    socket: &Socket,
    memory: &mut [u8],
) -> io::Result<Option<(usize, Option<SocketAddr>)>> {
    // SAFETY: `MaybeUninit<u8>` has the layout of `u8`, and `socket2` promises to write only
    // initialised bytes, so the slice stays initialised.
    let memory = unsafe { &mut *(ptr::from_mut(memory) as *mut [MaybeUninit<u8>]) };
    loop {
        match socket.recv_from_with_flags(memory, libc::MSG_DONTWAIT) {
            Ok((len, from)) => return Ok(Some((len, from.as_socket()))),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Ok(None),
                _ => return Err(error),
            },
        }
    }
}

impl ReceiveBatch for Batch {
    /// An error behind received datagrams is dropped: it is of a packet sent, or comes again.
    fn receive(&mut self, socket: &Socket, staging: &mut Staging) -> io::Result<()> {
        for slot in 0..self.slots {
            match receive_one(socket, staging.slot_mut(slot)) {
                Ok(Some((len, from))) => {
                    let source = from.filter(|_| self.wanted.source);
                    staging.push(Message { len, source, ..Message::default() });
                }
                Ok(None) => break,
                Err(error) if slot == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn drops(&mut self) -> &mut Drops {
        &mut self.drops
    }

    fn total_drops(&self) -> u64 {
        self.drops.total()
    }
}

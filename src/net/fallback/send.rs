//! A loop over `sendmsg`.

use std::io::{self, IoSlice};

use socket2::{SockAddr, Socket};

use super::super::sender::{PacketParts, SendBatch};

pub(in super::super) struct Batch;

impl Batch {
    /// There are no trains here, whatever is asked for.
    pub(in super::super) fn new(_gso: bool) -> Self {
        Self
    }
}

fn send_one(
    socket: &Socket,
    destination: Option<&SockAddr>,
    packet: &PacketParts<'_>,
) -> io::Result<()> {
    let two = [IoSlice::new(packet.header), IoSlice::new(packet.payload)];
    if packet.more.is_empty() {
        return send_pieces(socket, destination, &two);
    }
    send_pieces(socket, destination, &[&two, packet.more].concat())
}

fn send_pieces(
    socket: &Socket,
    destination: Option<&SockAddr>,
    pieces: &[IoSlice<'_>],
) -> io::Result<()> {
    loop {
        let result = match destination {
            Some(to) => socket.send_to_vectored_with_flags(pieces, to, libc::MSG_DONTWAIT),
            None => socket.send_vectored_with_flags(pieces, libc::MSG_DONTWAIT),
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map(drop),
        }
    }
}

impl SendBatch for Batch {
    fn send(
        &mut self,
        socket: &Socket,
        destination: Option<&SockAddr>,
        packets: &[PacketParts<'_>],
        _departures: &[u64],
    ) -> io::Result<usize> {
        for (sent, packet) in packets.iter().enumerate() {
            match send_one(socket, destination, packet) {
                Ok(()) => {}
                Err(_) if sent > 0 => return Ok(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) => return Err(error),
            }
        }
        Ok(packets.len())
    }

    fn gso(&self) -> bool {
        false
    }
}

//! Packets one after the other on a TCP connection.

use std::io::{self, IoSlice, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;

use super::Transport;
use crate::net::PacketParts;
use crate::recv::Watch;

/// Pieces written in one call; the kernel takes 1024.
const SLICES: usize = 256;

/// Sends packets over a connection. Nothing is lost: what the network does not take yet waits.
#[derive(Debug)]
pub struct TcpTransport {
    stream: TcpStream,
    /// The rest of a packet that the kernel took in part.
    rest: Vec<u8>,
    done: usize,
}

impl TcpTransport {
    /// Sends on a connection (see [`net::connect_tcp`](crate::net::connect_tcp)).
    ///
    /// # Errors
    /// If the connection cannot be made non-blocking.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        // Packets are written in large batches; waiting to make them larger only delays the last.
        stream.set_nodelay(true)?;
        Ok(Self { stream, rest: Vec::new(), done: 0 })
    }

    /// Writes what is left of a packet; true if nothing is left.
    fn write_rest(&mut self) -> io::Result<bool> {
        while self.done < self.rest.len() {
            match self.stream.write(&self.rest[self.done..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.done += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.rest.clear();
        self.done = 0;
        Ok(true)
    }

    /// Works out how many packets `written` bytes are, and keeps the rest of one taken in part.
    fn settle(&mut self, mut written: usize, packets: &[PacketParts<'_>]) -> usize {
        for (taken, packet) in packets.iter().enumerate() {
            if written == 0 {
                return taken;
            }
            if written < packet.len() {
                let pieces = [packet.header, packet.payload];
                let pieces = pieces.into_iter().chain(packet.more.iter().map(|piece| &**piece));
                for piece in pieces {
                    self.rest.extend_from_slice(piece.get(written..).unwrap_or(&[]));
                    written = written.saturating_sub(piece.len());
                }
                return taken + 1;
            }
            written -= packet.len();
        }
        packets.len()
    }
}

impl Transport for TcpTransport {
    fn substreams(&self) -> usize {
        1
    }

    fn attach(&mut self, watch: &mut Watch<'_>) -> io::Result<()> {
        watch.watch_writable(self.stream.as_fd())
    }

    fn send(&mut self, _substream: usize, packets: &[PacketParts<'_>]) -> io::Result<usize> {
        if !self.write_rest()? {
            return Ok(0);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let (mut used, mut whole) = (0, 0);
        for packet in packets {
            let needed = 2 + packet.more.len();
            if used + needed > SLICES {
                break;
            }
            slices[used] = IoSlice::new(packet.header);
            slices[used + 1] = IoSlice::new(packet.payload);
            slices[used + 2..used + needed].copy_from_slice(packet.more);
            used += needed;
            whole += 1;
        }
        match self.stream.write_vectored(&slices[..used]) {
            Ok(written) => Ok(self.settle(written, &packets[..whole])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn drain(&mut self) -> io::Result<bool> {
        self.write_rest()
    }

    fn finish(&mut self) {
        // Fails only if the connection is gone already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

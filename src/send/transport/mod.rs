//! Where packets go, one file each.

mod bytes;
mod inproc;
mod joint;
mod tcp;
mod udp;

use std::io;
use std::task::Waker;
use std::time::Instant;

pub use bytes::{BytesTransport, Received};
pub use inproc::InprocTransport;
pub use joint::JointTransport;
pub use tcp::TcpTransport;
pub use udp::UdpTransport;

use crate::net::PacketParts;
use crate::recv::Watch;

/// Takes packets to one or several destinations (*substreams*). Runs on the stream's worker, or in its
/// place on a thread that [sends itself](super::SendThread), and never blocks.
pub trait Transport: Send {
    /// How many destinations there are.
    fn substreams(&self) -> usize;

    /// Called on the worker when the transport first has no room, and again when it has none after it
    /// was [detached](Self::detach). A transport that waits for a descriptor has it
    /// [watched](Watch::watch_writable) here; room that came in the meantime is noticed.
    ///
    /// # Errors
    /// What keeps the transport from working.
    fn attach(&mut self, watch: &mut Watch<'_>) -> io::Result<()>;

    /// Called when there has been room for long. A transport whose descriptor costs something to
    /// watch has it [forgotten](Watch::forget), and answers true.
    fn detach(&mut self, watch: &mut Watch<'_>) -> bool {
        let _ = watch;
        false
    }

    /// Sends packets to destination `substream`, in order. Says how many were taken: those need not
    /// stay in memory any longer. 0 means that there is no room now; see
    /// [`wait_for_room`](Self::wait_for_room).
    ///
    /// # Errors
    /// Why the first packet cannot be sent. The next may go through.
    fn send(&mut self, substream: usize, packets: &[PacketParts<'_>]) -> io::Result<usize>;

    /// Called when there was no room. True if there is some after all. Otherwise a transport
    /// without a descriptor calls `waker` when there is; one with a descriptor need not do
    /// anything.
    fn wait_for_room(&mut self, waker: &Waker) -> bool {
        let _ = waker;
        false
    }

    /// Sends what was taken but is not on its way yet. True if nothing is left.
    ///
    /// # Errors
    /// Why it cannot be sent.
    fn drain(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    /// Has the kernel keep a rate of so many bytes a second.
    ///
    /// # Errors
    /// If it cannot; that is what transports say unless they can.
    fn set_kernel_rate(&mut self, bytes_per_second: f64) -> io::Result<()> {
        let _ = bytes_per_second;
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this transport has no kernel pacing; use Pacing::Software",
        ))
    }

    /// Is asked to have packets leave at times of their own, for [`send_at`](Self::send_at).
    ///
    /// # Errors
    /// If they cannot; that is what transports say unless they can.
    fn set_departure_times(&mut self) -> io::Result<()> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this transport has no departure times; use Pacing::Software",
        ))
    }

    /// As [`send`](Self::send), for packets that are not to leave before their times in `departures`,
    /// which do not decrease. Called after [`set_departure_times`](Self::set_departure_times) went well.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    fn send_at(
        &mut self,
        substream: usize,
        packets: &[PacketParts<'_>],
        departures: &[Instant],
    ) -> io::Result<usize> {
        let _ = departures;
        self.send(substream, packets)
    }

    /// All has been sent, or will not be: tells the other end.
    fn finish(&mut self) {}
}

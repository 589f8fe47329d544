//! Receiving UDP, many datagrams a system call.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use socket2::Socket;

use super::config::DEFAULT_MAX_DATAGRAM;
use super::imp::{self, options};
use super::socket::UdpSocket;
use super::staging::{Datagram, Staging, Train};

/// The size of a slot for merged datagrams, in bytes: what the 16-bit length of an IP packet can
/// express, so that no message is ever cut.
const GRO_SLOT: usize = 65_536;

/// Slots by default when the kernel merges datagrams. Each may hold 44 packets of 1472 bytes or 7
/// of 8972. From trains over loopback at 20 Gb/s (two runs, on a busy 2-core machine), 1, 4 and 8
/// slots cost the same CPU time within the noise of 20 %, and 64 slots 16 to 45 % more, as one
/// would expect of what no longer fits the L2 cache. Single packets of 8972 bytes were cheaper
/// with 8 slots than with 4, those of 1472 bytes were not.
const GRO_BATCH: usize = 8;

/// Slots by default when it does not. Beyond 64 the cost of the call no longer shows.
const PLAIN_BATCH: usize = 64;

/// The most messages the kernel takes in one call (`UIO_MAXIOV`).
const MAX_BATCH: usize = 1024;

/// How a [`UdpReceiver`] is to read its socket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverConfig {
    /// Messages per system call, up to 1024; 0 chooses by whether the kernel merges datagrams.
    pub batch: usize,
    /// The largest datagram accepted, in bytes. Longer ones are cut and flagged.
    pub max_datagram: usize,
    /// Let the kernel merge datagrams, if it can (`UDP_GRO`).
    pub gro: bool,
    /// Note who sent each datagram.
    pub want_source: bool,
    /// Note when each datagram arrived. The socket must have been set up with timestamps.
    pub want_time: bool,
}

impl Default for ReceiverConfig {
    fn default() -> Self {
        Self {
            batch: 0,
            max_datagram: DEFAULT_MAX_DATAGRAM,
            gro: !crate::paths::only_long(),
            want_source: false,
            want_time: false,
        }
    }
}

impl ReceiverConfig {
    /// Sets [`batch`](Self::batch).
    #[must_use]
    pub fn batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// Sets [`max_datagram`](Self::max_datagram), in bytes.
    #[must_use]
    pub fn max_datagram(self, max_datagram: usize) -> Self {
        Self { max_datagram, ..self }
    }

    /// Sets [`gro`](Self::gro).
    #[must_use]
    pub fn gro(self, gro: bool) -> Self {
        Self { gro, ..self }
    }

    /// Sets [`want_source`](Self::want_source).
    #[must_use]
    pub fn want_source(self, want_source: bool) -> Self {
        Self { want_source, ..self }
    }

    /// Sets [`want_time`](Self::want_time).
    #[must_use]
    pub fn want_time(self, want_time: bool) -> Self {
        Self { want_time, ..self }
    }
}

/// What to note about each message besides its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) source: bool,
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux knows the time"))]
    pub(super) time: bool,
}

/// One way of getting many datagrams from the kernel.
pub(super) trait ReceiveBatch: Send {
    /// Pushes what is waiting into the cleared `staging`, without blocking.
    fn receive(&mut self, socket: &Socket, staging: &mut Staging) -> io::Result<()>;
    fn drops(&mut self) -> &mut Drops;
    fn total_drops(&self) -> u64;
}

/// Follows a drop counter of the kernel, which has 32 bits and wraps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drops {
    last: u32,
    total: u64,
}

impl Drops {
    pub(super) fn since(first: u32) -> Self {
        Self { last: first, total: 0 }
    }

    /// Takes note of the counter. Packets carry its value from when they were queued, which may be
    /// older than one asked for directly, so going back a little is no wrap.
    pub(super) fn observe(&mut self, now: u32) {
        let ahead = now.wrapping_sub(self.last);
        if ahead <= u32::MAX / 2 {
            self.last = now;
            self.total += u64::from(ahead);
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }
}

/// Receives from one UDP socket into memory of its own, and hands out what it received one
/// datagram at a time.
///
/// ```
/// use speadway::net::{ReceiverConfig, UdpConfig, UdpReceiver, bind_udp};
///
/// let socket = bind_udp(&UdpConfig::new("127.0.0.1:0".parse()?))?;
/// let mut receiver = UdpReceiver::new(socket, &ReceiverConfig::default());
/// if receiver.receive()? == 0 {
///     println!("nothing is waiting: register `receiver` for readiness and come back");
/// }
/// while let Some(datagram) = receiver.peek() {
///     println!("{} bytes", datagram.bytes.len());
///     receiver.advance();
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct UdpReceiver {
    socket: UdpSocket,
    staging: Staging,
    batch: Box<dyn ReceiveBatch>,
}

impl UdpReceiver {
    /// Receives from `socket` as `config` says. All memory is allocated here.
    ///
    /// A batch of more than 1024 is taken as 1024.
    #[must_use]
    pub fn new(socket: UdpSocket, config: &ReceiverConfig) -> Self {
        options::set_gro(socket.socket(), config.gro);
        Self::with_batch(socket, config, |slots, wanted, drops| {
            Box::new(imp::Receives::new(slots, wanted, drops))
        })
    }

    pub(super) fn with_batch(
        socket: UdpSocket,
        config: &ReceiverConfig,
        make: impl FnOnce(usize, Wanted, Drops) -> Box<dyn ReceiveBatch>,
    ) -> Self {
        // The socket is asked, since it may have GRO on though the configuration has it off (if
        // it was adopted and cannot turn it off); small slots would then lose merged datagrams.
        let gro = socket.gro();
        let slots = match config.batch {
            0 if gro => GRO_BATCH,
            0 => PLAIN_BATCH,
            chosen => chosen.min(MAX_BATCH),
        };
        // One byte more than accepted, to tell a datagram of that very size from a longer one.
        let slot_len = if gro { GRO_SLOT } else { config.max_datagram.min(GRO_SLOT) + 1 };
        let wanted = Wanted { source: config.want_source, time: config.want_time };
        let batch = make(slots, wanted, Drops::since(socket.first_drops()));
        Self { staging: Staging::new(slots, slot_len, config.max_datagram), socket, batch }
    }

    /// Receives what is waiting, with one system call that does not block.
    ///
    /// Returns how many datagrams are staged; 0 if none was waiting. Datagrams that are still
    /// staged from before are not overwritten: while there are any, this only counts them.
    ///
    /// # Errors
    /// What the socket reports. It stays usable: an ICMP answer to something sent from the same
    /// socket shows up here once (`ConnectionRefused`, `HostUnreachable`) and says nothing about
    /// the packets received. Repeated errors mean that the socket is broken.
    pub fn receive(&mut self) -> io::Result<usize> {
        if self.staging.remaining() == 0 {
            self.staging.clear();
            let result = self.batch.receive(self.socket.socket(), &mut self.staging);
            self.staging.rewind();
            result?;
        }
        Ok(self.staging.remaining())
    }

    /// How many received datagrams have not been passed yet.
    #[inline]
    #[must_use]
    pub fn staged(&self) -> usize {
        self.staging.remaining()
    }

    /// The next staged datagram, if any. It stays the next until [`advance`](Self::advance).
    #[inline]
    #[must_use]
    pub fn peek(&self) -> Option<Datagram<'_>> {
        self.staging.peek()
    }

    /// Passes the next staged datagram.
    #[inline]
    pub fn advance(&mut self) {
        self.staging.advance();
    }

    /// The staged datagrams that came as one with the next and follow it, itself included, if none of
    /// them was cut; otherwise there is only [`peek`](Self::peek).
    #[must_use]
    pub fn peek_train(&self) -> Option<Train<'_>> {
        self.staging.peek_train()
    }

    /// Passes the datagrams that the next `bytes` of the [train](Self::peek_train) are, at least one.
    pub fn advance_by(&mut self, bytes: usize) {
        self.staging.advance_by(bytes);
    }

    /// Whether the last call left nothing waiting. What arrived after it makes the socket readable
    /// anew, also for those who are told only once.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        !self.staging.is_full()
    }

    /// How many messages the kernel dropped because the receive buffer was full, since the socket
    /// was bound or adopted, as far as received packets have told.
    ///
    /// Packets carry the count from when they were queued, so what was dropped behind the last
    /// packet is seen only with the next: ask [`poll_kernel_drops`](Self::poll_kernel_drops) when
    /// none may follow. A train of merged datagrams may be counted as one by the kernel.
    #[must_use]
    pub fn kernel_drops(&self) -> u64 {
        self.batch.total_drops()
    }

    /// As [`kernel_drops`](Self::kernel_drops), up to now, for one more system call.
    pub fn poll_kernel_drops(&mut self) -> u64 {
        if let Ok(now) = options::drops(self.socket.socket()) {
            self.batch.drops().observe(now);
        }
        self.batch.total_drops()
    }

    /// How many received datagrams were longer than accepted.
    #[must_use]
    pub fn truncated(&self) -> u64 {
        self.staging.truncated()
    }

    /// The most messages that one call receives. With merged datagrams each may hold up to 64.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.staging.slots()
    }

    /// The address the socket is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.socket.local_addr()
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }
}

impl fmt::Debug for UdpReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpReceiver")
            .field("socket", &self.socket)
            .field("batch", &self.batch())
            .field("staged", &self.staged())
            .finish_non_exhaustive()
    }
}

impl AsFd for UdpReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for UdpReceiver {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drop_counter_may_wrap_and_may_lag() {
        let mut drops = Drops::since(u32::MAX - 1);
        drops.observe(u32::MAX);
        drops.observe(3);
        assert_eq!(drops.total(), 5);
        drops.observe(1);
        assert_eq!(drops.total(), 5, "an older value");
        drops.observe(4);
        assert_eq!(drops.total(), 6);
    }
}

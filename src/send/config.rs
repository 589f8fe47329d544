//! How streams send.

use std::fmt;
use std::time::Duration;

use crate::wire::MIN_PACKET_SIZE;

/// The largest packet unless configured, in bytes of UDP payload: what fits Ethernet's 1500 over
/// IPv4.
pub const DEFAULT_MAX_PACKET_SIZE: usize = 1472;

/// Heaps that may wait unless configured.
pub const DEFAULT_MAX_HEAPS: usize = 4;

/// Bytes sent in one go before looking at the clock, unless configured.
pub const DEFAULT_BURST_SIZE: usize = 65536;

/// How much faster than the rate a stream may be to make up for delays, unless configured.
pub const DEFAULT_BURST_RATE_RATIO: f64 = 1.05;

/// How long dropping a stream waits for a transport that takes nothing, unless configured.
pub const DEFAULT_DROP_TIMEOUT: Duration = Duration::from_secs(10);

/// How a stream sends. The defaults are the reference's.
///
/// ```
/// use speadway::send::SendConfig;
/// // 10 Gb/s of packets with 8972 bytes each.
/// let config = SendConfig::default().max_packet_size(8972).rate(10e9 / 8.0);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SendConfig {
    pub(crate) max_packet_size: usize,
    pub(crate) rate: f64,
    pub(crate) burst_size: usize,
    pub(crate) max_heaps: usize,
    pub(crate) burst_rate_ratio: f64,
    pub(crate) pacing: Pacing,
    pub(crate) thread: SendThread,
    pub(crate) drop_timeout: Duration,
}

/// Who keeps the rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pacing {
    /// The worker, by a timer between bursts.
    #[default]
    Software,
    /// The kernel, which spreads packets evenly (`SO_MAX_PACING_RATE`). It does so where the interface
    /// has the `fq` queueing discipline, with a `flow_limit` for all packets that the send buffer has
    /// room for (1820 with the default buffer): `fq` drops what is beyond. Elsewhere the worker keeps the
    /// rate, which is logged as a warning and told by [`SendStream::pacing`](super::SendStream::pacing).
    /// The kernel counts the network's headers too, and a train of packets leaves as one burst.
    Kernel,
    /// The kernel too, which has each packet leave at the time that the worker gives it along
    /// (`SO_TXTIME`). The worker says when packets leave, as it does for [`Software`](Self::Software),
    /// so that the rate is exact, counts packets alone, and may differ from heap to heap; but it hands
    /// them over up to 8 ms before, and so may be late itself.
    ///
    /// Packets that would follow each other within 1 ms may leave as a train, in one burst; without trains
    /// ([`UdpSendConfig::gso`](crate::net::UdpSendConfig::gso)) each leaves by itself.
    /// [`burst_size`](SendConfig::burst_size) has no effect.
    ///
    /// The interface needs the `fq` queueing discipline with a `flow_limit` of 96 or more (100 is its
    /// default); packets that have to be fragmented take several places there. Or all of its packets
    /// pass `etf`: for its clock it takes `CAP_NET_ADMIN`, packets leave 4 ms later, and it drops those
    /// that are late, as they are on a busy machine. Elsewhere the worker keeps the rate, as for
    /// [`Kernel`](Self::Kernel).
    DepartureTimes,
}

/// Which thread makes the packets of heaps and hands them to the transport.
///
/// To have the worker do it takes waking it, and waking whoever waits for the heaps: for small heaps
/// that is more than sending them (10 to 35 us each were seen in a virtual machine). A thread that
/// queues heaps while the stream has nothing else to do, no rate to wait for and room in its transport
/// may send them itself: up to 8 batches of 64 to 128 packets, the rest being left to the worker. Heaps
/// are sent and completed in the order in which they were queued, whoever does it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendThread {
    /// The worker alone: for workers that are pinned to the core that is to send.
    Worker,
    /// A thread that waits until its heaps are sent, as in
    /// [`send_blocking`](super::SendStream::send_blocking), if it can, and otherwise the worker.
    #[default]
    Waiting,
    /// Every thread that queues heaps, if it can, and otherwise the worker. Each call then takes as long
    /// as sending does. Callbacks of the heap that a thread sends are called there too, before the
    /// call that queued it returns.
    Caller,
}

impl Default for SendConfig {
    fn default() -> Self {
        Self {
            max_packet_size: DEFAULT_MAX_PACKET_SIZE,
            rate: 0.0,
            burst_size: DEFAULT_BURST_SIZE,
            max_heaps: DEFAULT_MAX_HEAPS,
            burst_rate_ratio: DEFAULT_BURST_RATE_RATIO,
            pacing: Pacing::Software,
            thread: SendThread::Waiting,
            drop_timeout: DEFAULT_DROP_TIMEOUT,
        }
    }
}

impl SendConfig {
    /// The largest packet in bytes (1472), rounded down to a multiple of 8; at least 56.
    pub fn max_packet_size(mut self, bytes: usize) -> Self {
        self.max_packet_size = bytes;
        self
    }

    /// Bytes of packets a second; 0 is as fast as it goes (the default).
    pub fn rate(mut self, bytes_per_second: f64) -> Self {
        self.rate = bytes_per_second;
        self
    }

    /// Bytes sent in one go before looking at the clock (65536).
    pub fn burst_size(mut self, bytes: usize) -> Self {
        self.burst_size = bytes;
        self
    }

    /// Heaps, or groups of heaps, that may wait to be sent (4).
    pub fn max_heaps(mut self, heaps: usize) -> Self {
        self.max_heaps = heaps;
        self
    }

    /// How much faster than the rate the stream may be to make up for delays (1.05, which makes up
    /// for delays of up to 5 % of the time).
    ///
    /// On a machine whose cores have other work too the worker may be held up more often than that,
    /// and the rate is not reached: 0.87 Gb/s of 1 were seen beside a compiler. A ratio of 2 reached
    /// it, at the price of bursts at twice the rate.
    pub fn burst_rate_ratio(mut self, ratio: f64) -> Self {
        self.burst_rate_ratio = ratio;
        self
    }

    /// Who keeps the rate (the worker).
    ///
    /// ```
    /// use speadway::net::UdpSendConfig;
    /// use speadway::recv::Worker;
    /// use speadway::send::transport::UdpTransport;
    /// use speadway::send::{Pacing, SendConfig, SendStream};
    ///
    /// let destination = "127.0.0.1:7148".parse()?;
    /// let transport = UdpTransport::open(&[destination], &UdpSendConfig::to(destination))?;
    /// let config = SendConfig::default().rate(1e9 / 8.0).pacing(Pacing::DepartureTimes);
    /// let stream = SendStream::start(&Worker::new()?, transport, config)?;
    /// // The loopback interface has no queueing discipline.
    /// assert_eq!(stream.pacing(), Pacing::Software);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pacing(mut self, pacing: Pacing) -> Self {
        self.pacing = pacing;
        self
    }

    /// Which thread sends ([`SendThread::Waiting`]).
    pub fn thread(mut self, thread: SendThread) -> Self {
        self.thread = thread;
        self
    }

    /// How long dropping the stream waits while its transport takes nothing, such as a TCP connection
    /// whose other end does not read (10 s). What is left is then not sent.
    pub fn drop_timeout(mut self, timeout: Duration) -> Self {
        self.drop_timeout = timeout;
        self
    }

    pub(crate) fn check(&self) -> Result<(), SendConfigError> {
        if self.max_packet_size < MIN_PACKET_SIZE {
            return Err(SendConfigError::PacketSize(self.max_packet_size));
        }
        if !rate_is_valid(self.rate) {
            return Err(SendConfigError::Rate(self.rate));
        }
        if !self.burst_rate_ratio.is_finite() || self.burst_rate_ratio < 1.0 {
            return Err(SendConfigError::BurstRateRatio(self.burst_rate_ratio));
        }
        if self.max_heaps == 0 {
            return Err(SendConfigError::MaxHeaps);
        }
        Ok(())
    }
}

pub(crate) fn rate_is_valid(rate: f64) -> bool {
    rate.is_finite() && rate >= 0.0
}

/// Why a stream cannot be made.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum SendConfigError {
    /// Packets are too small to carry a heap.
    PacketSize(usize),
    /// The rate is negative or no number.
    Rate(f64),
    /// The burst rate is below the rate, or no number.
    BurstRateRatio(f64),
    /// No heap could ever be sent.
    MaxHeaps,
    /// There is nowhere to send to.
    NoDestination,
    /// The memory for the queue is not to be had.
    QueueTooLarge(usize),
}

impl fmt::Display for SendConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PacketSize(bytes) => {
                write!(f, "max_packet_size is {bytes} B, at least {MIN_PACKET_SIZE} are needed")
            }
            Self::Rate(rate) => {
                write!(f, "a rate of {rate} B/s is impossible: 0 or more, 0 being unlimited")
            }
            Self::BurstRateRatio(ratio) => {
                write!(f, "a burst_rate_ratio of {ratio} is impossible: it must be 1 or more")
            }
            Self::MaxHeaps => f.write_str("max_heaps must be at least 1"),
            Self::NoDestination => f.write_str("a stream needs at least one destination"),
            Self::QueueTooLarge(heaps) => write!(f, "no memory for a queue of {heaps} heaps"),
        }
    }
}

impl std::error::Error for SendConfigError {}

//! What a stream counts.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::chunk::ParkReason;
use crate::heap::{HeapOutcome, PacketDiscard};

/// A counter that one thread at a time writes and any thread reads.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        // One writer at a time (the stream's engine is locked): no atomic addition is needed.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    pub(crate) fn raise(&self, n: u64) {
        self.set(self.get().max(n));
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Declares the plain counters, once for the writing and once for the reading side.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// The live counters of a stream.
        #[derive(Debug)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)+
            pub(crate) packet_discards: [Counter; PacketDiscard::ALL.len()],
            pub(crate) heap_outcomes: [Counter; HeapOutcome::ALL.len()],
            pub(crate) parks: [Counter; ParkReason::ALL.len()],
            pub(crate) park_nanos: [Counter; ParkReason::ALL.len()],
        }

        impl Default for Counters {
            fn default() -> Self {
                Self {
                    $($name: Counter::default(),)+
                    packet_discards: std::array::from_fn(|_| Counter::default()),
                    heap_outcomes: std::array::from_fn(|_| Counter::default()),
                    parks: std::array::from_fn(|_| Counter::default()),
                    park_nanos: std::array::from_fn(|_| Counter::default()),
                }
            }
        }

        /// A stream's counters at one moment. Read while the stream runs they may lie a packet
        /// apart; once it has stopped they are exact, and
        /// [`packets_balance`](Self::packets_balance) and
        /// [`heaps_balance`](Self::heaps_balance) hold.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct StreamStats {
            $($(#[$doc])* pub $name: u64,)+
            packet_discards: [u64; PacketDiscard::ALL.len()],
            heap_outcomes: [u64; HeapOutcome::ALL.len()],
            parks: [u64; ParkReason::ALL.len()],
            park_nanos: [u64; ParkReason::ALL.len()],
        }

        impl Counters {
            /// What the counters say now.
            pub(crate) fn snapshot(&self) -> StreamStats {
                StreamStats {
                    $($name: self.$name.get(),)+
                    packet_discards: self.packet_discards.each_ref().map(Counter::get),
                    heap_outcomes: self.heap_outcomes.each_ref().map(Counter::get),
                    parks: self.parks.each_ref().map(Counter::get),
                    park_nanos: self.park_nanos.each_ref().map(Counter::get),
                }
            }
        }

        impl StreamStats {
            fn plain(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)+]
            }
        }
    };
}

counters! {
    /// Heaps completed, pushed out or flushed (without the one that ends the stream).
    heaps,
    /// Heaps pushed out by newer ones before they were whole.
    incomplete_heaps_evicted,
    /// Heaps not whole when the stream ended.
    incomplete_heaps_flushed,
    /// Packets that decoded and were given to the stream.
    packets,
    /// Batches that readers received; one without packets counts.
    batches,
    /// Packets in the largest batch.
    max_batch,
    /// Packets that are a whole heap.
    single_packet_heaps,
    /// Slots looked at to find packets' heaps.
    search_dist,
    /// Times the stream found its heap ring full.
    worker_blocked,
    /// Heaps whose chunk had left the window when they were placed or completed.
    too_old_heaps,
    /// Heaps that the placement refused.
    rejected_heaps,
    /// Everything that readers received, malformed or not.
    packets_received,
    /// Packets whose payload reached its place.
    packets_placed,
    /// Payload bytes that reached their place.
    bytes_placed,
    /// Packets being worked on.
    packets_in_flight,
    /// Heaps that were begun.
    heaps_started,
    /// Heaps under assembly.
    heaps_in_flight,
    /// Times the stream followed its sender to another chunk id (`max_jump`).
    resyncs,
    /// Datagrams that the kernel dropped because the socket's buffer was full (`SO_RXQ_OVFL`). It
    /// counts a train of merged datagrams (GRO) as one, so that more may be missing; without GRO
    /// the number is exact.
    kernel_drops,
    /// Errors of readers that did not end the stream.
    reader_errors,
}

impl Counters {
    #[inline]
    pub(crate) fn discard(&self, reason: PacketDiscard) {
        self.packet_discards[reason.index()].add(1);
    }

    #[inline]
    pub(crate) fn outcome(&self, outcome: HeapOutcome) {
        self.heap_outcomes[outcome.index()].add(1);
    }

    pub(crate) fn parked(&self, reason: ParkReason) {
        self.parks[reason as usize].add(1);
    }

    pub(crate) fn unparked(&self, reason: ParkReason, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.park_nanos[reason as usize].add(nanos);
    }
}

impl StreamStats {
    /// Packets discarded for one reason.
    #[must_use]
    pub fn discarded(&self, reason: PacketDiscard) -> u64 {
        self.packet_discards[reason.index()]
    }

    /// Packets discarded for any reason.
    #[must_use]
    pub fn packets_discarded(&self) -> u64 {
        self.packet_discards.iter().sum()
    }

    /// Heaps with one outcome.
    #[must_use]
    pub fn outcome(&self, outcome: HeapOutcome) -> u64 {
        self.heap_outcomes[outcome.index()]
    }

    /// How often the stream had to wait for `reason`.
    #[must_use]
    pub fn parks(&self, reason: ParkReason) -> u64 {
        self.parks[reason as usize]
    }

    /// How long in all the stream has waited for `reason`.
    #[must_use]
    pub fn parked_time(&self, reason: ParkReason) -> Duration {
        Duration::from_nanos(self.park_nanos[reason as usize])
    }

    /// Whether every packet is accounted for: received = placed + discarded + in flight.
    #[must_use]
    pub fn packets_balance(&self) -> bool {
        self.packets_received
            == self.packets_placed + self.packets_discarded() + self.packets_in_flight
    }

    /// Whether every heap is accounted for: started = outcomes + in flight.
    #[must_use]
    pub fn heaps_balance(&self) -> bool {
        self.heaps_started == self.heap_outcomes.iter().sum::<u64>() + self.heaps_in_flight
    }

    /// Every counter by name, in a stable order: the reference's first (with its meaning), then
    /// ours, then `packets_discarded.*`, `heaps.*`, `parks.*` and `parked_ns.*`.
    #[must_use]
    pub fn counters(&self) -> Vec<(String, u64)> {
        let mut all: Vec<_> = self.plain().into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
        for reason in PacketDiscard::ALL {
            let name = format!("packets_discarded.{}", reason.as_str());
            all.push((name, self.discarded(reason)));
        }
        for outcome in HeapOutcome::ALL {
            all.push((format!("heaps.{}", outcome.as_str()), self.outcome(outcome)));
        }
        for reason in ParkReason::ALL {
            all.push((format!("parks.{}", reason.as_str()), self.parks(reason)));
            let nanos = self.park_nanos[reason as usize];
            all.push((format!("parked_ns.{}", reason.as_str()), nanos));
        }
        all
    }
}

impl fmt::Display for StreamStats {
    /// Every counter that is not zero, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.counters().into_iter().filter(|&(_, value)| value != 0) {
            writeln!(f, "{name:<40} {value}")?;
        }
        Ok(())
    }
}

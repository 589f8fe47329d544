//! How much may be on the way to a socket so that it holds it for certain.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use speadway::recv::Stream;

/// What the kernel adds to each packet's memory for its own bookkeeping, in bytes: `sk_buff` and
/// `skb_shared_info` take 232 and 320 on 64-bit Linux, and headers come before the data.
const PACKET_OVERHEAD: usize = 1024;

/// After this long without a sign of them, packets are lost.
const LOST_AFTER: Duration = Duration::from_secs(3);

/// The most packets of `packet` bytes that may be on the way to a socket whose kernel granted it
/// a buffer of `granted` bytes.
///
/// The kernel charges a packet with the memory it takes, not its length, against twice what it
/// granted (`SO_RCVBUF` in socket(7)). That memory is a power of two, or with merged packets about
/// the length; the larger is assumed. Half of the buffer is kept free, since the kernel may give
/// back up to a quarter late (`udp_rmem_release`), and merged packets arrive all at once.
pub(super) fn packets_that_fit(granted: usize, packet: usize) -> u64 {
    let charge = (packet + PACKET_OVERHEAD).next_power_of_two();
    // Less than half of the buffer, by the kernel's account and by length.
    let fit = granted.saturating_sub(1) / charge.max(2 * packet);
    // One at a time always goes: an empty socket accepts a packet of any size.
    (fit as u64).max(1)
}

/// Follows what is on the way to one stream.
pub(super) struct Flow<'a> {
    stream: &'a Stream,
    limit: u64,
    sent: u64,
    /// What was taken when last looked, and since when it has been that much.
    taken: u64,
    since: Option<Instant>,
}

impl<'a> Flow<'a> {
    /// At most `limit` packets on the way to `stream`.
    pub(super) fn new(stream: &'a Stream, limit: u64) -> Self {
        Self { stream, limit, sent: 0, taken: 0, since: None }
    }

    /// How many packets may be sent now.
    pub(super) fn room(&mut self) -> Result<u64> {
        let room = self.limit.saturating_sub(self.sent - self.taken);
        if room > 0 {
            return Ok(room);
        }
        let stats = self.stream.stats();
        // A packet that is being worked on has left the socket, but not yet its chunk.
        let taken = (stats.packets_received + stats.kernel_drops)
            .saturating_sub(stats.packets_in_flight)
            .min(self.sent);
        if taken > self.taken {
            self.taken = taken;
            self.since = None;
        } else if self.since.get_or_insert_with(Instant::now).elapsed() > LOST_AFTER {
            bail!(
                "the receiver has taken none of the last {} packets for {} s: they are lost, or \
                 the host is too busy",
                self.sent - self.taken,
                LOST_AFTER.as_secs()
            );
        }
        Ok(self.limit.saturating_sub(self.sent - self.taken))
    }

    /// Notes that so many packets were sent.
    pub(super) fn sent(&mut self, packets: usize) {
        self.sent += packets as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_half_of_the_buffer_is_used() {
        for granted in [2304, 106_496, 212_992, 4 << 20, 8 << 20] {
            for packet in [128, 1472, 8968, 65_504] {
                let fit = packets_that_fit(granted, packet);
                assert!(fit == 1 || fit as usize * packet * 2 < granted, "{granted} {packet}");
            }
        }
        assert_eq!(packets_that_fit(212_992, 8968), 11);
        assert_eq!(packets_that_fit(212_992, 1472), 51);
    }
}

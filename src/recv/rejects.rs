//! A line in the log about packets that could not be used, and not one for each of them.

use std::time::Instant;

use super::stats::Counters;
use crate::heap::PacketDiscard;
use crate::limit::LogLimit;

/// What was logged so far, by reason.
#[derive(Debug, Default)]
pub(super) struct Rejects {
    seen: [u64; PacketDiscard::ALL.len()],
    limits: [LogLimit; PacketDiscard::ALL.len()],
}

impl Rejects {
    /// Logs which packets have been rejected since the last call: the first of each kind at once, and
    /// then now and then how many.
    pub(super) fn log(&mut self, counters: &Counters, now: Instant) {
        for reason in PacketDiscard::ALL {
            let count = counters.packet_discards[reason.index()].get();
            let new = count - self.seen[reason.index()];
            if new == 0 {
                continue;
            }
            let Some(why) = complaint(reason) else { continue };
            if self.limits[reason.index()].pass(now).is_some() {
                self.seen[reason.index()] = count;
                log::info!("packet rejected because {why} ({new} since the last such line)");
            }
        }
    }
}

/// What is wrong with a packet's sender or with the receiver's settings. Duplicates and gaps are the
/// network's doing; they, and what is dropped for want of room, are only counted.
fn complaint(reason: PacketDiscard) -> Option<&'static str> {
    Some(match reason {
        PacketDiscard::TooSmall => "it is too small",
        PacketDiscard::BadMagic => "magic or version did not match",
        PacketDiscard::BadFlavour => "its flavour is invalid",
        PacketDiscard::Not64Bit => "its flavour is not SPEAD-64-*",
        PacketDiscard::ItemsOverflow => "the items overflow the packet",
        PacketDiscard::MissingItems => "it does not have required items",
        PacketDiscard::PayloadOverflow => "payload length overflows packet size",
        PacketDiscard::HeapOverflow => "payload would overflow given heap length",
        PacketDiscard::SizeMismatch => "of a size mismatch: the datagram goes on after the packet",
        PacketDiscard::Truncated => "of truncation: it is larger than the reader's largest packet",
        PacketDiscard::NoHeapLength => "it has no HEAP_LEN",
        PacketDiscard::LengthInconsistent => "its HEAP_LEN is inconsistent",
        PacketDiscard::LengthTooSmall => "its HEAP_LEN is too small",
        PacketDiscard::FlavourInconsistent => "its flavour is inconsistent",
        PacketDiscard::Overlap => "it partially overlaps existing payload",
        PacketDiscard::HeapTooLarge => "its heap is larger than max_heap_size",
        PacketDiscard::NoMemory => "there is no memory for its heap",
        PacketDiscard::BadPlacement => "its placement lies outside the chunk",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_line_for_many_packets() {
        let counters = Counters::default();
        let (mut rejects, start) = (Rejects::default(), Instant::now());
        let seen = |rejects: &Rejects| rejects.seen[PacketDiscard::BadMagic.index()];
        counters.discard(PacketDiscard::BadMagic);
        rejects.log(&counters, start);
        assert_eq!(seen(&rejects), 1);
        (0..100).for_each(|_| counters.discard(PacketDiscard::BadMagic));
        rejects.log(&counters, start);
        assert_eq!(seen(&rejects), 1, "the next line is not due yet");
        rejects.log(&counters, start + Duration::from_secs(10));
        assert_eq!(seen(&rejects), 101);
    }
}

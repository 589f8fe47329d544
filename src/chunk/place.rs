//! Where a heap goes: the question that a stream asks once per heap.

use crate::heap::Origin;
use crate::wire::Packet;

/// Where a heap's payload goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The chunk's id, at most 2^63 - 1.
    pub chunk: u64,
    /// The heap's index in the chunk's `present`.
    pub index: usize,
    /// Where the heap's first payload byte goes in the chunk's `data`, in bytes.
    pub offset: usize,
    /// Where the bytes written to [`HeapContext::extra`] go in the chunk's `extra`, and how many of
    /// them; (0, 0) for none.
    pub extra: (usize, usize),
}

impl Placement {
    /// The largest chunk id: ids are signed 64-bit numbers in the reference's interface.
    pub const MAX_CHUNK: u64 = i64::MAX as u64;

    /// A placement without `extra`.
    #[must_use]
    pub fn new(chunk: u64, index: usize, offset: usize) -> Self {
        Self { chunk, index, offset, extra: (0, 0) }
    }
}

/// What a placement may look at: the first packet of a heap that was accepted.
#[derive(Debug)]
pub struct HeapContext<'a> {
    pub(crate) packet: &'a Packet<'a>,
    pub(crate) heap_length: u64,
    pub(crate) origin: &'a Origin,
    pub(crate) member: usize,
    pub(crate) extra: &'a mut [u8],
}

impl HeapContext<'_> {
    /// The value of immediate item `id` in this packet; the last one if it occurs more than once.
    #[must_use]
    pub fn item(&self, id: u64) -> Option<u64> {
        self.packet.immediate(id)
    }

    /// The heap's payload length in bytes.
    #[must_use]
    pub fn heap_length(&self) -> u64 {
        self.heap_length
    }

    /// The heap's number as its sender counts.
    #[must_use]
    pub fn heap_cnt(&self) -> u64 {
        self.packet.heap_cnt()
    }

    /// The packet itself.
    #[must_use]
    pub fn packet(&self) -> &Packet<'_> {
        self.packet
    }

    /// Which member of its group the stream is; 0 for a lone stream.
    #[must_use]
    pub fn member(&self) -> usize {
        self.member
    }

    /// Where and when the packet was received.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        self.origin
    }

    /// Scratch bytes (as many as the stream's `max_heap_extra`); those that the placement's `extra`
    /// names are copied to the chunk.
    pub fn extra(&mut self) -> &mut [u8] {
        self.extra
    }
}

/// Decides where heaps go. A [`Layout`](super::Layout) does it by arithmetic; any closure
/// `FnMut(&mut HeapContext) -> Option<Placement>` will do.
///
/// It is called once per heap, on the worker, for the first packet of the heap that was accepted.
/// `None` means that the heap is not for a chunk; it is counted as rejected. What lies outside the
/// chunk is counted as a bad placement and never written.
pub trait Place: Send {
    /// Payload bytes per presence flag, if indices are made for presence per packet.
    fn packet_presence(&self) -> Option<u64> {
        None
    }

    /// Whether the placement is asked for heaps that end the stream too (no), which go nowhere
    /// whatever the answer; for placements that count all heaps. A refusal counts as rejected.
    fn sees_stop_heaps(&self) -> bool {
        false
    }

    /// Where this heap goes.
    fn place(&mut self, heap: &mut HeapContext<'_>) -> Option<Placement>;

    /// A batch of packets has been dealt with: for placements that count and publish now and then.
    fn end_batch(&mut self) {}
}

impl<F> Place for F
where
    F: FnMut(&mut HeapContext<'_>) -> Option<Placement> + Send,
{
    fn place(&mut self, heap: &mut HeapContext<'_>) -> Option<Placement> {
        self(heap)
    }
}

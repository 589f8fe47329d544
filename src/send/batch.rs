//! Packets ready to go: their headers in scratch memory, their payload where it lies.

use std::io::IoSlice;
use std::ops::Range;

use super::heap::{Heap, Plan};
use crate::net::{PacketParts, TRAIN_BYTES, TRAIN_PACKETS};

/// Packets that a batch has at least, if there are so many: what a call costs is spread thin by then.
const ENOUGH_PACKETS: usize = 64;

/// The most packets of a batch, which are handed to a transport in one call.
pub(crate) const MOST_PACKETS: usize = 128;

/// Packets for which it pays to have less memory to describe them: to clear what all of a batch take is
/// a third of what a packet that is sent alone costs us.
const FEW_PACKETS: usize = 8;

/// Pieces of payload that a packet is sent from. One with more has its payload copied together:
/// so many pieces are small, and copying small things is cheaper than describing them.
const PIECES: usize = 4;

/// Packets that were made but not sent yet. They name their payload by heap and piece, so that
/// they can wait while the queue moves on.
#[derive(Debug)]
pub(crate) struct Batch {
    scratch: Vec<u8>,
    packets: Vec<Made>,
    /// How many of `packets` have gone.
    sent: usize,
    /// The bytes of the others.
    bytes: usize,
    /// Whether a packet of the batch has a rate to keep.
    paced: bool,
    /// What the last packets are part of.
    train: OpenTrain,
}

/// Packets that the kernel takes as one message: all of one size, but for a shorter last. A batch that
/// ended within one would make two messages of it.
#[derive(Debug, Default)]
struct OpenTrain {
    /// How many there are, with this one.
    number: usize,
    size: usize,
    packets: usize,
    /// Whether another packet may belong to it.
    open: bool,
}

impl OpenTrain {
    fn add(&mut self, len: usize) {
        if !self.open || len > self.size {
            *self = Self { number: self.number + 1, size: len, packets: 0, open: true };
        }
        self.packets += 1;
        let next = self.packets + 1;
        self.open = len == self.size && next <= TRAIN_PACKETS && next * len <= TRAIN_BYTES;
    }
}

/// One packet.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// The number of the request it belongs to.
    pub(crate) request: u64,
    /// Which of the request's heaps.
    pub(crate) heap: usize,
    pub(crate) substream: usize,
    pub(crate) rate: f64,
    pub(crate) len: usize,
    header: Range<usize>,
    payload: Range<usize>,
    first_piece: usize,
    pieces: usize,
}

impl Made {
    /// What its pace depends on: its bytes, and their rate.
    pub(crate) fn paced(&self) -> (usize, f64) {
        (self.len, self.rate)
    }
}

/// What packets usually need of the scratch: a header with a dozen item pointers.
const USUAL_HEADER: usize = 136;

impl Batch {
    /// An empty batch with room for a full one, so that sending need not allocate later.
    pub(crate) fn new() -> Self {
        Self {
            scratch: Vec::with_capacity(MOST_PACKETS * USUAL_HEADER),
            packets: Vec::with_capacity(MOST_PACKETS),
            sent: 0,
            bytes: 0,
            paced: false,
            train: OpenTrain::default(),
        }
    }

    /// Whether another packet is to be added: not if it has all it can hold, enough and ends well, or
    /// packets that keep a rate and more than `burst` bytes.
    pub(crate) fn has_room(&self, burst: usize) -> bool {
        let packets = self.packets.len();
        let is_full = packets >= MOST_PACKETS || packets >= ENOUGH_PACKETS && !self.train.open;
        !is_full && (!self.paced || self.bytes <= burst)
    }

    /// Whether all packets are one train, which takes more: what comes soon may travel with them at
    /// little cost.
    pub(crate) fn is_open_train(&self) -> bool {
        self.train.number == 1 && self.train.open && !self.paced
    }

    /// Packets that are still to be sent.
    pub(crate) fn waiting(&self) -> &[Made] {
        &self.packets[self.sent..]
    }

    /// Whether a packet of the batch has a rate to keep.
    pub(crate) fn is_paced(&self) -> bool {
        self.paced
    }

    /// Forgets packets that were sent, which have so many bytes.
    pub(crate) fn advance(&mut self, sent: usize, bytes: usize) {
        self.bytes -= bytes;
        self.sent += sent;
        if self.sent >= self.packets.len() {
            self.clear();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.packets.clear();
        self.scratch.clear();
        self.sent = 0;
        self.bytes = 0;
        self.paced = false;
        self.train = OpenTrain::default();
    }

    /// Drops packets of heaps that will not be sent any further.
    pub(crate) fn drop_waiting(&mut self, unwanted: impl Fn(&Made) -> bool) {
        let mut at = 0;
        let sent = self.sent;
        let bytes = &mut self.bytes;
        self.packets.retain(|made| {
            at += 1;
            let keep = at <= sent || !unwanted(made);
            *bytes -= if keep { 0 } else { made.len };
            keep
        });
        self.advance(0, 0);
    }

    /// Makes packets of `heap`, which was planned as `plan`, and adds them while there is room for
    /// `burst`: at least one if there is one, and at most `most`. Says how many. `about` is the number of
    /// the request, of the heap therein and of the substream, and the rate.
    pub(crate) fn make(
        &mut self,
        about: (u64, usize, usize, f64),
        heap: &Heap,
        plan: &mut Plan,
        most: usize,
        burst: usize,
    ) -> usize {
        let mut made = 0;
        while made < most && (made == 0 || self.has_room(burst)) {
            let header = self.scratch.len();
            let Some(payload) = plan.next_packet(heap, &mut self.scratch) else { break };
            self.add(about, heap, header, payload);
            made += 1;
        }
        made
    }

    /// Makes the only packet of `heap`, as heap number `cnt`, if it has one that is all payload; there is
    /// room. `about` is as in [`make`](Self::make).
    #[inline]
    pub(crate) fn make_whole(
        &mut self,
        about: (u64, usize, usize, f64),
        heap: &Heap,
        cnt: u64,
        packet_size: usize,
    ) -> bool {
        let header = self.scratch.len();
        let is_whole = heap.write_whole(cnt, packet_size, &mut self.scratch);
        if is_whole {
            self.add(about, heap, header, 0..heap.payload_length());
        }
        is_whole
    }

    /// Adds the packet whose header has just been written from `header` of the scratch on, with
    /// this part of the heap's payload.
    #[inline(always)]
    fn add(
        &mut self,
        (request, heap_number, substream, rate): (u64, usize, usize, f64),
        heap: &Heap,
        header: usize,
        payload: Range<usize>,
    ) {
        let first_piece = heap.piece_at(payload.start);
        let last_piece = heap.piece_at(payload.end - 1);
        let mut pieces = last_piece + 1 - first_piece;
        // Padding, which is zeros and lies nowhere, or too many pieces.
        if payload.end > heap.payload_length() || pieces > PIECES {
            let filled = self.scratch.len() + payload.len();
            for piece in first_piece..=last_piece {
                self.scratch.extend_from_slice(heap.cut(piece, &payload));
            }
            self.scratch.resize(filled, 0);
            pieces = 0;
        }
        let header = header..self.scratch.len();
        let len = header.len() + if pieces > 0 { payload.len() } else { 0 };
        self.bytes += len;
        self.paced |= rate > 0.0;
        self.train.add(len);
        self.packets.push(Made {
            request,
            heap: heap_number,
            substream,
            rate,
            len,
            header,
            payload,
            first_piece,
            pieces,
        });
    }

    /// Calls `send` with the next packets that go to one destination, at most `most` and `limit` bytes
    /// of them but at least one. `heap_of` finds the heap of a packet.
    pub(crate) fn offer<'a, R>(
        &'a self,
        most: usize,
        limit: usize,
        heap_of: impl Fn(&Made) -> &'a Heap,
        send: impl FnOnce(usize, &[PacketParts<'_>]) -> R,
    ) -> Option<R> {
        let waiting = self.waiting();
        let first = waiting.first()?;
        let substream = first.substream;
        let mut bytes = 0;
        let fits = |made: &&Made| {
            bytes += made.len;
            made.substream == substream && (bytes <= limit || bytes == made.len)
        };
        let count = waiting.iter().take(most.min(MOST_PACKETS)).take_while(fits).count();
        let offered = &waiting[..count];
        let send = |parts: &[PacketParts<'_>]| send(substream, parts);
        Some(match count {
            ..=FEW_PACKETS => self.describe::<FEW_PACKETS, R>(offered, heap_of, send),
            _ => self.describe::<MOST_PACKETS, R>(offered, heap_of, send),
        })
    }

    /// Calls `send` with packets, which are at least one and at most `N`.
    fn describe<'a, const N: usize, R>(
        &'a self,
        offered: &'a [Made],
        heap_of: impl Fn(&Made) -> &'a Heap,
        send: impl FnOnce(&[PacketParts<'_>]) -> R,
    ) -> R {
        let mut parts = [PacketParts::default(); N];
        // Packets of one heap follow one another, as a rule: it is not looked up for each.
        let mut last = &offered[0];
        let mut heap = heap_of(last);
        for (made, part) in offered.iter().zip(&mut parts) {
            if (made.request, made.heap) != (last.request, last.heap) {
                heap = heap_of(made);
            }
            last = made;
            let payload = match made.pieces {
                0 => &[],
                _ => heap.cut(made.first_piece, &made.payload),
            };
            *part = PacketParts::new(&self.scratch[made.header.clone()], payload);
        }
        let parts = &mut parts[..offered.len()];
        if offered.iter().all(|made| made.pieces <= 1) {
            return send(parts);
        }
        with_more(offered, heap_of, parts, send)
    }
}

/// Calls `send` with packets that are to have the pieces of their payload behind the first as well.
fn with_more<'a, R>(
    offered: &[Made],
    heap_of: impl Fn(&Made) -> &'a Heap,
    parts: &mut [PacketParts<'a>],
    send: impl FnOnce(&[PacketParts<'_>]) -> R,
) -> R {
    let mut slices = [IoSlice::new(&[]); MOST_PACKETS * (PIECES - 1)];
    let mut used = 0;
    for made in offered {
        for piece in 1..made.pieces {
            slices[used] = IoSlice::new(heap_of(made).cut(made.first_piece + piece, &made.payload));
            used += 1;
        }
    }
    let (mut whole, mut rest) = ([PacketParts::default(); MOST_PACKETS], &slices[..]);
    for ((made, part), whole) in offered.iter().zip(parts).zip(&mut whole) {
        let (more, others) = rest.split_at(made.pieces.saturating_sub(1));
        *whole = part.with_more(more);
        rest = others;
    }
    send(&whole[..offered.len()])
}

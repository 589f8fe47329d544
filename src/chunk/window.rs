//! The window: the consecutive chunks that a stream has open.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::exchange::{Cx, ParkReason};
use super::group::Group;
use super::view::ChunkView;
use crate::memory::settle_copies;

/// What a window asked for a chunk is given.
pub(crate) enum Supplied {
    /// The chunk is open.
    Open(ChunkView),
    /// There is no memory for this id; its heaps are discarded.
    Missing,
    /// Not now.
    Park(ParkReason),
}

/// What is behind a window: a lone stream's callbacks, or a group.
pub(crate) trait Supply: Send {
    /// Opens chunk `id` for the window. Ids are asked for one after the other.
    fn open(&mut self, id: u64, cx: &Cx<'_>) -> Supplied;

    /// Chunk `id` leaves the window; the stream made `units` of it present. The chunk's view is
    /// gone already.
    fn release(&mut self, id: u64, units: u64);

    /// The window now starts at `head`, after the releases that this took.
    fn head_moved(&mut self, head: u64, cx: &Cx<'_>);

    /// As [`head_moved`](Self::head_moved), but calls nobody. Gives back the group whose finished
    /// chunks have to be [published](Group::publish), if there may be any.
    fn head_moved_quietly(&mut self, head: u64) -> Option<Arc<Group>>;

    /// Hands over what is finished. `Err` if something is left.
    fn drain(&mut self, cx: &Cx<'_>) -> Result<(), ParkReason>;

    /// Whether `drain` has something to do.
    fn has_backlog(&self) -> bool;

    /// A batch is over, or the stream has to wait.
    fn announce(&mut self);

    /// A quantum is over; after it the stream goes on or waits. True if it waits for other members
    /// of its group that are at work.
    fn pause(&mut self, _waits: bool) -> bool {
        self.announce();
        false
    }

    /// The stream ends: after this nothing is opened. The window has been flushed.
    fn end(&mut self, cx: &Cx<'_>);

    /// The stream was stopped by its user: what is finished is dropped, and nothing is opened any
    /// more. The window has been flushed.
    fn abandon(&mut self, cx: &Cx<'_>);

    /// How far the window, which starts at `head`, should be flushed because of age, if at all.
    /// `drained` says that the stream's readers were found empty just now.
    fn expired(
        &mut self,
        cx: &Cx<'_>,
        head: u64,
        oldest: Option<Instant>,
        drained: bool,
    ) -> Option<u64>;
}

/// The open chunks of one stream: ids `head..tail`, at most `size` of them, with the rules of the
/// reference (consecutive ids, back-fill, strictly increasing, a jump past the window flushes it).
#[derive(Debug)]
pub(crate) struct Window<S> {
    head: u64,
    tail: u64,
    size: usize,
    slots: VecDeque<Slot>,
    supply: S,
}

#[derive(Debug)]
pub(crate) struct Slot {
    /// `None` where the supply had no memory for the id.
    pub(crate) view: Option<ChunkView>,
    /// What this stream made present.
    pub(crate) units: u64,
    opened: Instant,
}

/// Whether a chunk can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It is in the window.
    Open,
    /// It has left the window.
    TooOld,
    /// It cannot be opened now.
    Park(ParkReason),
}

impl<S: Supply> Window<S> {
    /// A window of up to `size` chunks, starting at `head`.
    pub(crate) fn new(size: usize, head: u64, supply: S) -> Self {
        debug_assert!(size > 0, "configurations refuse empty windows");
        Self { head, tail: head, size, slots: VecDeque::with_capacity(size), supply }
    }

    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    /// Whether the supply holds finished chunks that have to go before the next packet.
    #[inline]
    pub(crate) fn has_backlog(&self) -> bool {
        self.supply.has_backlog()
    }

    pub(crate) fn supply(&mut self) -> &mut S {
        &mut self.supply
    }

    /// Makes room for chunk `id` and opens it and those before it. After [`Reach::Park`] it is
    /// called again and goes on where it stopped.
    #[inline]
    pub(crate) fn reach(&mut self, id: u64, cx: &Cx<'_>) -> Reach {
        if self.head <= id && id < self.tail { Reach::Open } else { self.move_to(id, cx) }
    }

    fn move_to(&mut self, id: u64, cx: &Cx<'_>) -> Reach {
        if id < self.head {
            return Reach::TooOld;
        }
        if id >= self.tail && id - self.tail >= self.size as u64 {
            self.advance(id - (self.size as u64 - 1), cx);
        }
        while id >= self.tail {
            if self.slots.len() == self.size {
                self.advance(self.head + 1, cx);
            }
            let view = match self.supply.open(self.tail, cx) {
                Supplied::Open(view) => Some(view),
                Supplied::Missing => None,
                Supplied::Park(reason) => return Reach::Park(reason),
            };
            self.slots.push_back(Slot { view, units: 0, opened: cx.now });
            self.tail += 1;
        }
        Reach::Open
    }

    /// The slot of chunk `id`, if it is open.
    #[inline]
    pub(crate) fn slot(&mut self, id: u64) -> Option<&mut Slot> {
        let at = id.checked_sub(self.head)?;
        self.slots.get_mut(usize::try_from(at).ok()?)
    }

    /// Releases everything before `target`, and calls nobody; what has to be published then is given
    /// back.
    pub(crate) fn flush_quietly(&mut self, target: u64) -> Option<Arc<Group>> {
        if target <= self.head {
            return None;
        }
        self.release_until(target);
        self.supply.head_moved_quietly(target)
    }

    /// Releases everything that is open.
    pub(crate) fn flush(&mut self, cx: &Cx<'_>) {
        if self.tail > self.head {
            self.advance(self.tail, cx);
        }
    }

    /// Empties the window and lets it start anew before or after where it was, so that `id` becomes
    /// its newest chunk. Only for a lone stream: a group has one sequence for all.
    pub(crate) fn restart_at(&mut self, id: u64, cx: &Cx<'_>) {
        self.flush(cx);
        self.head = id.saturating_sub(self.size as u64 - 1);
        self.tail = self.head;
        self.supply.head_moved(self.head, cx);
    }

    /// Releases chunks that are older than the supply allows.
    pub(crate) fn expire(&mut self, cx: &Cx<'_>, drained: bool) {
        loop {
            let oldest = self.slots.front().map(|slot| slot.opened);
            match self.supply.expired(cx, self.head, oldest, drained) {
                Some(target) if target > self.head => self.advance(target, cx),
                // In a group it may be others that hold the old chunk: what is newer here stays.
                _ => return,
            }
        }
    }

    fn advance(&mut self, target: u64, cx: &Cx<'_>) {
        self.release_until(target);
        self.supply.head_moved(target, cx);
    }

    fn release_until(&mut self, target: u64) {
        settle_copies();
        while self.head < target {
            let Some(slot) = self.slots.pop_front() else { break };
            self.supply.release(self.head, slot.units);
            self.head += 1;
        }
        self.head = target;
        self.tail = self.tail.max(target);
    }
}

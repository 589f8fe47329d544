//! What a group keeps behind its mutex: the open chunks, the members' heads, the outbox.

use std::collections::VecDeque;
use std::sync::Weak;
use std::task::Waker;
use std::time::Instant;

use super::{Laggard, Units};
use crate::chunk::Chunk;
use crate::chunk::exchange::ParkReason;
use crate::chunk::view::{ChunkView, Claims};
use crate::chunk::window::Supplied;

/// What is behind the group's mutex.
pub(super) struct State {
    pub(super) head: u64,
    pub(super) tail: u64,
    pub(super) slots: VecDeque<OpenChunk>,
    /// Emptied slots, kept for their claim tables.
    pub(super) spare: Vec<OpenChunk>,
    pub(super) members: Vec<Member>,
    /// What the members claim; those that promise to be disjoint claim nothing.
    pub(super) units: Option<Units>,
    pub(super) live: usize,
    pub(super) outbox: VecDeque<Chunk>,
    pub(super) allocating: bool,
    pub(super) publishing: bool,
    /// Somebody looked for the publishing role while it was taken.
    pub(super) publish_again: bool,
    /// Chunks were handed over that `ready` was not yet told to announce.
    pub(super) unannounced: bool,
    /// Who has the publishing role is to have them announced.
    pub(super) announce: bool,
    pub(super) started: bool,
    /// No member will join any more.
    pub(super) closed: bool,
    /// Nothing is opened or delivered any more.
    pub(super) ended: bool,
    /// `ready` was told the end.
    pub(super) told: bool,
    pub(super) stats: GroupStats,
}

/// A chunk that members fill.
#[derive(Default)]
pub(super) struct OpenChunk {
    pub(super) chunk: Option<Chunk>,
    pub(super) claims: Claims,
    pub(super) opened: Option<Instant>,
}

/// What the group knows of a member.
pub(super) struct Member {
    pub(super) head: u64,
    pub(super) live: bool,
    pub(super) parked: bool,
    /// Whether it asked for a chunk, or was woken to ask again, since it last waited: it will wait
    /// again, and look then for what is to be announced.
    pub(super) at_work: bool,
    pub(super) claims: bool,
    /// When the member's readers were last found empty.
    pub(super) drained: Option<Instant>,
    /// Both are there once the member is connected.
    pub(super) waker: Option<Waker>,
    pub(super) laggard: Option<Weak<dyn Laggard>>,
}

/// A group's own numbers; those of its members are in their streams' statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupStats {
    /// Chunks opened.
    pub chunks_opened: u64,
    /// Chunk ids for which there was no memory.
    pub chunks_refused: u64,
    /// Chunks handed over.
    pub chunks_delivered: u64,
    /// Finished chunks that wait to be handed over.
    pub backlog: usize,
    /// The oldest chunk id that is open, or would be next.
    pub head: u64,
    /// The chunk id after the newest that is open.
    pub tail: u64,
    /// Members that have not ended.
    pub live_members: usize,
}

impl State {
    pub(super) fn slot(&mut self, id: u64) -> Option<&mut OpenChunk> {
        let at = usize::try_from(id.checked_sub(self.head)?).ok()?;
        self.slots.get_mut(at)
    }

    pub(super) fn view(&mut self, id: u64, member: usize) -> Supplied {
        let claims = self.members[member].claims;
        let Some(slot) = self.slot(id) else { return Supplied::Missing };
        match &mut slot.chunk {
            Some(chunk) => Supplied::Open(ChunkView::new(chunk, claims.then_some(&slot.claims))),
            None => Supplied::Missing,
        }
    }

    /// Whether a member will yet look for what is to be announced.
    pub(super) fn any_at_work(&self) -> bool {
        self.members.iter().any(|member| member.live && member.at_work)
    }

    /// Takes a member out of its park, if it is in one. It will ask again.
    pub(super) fn unpark(&mut self, member: usize) -> Option<Waker> {
        let member = &mut self.members[member];
        member.at_work |= std::mem::take(&mut member.parked);
        if member.live { member.waker.clone() } else { None }
    }

    pub(super) fn park(&mut self, member: usize, reason: ParkReason) -> Supplied {
        self.members[member].parked = true;
        Supplied::Park(reason)
    }

    /// Takes in a chunk that was allocated for `id`; false if it is finished already.
    pub(super) fn insert(&mut self, id: u64, chunk: Option<Chunk>, now: Instant) -> bool {
        if id < self.tail {
            // The window jumped past `id` meanwhile. Nothing later was opened, because we held the
            // role, so the order of ids is kept by handing it over right away.
            self.stats.count(&chunk);
            self.outbox.extend(chunk);
            return false;
        }
        self.stats.count(&chunk);
        let mut slot = self.spare.pop().unwrap_or_default();
        slot.claims.reset(chunk.as_ref().map_or(0, |chunk| chunk.present().len()));
        slot.chunk = chunk;
        slot.opened = Some(now);
        self.slots.push_back(slot);
        self.tail += 1;
        true
    }

    /// Moves the head to the smallest of the members' heads; true if it moved.
    pub(super) fn settle(&mut self) -> bool {
        let heads = self.members.iter().filter(|m| m.live).map(|m| m.head);
        // Without members everything is finished, and the next member starts behind it.
        let target = heads.min().unwrap_or(self.tail);
        let moved = target > self.head;
        while self.head < target {
            let Some(mut slot) = self.slots.pop_front() else { break };
            self.outbox.extend(slot.chunk.take());
            self.spare.push(slot);
            self.head += 1;
        }
        self.head = self.head.max(target);
        self.tail = self.tail.max(self.head);
        moved
    }
}

impl GroupStats {
    fn count(&mut self, chunk: &Option<Chunk>) {
        match chunk {
            Some(_) => self.chunks_opened += 1,
            None => self.chunks_refused += 1,
        }
    }
}

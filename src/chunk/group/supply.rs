//! The supply of a member's window.

use std::sync::Arc;
use std::time::Instant;

use super::Group;
use crate::chunk::exchange::{Cx, ParkReason};
use crate::chunk::window::{Supplied, Supply};
use crate::sync::Ordering;

/// The supply of a group member.
pub(crate) struct MemberSupply {
    group: Arc<Group>,
    member: usize,
    stream_id: u64,
    /// What was released since the group was last told: (chunk id, units made present).
    left: Vec<(u64, u64)>,
    /// Whether the group may count on the member to look for what is to be announced.
    at_work: bool,
}

impl MemberSupply {
    pub(crate) fn new(group: Arc<Group>, member: usize, stream_id: u64, window: usize) -> Self {
        Self { group, member, stream_id, left: Vec::with_capacity(window), at_work: false }
    }
}

impl Supply for MemberSupply {
    fn open(&mut self, id: u64, cx: &Cx<'_>) -> Supplied {
        self.at_work = true;
        self.group.get(self.member, id, self.stream_id, cx.now)
    }

    fn release(&mut self, id: u64, units: u64) {
        self.left.push((id, units));
    }

    fn head_moved(&mut self, head: u64, _cx: &Cx<'_>) {
        if self.head_moved_quietly(head).is_some() {
            self.at_work = true;
            self.group.publish();
        }
    }

    fn head_moved_quietly(&mut self, head: u64) -> Option<Arc<Group>> {
        let moved = self.group.head_moved(self.member, head, self.stream_id, &mut self.left);
        moved.then(|| Arc::clone(&self.group))
    }

    fn drain(&mut self, _cx: &Cx<'_>) -> Result<(), ParkReason> {
        // What is finished belongs to the group; whoever has the role hands it over.
        if self.group.pending.load(Ordering::Relaxed) > 0 {
            self.at_work = true;
            self.group.publish();
        }
        Ok(())
    }

    fn has_backlog(&self) -> bool {
        false
    }

    fn announce(&mut self) {
        // Members' batches are not the group's: see `pause`.
    }

    fn pause(&mut self, waits: bool) -> bool {
        if !self.at_work {
            return false;
        }
        if !waits {
            self.group.announce();
            return false;
        }
        let (parked, others) = self.group.rest(self.member);
        // Who wakes a parked member counts on it from then on.
        self.at_work = parked;
        parked && others
    }

    fn end(&mut self, _cx: &Cx<'_>) {
        self.group.leave(self.member);
    }

    fn abandon(&mut self, _cx: &Cx<'_>) {
        // What the member filled is the group's, and the others' data is in the same chunks.
        self.group.leave(self.member);
    }

    fn expired(
        &mut self,
        cx: &Cx<'_>,
        _head: u64,
        _oldest: Option<Instant>,
        drained: bool,
    ) -> Option<u64> {
        let expired = self.group.expired(self.member, cx.now, drained);
        self.at_work |= expired.is_some();
        expired
    }
}

//! The supply of a stream that is no member of a group: its own callbacks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Chunk;
use super::exchange::{Allocate, Allocation, Cx, ParkReason, Ready};
use super::group::Group;
use super::view::ChunkView;
use super::window::{Supplied, Supply};

/// Chunks for one stream.
pub(crate) struct Lone {
    stream_id: u64,
    allocate: Box<dyn Allocate>,
    ready: Box<dyn Ready>,
    max_age: Option<Duration>,
    /// The open chunks, oldest first; `None` where there was no memory.
    open: VecDeque<Option<Chunk>>,
    /// Finished chunks that `ready` has not taken yet, oldest first. Nothing is opened while there
    /// are any, so there are never more than the window's size.
    outbox: VecDeque<Chunk>,
    /// The callbacks were told the end: streams are stopped more than once, ends are told once.
    told: bool,
}

impl Lone {
    pub(crate) fn new(
        stream_id: u64,
        window: usize,
        allocate: Box<dyn Allocate>,
        ready: Box<dyn Ready>,
        max_age: Option<Duration>,
    ) -> Self {
        Self {
            stream_id,
            allocate,
            ready,
            max_age,
            open: VecDeque::with_capacity(window),
            outbox: VecDeque::with_capacity(window),
            told: false,
        }
    }
}

impl Supply for Lone {
    fn open(&mut self, id: u64, cx: &Cx<'_>) -> Supplied {
        if let Err(reason) = self.drain(cx) {
            return Supplied::Park(reason);
        }
        match self.allocate.allocate(id, cx.waker) {
            Allocation::Chunk(mut chunk) => {
                chunk.open(id, self.stream_id);
                let view = ChunkView::new(&mut chunk, None);
                self.open.push_back(Some(chunk));
                Supplied::Open(view)
            }
            Allocation::NotYet => Supplied::Park(ParkReason::FreeRing),
            Allocation::Refused => {
                self.open.push_back(None);
                Supplied::Missing
            }
        }
    }

    fn release(&mut self, _id: u64, units: u64) {
        if let Some(Some(mut chunk)) = self.open.pop_front() {
            chunk.contribute(self.stream_id, units);
            self.outbox.push_back(chunk);
        }
    }

    fn head_moved(&mut self, _head: u64, _cx: &Cx<'_>) {}

    fn head_moved_quietly(&mut self, _head: u64) -> Option<Arc<Group>> {
        None
    }

    fn drain(&mut self, cx: &Cx<'_>) -> Result<(), ParkReason> {
        while let Some(chunk) = self.outbox.pop_front() {
            if let Err(chunk) = self.ready.ready(chunk, cx.waker) {
                self.outbox.push_front(chunk);
                return Err(ParkReason::DataRing);
            }
        }
        Ok(())
    }

    fn has_backlog(&self) -> bool {
        !self.outbox.is_empty()
    }

    fn announce(&mut self) {
        self.ready.announce();
    }

    fn end(&mut self, _cx: &Cx<'_>) {
        if !std::mem::replace(&mut self.told, true) {
            self.ready.end();
            self.allocate.end();
        }
    }

    fn abandon(&mut self, cx: &Cx<'_>) {
        self.outbox.clear();
        self.end(cx);
    }

    fn expired(
        &mut self,
        cx: &Cx<'_>,
        head: u64,
        oldest: Option<Instant>,
        drained: bool,
    ) -> Option<u64> {
        let deadline = oldest?.checked_add(self.max_age?)?;
        (drained && cx.now >= deadline).then_some(head + 1)
    }
}

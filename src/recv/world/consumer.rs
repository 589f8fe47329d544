//! The consumer: takes, looks, holds for a while, and gives back.

use std::sync::Arc;
use std::task::{Poll, Waker};

use super::host::Flag;
use super::{World, lock};
use crate::chunk::Chunk;
use crate::heap::Heap;
use crate::ring::{Ended, Ring, TryPopError, Waiter};

/// One consumer of a ring, which looks whenever it likes or only when it is called.
pub(super) struct Taps {
    flag: Arc<Flag>,
    waker: Waker,
    waiter: Waiter,
    /// It found something the last time, and looks again without being called.
    lively: bool,
    pub(super) ended: bool,
}

impl Taps {
    pub(super) fn new() -> Self {
        let flag = Arc::new(Flag::new());
        let waker = Waker::from(Arc::clone(&flag));
        Self { flag, waker, waiter: Waiter::default(), lively: true, ended: false }
    }

    fn take<T>(&mut self, ring: &Ring<T>, called: bool) -> Option<T> {
        let popped = if called {
            if !self.flag.take() && !self.lively {
                return None;
            }
            match ring.poll_pop(&mut self.waiter, &self.waker) {
                Poll::Pending => Err(TryPopError::Empty),
                Poll::Ready(popped) => popped.map_err(|Ended| TryPopError::Ended),
            }
        } else {
            ring.try_pop()
        };
        self.lively = popped.is_ok();
        self.ended |= matches!(popped, Err(TryPopError::Ended));
        popped.ok()
    }
}

impl World {
    /// The consumer's turn; false if there was nothing to do.
    pub(super) fn consume(&self) -> bool {
        let took_chunk = self.consume_chunk();
        self.consume_heap() || took_chunk
    }

    fn consume_chunk(&self) -> bool {
        let streams = lock(&self.jobs).len();
        // Locked while it takes: a pop may lead to the publishing of the next, and to an interlude.
        let Ok(mut taps) = self.chunks.try_lock() else { return false };
        let chunk = taps.take(&self.ring, self.plan.called);
        drop(taps);
        let took = chunk.is_some();
        if let Some(chunk) = chunk {
            self.note(|| format!("  the consumer takes {chunk:?}"));
            lock(&self.oracle).chunk(&self.plan, streams, &chunk);
            lock(&self.held).push_back(chunk);
        }
        let back = self.chunk_to_return();
        took || back.is_some()
    }

    /// One chunk goes back to its pool if the consumer has too many, or none was to be had.
    fn chunk_to_return(&self) -> Option<Chunk> {
        let mut chunks = lock(&self.held);
        let held = chunks.len();
        if held == 0 || (held <= self.plan.holds && !self.chance(30)) {
            return None;
        }
        let at = lock(&self.choices).below(held as u64) as usize;
        // Dropped by the caller, with nothing locked: the pool calls who waits.
        chunks.remove(at)
    }

    fn consume_heap(&self) -> bool {
        let Ok(mut taps) = self.heaps.try_lock() else { return false };
        let heap: Option<Heap> = taps.take(&self.heap_ring, self.plan.called);
        drop(taps);
        let Some(heap) = heap else { return false };
        self.note(|| format!("  the consumer takes {heap:?}"));
        lock(&self.oracle).heap(&heap);
        true
    }

    /// Everything is taken and given back; false if there was nothing.
    pub(super) fn consume_all(&self) -> bool {
        let mut any = false;
        while self.consume() {
            any = true;
        }
        let held = std::mem::take(&mut *lock(&self.held));
        any || !held.is_empty()
    }
}

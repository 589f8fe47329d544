//! From a heap stream to its ring, with a word to the user where heaps do not get there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use speadway::chunk::Ready;
use speadway::heap::{Heap, HeapStatus};
use speadway::ring::{PollPush, Producer, Ring, Waiter};

use crate::patience::Patience;
use crate::throttle::Throttle;

/// Puts heaps in a ring, and waits while it is full.
pub(super) struct Outlet {
    ring: Ring<Heap>,
    /// Ends the ring with the stream.
    producer: Option<Producer<Heap>>,
    waiter: Waiter,
    contiguous_only: bool,
    /// Whether packets are lost while the stream waits.
    lossy: Arc<AtomicBool>,
    /// The heap at hand has been waiting.
    blocked: bool,
    patience: Patience,
    throttle: Throttle,
}

impl Outlet {
    pub(super) fn new(ring: &Ring<Heap>, contiguous_only: bool, lossy: Arc<AtomicBool>) -> Self {
        Self {
            ring: ring.clone(),
            producer: Some(ring.producer()),
            waiter: Waiter::default(),
            contiguous_only,
            lossy,
            blocked: false,
            patience: Patience::default(),
            throttle: Throttle::default(),
        }
    }

    fn warn(&mut self, line: impl FnOnce() -> String) {
        self.throttle.say(|line| log::warn!("{line}"), line);
    }
}

impl Ready<Heap> for Outlet {
    fn ready(&mut self, heap: Heap, waker: &Waker) -> Result<(), Heap> {
        let cnt = heap.cnt();
        if self.contiguous_only && heap.status() == HeapStatus::Incomplete {
            let received = heap.received_length();
            let length = heap.length().map_or_else(|| "?".to_owned(), |length| length.to_string());
            self.warn(|| {
                format!("dropped incomplete heap {cnt} ({received}/{length} bytes of payload)")
            });
            return Ok(());
        }
        if self.ring.is_full() && !self.blocked {
            self.patience.look(|| (!self.ring.is_full()).then_some(()));
        }
        match self.ring.poll_push(heap, &mut self.waiter, waker) {
            PollPush::Pending(heap) => {
                let is_first = !std::mem::replace(&mut self.blocked, true);
                if is_first && self.lossy.load(Ordering::Relaxed) {
                    self.warn(|| format!("worker thread blocked by full ringbuffer on heap {cnt}"));
                }
                return Err(heap);
            }
            PollPush::Closed(_) => self.throttle.say(
                |line| log::info!("{line}"),
                || format!("dropped heap {cnt} due to external stop"),
            ),
            PollPush::Done => {}
        }
        self.blocked = false;
        Ok(())
    }

    fn end(&mut self) {
        self.waiter.clear();
        self.producer = None;
    }
}

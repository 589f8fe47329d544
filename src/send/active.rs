//! A request on its way.

use std::collections::VecDeque;

use super::heap::{Heap, Plan};
use super::request::{Request, SendError};
use crate::wire::Flavour;

/// A request that is being sent.
pub(super) struct Active {
    pub(super) request: Request,
    /// The next heap to plan.
    next_heap: usize,
    next_cnt: u64,
    pub(super) bytes: u64,
    /// Packets made but not sent.
    pub(super) in_batch: usize,
    pub(super) error: Option<SendError>,
}

impl Active {
    pub(super) fn new(request: Request) -> Self {
        let next_cnt = request.next_cnt;
        Self { request, next_heap: 0, next_cnt, bytes: 0, in_batch: 0, error: None }
    }

    /// A heap of it, and what its packets have in common.
    #[inline]
    pub(super) fn about(
        &self,
        number: u64,
        at: usize,
        rate: f64,
    ) -> (&Heap, (u64, usize, usize, f64)) {
        let heap = &self.request.work.heaps()[at];
        (&heap.heap, (number, at, heap.substream, heap.rate.unwrap_or(rate)))
    }

    /// The next heap, and its number; `None` if there is none or one cannot be sent.
    #[inline]
    pub(super) fn next_heap(&mut self) -> Option<(usize, u64)> {
        let at = self.next_heap;
        let heap = self.request.work.heaps().get(at).filter(|_| self.error.is_none())?;
        self.next_heap += 1;
        let cnt = heap.cnt.unwrap_or_else(|| {
            let cnt = masked(self.next_cnt, heap.heap.flavour());
            self.next_cnt = self.next_cnt.wrapping_add(self.request.step);
            cnt
        });
        Some((at, cnt))
    }

    /// Plans a heap; `None` if it cannot be sent.
    pub(super) fn plan(&mut self, at: usize, cnt: u64, packet_size: usize) -> Option<Plan> {
        match self.request.work.heaps()[at].heap.plan(cnt, packet_size) {
            Ok(plan) => Some(plan),
            Err(error) => {
                self.error = Some(SendError::Encode(error));
                None
            }
        }
    }

    /// Plans all heaps that are not yet planned.
    pub(super) fn plan_all(&mut self, plans: &mut VecDeque<(usize, Plan)>, packet_size: usize) {
        while let Some((at, cnt)) = self.next_heap()
            && let Some(plan) = self.plan(at, cnt, packet_size)
        {
            plans.push_back((at, plan));
        }
        if self.error.is_some() {
            plans.clear();
        }
    }

    /// Whether no more of its heaps will be planned.
    pub(super) fn is_planned(&self) -> bool {
        self.error.is_some() || self.next_heap >= self.request.work.heaps().len()
    }
}

/// Heap counts that the stream gives out start over where the flavour ends.
fn masked(cnt: u64, flavour: Flavour) -> u64 {
    cnt & flavour.max_value()
}

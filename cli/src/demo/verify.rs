//! Comparing what arrived with what was sent.

use speadway::chunk::Chunk;

use super::options::Plan;
use super::pattern;

/// Compares chunks, and keeps count.
pub(super) struct Verifier {
    ports: usize,
    heap_size: usize,
    heaps_per_chunk: u64,
    /// Chunks seen.
    pub(super) chunks: u64,
    /// Heaps present.
    pub(super) heaps: u64,
    /// Bytes of payload compared.
    pub(super) bytes: u64,
    /// Heaps with a wrong byte, and the first of them in words.
    pub(super) wrong: u64,
    pub(super) first_wrong: Option<String>,
    /// Chunks that were not the next one.
    pub(super) out_of_order: u64,
    next: u64,
    missing: u64,
    missing_in_last: u64,
}

impl Verifier {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            ports: plan.ports,
            heap_size: plan.heap_size,
            heaps_per_chunk: plan.heaps_per_chunk,
            chunks: 0,
            heaps: 0,
            bytes: 0,
            wrong: 0,
            first_wrong: None,
            out_of_order: 0,
            next: 0,
            missing: 0,
            missing_in_last: 0,
        }
    }

    /// Compares a chunk.
    pub(super) fn check(&mut self, chunk: &Chunk) {
        self.chunks += 1;
        self.out_of_order += u64::from(chunk.id() != self.next);
        self.next = chunk.id() + 1;
        let heaps = chunk.present().iter().zip(chunk.data().chunks(self.heap_size));
        for (index, (&present, payload)) in heaps.enumerate() {
            if present != 0 {
                self.check_heap(chunk.id(), index, payload);
            }
        }
        self.missing += std::mem::replace(&mut self.missing_in_last, chunk.n_missing());
    }

    fn check_heap(&mut self, chunk: u64, index: usize, payload: &[u8]) {
        let port = index % self.ports;
        let round = chunk * self.heaps_per_chunk + (index / self.ports) as u64;
        self.heaps += 1;
        self.bytes += payload.len() as u64;
        if let Some(at) = pattern::first_difference(port, round, payload) {
            self.wrong += 1;
            self.first_wrong.get_or_insert_with(|| {
                format!("heap {round} of stream {port} (chunk {chunk}) differs from byte {at} on")
            });
        }
    }

    /// Heaps missing in all chunks but the last, which need not be full.
    pub(super) fn missing_so_far(&self) -> u64 {
        self.missing
    }
}

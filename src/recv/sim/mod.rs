//! Engines driven step by step in one thread, with every interleaving the tests like.
//!
//! The models that results are compared with follow the reference's description of what happens,
//! not our code.

mod ages;
mod bursts;
mod groups;
mod lone;
mod lone_model;
mod rules;
mod tasks;
mod trains;
mod wakes;

use std::sync::Arc;

use super::chunk_sink::{ChunkOptions, ChunkSink};
use super::engine::{Engine, Rules};
use super::stats::Counters;
use crate::chunk::{HeapContext, JumpGuard, Layout, Placement, Supply, Units, Window};
use crate::memory::CopyMode;
use crate::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue};

/// Bytes of a heap.
const HEAP: usize = 64;
/// Heaps of a chunk, for each member.
const HEAPS: usize = 4;
/// Bytes to a flag with packet presence.
const UNIT: usize = 16;
/// What a packet has beside its payload: a header and eight item pointers.
const HEADER: usize = 8 + 8 * 8;

const CHUNK_ITEM: u64 = 0x1600;
const INDEX_ITEM: u64 = 0x1601;
const OFFSET_ITEM: u64 = 0x1602;

/// What a heap says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HeapSpec {
    cnt: u64,
    /// Counted from the test's first id, as an item has no room for large ones.
    chunk: u64,
    index: usize,
    offset: usize,
    /// Packets.
    parts: usize,
}

impl HeapSpec {
    fn payload(&self) -> Vec<u8> {
        let tag = self.cnt * 59 + self.chunk * 31 + self.index as u64 * 7;
        (0..HEAP as u64).map(|at| (tag + at * 3 + 1) as u8).collect()
    }

    fn packets(&self) -> Vec<Vec<u8>> {
        let payload = self.payload();
        let number = |id, value| EncodeItem { id, value: ItemValue::Immediate(value) };
        let items = [
            number(CHUNK_ITEM, self.chunk),
            number(INDEX_ITEM, self.index as u64),
            number(OFFSET_ITEM, self.offset as u64),
            EncodeItem { id: 0x3300, value: ItemValue::Addressed(&payload) },
        ];
        let size = HEADER + HEAP / self.parts;
        let heap = HeapEncoder::new(Flavour::default(), self.cnt, size, &items, true).unwrap();
        let packets = heap.packets();
        assert_eq!(packets.len(), self.parts);
        packets
    }
}

/// Heaps are refused whose index is this.
const REJECTED: usize = 0xff;

/// Places heaps as they say, with the low bytes of their count as extra.
fn place(first_id: u64, units: usize) -> impl FnMut(&mut HeapContext<'_>) -> Option<Placement> {
    move |heap| {
        let index = heap.item(INDEX_ITEM)? as usize;
        let offset = heap.item(OFFSET_ITEM)? as usize;
        if index == REJECTED {
            return None;
        }
        let tag = heap.heap_cnt().to_be_bytes();
        let mut extra = (0, 0);
        if let Some(scratch) = heap.extra().first_chunk_mut::<2>() {
            scratch.copy_from_slice(&tag[6..]);
            extra = (index * 2, 2);
        }
        let chunk = first_id.checked_add(heap.item(CHUNK_ITEM)?)?;
        Some(Placement { extra, ..Placement::new(chunk, index * units, offset) })
    }
}

/// What members of these tests claim: heaps, wherever they say they go.
fn units() -> Units {
    let layout = Layout::builder(CHUNK_ITEM, HEAP).heaps_per_chunk(HEAPS as u64);
    Units { division: layout.build().unwrap().division(), packet_presence: None }
}

const RULES: Rules = Rules {
    max_heaps: 4,
    substreams: 1,
    out_of_order: true,
    allow_unsized: false,
    stop_on_stop_item: true,
    max_heap_size: 1 << 30,
};

const OPTIONS: ChunkOptions = ChunkOptions {
    packet_presence: None,
    deduplicate: true,
    member: 0,
    may_go_back: true,
    copy_mode: CopyMode::Cached,
};

/// What makes one engine unlike another.
struct Setup {
    rules: Rules,
    options: ChunkOptions,
    window: usize,
    head: u64,
    first_id: u64,
    max_extra: usize,
    max_jump: Option<u64>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            rules: RULES,
            options: OPTIONS,
            window: 4,
            head: 0,
            first_id: 0,
            max_extra: 0,
            max_jump: None,
        }
    }
}

impl Setup {
    fn engine<S: Supply>(&self, supply: S) -> (Engine<ChunkSink<S>>, Arc<Counters>) {
        let counters = Arc::new(Counters::default());
        let units = self.options.packet_presence.map_or(1, |size| HEAP / size as usize);
        let sink = ChunkSink::new(
            Window::new(self.window, self.head, supply),
            Box::new(place(self.first_id, units)),
            self.max_jump.map(JumpGuard::new),
            self.max_extra,
            self.options,
            Arc::clone(&counters),
        );
        (Engine::new(self.rules, sink, Arc::clone(&counters)), counters)
    }
}

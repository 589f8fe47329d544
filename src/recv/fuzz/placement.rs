//! Placement: whatever is asked for, nothing is written outside a chunk.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Instant;

use super::Input;
use crate::chunk::{
    Allocation, Chunk, Cx, HeapContext, JumpGuard, Layout, Lone, Place, Placement, Window,
};
use crate::heap::Origin;
use crate::memory::CopyMode;
use crate::recv::StreamConfig;
use crate::recv::chunk_sink::{ChunkOptions, ChunkSink};
use crate::recv::engine::Engine;
use crate::recv::stats::Counters;
use crate::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue, Packet};

/// A number that is small, or near a limit, or anything.
fn number(input: &mut Input<'_>) -> usize {
    let byte = input.byte();
    match byte {
        0..=199 => usize::from(byte),
        200..=209 => usize::MAX - usize::from(byte - 200),
        210..=219 => isize::MAX as usize - 5 + usize::from(byte - 210),
        _ => input.number::<8>() as usize,
    }
}

/// Gives a chunk stream packets and placements for them, as a callback with the reference's ABI
/// could: any number may be in any field.
pub fn placement(bytes: &[u8]) {
    let mut input = Input(bytes);
    let [data, flags, extra] = [(); 3].map(|()| usize::from(input.byte()));
    let presence = match input.byte() {
        0..=127 => None,
        size => Some(u64::from(size - 127)),
    };
    let max_extra = usize::from(input.byte() & 31);
    let placements = Arc::new(Mutex::new(Vec::new()));
    let place = {
        let placements = Arc::clone(&placements);
        move |heap: &mut HeapContext<'_>| {
            heap.extra().fill(0xe);
            placements.lock().expect("one thread").pop()
        }
    };
    let counters = Arc::new(Counters::default());
    let allocate = move |id: u64, _: &Waker| match id % 5 {
        4 => Allocation::Refused,
        _ => Allocation::Chunk(Chunk::zeroed(data, flags, extra).expect("it is small")),
    };
    let ready = |chunk: Chunk, _: &Waker| {
        let present: u64 = chunk.present().iter().map(|&flag| u64::from(flag)).sum();
        assert_eq!(present, chunk.n_present());
        Ok(())
    };
    let lone = Lone::new(0, 3, Box::new(allocate), Box::new(ready), None);
    let options = ChunkOptions {
        packet_presence: presence,
        deduplicate: input.byte() & 1 == 0,
        member: 0,
        may_go_back: true,
        copy_mode: CopyMode::NonTemporal,
    };
    let guard = (input.byte() & 1 == 1).then(|| JumpGuard::new(10));
    let window = Window::new(3, 0, lone);
    let sink =
        ChunkSink::new(window, Box::new(place), guard, max_extra, options, Arc::clone(&counters));
    let config = StreamConfig::default().allow_out_of_order(true);
    let rules = config.rules().expect("the configuration can be");
    let mut engine = Engine::new(rules, sink, Arc::clone(&counters));
    let cx = Cx { waker: Waker::noop(), now: Instant::now() };
    while !input.0.is_empty() {
        let placement = Placement {
            chunk: number(&mut input) as u64,
            index: number(&mut input),
            offset: number(&mut input),
            extra: (number(&mut input), number(&mut input)),
        };
        let (cnt, part) = (u64::from(input.byte() % 8), usize::from(input.byte()));
        let payload = [0xab; 300];
        let payload = &payload[..usize::from(input.byte())];
        *placements.lock().expect("one thread") = vec![placement];
        let packets = packets(cnt, payload);
        let _ = engine.datagram(&packets[part % packets.len()], &Origin::default(), &cx);
        let stats = counters.snapshot();
        assert!(stats.packets_balance() && stats.heaps_balance(), "{stats}");
    }
    engine.flush(&cx);
    let _ = engine.drain(&cx);
}

fn packets(cnt: u64, payload: &[u8]) -> Vec<Vec<u8>> {
    let items = [EncodeItem { id: 0x3300, value: ItemValue::Addressed(payload) }];
    let heap = HeapEncoder::new(Flavour::default(), cnt, 120, &items, true);
    heap.expect("the heap can be encoded").packets()
}

/// Builds a layout of any numbers. If it can be, no two heaps share a byte or a flag, and all lie in
/// the chunk.
pub fn layouts(bytes: &[u8]) {
    let mut input = Input(bytes);
    let shape = input.byte();
    let mut builder = Layout::builder(0x1600, number(&mut input))
        .heaps_per_chunk(number(&mut input) as u64)
        .step(number(&mut input) as u64)
        .origin(number(&mut input) as u64);
    if shape & 1 == 1 {
        builder = builder.sequence_stride(number(&mut input));
    }
    if shape & 2 == 2 {
        builder = builder.packet_presence(number(&mut input) as u64);
    }
    for axis in 0..shape >> 2 & 3 {
        let (count, first, step) = (number(&mut input), number(&mut input), number(&mut input));
        builder = builder.axis_range(0x1601 + u64::from(axis), count, first as u64, step as u64);
        if shape & 16 == 16 {
            builder = builder.axis_stride(number(&mut input));
        }
    }
    if let Ok(layout) = builder.build() {
        heaps_are_apart(layout, &mut input);
    }
}

/// Asks a layout about some heaps.
fn heaps_are_apart(mut layout: Layout, input: &mut Input<'_>) {
    let (heap, flags) = (layout.heap_size(), layout.flags());
    let units = flags / layout.heaps();
    let (mut bytes, mut indices) = (BTreeSet::new(), BTreeSet::new());
    while !input.0.is_empty() && bytes.len() < 200 {
        let Some(placement) = ask(&mut layout, input) else { continue };
        let Placement { chunk, index, offset, .. } = placement;
        assert!(offset.checked_add(heap).is_some_and(|end| end <= layout.chunk_size()));
        assert!(index.is_multiple_of(units) && index + units <= flags);
        let is_new = bytes.insert((chunk, offset));
        assert_eq!(is_new, indices.insert((chunk, index)), "bytes and flags go together");
        if !is_new {
            continue;
        }
        let before = bytes.range(..(chunk, offset)).next_back();
        assert!(before.is_none_or(|&(other, start)| other < chunk || start + heap <= offset));
        let after = bytes.range((chunk, offset + 1)..).next();
        assert!(after.is_none_or(|&(other, start)| other > chunk || offset + heap <= start));
    }
}

fn ask(layout: &mut Layout, input: &mut Input<'_>) -> Option<Placement> {
    let item = |id| {
        let value = number(input) as u64 & Flavour::default().max_value();
        EncodeItem { id, value: ItemValue::Immediate(value) }
    };
    let items: Vec<_> = (0x1600..0x1604).map(item).collect();
    let heap = HeapEncoder::new(Flavour::default(), 1, 1472, &items, true).ok()?;
    let packets = heap.packets();
    let packet = Packet::decode(packets.first()?).ok()?;
    layout.place(&mut HeapContext {
        packet: &packet,
        heap_length: layout.heap_size() as u64,
        origin: &Origin::default(),
        member: 0,
        extra: &mut [],
    })
}

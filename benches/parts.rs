//! What the parts of receiving cost by themselves: `cargo bench --bench parts [parse|place|ring|group]`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use speadway::chunk::{Chunk, ChunkPool, Eviction, Layout, RingPolicy};
use speadway::recv::readers::MemoryReader;
use speadway::recv::{Group, Member, Stream, Worker};
use speadway::ring::Ring;
use speadway::wire::{Decoder, EncodeItem, Flavour, HeapEncoder, ItemValue, Packet};

const NUMBER: u64 = 0x1600;
const SAMPLES: u64 = 0x3300;
/// Header and six pointers.
const HEADER: usize = 56;
/// Payload that is received per iteration: more than fits the cache of a core.
const LOAD: usize = 8 << 20;
const CHUNKS: usize = 8;
const WINDOW: usize = 4;

/// Heaps whose packets all carry all pointers.
#[derive(Clone, Copy)]
struct Shape {
    heap: usize,
    payload: usize,
}

impl Shape {
    fn heaps(self) -> usize {
        LOAD / self.heap
    }

    fn packets(self) -> u64 {
        (self.heaps() * self.heap.div_ceil(self.payload)) as u64
    }

    /// The packets of all heaps, one after the other.
    fn encode(self) -> Arc<[u8]> {
        let samples = vec![7; self.heap];
        let heaps = 0..self.heaps() as u64;
        heaps.flat_map(|number| self.heap(number, &samples)).collect()
    }

    fn heap(self, number: u64, samples: &[u8]) -> Vec<u8> {
        let items = [
            EncodeItem { id: NUMBER, value: ItemValue::Immediate(number) },
            EncodeItem { id: SAMPLES, value: ItemValue::Addressed(samples) },
        ];
        let size = HEADER + self.payload;
        let heap = HeapEncoder::new(Flavour::SPEAD_64_48, number + 1, size, &items, true);
        heap.expect("the pointers fit a packet").packets().concat()
    }
}

/// Has each packet decoded; `decode` says how long it is.
fn each(packets: &[u8], mut decode: impl FnMut(&[u8]) -> usize) {
    let mut at = 0;
    while at < packets.len() {
        at += decode(&packets[at..]);
    }
}

/// Headers to fields.
fn parse(c: &mut Criterion) {
    let shape = Shape { heap: 65536, payload: 1416 };
    let packets = shape.encode();
    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Elements(shape.packets()));
    group.bench_function("any packet", |b| {
        b.iter(|| each(&packets, |bytes| black_box(Packet::decode(bytes).unwrap()).size()));
    });
    group.bench_function("one like the last", |b| {
        let mut decoder = Decoder::default();
        b.iter(|| each(&packets, |bytes| black_box(decoder.decode(bytes).unwrap()).size()));
    });
    group.finish();
}

fn pool(layout: &Layout) -> ChunkPool {
    ChunkPool::zeroed(CHUNKS, layout.chunk_size(), layout.heaps()).unwrap()
}

fn consume(ring: &Ring<Chunk>) -> u64 {
    ring.into_iter().map(|chunk| chunk.n_present()).sum()
}

/// Packets in memory to their places in chunks of 4 MiB.
fn place(c: &mut Criterion) {
    let worker = Worker::new().unwrap();
    let mut group = c.benchmark_group("place");
    for (heap, payload) in [(65536, 64), (65536, 1416), (65536, 8912), (1024, 1024)] {
        let shape = Shape { heap, payload };
        let packets = shape.encode();
        let layout = Layout::builder(NUMBER, heap).heaps_per_chunk(((4 << 20) / heap) as u64);
        let layout = layout.build().unwrap();
        let pool = pool(&layout);
        group.throughput(Throughput::Elements(shape.packets()));
        let name = BenchmarkId::from_parameter(format!("{payload} of {heap} B"));
        group.bench_function(name, |b| {
            b.iter(|| {
                let ring = Ring::new(CHUNKS).unwrap();
                let stream = Stream::chunks(layout.clone())
                    .window(WINDOW)
                    .ring(&pool, &ring, RingPolicy::default())
                    .reader(MemoryReader::new(Arc::clone(&packets)))
                    .start(&worker)
                    .unwrap();
                assert_eq!(consume(&ring), shape.heaps() as u64);
                stream.wait();
            });
        });
    }
    group.finish();
}

/// Handing things over: when nobody waits, and between two threads that wait for each other.
fn ring(c: &mut Criterion) {
    const VALUES: u64 = 10_000;
    let mut group = c.benchmark_group("ring");
    group.throughput(Throughput::Elements(VALUES));
    group.bench_function("nobody waits", |b| {
        let ring = Ring::new(16).unwrap();
        b.iter(|| {
            for value in 0..VALUES {
                ring.try_push(value).unwrap();
                black_box(ring.try_pop().unwrap());
            }
        });
    });
    group.bench_function("two threads", |b| {
        b.iter(|| {
            let ring = Ring::new(16).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for value in 0..VALUES {
                        ring.push(value).unwrap();
                    }
                });
                for _ in 0..VALUES {
                    black_box(ring.pop().unwrap());
                }
            });
        });
    });
    group.finish();
}

/// Two members on two workers that fill shared chunks of 64 KiB, losing nothing.
fn group(c: &mut Criterion) {
    const MEMBERS: usize = 2;
    const CHUNK: usize = 65536;
    let shape = Shape { heap: 4096, payload: 1024 };
    let packets = shape.encode();
    let workers = [Worker::new().unwrap(), Worker::new().unwrap()];
    let per_chunk = CHUNK / shape.heap / MEMBERS;
    let layout = Layout::builder(NUMBER, shape.heap).heaps_per_chunk(per_chunk as u64);
    let layout = layout.member_axis(MEMBERS).build().unwrap();
    let pool = pool(&layout);
    let mut group = c.benchmark_group("group");
    group.throughput(Throughput::Elements((shape.heaps() / per_chunk) as u64));
    group.bench_function("2 members, chunks of 64 KiB", |b| {
        b.iter(|| {
            let ring = Ring::new(CHUNKS).unwrap();
            let mut builder = Group::builder().window(WINDOW).eviction(Eviction::Lossless);
            builder = builder.ring(&pool, &ring, RingPolicy::default());
            for worker in &workers {
                let reader = MemoryReader::new(Arc::clone(&packets));
                builder = builder.member(worker, Member::new(layout.clone()).reader(reader));
            }
            let group = builder.start().unwrap();
            assert_eq!(consume(&ring), (MEMBERS * shape.heaps()) as u64);
            group.wait();
        });
    });
    group.finish();
}

criterion_group!(parts, parse, place, ring, group);
criterion_main!(parts);

//! In its stride the way from packets to chunks asks the global allocator for nothing, on any thread.

mod counting;
mod threads;

use counting::{assert_counting, calls_so_far};
use speadway::chunk::{Chunk, ChunkPool, Eviction, RingPolicy};
use speadway::recv::readers::MemoryReader;
use speadway::recv::{Group, Member, Stream, Worker};
use speadway::ring::Ring;
use threads::{HEAPS_PER_CHUNK, bounded, check, heaps, layout};

/// Everything has met everything else by then: each chunk each thread, each waiter its place.
const WARM_UP: u64 = 200;
const CHUNKS: u64 = 1000;
/// The end of a stream allocates; it begins when the reader's last packet is in, which is a window
/// and all chunks of the pool before the consumer sees the last chunk.
const TAIL: u64 = 20;

/// How often any thread allocated or freed between the warm-up and the end.
fn calls(ring: &Ring<Chunk>, members: usize) -> usize {
    let mut next = 0;
    let mut take = |until: u64| {
        while next < until {
            let chunk = ring.pop().unwrap();
            assert_eq!(chunk.id(), next);
            check_without_allocating(&chunk, members);
            next += 1;
        }
    };
    take(WARM_UP);
    let before = calls_so_far();
    take(CHUNKS - TAIL);
    let made = calls_so_far() - before;
    take(CHUNKS);
    assert!(ring.pop().is_err());
    made
}

fn check_without_allocating(chunk: &Chunk, members: usize) {
    assert_eq!(chunk.n_present(), HEAPS_PER_CHUNK * members.max(1) as u64);
    if chunk.id() == 0 {
        check(chunk, members.max(1));
    }
}

fn reader(member: usize) -> MemoryReader<Vec<u8>> {
    MemoryReader::new(heaps(0..CHUNKS * HEAPS_PER_CHUNK, member))
}

fn pool_and_ring(members: usize) -> (ChunkPool, Ring<Chunk>) {
    let layout = layout(members);
    (ChunkPool::zeroed(4, layout.chunk_size(), layout.heaps()).unwrap(), Ring::new(2).unwrap())
}

fn main() {
    assert_counting();
    bounded(|| {
        let worker = Worker::new().unwrap();
        let (pool, ring) = pool_and_ring(0);
        let stream = Stream::chunks(layout(0))
            .ring(&pool, &ring, RingPolicy::default())
            .reader(reader(0))
            .start(&worker)
            .unwrap();
        assert_eq!(calls(&ring, 0), 0, "a lone stream");
        stream.wait();
    });
    for workers in [1, 2] {
        bounded(move || {
            let workers: Vec<_> = (0..workers).map(|_| Worker::new().unwrap()).collect();
            let (pool, ring) = pool_and_ring(2);
            let mut builder = Group::builder().window(2).eviction(Eviction::Lossless);
            builder = builder.ring(&pool, &ring, RingPolicy::default());
            for number in 0..2 {
                let member = Member::new(layout(2)).reader(reader(number));
                builder = builder.member(&workers[number % workers.len()], member);
            }
            let group = builder.start().unwrap();
            assert_eq!(calls(&ring, 2), 0, "a group on {} workers", workers.len());
            group.wait();
        });
    }
}

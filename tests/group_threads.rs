//! Groups on real threads: shared workers, small pools, stops at any moment, late joins.

mod threads;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};

use speadway::chunk::{Allocation, Chunk, ChunkPool, Eviction, Ready, RingPolicy};
use speadway::heap::HeapOutcome;
use speadway::recv::readers::MemoryReader;
use speadway::recv::{ConfigError, End, Group, GroupBuilder, Member, Stream, StreamConfig, Worker};
use speadway::ring::Ring;
use std::task::Waker;
use threads::{Endless, HEAPS_PER_CHUNK, bounded, check, heaps, layout};

const CHUNKS: u64 = 50;

fn pool(chunks: usize, members: usize) -> ChunkPool {
    let layout = layout(members);
    ChunkPool::zeroed(chunks, layout.chunk_size(), layout.heaps()).unwrap()
}

fn builder(eviction: Eviction, window: usize) -> GroupBuilder {
    Group::builder().window(window).eviction(eviction)
}

/// A member with all of the heaps.
fn member(number: usize, members: usize, window: usize) -> Member {
    let bytes = heaps(0..CHUNKS * HEAPS_PER_CHUNK, number);
    Member::new(layout(members)).window(window).reader(MemoryReader::new(bytes))
}

fn endless(number: usize, members: usize) -> Member {
    Member::new(layout(members)).reader(Endless::new(number))
}

/// Runs a group of `members` to its end and returns how many heaps arrived, checked.
fn run(eviction: Eviction, members: usize, window: usize, chunks: usize, workers: usize) -> u64 {
    let workers: Vec<_> = (0..workers).map(|_| Worker::new().unwrap()).collect();
    let (pool, ring) = (pool(chunks, members), Ring::new(1).unwrap());
    let mut builder = builder(eviction, window).ring(&pool, &ring, RingPolicy::default());
    for number in 0..members {
        let worker = &workers[number % workers.len()];
        builder = builder.member(worker, member(number, members, 1 + number % window));
    }
    let group = builder.start().unwrap();
    let (mut heaps, mut last) = (0, None);
    for chunk in &ring {
        assert!(last < Some(chunk.id()), "ids grow");
        last = Some(chunk.id());
        check(&chunk, members);
        heaps += chunk.n_present();
    }
    assert_eq!(group.wait(), vec![End::Finished; members]);
    let mut placed = 0;
    for stream in group.members() {
        let stats = stream.stats();
        assert!(stats.packets_balance() && stats.heaps_balance(), "{stats}");
        assert_eq!(stats.heaps, CHUNKS * HEAPS_PER_CHUNK);
        placed += stats.outcome(HeapOutcome::Placed);
    }
    assert_eq!(placed, heaps);
    drop(group);
    assert_eq!(pool.stats().free, chunks, "every chunk came back");
    heaps
}

#[test]
fn a_lossless_group_on_one_worker_loses_nothing() {
    bounded(|| {
        for (members, window) in [(1, 1), (2, 1), (2, 2), (3, 4), (4, 2)] {
            let heaps = run(Eviction::Lossless, members, window, window, 1);
            assert_eq!(heaps, CHUNKS * HEAPS_PER_CHUNK * members as u64);
        }
    });
}

#[test]
fn a_lossless_group_on_several_workers_loses_nothing() {
    bounded(|| {
        for (members, window, workers) in [(2, 1, 2), (3, 2, 3), (4, 3, 2)] {
            for spare in [0, 3] {
                let heaps = run(Eviction::Lossless, members, window, window + spare, workers);
                assert_eq!(heaps, CHUNKS * HEAPS_PER_CHUNK * members as u64);
            }
        }
    });
}

#[test]
fn an_eager_group_ends_on_any_workers() {
    bounded(|| {
        for (members, window, workers) in [(2, 1, 1), (4, 2, 1), (2, 2, 2), (4, 2, 3)] {
            let heaps = run(Eviction::Eager, members, window, window, workers);
            assert!(heaps > 0);
        }
    });
}

#[test]
fn stop_returns_whenever_it_comes() {
    bounded(|| {
        for round in 0..60_u64 {
            let eviction = [Eviction::Eager, Eviction::Lossless][(round % 2) as usize];
            let workers = [Worker::new().unwrap(), Worker::new().unwrap()];
            let (pool, ring) = (pool(2, 3), Ring::new(1).unwrap());
            let mut builder = builder(eviction, 2).ring(&pool, &ring, RingPolicy::default());
            for number in 0..3 {
                builder = builder.member(&workers[number % 2], endless(number, 3));
            }
            let group = Arc::new(builder.start().unwrap());
            // After a few chunks, so that the moment varies over all states.
            for _ in 0..round / 6 {
                check(&ring.pop().unwrap(), 3);
            }
            let stopper = std::thread::spawn({
                let group = Arc::clone(&group);
                move || group.stop()
            });
            if round % 3 == 0 {
                group.stop();
            }
            stopper.join().unwrap();
            assert!(group.wait().iter().all(|end| *end == End::Stopped));
            for stream in group.members() {
                let stats = stream.stats();
                assert!(stats.packets_balance() && stats.heaps_balance(), "{stats}");
            }
            while let Ok(chunk) = ring.pop() {
                check(&chunk, 3);
            }
            assert_eq!(pool.stats().free, 2);
        }
    });
}

/// Says when it was told the end; never twice.
struct Telling<F> {
    ready: F,
    told: mpsc::Sender<()>,
    ends: Arc<AtomicUsize>,
}

impl<F: FnMut(Chunk, &Waker) -> Result<(), Chunk> + Send> Ready for Telling<F> {
    fn ready(&mut self, chunk: Chunk, waker: &Waker) -> Result<(), Chunk> {
        assert_eq!(self.ends.load(Ordering::SeqCst), 0, "nothing follows the end");
        (self.ready)(chunk, waker)
    }

    fn end(&mut self) {
        self.ends.fetch_add(1, Ordering::SeqCst);
        let _ = self.told.send(());
    }
}

fn take(pool: &ChunkPool) -> impl FnMut(u64, &Waker) -> Allocation + Send + use<> {
    let pool = pool.clone();
    move |_, _: &Waker| pool.try_take().map_or(Allocation::Refused, Allocation::Chunk)
}

#[test]
fn a_group_stopped_from_its_callback_tells_the_end_once() {
    bounded(|| {
        for workers in [1, 2] {
            let workers: Vec<_> = (0..workers).map(|_| Worker::new().unwrap()).collect();
            let held: Arc<OnceLock<Group>> = Arc::default();
            let (told, end) = mpsc::channel();
            let ends = Arc::new(AtomicUsize::new(0));
            let ready = {
                // Or the group would hold itself.
                let held = Arc::downgrade(&held);
                move |_chunk, _: &Waker| {
                    if let Some(group) = held.upgrade().as_deref().and_then(OnceLock::get) {
                        group.stop();
                    }
                    Ok(())
                }
            };
            let ready = Telling { ready, told, ends: Arc::clone(&ends) };
            let mut builder = builder(Eviction::Eager, 2).callbacks(take(&pool(8, 2)), ready);
            for number in 0..2 {
                builder = builder.member(&workers[number % workers.len()], endless(number, 2));
            }
            assert!(held.set(builder.start().unwrap()).is_ok());
            // Without anybody dropping or stopping the handle.
            end.recv().unwrap();
            let group = held.get().unwrap();
            assert_eq!(group.wait(), [End::Stopped, End::Stopped]);
            group.stop();
            assert_eq!(ends.load(Ordering::SeqCst), 1);
        }
    });
}

#[test]
fn a_stream_tells_its_end_once() {
    bounded(|| {
        for finish in [true, false] {
            let (told, end) = mpsc::channel();
            let ends = Arc::new(AtomicUsize::new(0));
            let ready = |_chunk, _: &Waker| Ok(());
            let ready = Telling { ready, told, ends: Arc::clone(&ends) };
            let stream = Stream::chunks(layout(0))
                .callbacks(take(&pool(4, 1)), ready)
                .reader(Endless::new(0))
                .start(&Worker::new().unwrap())
                .unwrap();
            if finish {
                stream.finish();
                assert_eq!(stream.wait(), End::Finished);
            }
            stream.stop();
            stream.stop();
            drop(stream);
            end.recv().unwrap();
            assert_eq!(ends.load(Ordering::SeqCst), 1);
        }
    });
}

#[test]
fn finish_delivers_what_was_received() {
    bounded(|| {
        for eviction in [Eviction::Eager, Eviction::Lossless] {
            let workers = [Worker::new().unwrap(), Worker::new().unwrap()];
            let (pool, ring) = (pool(3, 2), Ring::new(1).unwrap());
            let mut builder = builder(eviction, 3).ring(&pool, &ring, RingPolicy::default());
            for (number, worker) in workers.iter().enumerate() {
                builder = builder.member(worker, endless(number, 2));
            }
            let group = builder.start().unwrap();
            let mut present = ring.pop().unwrap().n_present();
            group.finish();
            while let Ok(chunk) = ring.pop() {
                check(&chunk, 2);
                present += chunk.n_present();
            }
            assert_eq!(group.wait(), [End::Finished, End::Finished]);
            let placed = group.members().iter().map(|m| m.stats().outcome(HeapOutcome::Placed));
            assert_eq!(placed.sum::<u64>(), present);
        }
    });
}

#[test]
fn handles_may_be_dropped_in_any_order() {
    bounded(|| {
        for order in 0..24 {
            let worker = Worker::new().unwrap();
            let (pool, ring) = (pool(3, 2), Ring::new(1).unwrap());
            let mut builder = builder(Eviction::Eager, 2).ring(&pool, &ring, RingPolicy::default());
            for number in 0..2 {
                builder = builder.member(&worker, endless(number, 2));
            }
            let group = builder.start().unwrap();
            check(&ring.pop().unwrap(), 2);
            let held = ring.pop().unwrap();
            let mut handles: Vec<Box<dyn FnOnce()>> = vec![
                Box::new(move || drop(group)),
                Box::new(move || drop(ring)),
                Box::new(move || pool.close()),
                Box::new(move || drop((held, worker))),
            ];
            for (left, digit) in [(4, order / 6), (3, order / 2 % 3), (2, order % 2), (1, 0)] {
                assert_eq!(handles.len(), left);
                handles.remove(digit)();
            }
        }
    });
}

#[test]
fn a_consumer_that_closes_its_ring_stops_nobody() {
    bounded(|| {
        let (pool, ring) = (pool(2, 2), Ring::new(1).unwrap());
        let worker = Worker::new().unwrap();
        let builder = builder(Eviction::Lossless, 2).ring(&pool, &ring, RingPolicy::default());
        let group =
            builder.member(&worker, member(0, 2, 1)).member(&worker, member(1, 2, 2)).start();
        let group = group.unwrap();
        check(&ring.pop().unwrap(), 2);
        ring.close();
        // A chunk that stayed in the ring would be missing in the pool, which has no more than the
        // window needs.
        while ring.pop().is_ok() {}
        assert_eq!(group.wait(), [End::Finished, End::Finished]);
        drop(group);
        assert_eq!(pool.stats().free, 2);
    });
}

#[test]
fn members_come_and_go() {
    bounded(|| {
        let workers = [Worker::new().unwrap(), Worker::new().unwrap()];
        let (pool, ring) = (pool(4, 3), Ring::new(2).unwrap());
        let builder = builder(Eviction::Lossless, 2).open_ended();
        let builder = builder.ring(&pool, &ring, RingPolicy::default());
        let mut group = builder.member(&workers[0], endless(0, 3)).start().unwrap();
        let mut last = None;
        let mut see = |chunk: Chunk| {
            assert!(last < Some(chunk.id()));
            last = Some(chunk.id());
            check(&chunk, 3);
        };
        for _ in 0..5 {
            see(ring.pop().unwrap());
        }
        group.add(&workers[1], endless(1, 3)).unwrap();
        group.members()[0].stop();
        group.add(&workers[0], endless(2, 3)).unwrap();
        for _ in 0..5 {
            see(ring.pop().unwrap());
        }
        group.members()[1].finish();
        for _ in 0..5 {
            see(ring.pop().unwrap());
        }
        group.close();
        group.members()[2].finish();
        while let Ok(chunk) = ring.pop() {
            see(chunk);
        }
        assert_eq!(group.wait(), [End::Stopped, End::Finished, End::Finished]);
        assert!(group.add(&workers[0], endless(0, 3)).is_err());
    });
}

/// Which callback panics.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Panics {
    Place,
    Allocate,
    Ready,
    End,
}

/// A `ready` that panics at every chunk, or at the end only.
struct Broken(Panics, Arc<AtomicUsize>);

impl Ready for Broken {
    fn ready(&mut self, _: Chunk, _: &Waker) -> Result<(), Chunk> {
        assert_ne!(self.0, Panics::Ready, "as the test wants");
        Ok(())
    }

    fn end(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
        assert_ne!(self.0, Panics::End, "as the test wants");
    }
}

#[test]
fn a_panic_in_a_callback_ends_its_stream_only() {
    bounded(|| {
        for panics in [Panics::Place, Panics::Allocate, Panics::Ready, Panics::End] {
            for members in 0..4 {
                let worker = Worker::new().unwrap();
                let ends = Arc::new(AtomicUsize::new(0));
                let pool_of_it = pool(4, 3);
                let mut take = take(&pool_of_it);
                let allocate = move |id, waker: &Waker| {
                    assert!(panics != Panics::Allocate || id < 2, "as the test wants");
                    take(id, waker)
                };
                let ready = Broken(panics, Arc::clone(&ends));
                let place = move |number: usize| {
                    let mut layout = layout(3);
                    move |heap: &mut speadway::chunk::HeapContext<'_>| {
                        let panic = panics == Panics::Place && number == 0;
                        let late = heap.item(threads::SEQUENCE) > Some(6);
                        assert!(!(panic && late), "as the test wants");
                        speadway::chunk::Place::place(&mut layout, heap)
                    }
                };
                let bytes = |number| MemoryReader::new(heaps(0..40, number));
                let ended: Vec<(End, speadway::recv::StreamStats)> = if members == 0 {
                    let stream = Stream::chunks(place(0)).callbacks(allocate, ready);
                    let stream = stream.reader(bytes(0)).start(&worker).unwrap();
                    vec![(stream.wait(), stream.stats())]
                } else {
                    let mut builder = builder(Eviction::Eager, 2).callbacks(allocate, ready);
                    for number in 0..members {
                        // SAFETY: the layout gives each member slots of its own.
                        #[allow(unsafe_code)]
                        let member = unsafe { Member::with_placement(place(number)) };
                        builder = builder.member(&worker, member.reader(bytes(number)));
                    }
                    let group = builder.start().unwrap();
                    group
                        .wait()
                        .into_iter()
                        .zip(group.members().iter().map(|member| member.stats()))
                        .collect()
                };
                let failed = ended.iter().filter(|end| matches!(end.0, End::Failed(_))).count();
                match panics {
                    Panics::Place => assert_eq!(failed, 1),
                    // Whoever calls it fails.
                    Panics::Allocate | Panics::Ready => assert!(failed >= 1),
                    Panics::End => assert_eq!(failed, 1),
                }
                for (_, stats) in &ended {
                    assert!(stats.packets_balance() && stats.heaps_balance(), "{panics:?} {stats}");
                }
                assert_eq!(ends.load(Ordering::SeqCst), 1, "{panics:?}, {members} members");
                // The worker is alive: another stream on it does its work.
                let (spare, ring) = (pool(2, 1), Ring::new(1).unwrap());
                let stream = Stream::chunks(layout(0))
                    .ring(&spare, &ring, RingPolicy::default())
                    .reader(MemoryReader::new(heaps(0..8, 0)))
                    .start(&worker)
                    .unwrap();
                assert_eq!(ring.iter().map(|chunk| chunk.n_present()).sum::<u64>(), 8);
                assert_eq!(stream.wait(), End::Finished);
            }
        }
    });
}

#[test]
fn a_stream_with_several_readers_keeps_their_packets_apart() {
    bounded(|| {
        let worker = Worker::new().unwrap();
        let (pool, ring) = (pool(2, 1), Ring::new(1).unwrap());
        // The readers' heaps alternate by chunk, and every chunk has to wait for the consumer. A
        // batch may end within a heap, which has to survive the other reader's.
        let mut stream = Stream::chunks(layout(0))
            .config(StreamConfig::default().max_heaps(256))
            .window(2)
            .ring(&pool, &ring, RingPolicy::default());
        for number in 0..2 {
            let of_it = move |s: &u64| s / HEAPS_PER_CHUNK % 2 == number;
            let sequences = (0..CHUNKS * HEAPS_PER_CHUNK).filter(of_it);
            stream = stream.reader(MemoryReader::new(heaps(sequences, 0)));
        }
        let stream = stream.start(&worker).unwrap();
        // With nothing taken it runs out of chunks.
        while stream.stats().parks(speadway::chunk::ParkReason::FreeRing) == 0 {
            std::thread::yield_now();
        }
        for chunk in &ring {
            check(&chunk, 1);
        }
        assert_eq!(stream.wait(), End::Finished);
        let stats = stream.stats();
        let lost = stats.packets_discarded();
        assert_eq!(lost, stats.discarded(speadway::heap::PacketDiscard::TooOld), "{stats}");
    });
}

#[test]
fn a_member_that_stops_leaves_the_others_going() {
    bounded(|| {
        let workers = [Worker::new().unwrap(), Worker::new().unwrap()];
        let (pool, ring) = (pool(2, 2), Ring::new(1).unwrap());
        let builder = builder(Eviction::Lossless, 2).ring(&pool, &ring, RingPolicy::default());
        // The second says nothing, and holds the first back until it is stopped.
        let group = builder
            .member(&workers[0], member(0, 2, 2))
            .member(&workers[1], Member::new(layout(2)))
            .start()
            .unwrap();
        let reason = speadway::chunk::ParkReason::GroupWindow;
        while group.members()[0].stats().parks(reason) == 0 {
            std::thread::yield_now();
        }
        let seen = Arc::new(Mutex::new(Vec::new()));
        let consumed = Arc::new(AtomicBool::new(false));
        let consumer = std::thread::spawn({
            let (seen, consumed) = (Arc::clone(&seen), Arc::clone(&consumed));
            move || {
                for chunk in &ring {
                    check(&chunk, 2);
                    seen.lock().unwrap().push((chunk.id(), chunk.n_present()));
                }
                consumed.store(true, Ordering::SeqCst);
            }
        });
        assert!(seen.lock().unwrap().is_empty(), "the silent member holds all back");
        group.members()[1].stop();
        assert_eq!(group.wait(), [End::Finished, End::Stopped]);
        consumer.join().unwrap();
        let expected: Vec<_> = (0..CHUNKS).map(|id| (id, HEAPS_PER_CHUNK)).collect();
        assert_eq!(*seen.lock().unwrap(), expected);
    });
}

#[test]
fn members_divide_chunks_alike() {
    let worker = Worker::new().unwrap();
    let sized = |heap: usize, heaps| {
        Member::new(
            speadway::chunk::Layout::builder(0x1600, heap).heaps_per_chunk(heaps).build().unwrap(),
        )
    };
    let start = |first, second| {
        let (pool, ring) = (pool(2, 1), Ring::new(1).unwrap());
        let builder = builder(Eviction::Eager, 2).ring(&pool, &ring, RingPolicy::default());
        builder.member(&worker, first).member(&worker, second).start().map(drop)
    };
    assert_eq!(start(sized(64, 4), sized(64, 4)), Ok(()));
    // One index, other bytes: a claim of it would guard nothing.
    assert_eq!(start(sized(64, 4), sized(32, 8)), Err(ConfigError::MemberLayout));
    let presence = sized(64, 4).packet_presence(16);
    assert_eq!(start(sized(64, 4), presence), Err(ConfigError::MemberLayout));
}

//! Panics in what users supply: the stream that it is for ends with an error, and its worker, its
//! neighbours and whoever waits for it go on. (Placements and the callbacks of chunks are in
//! `group_threads.rs`, those of sending in `send_failures.rs`.)

mod common;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;

use speadway::chunk::{Allocation, Chunk, HeapContext, Place, Placement, WhenFull};
use speadway::heap::Heap;
use speadway::memory::{Allocator, Buffer, MemoryError};
use speadway::recv::readers::MemoryReader;
use speadway::recv::{End, Inlet, ReadState, Reader, Stream, Watch, Worker};
use speadway::ring::Ring;

const HEAPS: u64 = 20;

fn heaps() -> MemoryReader<Vec<u8>> {
    MemoryReader::new(common::stream(HEAPS, 256, 1472))
}

/// The method of a reader that panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Attach,
    Read,
    Describe,
    KernelDrops,
    Detach,
    Drop,
}

struct Broken(Method);

impl Broken {
    fn here(&self, method: Method) {
        assert_ne!(self.0, method, "as the test wants");
    }
}

impl Reader for Broken {
    fn attach(&mut self, _: &mut Watch<'_>) -> io::Result<()> {
        self.here(Method::Attach);
        Ok(())
    }

    fn read(&mut self, _: &mut Inlet<'_>) -> ReadState {
        self.here(Method::Read);
        // Is described in the log.
        ReadState::Failed(io::Error::other("as the test wants"))
    }

    fn detach(&mut self, _: &mut Watch<'_>) {
        self.here(Method::Detach);
    }

    fn kernel_drops(&mut self, _: bool) -> u64 {
        self.here(Method::KernelDrops);
        0
    }

    fn describe(&self) -> String {
        self.here(Method::Describe);
        "a broken reader".to_owned()
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.here(Method::Drop);
        }
    }
}

/// A stream of the worker's that delivers everything.
fn is_alive(worker: &Worker) {
    let ring = Ring::new(2).unwrap();
    let stream = Stream::heaps().ring(&ring, WhenFull::Wait).reader(heaps()).start(worker).unwrap();
    assert_eq!(ring.iter().count() as u64, HEAPS);
    assert_eq!(stream.wait(), End::Finished);
}

fn failed(stream: &Stream) {
    let end = stream.wait();
    assert!(matches!(&end, End::Failed(why) if why.contains("as the test wants")), "{end:?}");
    let stats = stream.stats();
    assert!(stats.packets_balance() && stats.heaps_balance(), "{stats}");
}

#[test]
fn readers() {
    use Method::{Attach, Describe, Detach, Drop, KernelDrops, Read};
    for method in [Attach, Read, Describe, KernelDrops, Detach, Drop] {
        let worker = Worker::new().unwrap();
        let ring = Ring::new(2).unwrap();
        let stream = Stream::heaps()
            .ring(&ring, WhenFull::Wait)
            .reader(Broken(method))
            .start(&worker)
            .unwrap();
        failed(&stream);
        assert_eq!(ring.iter().count(), 0, "the ring has ended");
        is_alive(&worker);
    }
}

#[test]
fn several_readers_that_panic_when_they_are_dropped() {
    let worker = Worker::new().unwrap();
    let ring = Ring::<Heap>::new(2).unwrap();
    let mut builder = Stream::heaps().ring(&ring, WhenFull::Wait).reader(Broken(Method::Read));
    for _ in 0..3 {
        builder = builder.reader(Broken(Method::Drop));
    }
    failed(&builder.start(&worker).unwrap());
    is_alive(&worker);
}

struct NoMemory;

impl Allocator for NoMemory {
    fn allocate(&self, _: usize) -> Result<Buffer, MemoryError> {
        panic!("as the test wants");
    }
}

#[test]
fn allocators_and_consumers_of_heaps() {
    let worker = Worker::new().unwrap();
    let ring = Ring::<Heap>::new(2).unwrap();
    let stream = Stream::heaps().allocator(Arc::new(NoMemory)).ring(&ring, WhenFull::Wait);
    failed(&stream.reader(heaps()).start(&worker).unwrap());
    is_alive(&worker);
    let ready =
        |heap: Heap, _: &Waker| -> Result<(), Heap> { panic!("as the test wants: {heap:?}") };
    failed(&Stream::heaps().callback(ready).reader(heaps()).start(&worker).unwrap());
    is_alive(&worker);
}

/// A placement that panics after each batch, or when it is dropped.
struct Late(bool);

impl Place for Late {
    fn place(&mut self, _: &mut HeapContext<'_>) -> Option<Placement> {
        None
    }

    fn end_batch(&mut self) {
        assert!(!self.0, "as the test wants");
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        assert!(std::thread::panicking() || self.0, "as the test wants");
    }
}

fn placing(late: Late, worker: &Worker) -> Stream {
    let allocate = |_: u64, _: &Waker| Allocation::Refused;
    let ready = |_: Chunk, _: &Waker| Ok(());
    Stream::chunks(late).callbacks(allocate, ready).reader(heaps()).start(worker).unwrap()
}

#[test]
fn placements_between_batches() {
    let worker = Worker::new().unwrap();
    failed(&placing(Late(true), &worker));
    is_alive(&worker);
}

#[test]
fn placements_that_panic_when_they_are_dropped() {
    let worker = Worker::new().unwrap();
    let stream = placing(Late(false), &worker);
    stream.wait();
    // Whoever holds the stream last drops it: the worker, or this thread, whose panic is its own.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(stream)));
    is_alive(&worker);
}

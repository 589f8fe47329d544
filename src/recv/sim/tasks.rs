//! A stream's task on its own: readers that are found empty, and readers that come too late.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Instant;

use super::Setup;
use crate::chunk::{Allocation, Chunk, Lone};
use crate::recv::control::{Shared, StreamControl};
use crate::recv::reader::{Inlet, ReadState, Reader, Watch};
use crate::recv::task::{Sources, StreamTask};
use crate::recv::worker::{Polled, Task, TaskCx};

/// Has nothing, waits on no descriptor, and counts how often it was asked.
struct Idle(Arc<AtomicUsize>);

impl Reader for Idle {
    fn attach(&mut self, _: &mut Watch<'_>) -> io::Result<()> {
        Ok(())
    }

    fn read(&mut self, _: &mut Inlet<'_>) -> ReadState {
        self.0.fetch_add(1, Ordering::SeqCst);
        ReadState::Empty
    }

    fn describe(&self) -> String {
        "an idle reader".to_owned()
    }
}

fn idle(readers: usize) -> (Arc<AtomicUsize>, Vec<Box<dyn Reader>>) {
    let asked = Arc::<AtomicUsize>::default();
    let reader = |_| Box::new(Idle(Arc::clone(&asked))) as Box<dyn Reader>;
    let readers = (0..readers).map(reader).collect();
    (asked, readers)
}

struct Bench {
    shared: Arc<Shared<crate::recv::chunk_sink::ChunkSink<Lone>>>,
    task: Box<dyn Task>,
    poll: mio::Poll,
}

impl Bench {
    fn new(readers: Vec<Box<dyn Reader>>, quantum: usize) -> Self {
        let lone = Lone::new(
            0,
            2,
            Box::new(|_, _: &Waker| Allocation::Refused),
            Box::new(|_: Chunk, _: &Waker| Ok(())),
            None,
        );
        let (engine, counters) = Setup { window: 2, ..Setup::default() }.engine(lone);
        let shared = Arc::new(Shared::new(engine, counters));
        let sources = Sources { readers, quantum, end_with_first_reader: false };
        let task = Box::new(StreamTask::new(Arc::clone(&shared), sources, None));
        Self { shared, task, poll: mio::Poll::new().unwrap() }
    }

    fn poll(&mut self, woken: bool) -> Polled {
        self.task.poll(&TaskCx {
            waker: Waker::noop(),
            registry: self.poll.registry(),
            token: 0,
            now: Instant::now(),
            woken,
        })
    }
}

#[test]
fn a_stream_with_more_readers_than_its_quantum_comes_to_rest() {
    let (asked, readers) = idle(3);
    let mut bench = Bench::new(readers, 1);
    for woken in [true, true] {
        assert_eq!(bench.poll(woken), Polled::Again);
        assert_eq!(bench.poll(false), Polled::Again);
        assert_eq!(bench.poll(false), Polled::Wait(None));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 6);
}

#[test]
fn readers_that_are_added_after_the_end_are_not_kept() {
    let (asked, mut readers) = idle(3);
    let mut bench = Bench::new(vec![readers.remove(0)], 4);
    assert_eq!(bench.poll(true), Polled::Wait(None));
    bench.shared.finish();
    bench.shared.add_reader(readers.remove(0));
    assert_eq!(bench.poll(true), Polled::Done);
    bench.shared.add_reader(readers.remove(0));
    drop(bench.task);
    // The one count is the test's.
    assert_eq!(Arc::strong_count(&asked), 1);
}

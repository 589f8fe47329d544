//! The streams that receive: one, several beside each other, or the members of a group.

use speadway::chunk::{Chunk, ChunkPool, Eviction, Layout, RingPolicy};
use speadway::recv::{Group, Member, Reader, Stream, Worker, WorkerBuilder};
use speadway::ring::Ring;

use crate::Result;
use crate::options::Options;

/// A worker for each core, or one that may be anywhere.
pub(crate) fn workers(
    options: &Options,
    tune: impl Fn(WorkerBuilder) -> WorkerBuilder,
) -> Result<Vec<Worker>> {
    if options.cores.is_empty() {
        return Ok(vec![tune(Worker::builder()).start()?]);
    }
    let pinned = options.cores.iter().map(|&core| tune(Worker::builder().pin(core)).start());
    Ok(pinned.collect::<std::io::Result<_>>()?)
}

/// Streams that share a pool and a ring.
pub(crate) enum Streams {
    Lone(Vec<Stream>),
    Group(Group),
}

impl Streams {
    /// Starts a stream for each reader, on the workers in turns.
    pub(crate) fn start<R: Reader + 'static>(
        options: &Options,
        layout: &Layout,
        workers: &[Worker],
        (pool, ring): (&ChunkPool, &Ring<Chunk>),
        readers: Vec<R>,
    ) -> Result<Self> {
        let on = workers.iter().cycle();
        if options.group {
            let mut group = Group::builder()
                .window(options.window)
                .eviction(Eviction::Lossless)
                .ring(pool, ring, RingPolicy::default());
            for (reader, worker) in readers.into_iter().zip(on) {
                let member = Member::new(layout.clone())
                    .config(options.stream_config())
                    .window(options.window)
                    .reader(reader);
                group = group.member(worker, member);
            }
            return Ok(Self::Group(group.start()?));
        }
        // All are known to the ring before the first can end, and the ring with it.
        let streams = readers.into_iter().map(|reader| {
            Stream::chunks(layout.clone())
                .config(options.stream_config())
                .window(options.window)
                .ring(pool, ring, RingPolicy::default())
                .reader(reader)
        });
        let streams: Vec<_> = streams.collect();
        let started = streams.into_iter().zip(on).map(|(stream, worker)| stream.start(worker));
        Ok(Self::Lone(started.collect::<std::result::Result<_, _>>()?))
    }

    fn all(&self) -> &[Stream] {
        match self {
            Self::Lone(streams) => streams,
            Self::Group(group) => group.members(),
        }
    }

    pub(crate) fn wait(&self) {
        for stream in self.all() {
            stream.wait();
        }
    }

    /// Payload bytes that were placed, and batches.
    pub(crate) fn counted(&self) -> (u64, u64) {
        self.all().iter().map(|stream| stream.stats()).fold((0, 0), |(bytes, batches), stats| {
            (bytes + stats.bytes_placed, batches + stats.batches)
        })
    }
}

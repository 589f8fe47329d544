//! Chunk mode: heaps are collected in chunks.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;
use speadway::chunk::{Chunk, ChunkPool, Layout, RingPolicy, Tally};
use speadway::recv::{Group, Member, Stream, Worker};
use speadway::ring::Ring;

use super::options::{Chunks, Options};
use super::session::{Consumer, Receiving};
use super::sources::Opened;
use super::verify::{COUNT_BYTES, Counted, Verified};
use crate::hash::Fnv;
use crate::units::{Bytes, Count};

/// Chunks that may wait to be looked at.
const RING: usize = 3;

/// What receives in chunk mode.
pub(super) struct Parts {
    pub(super) receiving: Receiving,
    pub(super) ring: Ring<Chunk>,
    pub(super) layout: Layout,
}

/// Starts the streams: a group if there are several.
pub(super) fn start(
    options: &Options,
    heap_size: usize,
    mut streams: Vec<Vec<Opened>>,
    workers: &[Worker],
) -> Result<Parts> {
    let chunks = &options.chunks;
    let layout = layout(chunks, heap_size, streams.len())?;
    // The one beside the window and the ring is the one being looked at.
    let count = chunks.chunks.unwrap_or_else(|| chunks.window.saturating_add(RING + 1));
    if count < chunks.window {
        bail!("--chunks {count} is less than --window {}, which would never fill", chunks.window);
    }
    let verify = options.output.verify;
    if verify && streams.len() > 1 {
        bail!("--verify looks at chunks of one stream only: put all sources on one with --joint");
    }
    let pool = pool(count, &layout, verify)?;
    let ring = Ring::new(RING)?;
    let receiving = if streams.len() == 1 {
        let sources = streams.remove(0);
        Receiving::Streams(vec![lone(options, &layout, sources, &pool, &ring, &workers[0])?])
    } else {
        Receiving::Group(group(options, &layout, streams, &pool, &ring, workers)?)
    };
    Ok(Parts { receiving, ring, layout })
}

/// Memory for `count` chunks, with room for the counts of their heaps if these are to be verified.
fn pool(count: usize, layout: &Layout, verify: bool) -> Result<ChunkPool> {
    let advice = "use a smaller --heaps-per-chunk, --window or --chunks";
    let extra = if verify { layout.heaps().saturating_mul(COUNT_BYTES) } else { 0 };
    let pool = ChunkPool::new(count).map_err(|error| anyhow!("{error}; {advice}"))?;
    for _ in 0..count {
        let chunk = Chunk::zeroed(layout.chunk_size(), layout.heaps(), extra);
        pool.add(chunk.map_err(|error| anyhow!("{error}; {advice}"))?)?;
    }
    Ok(pool)
}

fn layout(chunks: &Chunks, heap_size: usize, streams: usize) -> Result<Layout> {
    let mut builder = Layout::builder(chunks.sequence_item, heap_size)
        .step(chunks.step)
        .origin(chunks.origin)
        .heaps_per_chunk(chunks.heaps_per_chunk);
    for axis in &chunks.axes {
        builder = builder.axis_range(axis.item, axis.count, axis.first, axis.step);
    }
    if chunks.member_axis {
        builder = builder.member_axis(streams);
    }
    builder.build().context("the chunks cannot be laid out like this")
}

fn lone(
    options: &Options,
    layout: &Layout,
    sources: Vec<Opened>,
    pool: &ChunkPool,
    ring: &Ring<Chunk>,
    worker: &Worker,
) -> Result<Stream> {
    let chunks = &options.chunks;
    let placed = match options.output.verify {
        true => Stream::chunks(Counted(layout.clone())).max_heap_extra(COUNT_BYTES),
        false => Stream::chunks(layout.clone()),
    };
    let mut stream = placed
        .config(options.streams.config(0))
        .window(chunks.window)
        .deduplicate(!chunks.no_deduplicate)
        .ring(pool, ring, RingPolicy::default());
    if let Some(jump) = chunks.max_jump {
        stream = stream.max_jump(jump);
    }
    if let Some(age) = chunks.max_age {
        stream = stream.max_age(age);
    }
    for source in sources {
        stream = stream.reader(source.reader);
    }
    Ok(stream.start(worker)?)
}

fn group(
    options: &Options,
    layout: &Layout,
    streams: Vec<Vec<Opened>>,
    pool: &ChunkPool,
    ring: &Ring<Chunk>,
    workers: &[Worker],
) -> Result<Group> {
    let chunks = &options.chunks;
    let window = chunks.member_window.unwrap_or_else(|| chunks.window.saturating_sub(1).max(1));
    let mut group = Group::builder().window(chunks.window).eviction(options.eviction()).ring(
        pool,
        ring,
        RingPolicy::default(),
    );
    if let Some(age) = chunks.max_age {
        // Who asks for it on the command line knows what it does; the help says so.
        group = group.max_age_in_lossless(age);
    }
    for (id, sources) in streams.into_iter().enumerate() {
        let mut member = Member::new(layout.clone())
            .config(options.streams.config(id))
            .window(window)
            .deduplicate(!chunks.no_deduplicate);
        if let Some(jump) = chunks.max_jump {
            member = member.max_jump(jump);
        }
        for source in sources {
            member = member.reader(source.reader);
        }
        group = group.member(&workers[id % workers.len()], member);
    }
    Ok(group.start()?)
}

/// Shows chunks.
pub(super) struct Show<W> {
    out: W,
    heap_size: usize,
    events: bool,
    json: bool,
    hash: bool,
    directory: Option<PathBuf>,
    pub(super) tally: Tally,
    /// What came of --verify.
    pub(super) verified: Option<Verified>,
}

impl<W: Write> Show<W> {
    pub(super) fn new(options: &Options, heap_size: usize, out: W) -> Self {
        let output = &options.output;
        Self {
            out,
            heap_size,
            events: (output.events || output.hash) && !output.quiet,
            json: output.json,
            hash: output.hash,
            directory: output.write.clone(),
            tally: Tally::default(),
            verified: output.verify.then(Verified::default),
        }
    }

    fn event(&mut self, chunk: &Chunk) -> Result<()> {
        let hash = self.hash.then(|| Fnv::new().add(chunk.data()).hex());
        let (id, present, missing) = (chunk.id(), chunk.n_present(), chunk.n_missing());
        if !self.json {
            let hash = hash.map_or_else(String::new, |hash| format!(", hash {hash}"));
            let present = Count(present, "heap");
            writeln!(self.out, "chunk {id}: {present}, {missing} missing{hash}")?;
            return Ok(());
        }
        let streams = chunk.contributions().iter();
        let streams: Vec<_> =
            streams.map(|c| json!({ "stream": c.stream_id, "heaps": c.units })).collect();
        let mut event = json!({
            "event": "chunk",
            "id": id,
            "present": present,
            "missing": missing,
            "bytes": chunk.data().len(),
            "streams": streams,
        });
        if let Some(hash) = hash {
            event["hash"] = hash.into();
        }
        serde_json::to_writer(&mut self.out, &event)?;
        Ok(writeln!(self.out)?)
    }
}

impl<W: Write> Consumer<Chunk> for Show<W> {
    fn take(&mut self, mut chunk: Chunk) -> Result<()> {
        self.tally.note(&chunk);
        if let Some(verified) = &mut self.verified {
            verified.check_chunk(&chunk, self.heap_size, |cnt, difference| {
                log::error!("heap {cnt}, in chunk {}: {difference}", chunk.id());
            });
        }
        if self.hash || self.directory.is_some() {
            clear_missing(&mut chunk, self.heap_size);
        }
        if let Some(directory) = &self.directory {
            let name = |kind: &str| directory.join(format!("chunk-{}.{kind}", chunk.id()));
            for (path, bytes) in [(name("bin"), chunk.data()), (name("present"), chunk.present())] {
                fs::write(&path, bytes)
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        if self.events { self.event(&chunk) } else { Ok(()) }
    }

    fn pause(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }

    fn taken(&self) -> u64 {
        self.tally.chunks
    }

    fn describe(&self) -> String {
        let chunks = Count(self.tally.chunks, "chunk");
        format!("{chunks}  {} missing", Count(self.tally.heaps_missing, "heap"))
    }
}

/// Zeroes what did not arrive: the memory holds whatever it held before.
fn clear_missing(chunk: &mut Chunk, heap_size: usize) {
    if chunk.is_complete() {
        return;
    }
    let present = chunk.present().to_vec();
    let heaps = chunk.data_mut().chunks_mut(heap_size).zip(present);
    heaps.filter(|(_, present)| *present == 0).for_each(|(heap, _)| heap.fill(0));
}

/// The layout in words.
pub(super) fn describe(layout: &Layout, chunks: &Chunks) -> String {
    format!(
        "chunks of {}: {} of {}, ordered by item {:#x}; {} open at a time",
        Bytes(layout.chunk_size() as u64),
        Count(layout.heaps() as u64, "heap"),
        Bytes(layout.heap_size() as u64),
        chunks.sequence_item,
        chunks.window
    )
}

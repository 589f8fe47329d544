//! `speadway recv`: receives streams, and shows what arrives.
//!
//! The sources are opened ([`sources`]) and become streams, of chunks ([`chunks`]) or of heaps
//! ([`heaps`]); then [`session`] takes what arrives until something ends it, and [`summary`] shows
//! what was counted.

mod chunks;
mod heaps;
mod options;
mod session;
mod signals;
mod sources;
mod summary;
mod values;
mod verify;

use std::fs;
use std::io::{self, BufWriter, Write};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use speadway::recv::Worker;

pub(crate) use options::Options;
pub(crate) use signals::Signals;

use crate::endpoint::refuse_repeats;
use session::drive;
use sources::{About, Opened};
use summary::Summary;

/// Receives. Says whether it went as it should: whether no stream failed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    refuse_repeats(&options.sources)?;
    if let Some(directory) = &options.output.write {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    }
    let streams = open(options)?;
    let about: Vec<Vec<About>> = streams
        .iter()
        .map(|sources| sources.iter().map(|source| source.about.clone()).collect())
        .collect();
    let workers = start_workers(options, streams.len())?;
    // Before anybody is told that we receive: they may want to end it at once.
    let signals = Signals::watch()?;
    let mut out = BufWriter::new(io::stdout().lock());
    let started = Instant::now();
    let mut summary = match options.chunks.heap_size {
        Some(heap_size) => {
            let parts = chunks::start(options, heap_size, streams, &workers)?;
            let layout = json!({
                "heap_size": heap_size,
                "heaps": parts.layout.heaps(),
                "chunk_size": parts.layout.chunk_size(),
            });
            introduce(&mut out, options, &about, Some(layout))?;
            note(options, &chunks::describe(&parts.layout, &options.chunks));
            let mut show = chunks::Show::new(options, heap_size, &mut out);
            let why = drive(&parts.receiving, &parts.ring, &mut show, &options.output, &signals)?;
            let (tally, verified) = (show.tally, show.verified);
            Summary::new(why, &parts.receiving, parts.ring.stats(), &about)
                .with_chunks(tally, verified)
        }
        None => {
            let parts = heaps::start(options, streams, &workers)?;
            introduce(&mut out, options, &about, None)?;
            let mut show = heaps::Show::new(options, about.len(), &mut out);
            let why = drive(&parts.receiving, &parts.ring, &mut show, &options.output, &signals)?;
            let (shown, verified) = (show.shown(), show.verified());
            Summary::new(why, &parts.receiving, parts.ring.stats(), &about)
                .with_heaps(shown, verified)
        }
    };
    summary.time = started.elapsed();
    if options.output.json {
        summary.write_json(&mut out)?;
    } else {
        summary.write(&mut out)?;
    }
    out.flush()?;
    Ok(summary.is_good())
}

/// Opens the sources, by stream.
fn open(options: &Options) -> Result<Vec<Vec<Opened>>> {
    let open = |source| sources::open(source, &options.network);
    let opened = options.sources.iter().map(open).collect::<Result<Vec<_>>>()?;
    if options.streams.joint {
        return Ok(vec![opened]);
    }
    Ok(opened.into_iter().map(|source| vec![source]).collect())
}

fn start_workers(options: &Options, streams: usize) -> Result<Vec<Worker>> {
    let threads = options.streams.threads(streams)?.into_iter().enumerate();
    threads
        .map(|(at, core)| {
            let worker =
                Worker::builder().name(format!("receive-{at}")).wait(options.streams.wait());
            let worker = core.into_iter().fold(worker, |worker, core| worker.pin(core));
            worker.start().context("cannot start the receiving threads")
        })
        .collect()
}

/// Says what is received from: senders may be waiting for that.
fn introduce(
    out: &mut impl Write,
    options: &Options,
    about: &[Vec<About>],
    layout: Option<Value>,
) -> Result<()> {
    if options.output.json {
        let streams: Vec<_> = about.iter().map(|sources| json!({ "sources": sources })).collect();
        let mode = if layout.is_some() { "chunks" } else { "heaps" };
        let mut event = json!({ "event": "start", "mode": mode, "streams": streams });
        if let Some(layout) = layout {
            event["layout"] = layout;
        }
        writeln!(out, "{event}")?;
        out.flush()?;
        return Ok(());
    }
    for (stream, sources) in about.iter().enumerate() {
        let sources: Vec<&str> = sources.iter().map(|about| about.source.as_str()).collect();
        note(options, &format!("stream {stream} receives from {}", sources.join(" and ")));
    }
    Ok(())
}

/// Tells whoever watches, apart from the results.
fn note(options: &Options, text: &str) {
    if !options.output.quiet && !options.output.json {
        // What is only for watching may fail to be written.
        let _ = writeln!(io::stderr(), "{text}");
    }
}

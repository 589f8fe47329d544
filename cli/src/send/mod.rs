//! `speadway send`: sends streams of heaps.
//!
//! The destinations are opened ([`open`]) and become one stream; [`heaps`] makes what is sent,
//! [`session`] keeps the stream supplied until something ends it, and [`summary`] shows what was
//! counted. [`pattern`] is what `recv --verify` looks for. What a [`capture`] has goes out as it is,
//! which is up to [`replay`].

mod capture;
mod heaps;
mod open;
mod options;
pub(crate) mod pattern;
mod replay;
mod session;
mod summary;

use std::io;

use anyhow::{Context, Result};
use speadway::recv::Worker;
use speadway::send::SendStream;

pub(crate) use options::Options;

use heaps::Heaps;

/// Sends. Says whether everything was sent.
pub(crate) fn run(options: &Options) -> Result<bool> {
    options.check()?;
    if let Some(name) = &options.replay.pcap {
        return replay::run(options, name);
    }
    let mut heaps = Heaps::new(options)?;
    let destinations = open::open(options)?;
    let worker = Worker::builder().name("send");
    let worker = options.sending.pin.into_iter().fold(worker, |worker, core| worker.pin(core));
    let worker = worker.start().context("cannot start the sending thread; look at --pin")?;
    let stream = SendStream::start(&worker, destinations, options.sending.config())
        .context("the stream cannot be made like this")?;
    let sent = session::drive(&stream, options, &mut heaps)?;
    let mut out = io::stdout().lock();
    if options.output.json {
        summary::write_json(&sent, &mut out)?;
    } else {
        summary::write(&sent, &mut out)?;
    }
    Ok(summary::is_good(&sent))
}

//! `speadway demo`: a sender and a receiver in one process, over loopback UDP.
//!
//! The [`sender`] gives every port its share of the heaps, never more at a time than its socket holds
//! for certain ([`flow`]). The [`receiver`] is a group of streams, one for each port, just as a
//! program would use it; each chunk is compared byte by byte with what was sent ([`verify`]).

mod flow;
mod options;
mod pattern;
mod receiver;
mod sender;
mod summary;
mod verify;

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use speadway::ring::TryPopError;

pub(crate) use options::Options;

use crate::progress::Progress;
use crate::units::{Bytes, Rate, Volume};
use options::Plan;
use receiver::Receiver;
use sender::{Sender, Sent};
use summary::Outcome;
use verify::Verifier;

/// How long the consumer waits for a chunk before it looks at the rest.
const TICK: Duration = Duration::from_millis(50);

/// How long after the last packet was sent the receiver may go without delivering anything before
/// the demo gives up on it. Loopback takes microseconds; a busy host may need its time.
const GRACE: Duration = Duration::from_secs(3);

/// Runs the demo. Says whether everything arrived as it was sent.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let plan = options.plan()?;
    let receiver = Receiver::start(&plan)?;
    if !options.json {
        introduce(&mut io::stdout().lock(), &plan, &receiver)?;
    }
    let mut verifier = Verifier::new(&plan);
    let stop = AtomicBool::new(false);
    let sent = thread::scope(|scope| -> Result<Sent> {
        let sending = Sender::new(&plan, &receiver)?;
        let sender = scope.spawn(|| sending.run(&stop));
        let progress = Progress::new(Duration::from_millis(500), options.progress, options.json);
        consume(&receiver, &mut verifier, progress, || sender.is_finished());
        stop.store(true, Ordering::Relaxed);
        sender.join().map_err(|_| anyhow!("the sender panicked"))?
    })?;
    let ends = receiver.group.wait();
    let outcome = Outcome::new(sent, &verifier, &receiver, &ends);
    let mut out = io::stdout().lock();
    if options.json {
        serde_json::to_writer(&mut out, &outcome)?;
        writeln!(out)?;
    } else {
        outcome.write(&mut out, &plan, &receiver)?;
    }
    Ok(outcome.ok)
}

/// Takes chunks until the receiver has ended, and compares them.
fn consume(
    receiver: &Receiver,
    verifier: &mut Verifier,
    mut progress: Progress,
    all_sent: impl Fn() -> bool,
) {
    let started = Instant::now();
    let mut last_sign = started;
    loop {
        match receiver.ring.pop_timeout(TICK) {
            Ok(chunk) => {
                verifier.check(&chunk);
                last_sign = Instant::now();
            }
            Err(TryPopError::Ended) => break,
            Err(TryPopError::Empty) if !all_sent() => last_sign = Instant::now(),
            // The packets that end the streams are lost, or it would have ended.
            Err(TryPopError::Empty) if last_sign.elapsed() > GRACE => receiver.group.finish(),
            Err(TryPopError::Empty) => {}
        }
        let now = Instant::now();
        if progress.is_due(now) {
            progress.show(now, &going(verifier, now - started));
        }
    }
    progress.clear();
}

fn going(verifier: &Verifier, time: Duration) -> String {
    let rate = Rate { bytes: verifier.bytes, time };
    format!(
        "{:5.1} s  {rate}  {} chunks  {} heaps verified  {} missing",
        time.as_secs_f64(),
        verifier.chunks,
        verifier.heaps,
        verifier.missing_so_far()
    )
}

/// Says what is about to happen.
fn introduce(out: &mut impl Write, plan: &Plan, receiver: &Receiver) -> io::Result<()> {
    let ports = receiver.addresses.iter().map(|address| address.port().to_string());
    let ports: Vec<String> = ports.collect();
    let heap = plan.heap_size as u64;
    writeln!(out, "A sender and a receiver in this process talk SPEAD over loopback UDP.\n")?;
    writeln!(
        out,
        "  ports    {} of 127.0.0.1; a stream each, which together fill the same chunks",
        ports.join(", "),
    )?;
    writeln!(
        out,
        "  heaps    {} each, split into {} packets of up to {} B",
        Bytes(heap),
        plan.packets_per_heap,
        plan.packet
    )?;
    writeln!(
        out,
        "  chunks   {}: {} heaps from each port; {} of them open at a time",
        Bytes(heap * plan.heaps_per_chunk * plan.ports as u64),
        plan.heaps_per_chunk,
        plan.window
    )?;
    let in_flight = receiver.limits.iter().min().map_or(0, |packets| packets * plan.packet as u64);
    writeln!(
        out,
        "  pace     {}; at most {} on the way to each port, whose socket has room for {}",
        plan.rate.map_or_else(|| "as fast as it goes".to_owned(), |rate| format!("{rate} Gb/s")),
        Volume(in_flight),
        Bytes(receiver.granted as u64)
    )?;
    writeln!(out)?;
    out.flush()
}

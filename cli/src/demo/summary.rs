//! What came of the demo, in plain words.

use std::io::{self, Write};

use serde::Serialize;
use speadway::recv::End;

use super::options::Plan;
use super::receiver::Receiver;
use super::sender::Sent;
use super::verify::Verifier;
use crate::report::Table;
use crate::units::{Count, Rate, Volume};

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    /// Whether everything arrived as it was sent.
    pub(super) ok: bool,
    ports: usize,
    seconds: f64,
    gigabits_per_second: f64,
    heaps_sent: u64,
    packets_sent: u64,
    bytes_sent: u64,
    chunks: u64,
    chunks_out_of_order: u64,
    heaps_present: u64,
    heaps_missing: u64,
    heaps_wrong: u64,
    bytes_verified: u64,
    kernel_drops: u64,
    problems: Vec<String>,
    #[serde(skip)]
    sent: Sent,
}

impl Outcome {
    pub(super) fn new(sent: Sent, verifier: &Verifier, receiver: &Receiver, ends: &[End]) -> Self {
        let heaps_missing = sent.heaps.saturating_sub(verifier.heaps);
        let kernel_drops =
            receiver.group.members().iter().map(|member| member.stats().kernel_drops).sum();
        let problems = problems(sent, verifier, kernel_drops, ends);
        Self {
            ok: problems.is_empty(),
            ports: receiver.addresses.len(),
            seconds: sent.time.as_secs_f64(),
            gigabits_per_second: rate(sent).gigabits(),
            heaps_sent: sent.heaps,
            packets_sent: sent.packets,
            bytes_sent: sent.payload,
            chunks: verifier.chunks,
            chunks_out_of_order: verifier.out_of_order,
            heaps_present: verifier.heaps,
            heaps_missing,
            heaps_wrong: verifier.wrong,
            bytes_verified: verifier.bytes,
            kernel_drops,
            problems,
            sent,
        }
    }

    /// Tells it to somebody who has not seen this before.
    pub(super) fn write(
        &self,
        out: &mut impl Write,
        plan: &Plan,
        receiver: &Receiver,
    ) -> io::Result<()> {
        writeln!(
            out,
            "  sent      {} ({}) in {} over {} in {:.2} s: {}",
            Count(self.heaps_sent, "heap"),
            Volume(self.bytes_sent),
            Count(self.packets_sent, "packet"),
            Count(self.ports as u64, "port"),
            self.seconds,
            rate(self.sent)
        )?;
        writeln!(
            out,
            "  received  {} with {}, {} missing",
            Count(self.chunks, "chunk"),
            Count(self.heaps_present, "heap"),
            self.heaps_missing
        )?;
        let verdict = match self.heaps_wrong {
            0 => "every byte is as it was sent".to_owned(),
            wrong => format!("{} wrong", Count(wrong, "heap")),
        };
        writeln!(out, "  verified  {}: {verdict}", Volume(self.bytes_verified))?;
        if let Some(wanted) = plan.rate.filter(|wanted| self.gigabits_per_second < 0.95 * wanted) {
            writeln!(out, "  note      this host did not reach the {wanted} Gb/s asked for")?;
        }
        write_losses(out, receiver)?;
        for problem in &self.problems {
            writeln!(out, "  problem   {problem}")?;
        }
        writeln!(out, "\n{}", if self.ok { "OK" } else { "FAILED" })?;
        out.flush()
    }
}

fn rate(sent: Sent) -> Rate {
    Rate { bytes: sent.payload, time: sent.time }
}

fn problems(sent: Sent, verifier: &Verifier, drops: u64, ends: &[End]) -> Vec<String> {
    let mut problems = Vec::new();
    if verifier.heaps < sent.heaps {
        let missing = Count(sent.heaps - verifier.heaps, "heap");
        problems.push(format!("{missing} of {} did not arrive", sent.heaps));
    }
    if verifier.heaps > sent.heaps {
        problems.push(format!("{} present, but {} sent", verifier.heaps, sent.heaps));
    }
    if drops > 0 {
        let drops = Count(drops, "packet");
        problems.push(format!("the kernel dropped {drops}: a socket's receive buffer was full"));
    }
    problems.extend(verifier.first_wrong.clone());
    if verifier.out_of_order > 0 {
        let chunks = Count(verifier.out_of_order, "chunk");
        problems.push(format!("{chunks} came out of order"));
    }
    for (stream, end) in ends.iter().enumerate() {
        if let End::Failed(why) = end {
            problems.push(format!("stream {stream} failed: {why}"));
        }
    }
    problems
}

/// Shows why packets or heaps were discarded, if any were; what ends a stream is none of that.
fn write_losses(out: &mut impl Write, receiver: &Receiver) -> io::Result<()> {
    let mut table = Table::default();
    for (address, stream) in receiver.addresses.iter().zip(receiver.group.members()) {
        table.add(format!("port {}", address.port()), &stream.stats());
    }
    let expected = ["packets_discarded.stop_item", "heaps.placed", "heaps.stop"];
    let losses = ["packets_discarded.", "heaps.", "kernel_drops", "reader_errors"];
    table.retain(|name| {
        losses.iter().any(|loss| name.starts_with(loss)) && !expected.contains(&name)
    });
    if !table.is_zero() {
        writeln!(out, "\n  What was not placed, and why:")?;
        table.write(out)?;
        writeln!(out)?;
    }
    Ok(())
}

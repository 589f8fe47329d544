//! What is shown at the end.

use std::io::Write;

use anyhow::Result;
use serde_json::json;
use speadway::send::Pacing;

use super::session::{Sent, Why};
use crate::units::{Count, Rate, Volume};

/// Whether all that was to be sent was.
pub(super) fn is_good(sent: &Sent) -> bool {
    sent.why != Why::Failed && sent.errors.is_empty()
}

/// Writes it for people.
pub(super) fn write(sent: &Sent, out: &mut impl Write) -> Result<()> {
    let rate = Rate { bytes: sent.stats.bytes, time: sent.time };
    writeln!(out, "{} after {:.2} s", sent.why.describe(), sent.time.as_secs_f64())?;
    writeln!(out, "{} with data", Count(sent.heaps, "heap"))?;
    let packets = Count(sent.stats.packets, "packet");
    writeln!(out, "{packets}, {} ({rate} on average)", Volume(sent.stats.bytes))?;
    for (error, count) in &sent.errors {
        writeln!(out, "{} failed: {error}", Count(*count, "heap"))?;
    }
    Ok(())
}

/// Writes it for machines.
pub(super) fn write_json(sent: &Sent, out: &mut impl Write) -> Result<()> {
    let stats = &sent.stats;
    let rate = Rate { bytes: stats.bytes, time: sent.time };
    let event = json!({
        "event": "end",
        "why": sent.why,
        "ok": is_good(sent),
        "seconds": sent.time.as_secs_f64(),
        "data_heaps": sent.heaps,
        "heaps": stats.heaps,
        "packets": stats.packets,
        "bytes": stats.bytes,
        "gigabits_per_second": rate.gigabits(),
        "pacing": sent.pacing.map(|pacing| match pacing {
            Pacing::Kernel => "kernel",
            Pacing::DepartureTimes => "departure-times",
            _ => "software",
        }),
        "batches": stats.batches,
        "would_block": stats.would_block,
        "errors": sent.errors,
    });
    Ok(writeln!(out, "{event}")?)
}

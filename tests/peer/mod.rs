//! Runs the independent peer (`send.py`, on the spead2 wheel) and knows what it sends.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Ids of the items that the peer sends.
pub(crate) const TIMESTAMP: u64 = 0x1600;
pub(crate) const FENG_ID: u64 = 0x1601;
pub(crate) const PAYLOAD: u64 = 0x3300;

/// The interpreter that has the wheel: `make test` names it; otherwise the one that it made.
fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("SPEADWAY_PEER_PYTHON")
        .map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    assert!(python.exists(), "no {}: run `make venv` first", python.display());
    python
}

/// Sends a stream to `endpoints`; `options` as `send.py --help` lists them. Returns when all is sent.
pub(crate) fn send(endpoints: &[String], options: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer/send.py");
    let output = Command::new(python())
        .arg(script)
        .args(options)
        .arg("--")
        .args(endpoints)
        .output()
        .expect("the peer starts");
    assert!(
        output.status.success(),
        "the peer failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The payload of heap `heap`.
pub(crate) fn payload(heap: u64, size: usize) -> Vec<u8> {
    (0..size as u64).map(|k| (heap * 131 + k * 7 + (k >> 8) * 13) as u8).collect()
}

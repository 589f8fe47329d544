//! Runs the independent peer (scripts on the spead2 wheel) and knows what it sends.
#![allow(dead_code)] // each test uses its part

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Ids of the items that the peer sends.
pub(crate) const TIMESTAMP: u64 = 0x1600;
pub(crate) const FENG_ID: u64 = 0x1601;
pub(crate) const PAYLOAD: u64 = 0x3300;

/// The root of the project: tests of every package play against this peer.
fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_root = |directory: &&Path| directory.join("tests/peer/send.py").exists();
    package.ancestors().find(is_root).expect("the package lies in the project")
}

/// The interpreter that has the wheel: `make test` names it; otherwise the one that it made.
fn python() -> PathBuf {
    let python = std::env::var_os("SPEADWAY_PEER_PYTHON")
        .map_or_else(|| root().join(".venv/bin/python"), PathBuf::from);
    assert!(python.exists(), "no {}: run `make venv` first", python.display());
    python
}

/// The interpreter, and one of the peer's scripts.
pub(crate) fn script(name: &str) -> [OsString; 2] {
    [python().into(), root().join("tests/peer").join(name).into()]
}

/// The program and the arguments that send a stream to `endpoints`; `options` as `send.py --help`
/// lists them.
pub(crate) fn sender(endpoints: &[String], options: &[&str]) -> Vec<OsString> {
    let mut arguments = vec![python().into(), root().join("tests/peer/send.py").into()];
    arguments.extend(options.iter().map(OsString::from));
    arguments.push("--".into());
    arguments.extend(endpoints.iter().map(OsString::from));
    arguments
}

/// Sends a stream to `endpoints`; `options` as `send.py --help` lists them. Returns when all is sent.
pub(crate) fn send(endpoints: &[String], options: &[&str]) {
    let arguments = sender(endpoints, options);
    run(Command::new(&arguments[0]).args(&arguments[1..]));
}

/// Runs the peer to its end.
pub(crate) fn run(command: &mut Command) {
    let output = command.output().expect("the peer starts");
    assert!(
        output.status.success(),
        "the peer failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Has the peer receive; one case and one answer a line, as `receive.py` says.
pub(crate) fn receive(cases: &str) -> String {
    ask("receive.py", cases)
}

/// Has a script of the peer answer cases, one a line, with a line each.
pub(crate) fn ask(script: &str, cases: &str) -> String {
    let mut child = Command::new(python())
        .arg(root().join("tests/peer").join(script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the peer starts");
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(cases.as_bytes()));
        child.wait_with_output().expect("the peer ends")
    });
    assert!(output.status.success(), "the peer failed");
    String::from_utf8(output.stdout).expect("the peer answers in JSON")
}

/// The payload of heap `heap`.
pub(crate) fn payload(heap: u64, size: usize) -> Vec<u8> {
    (0..size as u64).map(|k| (heap * 131 + k * 7 + (k >> 8) * 13) as u8).collect()
}

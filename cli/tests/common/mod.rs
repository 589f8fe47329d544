//! What the tests of the command share.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

use serde_json::Value;
use speadway::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue};

/// The command, with nothing of the user's settings.
pub(crate) fn speadway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_speadway"));
    command.env_remove("RUST_LOG");
    command
}

/// Runs the command to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    speadway().args(arguments).output().expect("the command runs")
}

/// What it wrote to standard output.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// What it wrote to standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// Its standard output as one JSON value.
pub(crate) fn json(output: &Output) -> Value {
    let text = stdout(output);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{}", stderr(output)))
}

/// A command that runs in the background and writes JSON lines.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts `speadway recv --json` with more arguments.
    pub(crate) fn recv(arguments: &[&str]) -> Self {
        Self::start(speadway(), arguments)
    }

    /// Starts `recv --json` of `command`, which is or runs `speadway`, with more arguments.
    pub(crate) fn start(mut command: Command, arguments: &[&str]) -> Self {
        command.args(["recv", "--json"]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the command runs");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, lines }
    }

    /// The next line; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Value> {
        let line = self.lines.next()?.expect("text");
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// The addresses that it receives on, from its first line.
    pub(crate) fn addresses(&mut self) -> Vec<SocketAddr> {
        let start = self.next().expect("a start event");
        assert_eq!(start["event"], "start", "{start}");
        let streams = start["streams"].as_array().expect("streams").iter();
        let sources = streams.flat_map(|stream| stream["sources"].as_array().expect("sources"));
        let source = |about: &Value| about["source"].as_str().expect("text").to_owned();
        sources
            .map(|about| {
                source(about).split_once("://").expect("a URL").1.parse().expect("an address")
            })
            .collect()
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it has ended, if it has.
    pub(crate) fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// All that follows, and whether it succeeded.
    pub(crate) fn finish(mut self) -> (Vec<Value>, bool) {
        let events = std::iter::from_fn(|| self.next()).collect();
        (events, self.child.wait().expect("it ends").success())
    }
}

impl Drop for Running {
    /// A test that fails leaves nothing behind.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Sends a process SIGINT, as Ctrl-C does.
pub(crate) fn interrupt(process: u32) {
    let kill = Command::new("kill").args(["-INT", &process.to_string()]).status();
    assert!(kill.expect("kill runs").success());
}

/// A heap with a sequence number, a source and samples, as packets.
pub(crate) fn heap(cnt: u64, sequence: u64, source: u64, samples: &[u8]) -> Vec<Vec<u8>> {
    let items = [
        EncodeItem { id: 0x1600, value: ItemValue::Immediate(sequence) },
        EncodeItem { id: 0x1601, value: ItemValue::Immediate(source) },
        EncodeItem { id: 0x3300, value: ItemValue::Addressed(samples) },
    ];
    HeapEncoder::new(Flavour::default(), cnt, 1472, &items, false).expect("it fits").packets()
}

/// The heap that ends a stream.
pub(crate) fn stop(cnt: u64) -> Vec<Vec<u8>> {
    HeapEncoder::stream_stop(Flavour::default(), cnt).expect("it fits").packets()
}

/// Sends packets over UDP: few enough for any receive buffer.
pub(crate) fn send(to: SocketAddr, packets: &[Vec<u8>]) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    for packet in packets {
        socket.send_to(packet, to).expect("loopback takes it");
    }
}

/// FNV-1a, written down apart from the command's.
pub(crate) fn fnv(bytes: &[u8]) -> String {
    let mut hash = 14_695_981_039_346_656_037_u64;
    for &byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211);
    }
    format!("{hash:016x}")
}

/// The address in the first line that a command writes to standard error.
pub(crate) fn announced(child: &mut Child) -> SocketAddr {
    let mut line = String::new();
    // The rest stays unread: what the tests have commands write fits the pipe.
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    stderr.read_line(&mut line).expect("text");
    child.stderr = Some(stderr.into_inner());
    let address = line.trim().rsplit("://").next().map(str::parse);
    address.and_then(Result::ok).unwrap_or_else(|| panic!("no address in {line}"))
}

/// The events of one kind.
pub(crate) fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

/// A directory for what a test writes; gone with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// `name` tells apart the tests that run at the same time.
    pub(crate) fn new(name: &str) -> Self {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        // What a run that was killed left there.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).expect("a directory");
        Self(directory)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        let path = self.0.join(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Checks that the last event accounts for every packet and heap.
pub(crate) fn assert_balance(end: &Value) {
    let total = end["total"].as_object().expect("counters");
    let count = |name: &str| total.get(name).map_or(0, |value| value.as_u64().expect("a count"));
    let sum = |prefix: &str| -> u64 {
        total.keys().filter(|name| name.starts_with(prefix)).map(|name| count(name)).sum()
    };
    let packets = count("packets_placed") + sum("packets_discarded.");
    assert!(packets > 0 && count("packets_received") == packets, "{end}");
    assert_eq!(count("heaps_started"), sum("heaps."), "{end}");
}

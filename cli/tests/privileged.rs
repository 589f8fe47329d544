//! `speadway recv` across a network: two namespaces, joined by a virtual cable. Needs root; run it
//! with `make test-net`.
#![cfg(target_os = "linux")]

mod common;
#[path = "../../tests/peer/mod.rs"]
mod peer;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::{Running, Scratch, assert_balance, fnv, of_kind};
use serde_json::Value;

/// Addresses of the sender's end, and one more of its.
const SENDER: [&str; 2] = ["10.83.0.1", "10.83.0.3"];
const RECEIVER: &str = "10.83.0.2";
/// The device at either end of the cable.
const DEVICE: &str = "veth0";
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const SIZE: usize = 20_000;
const PER_CHUNK: u64 = 3;

/// The two namespaces. They go when it does, and with them the cable.
struct Net {
    sender: String,
    receiver: String,
}

impl Net {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = |end: &str| format!("speadway-{}-{number}-{end}", std::process::id());
        // Complete before the first is made: what fails after this leaves none behind.
        let net = Self { sender: name("sender"), receiver: name("receiver") };
        for namespace in [&net.sender, &net.receiver] {
            ip(&["netns", "add", namespace]);
            ip(&["-n", namespace, "link", "set", "lo", "up"]);
        }
        net.at_sender(&[
            "link",
            "add",
            DEVICE,
            "mtu",
            "9000",
            "type",
            "veth",
            "peer",
            "name",
            DEVICE,
            "mtu",
            "9000",
            "netns",
            &net.receiver,
        ]);
        for address in SENDER {
            net.at_sender(&["address", "add", &format!("{address}/24"), "dev", DEVICE]);
        }
        net.at_receiver(&["address", "add", &format!("{RECEIVER}/24"), "dev", DEVICE]);
        // Nobody else has the addresses; looking for others takes time.
        net.at_sender(&["address", "add", "fd83::1/64", "dev", DEVICE, "nodad"]);
        net.at_receiver(&["address", "add", "fd83::2/64", "dev", DEVICE, "nodad"]);
        net.at_receiver(&["link", "set", DEVICE, "up"]);
        net.at_sender(&["link", "set", DEVICE, "up"]);
        net.at_sender(&["route", "add", "multicast", "224.0.0.0/4", "dev", DEVICE]);
        net.await_cable();
        net
    }

    fn at_sender(&self, arguments: &[&str]) -> String {
        ip(&[&["-n", &self.sender], arguments].concat())
    }

    fn at_receiver(&self, arguments: &[&str]) -> String {
        ip(&[&["-n", &self.receiver], arguments].concat())
    }

    /// Waits until the sender's end is connected, of which the kernel learns a little later.
    fn await_cable(&self) {
        let end = Instant::now() + PATIENCE;
        while !self.at_sender(&["link", "show", "dev", DEVICE]).contains("state UP") {
            assert!(Instant::now() < end, "the cable does not come up");
            std::thread::yield_now();
        }
    }

    /// The number of the sender's device.
    fn sender_index(&self) -> String {
        let shown = self.at_sender(&["-o", "link", "show", "dev", DEVICE]);
        shown.split(':').next().expect("a number").to_owned()
    }

    /// Starts `speadway recv --json` in the receiver's namespace.
    fn recv(&self, arguments: &[&str]) -> Running {
        let command = within(&self.receiver, env!("CARGO_BIN_EXE_speadway"));
        let mut running = Running::start(command, &[&["--timeout", "60"], arguments].concat());
        running.addresses(); // it listens now
        running
    }

    /// Has the peer send from the sender's namespace.
    fn send(&self, endpoints: &[&str], options: &[&str]) {
        let endpoints: Vec<String> = endpoints.iter().map(|&to| to.to_owned()).collect();
        let arguments = peer::sender(&endpoints, options);
        peer::run(within(&self.sender, &arguments[0]).args(&arguments[1..]));
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for namespace in [&self.sender, &self.receiver] {
            // One may not have been made.
            let _ = run_ip(&["netns", "delete", namespace]);
        }
    }
}

/// A command that runs in a namespace, in place of `ip`: signals reach it.
fn within(namespace: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("ip");
    command.env_remove("RUST_LOG").args(["netns", "exec", namespace]).arg(program);
    command
}

fn run_ip(arguments: &[&str]) -> Output {
    Command::new("ip").args(arguments).output().expect("ip runs")
}

fn ip(arguments: &[&str]) -> String {
    let output = run_ip(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}

/// The events and, checked for balance, the last of them.
fn finish(running: Running) -> (Vec<Value>, Value) {
    let (events, good) = running.finish();
    assert!(good, "{events:?}");
    let end = events.last().expect("an end event").clone();
    assert_eq!((&end["event"], &end["why"]), (&"end".into(), &"ended".into()), "{end}");
    assert_balance(&end);
    (events, end)
}

/// Receives from all endpoints as one group, and checks every byte.
fn assert_group(net: &Net, name: &str, endpoints: &[&str], receive: &[&str], options: &[&str]) {
    let scratch = Scratch::new(&format!("privileged-{name}"));
    let (size, per_chunk) = (SIZE.to_string(), PER_CHUNK.to_string());
    let layout = ["--heap-size", &size, "--heaps-per-chunk", &per_chunk];
    // One end may be received late: what it has is not to be dropped for that.
    let output = ["--eviction", "lossless", "--hash", "--write", scratch.path()];
    let running = net.recv(&[&layout[..], &output, receive, endpoints].concat());
    let stream = ["--split", "--heaps", "6", "--heap-size", &size];
    net.send(endpoints, &[&stream[..], options].concat());
    let (events, end) = finish(running);
    let chunks = of_kind(&events, "chunk");
    assert_eq!(chunks.len(), 2, "{events:?}");
    for (chunk, id) in chunks.iter().zip(0..) {
        let heaps = id * PER_CHUNK..(id + 1) * PER_CHUNK;
        let expected: Vec<u8> = heaps.flat_map(|heap| peer::payload(heap, SIZE)).collect();
        assert_eq!(chunk["hash"], fnv(&expected), "{chunk}");
        assert!(scratch.read(&format!("chunk-{id}.bin")) == expected, "chunk {id}");
    }
    assert_eq!((&end["heaps_present"], &end["heaps_missing"]), (&6.into(), &0.into()), "{end}");
    for stream in end["streams"].as_array().expect("streams") {
        assert_eq!(stream["stats"]["heaps.placed"], 6 / endpoints.len(), "{end}");
    }
}

#[test]
fn two_ports_fill_the_same_chunks() {
    let ports = ["10.83.0.2:7148", "10.83.0.2:7149"];
    assert_group(&Net::new(), "unicast", &ports, &[], &["--packet", "8972"]);
}

#[test]
fn two_multicast_groups_fill_the_same_chunks() {
    let groups = ["239.255.83.1:7148", "239.255.83.2:7149"];
    let options = ["--packet", "1472", "--ttl", "1", "--interface", SENDER[0]];
    assert_group(&Net::new(), "multicast", &groups, &["--interface", DEVICE], &options);
}

#[test]
fn two_ipv6_multicast_groups_fill_the_same_chunks() {
    let net = Net::new();
    let groups = ["[ff15::83:1]:7148", "[ff15::83:2]:7149"];
    let index = net.sender_index();
    let options = ["--packet", "8972", "--ttl", "1", "--interface", &index];
    assert_group(&net, "ipv6", &groups, &["--interface", DEVICE], &options);
}

/// Heaps of one packet, each a chunk.
const SINGLE: [&str; 8] =
    ["--heap-size", "1000", "--heaps-per-chunk", "1", "--window", "1", "--events", "--interface"];

#[test]
fn only_the_chosen_source_is_received() {
    let net = Net::new();
    let group = "232.83.0.1:7148";
    let receive = [&SINGLE[..], &[DEVICE, "--source-filter", SENDER[0], group]].concat();
    let chosen = net.recv(&receive);
    // Shows that the other one's packets get here.
    let any = net.recv(&[&SINGLE[..], &[DEVICE, group]].concat());
    let stream = ["--heaps", "5", "--heap-size", "1000", "--ttl", "1"];
    let other = ["--interface", SENDER[1], "--no-stop"];
    net.send(&[group], &[&stream[..], &other].concat());
    let options = ["--interface", SENDER[0], "--first-heap", "5"];
    net.send(&[group], &[&stream[..], &options].concat());
    let ids = |running: Running| -> Vec<u64> {
        let (events, _) = finish(running);
        of_kind(&events, "chunk").iter().map(|chunk| chunk["id"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids(chosen), [5, 6, 7, 8, 9]);
    assert_eq!(ids(any), (0..10).collect::<Vec<_>>());
}

/// The receiver's end is taken down and up while a stream is sent: what was sent meanwhile is
/// counted as missing, and the rest is there.
fn assert_survives(endpoint: &str, receive: &[&str], options: &[&str]) {
    let net = Net::new();
    let shown = net.at_receiver(&["-o", "link", "show", "dev", DEVICE]);
    let hardware = shown.split("link/ether ").nth(1).expect("an address").split(' ').next();
    // Else what is sent without a cable waits for the answer to a question, and is not lost.
    let neighbour = ["neighbour", "replace", RECEIVER, "dev", DEVICE, "nud", "permanent"];
    net.at_sender(&[&neighbour[..], &["lladdr", hardware.expect("an address")]].concat());
    let layout = &SINGLE[..SINGLE.len() - 1];
    let mut running = net.recv(&[layout, receive, &[endpoint]].concat());
    let send = |first: &str, more: &[&str]| {
        let stream = ["--first-heap", first, "--heaps", "20", "--heap-size", "1000"];
        net.send(&[endpoint], &[&stream[..], more, options].concat());
    };
    send("0", &["--no-stop"]);
    // A chunk is handed over when the next is begun: heap 19 has arrived.
    while running.next().expect("chunks")["id"] != 18 {}
    net.at_receiver(&["link", "set", DEVICE, "down"]);
    send("20", &["--no-stop"]);
    net.at_receiver(&["link", "set", DEVICE, "up"]);
    net.await_cable();
    send("40", &[]);
    let (events, end) = finish(running);
    assert_eq!(of_kind(&events, "chunk")[0]["id"], 19, "{events:?}");
    let counts = (&end["heaps_present"], &end["heaps_missing"], &end["chunks_missing"]);
    assert_eq!(counts, (&40.into(), &20.into(), &20.into()), "{end}");
}

#[test]
fn an_interface_may_go_down_and_up() {
    assert_survives("10.83.0.2:7148", &[], &[]);
}

#[test]
fn a_multicast_interface_may_go_down_and_up() {
    let options = ["--ttl", "1", "--interface", SENDER[0]];
    assert_survives("239.255.83.3:7148", &["--interface", DEVICE], &options);
}

/// Sends for 2 s at 1 Gb/s with the kernel to keep the rate. What is reported, and the log.
fn send_paced(net: &Net, destination: &str, pacing: &str) -> (Value, String) {
    let arguments = "--rate 1 --packet 8972 --no-gso --heap-size 64KiB --max-heaps 16";
    let output = within(&net.sender, env!("CARGO_BIN_EXE_speadway"))
        .args(["send", "--seconds", "2", "--json", "--pacing", pacing, destination])
        .args(arguments.split(' '))
        .output()
        .expect("the command runs");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{log}");
    (serde_json::from_slice(&output.stdout).expect("a JSON object"), log)
}

#[test]
fn the_kernel_keeps_a_rate_where_it_can() {
    let net = Net::new();
    let receiver = format!("{RECEIVER}:7148");
    let gigabits = |sent: &Value| sent["gigabits_per_second"].as_f64().expect("a rate");
    for (destination, pacing) in [(&*receiver, "kernel"), ("127.0.0.1:7148", "departure-times")] {
        let (sent, log) = send_paced(&net, destination, pacing);
        assert_eq!(sent["pacing"], "software", "{sent}");
        assert!(
            log.contains("does not pace") && log.contains("the worker keeps the rate"),
            "{log}"
        );
        assert!(gigabits(&sent) < 1.01, "{sent}");
    }
    let fq = ["root", "fq", "flow_limit", "2000"];
    let output = Command::new("tc")
        .args(["-n", &net.sender, "qdisc", "replace", "dev", DEVICE])
        .args(fq)
        .output();
    if !output.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("unavailable here, so not tested: the fq queueing discipline ({output:?})");
        return;
    }
    for pacing in ["kernel", "departure-times"] {
        let (sent, log) = send_paced(&net, &receiver, pacing);
        assert_eq!(sent["pacing"], pacing, "{sent} {log}");
        // A rate counts the headers of the network, too: 42 B a packet, 0.5 %.
        assert!((0.95..1.01).contains(&gigabits(&sent)), "{sent}");
    }
}

/// A network that loses, repeats and delays packets: every one is accounted for, and every byte that
/// is there is right.
#[test]
fn a_bad_network_is_accounted_for() {
    const HEAPS: u64 = 300;
    let net = Net::new();
    let scratch = Scratch::new("privileged-bad-network");
    let layout = ["--heap-size", "8000", "--heaps-per-chunk", "10", "--window", "3"];
    let rules = ["--out-of-order", "--max-heaps", "16", "--events", "--write", scratch.path()];
    let running = net.recv(&[&layout[..], &rules, &["10.83.0.2:7148"]].concat());

    let [python, script] = peer::script("proxy.py");
    let mut proxy = within(&net.sender, &python);
    proxy.arg(script).args(["7200", RECEIVER, "7148", "1", "0.02", "0.02", "0.1"]);
    let mut proxy = proxy.stdout(Stdio::piped()).spawn().expect("the proxy starts");
    let mut said = BufReader::new(proxy.stdout.take().expect("a pipe")).lines();
    assert_eq!(said.next().expect("a line").expect("text"), "listening");
    let heaps = HEAPS.to_string();
    let stream = ["--heaps", &heaps, "--heap-size", "8000", "--repeat-pointers", "--no-stop"];
    // Slow enough that the proxy, which is a script, loses nothing itself.
    net.send(&["127.0.0.1:7200"], &[&stream[..], &["--rate", "0.004"]].concat());
    let end = "import socket; socket.socket(2, 2).sendto(b'', ('127.0.0.1', 7200))";
    peer::run(within(&net.sender, &python).args(["-c", end]));
    let counts: Value = serde_json::from_str(&said.next().expect("a line").expect("text")).unwrap();
    assert!(proxy.wait().expect("it ends").success());

    common::interrupt(running.id());
    let (events, good) = running.finish();
    assert!(good, "{events:?}");
    let end = events.last().expect("an end event");
    assert_balance(end);
    let stats = &end["streams"][0]["stats"];
    let count = |name: &str| stats[name].as_u64().unwrap_or(0);
    assert_eq!(count("packets_received") + count("kernel_drops"), counts["sent"], "{end}");
    assert!(counts["lost"].as_u64() > Some(0) && count("packets_discarded.duplicate") > 0, "{end}");
    assert!(count("heaps.placed") > HEAPS / 2 && count("heaps.placed") < HEAPS, "{end}");
    for chunk in of_kind(&events, "chunk") {
        let id = chunk["id"].as_u64().expect("a number");
        let data = scratch.read(&format!("chunk-{id}.bin"));
        let present = scratch.read(&format!("chunk-{id}.present"));
        for heap in (0..10).filter(|&heap| present[heap as usize] == 1) {
            let sent = peer::payload(id * 10 + heap, 8000);
            assert!(data[heap as usize * 8000..][..8000] == sent[..], "heap {heap} of chunk {id}");
        }
    }
}

//! `speadway bench`, run as users run it: on one host, with rates that any host holds.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};

use common::{Scratch, json, run, speadway, stderr, stdout};
use serde_json::Value;

/// A trial of this is 50 kB at most, which the smallest receive buffer that systems grant holds
/// however late the receiver is.
const GENTLE: [&str; 8] =
    ["--high", "0.02", "--seconds", "0.02", "--heap-size", "4KiB", "--chunk", "64KiB"];

/// An agent in the background.
struct Agent {
    child: Child,
    address: SocketAddr,
}

impl Agent {
    fn start() -> Self {
        let mut command = speadway();
        command.args(["bench", "agent", "127.0.0.1:0"]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the command runs");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        stdout.read_line(&mut line).expect("text");
        let address = line.trim().strip_prefix("agent tcp://").map(str::parse);
        let address = address.unwrap_or_else(|| panic!("{line}")).expect("an address");
        Self { child, address }
    }

    fn name(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn with<'a>(first: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [first, more].concat()
}

/// Asserts that everything was received, in every trial.
fn assert_held(result: &Value) {
    for row in result["rows"].as_array().expect("rows") {
        assert!(["high", "sender"].contains(&row["limit"].as_str().unwrap()), "{row}");
        assert!(row["held"].as_f64().is_some_and(|rate| rate > 0.0), "{row}");
        let trials = row["trials"].as_array().expect("trials");
        assert_eq!(trials.len(), 6, "a warm-up and five passes: {row}");
        for trial in trials {
            assert!(trial["heaps_sent"].as_u64().unwrap() > 0, "{trial}");
            assert_eq!(trial["heaps_received"], trial["heaps_sent"], "{trial}");
            assert_eq!(trial["packets_received"], trial["packets_sent"], "{trial}");
            assert_eq!(trial["kernel_drops"], 0, "{trial}");
            assert_eq!(trial["faults"], Value::Array(Vec::new()), "{trial}");
        }
    }
}

#[test]
fn one_host_measures_itself() {
    let scratch = Scratch::new("bench-local");
    let plot = format!("{}/plot.svg", scratch.path());
    let sizes = ["--packet", "1472,8972", "--json", "--plot", &plot];
    let output = run(&with(&["bench", "local"], &with(&GENTLE, &sizes)));
    let result = json(&output);
    assert!(output.status.success(), "{result}");
    assert_eq!(result["rows"].as_array().unwrap().len(), 2);
    assert_held(&result);
    assert!(result["rows"][0]["receiver_cpu"].as_f64().unwrap() > 0.0, "{result}");
    let drawn = String::from_utf8(scratch.read("plot.svg")).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.contains("8972 B"), "{drawn}");
}

#[test]
fn a_table_is_for_people() {
    let output = run(&with(&["bench", "local", "--streams", "2", "--no-gso"], &GENTLE));
    let text = stdout(&output);
    assert!(output.status.success(), "{text}{}", stderr(&output));
    assert!(text.starts_with("2 streams, heaps of 4 KiB, chunks of 64 KiB, 4 open"), "{text}");
    assert!(text.contains("\n  8972 B  0.0"), "{text}");
}

#[test]
fn a_receiver_that_loses_is_seen_to_lose() {
    // A buffer that holds one train, and a sender that sends as fast as it can.
    let options = ["--buffer", "1", "--seconds", "0.1", "--max-trials", "2", "--json"];
    let output = run(&with(&["bench", "local"], &options));
    let result = json(&output);
    let row = &result["rows"][0];
    assert_eq!(output.status.success(), !row["held"].is_null(), "{row}");
    let trials = row["trials"].as_array().unwrap();
    let fast = trials.iter().find(|trial| trial["phase"] == "full-speed").expect("one");
    assert!(fast["kernel_drops"].as_u64().unwrap() > 0, "{fast}");
    let faults = fast["faults"].as_array().unwrap();
    assert!(faults[0].as_str().unwrap().contains("are missing"), "{fast}");
    assert!(!row["critical"].is_null() && row["limit"] != "sender", "{row}");
}

#[test]
fn an_agent_serves_one_master_after_the_other_on_several_endpoints() {
    let agent = Agent::start();
    // Ports of groups are shared: another run's must be another.
    let port = 20_000 + std::process::id() % 20_000;
    let group = format!("239.255.83.21:{port}@127.0.0.1");
    let endpoints = ["--endpoint", "127.0.0.1:0", "--endpoint", &group];
    let more = ["--send-interface", "127.0.0.1", "--json"];
    for arguments in [with(&endpoints, &more), vec!["--json", "--spin", "--non-temporal"]] {
        let name = agent.name();
        let output = run(&with(&["bench", "master", &name], &with(&GENTLE, &arguments)));
        assert!(output.status.success(), "{}", stderr(&output));
        assert_held(&json(&output));
    }
}

#[test]
fn several_agents_receive_at_once() {
    let (one, other) = (Agent::start(), Agent::start());
    let (one, other) = (one.name(), other.name());
    let output = run(&with(&["bench", "master", &one, &other, "--json"], &GENTLE));
    let result = json(&output);
    assert!(output.status.success(), "{result}");
    assert_eq!(result["agents"].as_array().unwrap().len(), 2);
    assert_held(&result);
}

#[test]
fn an_agent_that_is_killed_ends_its_master_with_a_reason() {
    let mut agent = Agent::start();
    let name = agent.name();
    // Long enough that it is killed in a trial.
    let slow = ["--progress", "--high", "0.001", "--seconds", "0.5", "--heap-size", "4KiB"];
    let arguments = with(&["bench", "master", &name], &slow);
    let mut command = speadway();
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut master = command.spawn().expect("the command runs");
    let mut stderr = BufReader::new(master.stderr.take().expect("a pipe"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("text");
    assert!(line.contains("warm-up"), "{line}");
    agent.child.kill().expect("it runs");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("text");
    assert_eq!(master.wait().expect("it ends").code(), Some(1));
    assert!(rest.contains(&format!("the agent {name} closed the connection")), "{rest}");
}

#[test]
fn whoever_is_no_master_does_no_harm() {
    let agent = Agent::start();
    let mut stranger = TcpStream::connect(agent.address).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // Closed when it has been understood to be none.
    let mut rest = Vec::new();
    let _ = stranger.read_to_end(&mut rest);
    assert!(rest.is_empty());

    let mut master = TcpStream::connect(agent.address).unwrap();
    let mut answers = BufReader::new(master.try_clone().unwrap());
    let mut ask = |line: &str| -> Value {
        writeln!(master, "{line}").unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    };
    assert_eq!(ask(r#"{"ask":"hello","version":1}"#)["answer"], "hello");
    // What comes out of order or asks for too much is refused, and the agent stays.
    assert_eq!(ask(r#"{"ask":"begin","first":0,"seconds":1e300}"#)["answer"], "error");
    assert_eq!(ask(r#"{"ask":"finish","heaps":[1]}"#)["answer"], "error");
    let huge = r#"{"ask":"open","streams":[{"address":"127.0.0.1:0","interface":null}],
        "heap_size":1048576,"heaps_per_chunk":18446744073709551615,"window":4,"chunks":8,
        "packet":8972,"buffer":0,"pin":[],"gro":true,"wait":"sleep","huge_pages":false}"#;
    let huge = huge.replace('\n', " ");
    assert_eq!(ask(&huge)["answer"], "error");
    let large = huge.replace("18446744073709551615", "1048576");
    let message = ask(&large)["message"].to_string();
    assert!(message.contains("--max-memory"), "{message}");

    // While one is served, others are told.
    let name = agent.name();
    let output = run(&with(&["bench", "master", &name], &GENTLE));
    assert!(stderr(&output).contains("busy with another master"), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_agent_that_is_not_there_is_told() {
    // A port that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = run(&["bench", "master", &address.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("cannot reach the agent") && text.contains("bench agent"), "{text}");
}

#[test]
fn memory_becomes_chunks() {
    let sizes = ["--heap-size", "4KiB,64KiB", "--packet", "1472,8972"];
    let little = ["--memory", "1MiB", "--chunk", "256KiB", "--seconds", "0.01", "--json"];
    let output = run(&with(&["bench", "mem"], &with(&sizes, &little)));
    let result = json(&output);
    assert!(output.status.success(), "{result}");
    let rows = result["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    for row in rows {
        let number = |name: &str| row[name].as_f64().unwrap();
        assert!(number("gigabits_per_second") > 0.0 && number("passes") >= 7.0, "{row}");
        let per_heap = number("ns_per_heap") / number("ns_per_packet");
        let payload = number("packet") - 40.0;
        let expected = (number("heap_size") / payload).ceil();
        assert!((per_heap - expected).abs() <= 1.0, "{per_heap} packets a heap: {row}");
        let gigabits = number("heap_size") * 8.0 / number("ns_per_heap");
        assert!((gigabits / number("gigabits_per_second") - 1.0).abs() < 1e-6, "{row}");
    }
    let table = stdout(&run(&with(&["bench", "mem"], &little[..6])));
    assert!(table.contains("ns/packet") && table.contains("64 KiB  1472 B"), "{table}");
}

#[test]
fn what_cannot_be_is_refused() {
    let cases: [(&[&str], &str); 8] = [
        (&["local", "--packet", "70000"], "--packet has to be from"),
        (&["local", "--chunk", "4KiB"], "has to have room for a heap"),
        (&["local", "--confidence", "1"], "--confidence has to be from 0.5 to below 1"),
        (&["local", "--high", "1", "--low", "2"], "--high has to be above --low"),
        (&["local", "--chunks", "2"], "--chunks 2 and --window 4"),
        (&["local", "--pin", "99999"], "look at --pin"),
        (&["local", "--endpoint", "192.0.2.1:7148"], "has the address 192.0.2.1"),
        (&["mem", "--heap-size", "8MiB"], "fit --chunk 4194304"),
    ];
    for (arguments, expected) in cases {
        let output = run(&with(&["bench"], arguments));
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
}

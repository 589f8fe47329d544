//! `speadway recv` in chunk mode.

mod common;

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::process::Stdio;

use common::{
    Running, Scratch, announced, fnv, heap, interrupt, json, of_kind, run, send, speadway, stderr,
    stdout, stop,
};

const HEAP: usize = 3000;

/// The samples of a heap.
fn samples(sequence: u64, source: u64) -> Vec<u8> {
    (0..HEAP).map(|at| (at as u64 * 7 + sequence * 31 + source * 101) as u8).collect()
}

#[test]
fn heaps_of_two_ports_fill_the_same_chunks() {
    check_two_ports(&[]);
}

#[test]
fn heaps_that_are_copied_past_the_caches_fill_the_same_chunks() {
    check_two_ports(&["--non-temporal"]);
}

fn check_two_ports(more: &[&str]) {
    let layout = ["--heap-size", "3000", "--heaps-per-chunk", "2", "--step", "10"];
    let sources = ["--axis", "0x1601:2", "--hash", "127.0.0.1:0", "127.0.0.1:0"];
    let mut running = Running::recv(&[&layout[..], more, &sources[..]].concat());
    let addresses = running.addresses();
    for (source, &address) in (0..).zip(&addresses) {
        let packets: Vec<_> = (0..4)
            .flat_map(|n| heap(n + 1, n * 10, source, &samples(n, source)))
            .chain(stop(9))
            .collect();
        send(address, &packets);
    }
    let (events, good) = running.finish();
    assert!(good, "{events:?}");
    let chunks = of_kind(&events, "chunk");
    assert_eq!(chunks.len(), 2, "{events:?}");
    for (chunk, id) in chunks.iter().zip(0..) {
        let (a, b) = (id * 2, id * 2 + 1);
        let data = [samples(a, 0), samples(a, 1), samples(b, 0), samples(b, 1)].concat();
        assert_eq!(chunk["id"], id);
        assert_eq!((&chunk["present"], &chunk["missing"]), (&4.into(), &0.into()), "{chunk}");
        assert_eq!(chunk["hash"], fnv(&data), "{chunk}");
    }
    let end = events.last().unwrap();
    assert_eq!(end["event"], "end");
    assert_eq!(end["why"], "ended");
    assert_eq!(end["heaps_present"], 8);
    assert_eq!(end["total"]["heaps.placed"], 8, "{end}");
    assert_eq!(end["total"]["bytes_placed"], 8 * HEAP as u64, "{end}");
    assert_eq!(end["group"]["chunks_delivered"], 2, "{end}");
    assert_eq!(end["streams"].as_array().unwrap().len(), 2);
}

#[test]
fn what_is_missing_is_counted_and_zero() {
    let scratch = Scratch::new("missing");
    let layout =
        ["--heap-size", "3000", "--heaps-per-chunk", "3", "--write", scratch.path(), "--hash"];
    let mut running = Running::recv(&[&layout[..], &["--quiet", "127.0.0.1:0"]].concat());
    let address = running.addresses()[0];
    // In the same memory as chunk 0, one heap of chunk 9 is missing.
    let numbers = [0, 1, 2, 3, 4, 5, 27, 29];
    let packets: Vec<_> =
        numbers.iter().flat_map(|&n| heap(n + 1, n, 0, &samples(n, 0))).chain(stop(99)).collect();
    send(address, &packets);
    let (events, good) = running.finish();
    assert!(good, "{events:?}");
    assert_eq!(events.len(), 1, "quiet shows the end only: {events:?}");
    // Chunks 2 to 8 were jumped over.
    assert_eq!(events[0]["heaps_missing"], 7 * 3 + 1, "{events:?}");
    assert_eq!(events[0]["heaps_present"], 8);
    let data = scratch.read("chunk-9.bin");
    assert!(data == [samples(27, 0), vec![0; HEAP], samples(29, 0)].concat());
    assert_eq!(scratch.read("chunk-9.present"), [1, 0, 1]);
    let whole = scratch.read("chunk-1.bin");
    assert!(whole == [samples(3, 0), samples(4, 0), samples(5, 0)].concat());
}

#[test]
fn tcp_and_udp_join_one_stream() {
    let options = ["--heap-size", "3000", "--heaps-per-chunk", "1", "--joint", "--no-stop"];
    let limit = ["--limit", "2", "--events", "127.0.0.1:0", "tcp://127.0.0.1:0"];
    let mut running = Running::recv(&[&options[..], &limit].concat());
    let addresses = running.addresses();
    assert_eq!(addresses.len(), 2);
    send(addresses[0], &heap(1, 0, 0, &samples(0, 0)));
    let mut connection = TcpStream::connect(addresses[1]).unwrap();
    // The window is of 4 chunks: with 4 and 5, chunks 0 and 1 are done with.
    for n in [1, 4, 5] {
        connection.write_all(&heap(n + 1, n, 0, &samples(n, 0)).concat()).unwrap();
    }
    let (events, good) = running.finish();
    assert!(good, "{events:?}");
    let ids: Vec<_> = of_kind(&events, "chunk").iter().map(|chunk| chunk["id"].clone()).collect();
    assert_eq!(ids.len(), 2, "{events:?}");
    assert_eq!(events.last().unwrap()["why"], "limit");
}

#[test]
fn ctrl_c_shows_what_has_arrived() {
    let mut running = Running::recv(&["--heap-size", "3000", "--events", "127.0.0.1:0"]);
    let address = running.addresses()[0];
    // The first fills the window's chunks up; when it is shown, the later one has been received.
    let packets: Vec<_> =
        [0, 64 * 4].iter().flat_map(|&n| heap(n + 1, n, 0, &samples(n, 0))).collect();
    send(address, &packets);
    assert_eq!(running.next().unwrap()["id"], 0);
    interrupt(running.id());
    let (events, good) = running.finish();
    assert!(good, "{events:?}");
    let end = events.last().unwrap();
    assert_eq!(end["why"], "interrupted", "{end}");
    assert_eq!(end["heaps_present"], 2, "{end}");
}

#[test]
fn ctrl_c_ends_it_in_order_from_the_first_moment() {
    for _ in 0..10 {
        let mut running = Running::recv(&["--heap-size", "3000", "127.0.0.1:0"]);
        running.addresses();
        interrupt(running.id());
        let (events, good) = running.finish();
        assert!(good, "{events:?}");
        assert_eq!(events.last().expect("an end event")["why"], "interrupted");
    }
}

#[test]
fn the_final_table_shows_what_is_not_zero() {
    let arguments = ["--heap-size", "3000", "--timeout", "0.1", "127.0.0.1:0"];
    let output = run(&[&["recv"], &arguments[..]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("reached --timeout"), "{text}");
    assert!(text.contains("0 chunks, 0 complete; 0 heaps present, 0 missing"), "{text}");
    assert!(!text.contains("packets_discarded"), "{text}");
}

#[test]
fn heaps_that_one_corrupt_id_made_too_old_are_explained() {
    let arguments = ["recv", "--heap-size", "3000", "tcp://127.0.0.1:0"];
    let mut command = speadway();
    let mut child = command
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command runs");
    let mut connection = TcpStream::connect(announced(&mut child)).unwrap();
    for n in [1 << 39, 0, 1, 2] {
        connection.write_all(&heap(n + 1, n, 0, &samples(n, 0)).concat()).unwrap();
    }
    drop(connection);
    let text = stdout(&child.wait_with_output().unwrap());
    assert!(text.contains("--max-jump helps"), "{text}");
}

#[test]
fn a_port_in_use_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let source = taken.local_addr().unwrap().to_string();
    let output = run(&["recv", "--heap-size", "3000", &source]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&source), "{}", stderr(&output));
    assert!(stderr(&output).contains("in use"), "{}", stderr(&output));
}

#[test]
fn what_cannot_be_is_refused() {
    let cases: [(&[&str], &str); 10] = [
        (&["7148", ":7148"], "named twice"),
        (&["--heap-size", "0", "127.0.0.1:0"], "heap_size must not be zero"),
        (&["--heap-size", "8", "--step", "0", "127.0.0.1:0"], "step must not be zero"),
        (&["--heap-size", "8", "--window", "0", "127.0.0.1:0"], "window must be at least 1"),
        (&["--heap-size", "8", "--chunks", "1", "127.0.0.1:0"], "less than --window 4"),
        (&["--workers", "0", "127.0.0.1:0"], "--workers has to be at least 1"),
        (&["--pin", "100000", "127.0.0.1:0"], "not 100000"),
        (&["--interface", "nosuch0", "239.1.2.3:0"], "nosuch0"),
        (&["--max-packet", "0", "127.0.0.1:0"], "at least 1 byte"),
        (&["--max-packet", "0", "tcp://127.0.0.1:0"], "at least 1 byte"),
    ];
    for (arguments, expected) in cases {
        let output = run(&[&["recv"], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
    let usage: [(&[&str], &str); 4] = [
        (&["nonsense"], "use [HOST]:PORT"),
        (&["--heap-size", "8 parsecs", "1"], "no unit of size"),
        (&["--axis", "7", "1"], "ITEM:COUNT"),
        (&[], "SOURCE"),
    ];
    for (arguments, expected) in usage {
        let output = run(&[&["recv"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut command = speadway();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = command.args(["recv", "--json", "127.0.0.1:0"]).stdout(writer).status().unwrap();
    assert!(status.success());
}

#[test]
fn the_version_and_help_are_there() {
    assert!(run(&["--version"]).status.success());
    for command in ["demo", "recv"] {
        assert!(run(&[command, "--help"]).status.success());
    }
    assert_eq!(json(&run(&["demo", "--heaps", "4", "--json"]))["ok"], true);
}

//! `speadway send`, and `recv --verify` of what it sends.

mod common;

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Running, json, run, speadway, stderr, stdout};
use serde_json::Value;

/// What a receiver with these options makes of a sender with those.
fn transfer(recv: &[&str], scheme: &str, send: &[&str]) -> (Value, Value, bool) {
    let mut running = Running::recv(&[&["--quiet"], recv].concat());
    let addresses: Vec<String> =
        running.addresses().iter().map(|address| format!("{scheme}{address}")).collect();
    let destinations: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let output = run(&[&["send", "--json"], send, &destinations].concat());
    let sent = json(&output);
    assert!(output.status.success(), "{sent}");
    let (mut events, good) = running.finish();
    (sent, events.pop().expect("an end event"), good)
}

#[test]
fn all_heaps_are_right_over_udp() {
    let send = ["--heaps", "30", "--heap-size", "24000", "--items", "3", "--rate", "0.2"];
    let send = [&send[..], &["--verify", "--no-gso"]].concat();
    let (sent, end, good) = transfer(&["--verify", "127.0.0.1:0"], "", &send);
    assert!(good, "{end}");
    assert_eq!(end["verified"]["right"], 30, "{end}");
    assert_eq!(end["verified"]["wrong"], 0, "{end}");
    assert_eq!(end["verified"]["bytes"], 30 * 24000, "{end}");
    // The descriptors come with a heap of their own, which is no data; the stop heap is not shown.
    assert_eq!((&sent["data_heaps"], &sent["heaps"]), (&30.into(), &32.into()), "{sent}");
    assert_eq!((&end["heaps"], &end["why"]), (&31.into(), &"ended".into()), "{end}");
    assert!(sent["gigabits_per_second"].as_f64().unwrap() < 0.22, "{sent}");
    assert_eq!((&sent["ok"], &sent["why"]), (&true.into(), &"heaps".into()), "{sent}");
}

#[test]
fn all_heaps_are_right_over_tcp() {
    let send = ["--heaps", "9", "--heap-size", "1MiB", "--packet", "60000", "--addr-bits", "48"];
    let send = [&send[..], &["--verify", "--pyspead"]].concat();
    let recv = ["--verify", "--pyspead", "tcp://127.0.0.1:0"];
    let (sent, end, good) = transfer(&recv, "tcp://", &send);
    assert!(good, "{end}");
    assert_eq!(end["verified"]["right"], 9, "{end}");
    assert!(sent["bytes"].as_u64().unwrap() > 9 << 20, "{sent}");
}

#[test]
fn heaps_go_to_the_destinations_in_turn() {
    let send = ["--heaps", "8", "--heap-size", "4000", "--verify", "--descriptors", "2"];
    let recv = ["--verify", "127.0.0.1:0", "127.0.0.1:0"];
    let (sent, end, good) = transfer(&recv, "udp://", &send);
    assert!(good, "{end}");
    assert_eq!(end["verified"]["right"], 8, "{end}");
    // Descriptors first and after two heaps, four with data, and the end, for each.
    for stream in end["streams"].as_array().unwrap() {
        assert_eq!(stream["stats"]["heaps"], 6, "{end}");
    }
    assert_eq!(sent["heaps"], 2 * 7, "{sent}");
}

#[test]
fn chunks_are_filled_by_the_sequence_item() {
    let send = ["--heaps", "16", "--heap-size", "4000", "--rate", "0.1"];
    let send = [&send[..], &["--sequence-item", "0x1600", "--step", "32"]].concat();
    let recv = ["--heap-size", "4000", "--heaps-per-chunk", "8", "--step", "32", "127.0.0.1:0"];
    let (_, end, good) = transfer(&recv, "", &send);
    assert!(good, "{end}");
    assert_eq!((&end["chunks_complete"], &end["heaps_missing"]), (&2.into(), &0.into()), "{end}");
}

#[test]
fn the_worker_keeps_the_rate_if_the_kernel_cannot() {
    let unread = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = unread.local_addr().unwrap().to_string();
    let asked = ["--rate", "0.2", "--heap-size", "64KiB", "--heaps", "60"];
    for pacing in ["kernel", "departure-times"] {
        let output = run(&[&["send", "--json", &to, "--pacing", pacing], &asked[..]].concat());
        let sent = json(&output);
        assert_eq!(sent["pacing"], "software", "{sent}");
        assert!(sent["gigabits_per_second"].as_f64().unwrap() < 0.22, "{sent}");
        assert!(stderr(&output).contains("does not pace"), "{}", stderr(&output));
    }
}

#[test]
fn wrong_values_are_noticed() {
    // Without --verify the heaps after the first have values that were made for others.
    let send = ["--heaps", "6", "--heap-size", "4000"];
    let (_, end, good) = transfer(&["--verify", "127.0.0.1:0"], "", &send);
    assert!(!good, "{end}");
    assert_eq!((&end["ok"], &end["verified"]["wrong"]), (&false.into(), &6.into()), "{end}");
}

#[test]
fn chunks_are_verified_by_the_counts_of_their_heaps() {
    let send = ["--heaps", "16", "--heap-size", "12000", "--items", "3", "--rate", "0.1"];
    let send =
        [&send[..], &["--verify", "--sequence-item", "0x1600", "--descriptors", "5"]].concat();
    let recv = ["--heap-size", "12000", "--heaps-per-chunk", "8", "--verify", "127.0.0.1:0"];
    let (_, end, good) = transfer(&recv, "", &send);
    assert!(good, "{end}");
    let right = serde_json::json!({ "right": 16, "wrong": 0, "bytes": 16 * 12000 });
    assert_eq!((&end["verified"], &end["chunks_complete"]), (&right, &2.into()), "{end}");
}

/// The packets of a sender with these options, as they came.
fn packets_of(send: &[&str]) -> Vec<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let to = socket.local_addr().unwrap().to_string();
    let output = run(&[&["send", "--json", "--no-gso"], send, &[&to]].concat());
    let count = json(&output)["packets"].as_u64().unwrap();
    let mut buffer = [0; 2000];
    let mut next = || {
        let length = socket.recv(&mut buffer).unwrap();
        buffer[..length].to_vec()
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn damage_and_loss_are_noticed_in_chunks() {
    let send = ["--heaps", "8", "--heap-size", "4000", "--verify", "--sequence-item", "0x1600"];
    // Descriptors, three packets for each heap, and the end.
    let mut packets = packets_of(&send);
    assert_eq!(packets.len(), 1 + 8 * 3 + 1);
    let layout = ["--heap-size", "4000", "--heaps-per-chunk", "4", "--verify", "--quiet"];
    let receive = |packets: &[Vec<u8>]| {
        let mut running = Running::recv(&[&layout[..], &["127.0.0.1:0"]].concat());
        common::send(running.addresses()[0], packets);
        let (mut events, good) = running.finish();
        (events.pop().expect("an end event"), good)
    };
    let (end, good) = receive(&packets);
    assert!(good, "{end}");
    let right = serde_json::json!({ "right": 8, "wrong": 0, "bytes": 8 * 4000 });
    assert_eq!(end["verified"], right, "{end}");

    // The last byte of heap 2, and a packet of heap 5.
    *packets[1 + 2 * 3 + 2].last_mut().unwrap() ^= 1;
    packets.remove(1 + 5 * 3 + 1);
    let (end, good) = receive(&packets);
    assert!(!good, "{end}");
    let wrong = serde_json::json!({ "right": 6, "wrong": 1, "bytes": 7 * 4000 });
    assert_eq!((&end["verified"], &end["heaps_missing"]), (&wrong, &1.into()), "{end}");
}

#[test]
fn chunks_of_several_streams_are_not_verified() {
    let recv = ["recv", "--verify", "--heap-size", "4000", "127.0.0.1:0", "127.0.0.1:0"];
    let output = run(&recv);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--joint"), "{}", stderr(&output));
}

#[test]
fn it_ends_with_time() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = socket.local_addr().unwrap().to_string();
    let small = ["--heap-size", "1400", "--rate", "0.01", "--seconds", "0.1"];
    let output = run(&[&["send"], &small[..], &[to.as_str()]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("reached --seconds after "), "{}", stdout(&output));
}

#[test]
fn an_interrupt_sends_what_waits_and_the_stop_heap() {
    let mut running = Running::recv(&["--verify", "127.0.0.1:0"]);
    let to = running.addresses()[0].to_string();
    let send = ["send", "--json", "--verify", "--heap-size", "1400", "--rate", "0.01"];
    let child = speadway().args(send).arg(to).stdout(Stdio::piped()).spawn().unwrap();
    // Of descriptors, and of data.
    for _ in 0..2 {
        assert_eq!(running.next().unwrap()["event"], "heap");
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    let sent = json(&output);
    assert_eq!((&sent["why"], &sent["ok"]), (&"interrupted".into(), &true.into()), "{sent}");
    let (events, good) = running.finish();
    let end = events.last().unwrap();
    assert!(good, "{end}");
    assert_eq!(end["why"], "ended", "{end}");
    assert_eq!(end["verified"]["right"], sent["data_heaps"], "{end}");
}

#[test]
fn a_receiver_that_goes_away_ends_it() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = format!("tcp://{}", listener.local_addr().unwrap());
    let mut command = speadway();
    let command = command.args(["send", "--json", "--heap-size", "1MiB", &to]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut connection, _) = listener.accept().unwrap();
    connection.read_exact(&mut [0; 100]).unwrap();
    drop(connection);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let sent = json(&output);
    assert_eq!((&sent["why"], &sent["ok"]), (&"failed".into(), &false.into()), "{sent}");
    assert!(!sent["errors"].as_object().unwrap().is_empty(), "{sent}");
}

#[test]
fn what_cannot_be_is_refused() {
    let cases: [(&[&str], &str); 11] = [
        (&["--heap-size", "3"], "--heap-size has to be a multiple of 4 B"),
        (&["--items", "0"], "--items has to be at least 1"),
        (&["--packet", "40"], "at least 56 are needed"),
        (&["--packet", "70000"], "more than UDP can carry: at most 65507 B"),
        (&["--max-heaps", "0"], "max_heaps must be at least 1"),
        (&["--burst-rate-ratio", "0.5"], "it must be 1 or more"),
        (&["--addr-bits", "41"], "must be a multiple of 8"),
        (&["--addr-bits", "56"], "look at --items and --addr-bits"),
        (&["--pacing", "kernel"], "--pacing by the kernel needs a --rate"),
        (&["--bind", "::1"], "one is an IPv4 address, the other IPv6"),
        (&["--descriptors", "0"], "--descriptors has to be at least 1"),
    ];
    for (arguments, expected) in cases {
        let output = run(&[&["send", "--heaps", "1"], arguments, &["127.0.0.1:9"]].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
    for (arguments, expected) in [
        (&["send"][..], "<DESTINATION>"),
        (&["send", "7148"], "use HOST:PORT"),
        (&["send", "host:1", "--rate", "fast"], "not a rate in Gb/s"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
}

/// A capture with 14 packets to port 8888; tests/data/pcap/README.md says what is in them.
fn capture(name: &str) -> String {
    format!("{}/../tests/data/pcap/{name}#8888", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_capture_is_replayed_as_it_is() {
    let shown = |mut running: Running| {
        let heap = |event: Value| (event["event"] == "heap").then_some(event);
        let heaps: Vec<Value> = std::iter::from_fn(|| heap(running.next()?)).collect();
        heaps.iter().map(|heap| (heap["cnt"].clone(), heap["hash"].clone())).collect::<Vec<_>>()
    };
    let mut there = Running::recv(&["--hash", &format!("pcap:{}", capture("lo-2ports.pcap"))]);
    assert_eq!(there.next().unwrap()["event"], "start");
    let expected = shown(there);
    assert_eq!(expected.len(), 5);
    for file in ["lo-2ports.pcap", "lo-2ports.pcapng", "any-2ports-sll2.pcap"] {
        for speed in ["0", "1", "0.5"] {
            let mut running = Running::recv(&["--hash", "127.0.0.1:0"]);
            let to = running.addresses()[0].to_string();
            let send = ["send", "--json", "--pcap", &capture(file), "--speed", speed, &to];
            let sent = json(&run(&send));
            assert_eq!((&sent["ok"], &sent["packets"]), (&true.into(), &14.into()), "{sent}");
            assert_eq!(sent["frames_skipped"], 14, "{sent}");
            assert_eq!(shown(running), expected, "{file}");
        }
    }
}

#[test]
fn a_capture_that_is_cut_short_is_sent_as_far_as_it_goes() {
    let whole = capture("lo-2ports.pcap");
    let bytes = std::fs::read(whole.trim_end_matches("#8888")).unwrap();
    let cut = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("cut.pcap");
    std::fs::write(&cut, &bytes[..5000]).unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = socket.local_addr().unwrap().to_string();
    let output = run(&["send", "--json", "--speed", "0", "--pcap", cut.to_str().unwrap(), &to]);
    let sent = json(&output);
    assert_eq!(output.status.code(), Some(1), "{sent}");
    assert_eq!((&sent["ok"], &sent["why"]), (&false.into(), &"failed".into()), "{sent}");
    assert_eq!(sent["packets"], 4, "{sent}");
    assert!(stderr(&output).contains("it ends within the record"), "{}", stderr(&output));
}

#[test]
fn what_cannot_be_replayed_is_refused() {
    let good = capture("lo-2ports.pcap");
    let cases: [(&[&str], &str); 4] = [
        (&["--pcap", "none.pcap", "127.0.0.1:9"], "cannot open none.pcap"),
        (
            &["--pcap", env!("CARGO_BIN_EXE_speadway"), "127.0.0.1:9"],
            "is no pcap or pcapng capture",
        ),
        (&["--pcap", &good, "tcp://127.0.0.1:9"], "name UDP destinations"),
        (&["--pcap", &good, "--heaps", "1", "127.0.0.1:9"], "cannot be used with"),
    ];
    for (arguments, expected) in cases {
        let output = run(&[&["send"], arguments].concat());
        assert!(!output.status.success(), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
}

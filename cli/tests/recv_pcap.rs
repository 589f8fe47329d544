//! `speadway recv` from captures; tests/data/pcap/README.md says what is in them.

mod common;
#[path = "../../tests/peer/mod.rs"]
mod peer;

use std::path::PathBuf;

use common::{Running, assert_balance, fnv, of_kind, run, stderr, stdout};

fn data(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../tests/data/pcap", name].iter().collect();
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// The bytes of heaps of the stream that was captured.
fn heaps(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    numbers.into_iter().flat_map(|number| peer::payload(number, 4096)).collect()
}

/// Receives chunks from captures, and checks their bytes.
fn assert_chunks(arguments: &[&str], expected: &[Vec<u8>]) {
    let mut running = Running::recv(&[&["--heap-size", "4096", "--hash"], arguments].concat());
    assert_eq!(running.next().unwrap()["event"], "start");
    let (events, good) = running.finish();
    assert!(good, "{events:?}");
    let (chunks, end) = (of_kind(&events, "chunk"), events.last().unwrap());
    let hashes: Vec<_> = chunks.iter().map(|chunk| chunk["hash"].as_str().unwrap()).collect();
    let expected: Vec<String> = expected.iter().map(|bytes| fnv(bytes)).collect();
    assert_eq!(hashes, expected, "{arguments:?}: {events:?}");
    assert_eq!(end["heaps_missing"], 0, "{end}");
    assert_balance(end);
}

#[test]
fn every_capture_fills_the_same_chunks() {
    let captures = [
        "lo-2ports.pcap",
        "lo-2ports.pcapng",
        "lo-2ports-vlan.pcap",
        "lo-2ports-ipv6.pcap",
        "any-2ports-sll.pcap",
        "any-2ports-sll2.pcap",
    ];
    for capture in captures {
        let file = data(capture);
        // Each port is a stream; one has the heaps with even numbers, the other those with odd ones.
        let (even, odd) = (format!("pcap:{file}#8888"), format!("pcap:{file}#8889"));
        let layout = ["--step", "8192", "--heaps-per-chunk", "2", &even];
        assert_chunks(&layout, &[heaps([0, 2]), heaps([4, 6])]);
        let all = [heaps(0..4), heaps(4..8)];
        let layout = ["--step", "4096", "--heaps-per-chunk", "4", "--window", "2"];
        assert_chunks(&[&layout[..], &[&even, &odd]].concat(), &all);
        // Or both ports are one stream, whose heaps take turns on the two.
        assert_chunks(&[&layout[..], &["--no-stop", &file]].concat(), &all);
    }
}

#[test]
fn frames_are_accounted_for() {
    let output = run(&["recv", "--values", "--descriptors", &data("lo-2ports.pcap")]);
    let text = stdout(&output);
    assert!(output.status.success(), "{text}{}", stderr(&output));
    assert!(text.contains("28 frames"), "{text}");
    assert!(text.contains("timestamp"), "{text}");
    assert!(text.contains("all streams ended"), "{text}");
}

#[test]
fn what_fits_no_chunk_is_explained() {
    let output = run(&["recv", "--heap-size", "4097", &data("lo-2ports.pcap")]);
    let text = stdout(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("another length than --heap-size"), "{text}");
}

#[test]
fn a_file_that_is_no_capture_is_refused() {
    for (path, expected) in [("nosuch.pcap", "nosuch.pcap"), ("README.md", "README.md")] {
        let output = run(&["recv", &format!("pcap:{}", data(path))]);
        assert_eq!(output.status.code(), Some(1), "{path}");
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

#[test]
fn a_capture_that_is_cut_short_fails_after_what_it_has() {
    let whole = std::fs::read(data("lo-2ports.pcap")).unwrap();
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cut.pcap");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let output = run(&["recv", "--json", path.to_str().unwrap()]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let end: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&end["ok"], &end["streams"][0]["end"]), (&false.into(), &"failed".into()), "{end}");
    assert!(end["streams"][0]["failure"].as_str().unwrap().contains("cut.pcap"), "{end}");
    assert!(end["heaps"].as_u64().unwrap() >= 2, "{end}");
    std::fs::remove_file(path).unwrap();
}

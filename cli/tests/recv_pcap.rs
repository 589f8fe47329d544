//! `speadway recv` from captures; tests/data/pcap/README.md says what is in them.

mod common;

use std::path::PathBuf;

use common::{Running, run, stderr, stdout};

fn data(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../tests/data/pcap", name].iter().collect();
    path.to_str().expect("a path in UTF-8").to_owned()
}

#[test]
fn every_capture_fills_the_same_chunks() {
    let layout = ["--heap-size", "4096", "--step", "8192", "--heaps-per-chunk", "2"];
    let captures = ["lo-2ports.pcap", "lo-2ports.pcapng", "any-2ports-sll2.pcap"];
    let mut hashes = Vec::new();
    for capture in captures {
        // Each port is a stream; port 8889 has what is one step of 4096 later.
        let file = data(capture);
        let (even, odd) = (format!("pcap:{file}#8888"), format!("pcap:{file}#8889"));
        let mut one = Running::recv(&[&layout[..], &["--hash", &even]].concat());
        assert_eq!(one.next().unwrap()["event"], "start");
        let (events, good) = one.finish();
        assert!(good, "{events:?}");
        let end = events.last().unwrap();
        assert_eq!((&end["chunks"], &end["heaps_missing"]), (&2.into(), &0.into()), "{end}");
        hashes.push(events[0]["hash"].as_str().unwrap().to_owned());

        let step = ["--heap-size", "4096", "--step", "4096", "--heaps-per-chunk", "4"];
        let mut both = Running::recv(&[&step[..], &["--window", "2", &even, &odd]].concat());
        let (events, good) = {
            both.next();
            both.finish()
        };
        assert!(good, "{events:?}");
        let end = events.last().unwrap();
        assert_eq!((&end["chunks"], &end["heaps_present"]), (&2.into(), &8.into()), "{end}");
        assert_eq!(end["heaps_missing"], 0, "{end}");
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
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

//! `speadway demo`, run as a user runs it.

mod common;

use common::{json, run, stderr, stdout};

/// Small enough for a slow host, large enough that no port is served without waiting.
const SMALL: [&str; 5] = ["demo", "--heaps", "200", "--buffer", "100000"];

fn with(more: &[&'static str]) -> Vec<&'static str> {
    SMALL.iter().chain(more).copied().collect()
}

#[test]
fn everything_arrives_with_a_small_receive_buffer() {
    let output = run(&with(&[]));
    let text = stdout(&output);
    assert!(output.status.success(), "{text}{}", stderr(&output));
    assert!(text.contains("received  4 chunks with"), "{text}");
    assert!(text.contains("200 heaps, 0 missing"), "{text}");
    assert!(text.ends_with("OK\n"), "{text}");
}

#[test]
fn it_holds_for_other_shapes() {
    let shapes: [&[&str]; 4] = [
        // Chunks of one heap, the smallest window, heaps that end within a word.
        &["--heap-size", "10001", "--packet", "1472", "--chunk-heaps", "1", "--window", "2"],
        &["--eviction", "lossless", "--workers", "1"],
        &["--ports", "1", "--packet", "65507"],
        &["--ports", "7", "--workers", "3", "--heap-size", "64", "--packet", "128"],
    ];
    for shape in shapes {
        let output = run(&with(&[shape, &["--json"]].concat()));
        let result = json(&output);
        assert!(output.status.success(), "{shape:?}: {result}");
        assert_eq!(result["ok"], true, "{result}");
        assert_eq!(result["heaps_present"], result["heaps_sent"], "{result}");
        assert!(result["heaps_sent"].as_u64().unwrap() >= 200, "{result}");
        assert_eq!(result["bytes_verified"], result["bytes_sent"], "{result}");
        assert_eq!(result["kernel_drops"], 0, "{result}");
    }
}

#[test]
fn a_rate_is_kept() {
    // 200 heaps of 64 KiB at 0.2 Gb/s take 0.52 s.
    let result = json(&run(&with(&["--rate", "0.2", "--json"])));
    let rate = result["gigabits_per_second"].as_f64().unwrap();
    assert!(rate <= 0.2 * 1.02, "{result}");
    assert_eq!(result["ok"], true, "{result}");
}

#[test]
fn a_lost_heap_is_noticed() {
    let output = run(&with(&["--damage", "lose"]));
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("1 heap of 200 did not arrive"), "{text}");
    assert!(text.ends_with("FAILED\n"), "{text}");
}

#[test]
fn a_changed_byte_is_noticed() {
    let output = run(&with(&["--damage", "corrupt"]));
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("heap 0 of stream 3 (chunk 0) differs from byte 32768 on"), "{text}");
}

#[test]
fn what_cannot_be_is_refused() {
    let cases: [(&[&str], &str); 6] = [
        (&["--ports", "0"], "--ports has to be from 1 to 64"),
        (&["--heap-size", "3"], "--heap-size has to be at least 64 B"),
        (&["--packet", "70000"], "--packet has to be from 128 to 65507 B"),
        (&["--window", "1"], "--window has to be at least 2"),
        (&["--chunk-heaps", "0"], "heaps_per_chunk must not be zero"),
        (&["--chunk-heaps", "9223372036854775807"], "larger than memory can address"),
    ];
    for (arguments, expected) in cases {
        let output = run(&[&["demo"], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
    let output = run(&["demo", "--rate", "fast"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("not a rate in Gb/s"), "{}", stderr(&output));
}

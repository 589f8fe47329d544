//! What spead2 sends, `speadway recv` receives byte for byte.

mod common;
#[path = "../../tests/peer/mod.rs"]
mod peer;

use common::{Running, Scratch, assert_balance, fnv, of_kind};
use serde_json::Value;

const HEAPS: u64 = 30;
const PER_CHUNK: u64 = 10;
const SIZE: usize = 20_000;

/// Payload is less than half of the smallest receive buffer that systems grant by default, so that
/// nothing is lost however late the receiver is: 212992 bytes, in which small packets weigh double.
const SMALL: u64 = 3;

/// Has the peer send `heaps` heaps to a command with `source`, and returns what that wrote.
fn receive(arguments: &[&str], source: &str, heaps: u64, options: &[&str]) -> Vec<Value> {
    let arguments = [&["--timeout", "60"], arguments, &[source]].concat();
    let mut running = Running::recv(&arguments);
    let to = running.addresses()[0].to_string();
    let (heaps, size) = (heaps.to_string(), SIZE.to_string());
    let stream = ["--heaps", &heaps, "--heap-size", &size];
    peer::send(&[to], &[&stream, options].concat());
    let (events, good) = running.finish();
    assert!(good, "{events:?}");
    let end = events.last().expect("an end event");
    assert_eq!(end["why"], "ended", "{end}");
    assert_balance(end);
    events
}

/// Receives in chunk mode and checks every byte.
fn assert_chunks(name: &str, source: &str, heaps: u64, per_chunk: u64, options: &[&str]) {
    let scratch = Scratch::new(&format!("chunks-{name}"));
    let (size, per_chunk_text) = (SIZE.to_string(), per_chunk.to_string());
    let layout = ["--heap-size", &size, "--heaps-per-chunk", &per_chunk_text];
    let output = ["--hash", "--write", scratch.path()];
    let interface: &[&str] =
        if source.starts_with("239.") { &["--interface", "127.0.0.1"] } else { &[] };
    let events = receive(&[&layout[..], &output, interface].concat(), source, heaps, options);
    let chunks = of_kind(&events, "chunk");
    assert_eq!(chunks.len() as u64, heaps / per_chunk, "{events:?}");
    for (chunk, id) in chunks.iter().zip(0..) {
        let heaps = id * per_chunk..(id + 1) * per_chunk;
        let expected: Vec<u8> = heaps.flat_map(|heap| peer::payload(heap, SIZE)).collect();
        assert_eq!((&chunk["id"], &chunk["missing"]), (&id.into(), &0.into()), "{chunk}");
        assert_eq!(chunk["hash"], fnv(&expected), "{name}: {chunk}");
        assert!(scratch.read(&format!("chunk-{id}.bin")) == expected, "{name}: chunk {id}");
        let present = scratch.read(&format!("chunk-{id}.present"));
        assert_eq!(present, vec![1; per_chunk as usize], "{name}: chunk {id}");
    }
    let end = events.last().unwrap();
    assert_eq!(end["total"]["bytes_placed"], heaps * SIZE as u64, "{end}");
}

/// Receives in heap mode and checks descriptors, values and every byte.
fn assert_heaps(name: &str, source: &str, heaps: u64, address_bits: u32, options: &[&str]) {
    let scratch = Scratch::new(&format!("heaps-{name}"));
    let output = ["--descriptors", "--values", "--hash", "--write", scratch.path()];
    let bits = address_bits.to_string();
    let flavour = ["--descriptors", "--flavour", &bits];
    let events = receive(&output, source, heaps, &[&flavour, options].concat());
    let shown = of_kind(&events, "heap");
    assert_eq!(shown.len() as u64, heaps + 1, "{events:?}");

    let described = shown[0]["descriptors"].as_array().expect("descriptors");
    let names: Vec<_> = described.iter().map(|descriptor| &descriptor["name"]).collect();
    assert_eq!(names, ["timestamp", "feng_id", "payload"]);
    assert_eq!(described[0]["format"][0], format!("u{bits}"), "{:?}", described[0]);
    assert_eq!(described[0]["description"], "heap index in steps");
    let header = described[2]["numpy_header"].as_str().expect("text");
    assert!(header.contains("(20000,)") && header.contains("|u1"), "{header}");

    for (heap, number) in shown[1..].iter().zip(0..) {
        assert_eq!(heap["cnt"], number + 1, "{heap}");
        assert_eq!(heap["flavour"], format!("SPEAD-64-{bits}"), "{heap}");
        let item = |name: &str| {
            let items = heap["items"].as_array().expect("items");
            items.iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("{heap}"))
        };
        assert_eq!(item("timestamp")["value"], number, "{heap}");
        let expected = peer::payload(number, SIZE);
        assert_eq!(item("payload")["value"][7], expected[7], "{heap}");
        assert_eq!(heap["hash"], fnv(&expected), "{heap}");
        assert!(scratch.read(&format!("heap-0-{}.bin", number + 1)) == expected, "{number}");
    }
}

#[test]
fn chunks_over_udp_in_every_flavour_and_size() {
    for (packet, flavour) in [("1472", "40"), ("1472", "48"), ("8972", "40"), ("8972", "48")] {
        for (repeat, options) in [("once", &[][..]), ("repeated", &["--repeat-pointers"])] {
            let name = format!("udp-{packet}-{flavour}-{repeat}");
            let options = [&["--packet", packet, "--flavour", flavour], options].concat();
            assert_chunks(&name, "127.0.0.1:0", SMALL, 1, &options);
        }
    }
}

#[test]
fn chunks_in_packets_out_of_order() {
    // The packets of three heaps take turns.
    let options = ["--interleave", "3", "--repeat-pointers"];
    assert_chunks("interleaved", "127.0.0.1:0", SMALL, SMALL, &options);
}

#[test]
fn chunks_over_ipv6() {
    assert_chunks("ipv6", "[::1]:0", SMALL, 1, &["--packet", "8972"]);
}

#[test]
fn chunks_over_multicast() {
    let options = ["--packet", "1472", "--ttl", "1", "--interface", "127.0.0.1"];
    assert_chunks("multicast", "239.255.83.11:0", SMALL, 1, &options);
}

#[test]
fn chunks_over_tcp() {
    for (packet, flavour) in [("1472", "48"), ("60000", "40")] {
        let stream = ["--transport", "tcp", "--rate", "0"];
        let options = [&stream[..], &["--packet", packet, "--flavour", flavour]].concat();
        assert_chunks(&format!("tcp-{packet}"), "tcp://127.0.0.1:0", HEAPS, PER_CHUNK, &options);
    }
}

#[test]
fn heaps_over_udp() {
    assert_heaps("udp-48", "127.0.0.1:0", SMALL, 48, &["--packet", "8972"]);
    assert_heaps("udp-40", "127.0.0.1:0", SMALL, 40, &["--packet", "1472", "--repeat-pointers"]);
}

#[test]
fn heaps_over_ipv6() {
    assert_heaps("ipv6", "[::1]:0", SMALL, 48, &["--packet", "8972"]);
}

#[test]
fn heaps_over_tcp() {
    let options = ["--transport", "tcp", "--rate", "0", "--packet", "8972"];
    assert_heaps("tcp", "tcp://127.0.0.1:0", HEAPS, 40, &options);
}

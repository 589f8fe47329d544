//! `speadway recv` in heap mode.

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Running, Scratch, fnv, heap, interrupt, send, speadway, stop};
use serde_json::{Value, json};
use speadway::wire::{Descriptor, EncodeItem, Flavour, FormatField, HeapEncoder, ItemValue};

fn described(cnt: u64) -> Vec<Vec<u8>> {
    let flavour = Flavour::SPEAD_64_48;
    let time = Descriptor {
        id: 0x1600,
        name: b"timestamp".to_vec(),
        description: b"Samples since the epoch".to_vec(),
        format: vec![FormatField { code: b'u', bits: 48 }],
        ..Descriptor::default()
    };
    let data = Descriptor {
        id: 0x3300,
        name: b"data".to_vec(),
        numpy_header: b"{'descr': '<i2', 'fortran_order': False, 'shape': (None,)}".to_vec(),
        ..Descriptor::default()
    };
    let encoded = [time, data].map(|descriptor| descriptor.encode(flavour).unwrap());
    let items = [
        EncodeItem::descriptor(&encoded[0]),
        EncodeItem::descriptor(&encoded[1]),
        EncodeItem { id: 0x1600, value: ItemValue::Immediate(5) },
        EncodeItem { id: 0x3300, value: ItemValue::Addressed(&[1, 0, 254, 255, 3, 0]) },
    ];
    HeapEncoder::new(flavour, cnt, 1472, &items, false).unwrap().packets()
}

fn item(heap: &Value, id: u64) -> &Value {
    heap["items"].as_array().unwrap().iter().find(|item| item["id"] == id).unwrap()
}

#[test]
fn descriptors_and_values_are_shown() {
    let options = ["--values", "--max-values", "2", "--descriptors", "--hash", "127.0.0.1:0"];
    let mut running = Running::recv(&options);
    let address = running.addresses()[0];
    let packets = [described(1), heap(2, 6, 0, &[1, 2, 3, 4, 5, 6, 7, 8]), stop(3)].concat();
    send(address, &packets);
    let (events, good) = running.finish();
    assert!(good, "{events:?}");
    let [first, second, end] = &events[..] else { panic!("{events:?}") };

    assert_eq!(first["flavour"], "SPEAD-64-48");
    assert_eq!(first["descriptors"][0]["name"], "timestamp");
    assert_eq!(first["descriptors"][0]["format"], json!(["u48"]));
    let time = item(first, 0x1600);
    assert_eq!((&time["name"], &time["value"]), (&json!("timestamp"), &json!(5)), "{time}");
    let data = item(first, 0x3300);
    assert_eq!((&data["type"], &data["bytes"]), (&json!("<i2 (None,)"), &json!(6)), "{data}");
    assert_eq!((&data["value"], &data["elements"]), (&json!([1, -2]), &json!(3)), "{data}");

    // What was described before is known.
    assert_eq!(item(second, 0x3300)["value"], json!([513, 1027]));
    assert_eq!(item(second, 0x1601)["immediate"], 0);
    assert_eq!(second["hash"], fnv(&[1, 2, 3, 4, 5, 6, 7, 8]));
    assert_eq!((&end["heaps"], &end["why"]), (&json!(2), &json!("ended")), "{end}");
}

#[test]
fn heaps_are_shown_to_people() {
    let mut command = speadway();
    command.args(["recv", "--values", "--descriptors", "--limit", "1", "tcp://127.0.0.1:0"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command runs");
    let address = common::announced(&mut child);
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(&described(7).concat()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = common::stdout(&output);
    assert!(output.status.success(), "{text}");
    for expected in [
        "heap 7 of stream 0: 2 items",
        "describes 0x1600  timestamp  u48 ()  Samples since the epoch",
        "0x1600  timestamp  u48 ()  5\n",
        "0x3300  data  <i2 (None,)  6 B  [1, -2, 3]\n",
        "reached --limit",
        "bytes_placed",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn each_source_is_a_stream_unless_joint() {
    for (joint, streams) in [(false, 2), (true, 1)] {
        let mut options = vec!["127.0.0.1:0", "tcp://127.0.0.1:0"];
        options.extend(joint.then_some("--joint"));
        let mut running = Running::recv(&options);
        let addresses = running.addresses();
        send(addresses[0], &heap(1, 0, 0, b"over UDP"));
        let mut connection = TcpStream::connect(addresses[1]).unwrap();
        connection.write_all(&heap(2, 0, 0, b"over TCP").concat()).unwrap();
        let mut seen: Vec<(u64, u64)> = (0..2)
            .map(|_| running.next().unwrap())
            .map(|heap| (heap["cnt"].as_u64().unwrap(), heap["stream"].as_u64().unwrap()))
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, [(1, 0), (2, streams - 1)]);
        drop(connection);
        send(addresses[0], &stop(3));
        let (events, good) = running.finish();
        assert!(good, "{events:?}");
        let end = events.last().unwrap();
        assert_eq!(end["streams"].as_array().unwrap().len() as u64, streams);
        assert_eq!(end["total"]["heaps.placed"], 2, "{end}");
    }
}

#[test]
fn payload_is_written_to_files() {
    let scratch = Scratch::new("heaps");
    let options = ["--quiet", "--write", scratch.path(), "127.0.0.1:0"];
    let mut running = Running::recv(&options);
    let address = running.addresses()[0];
    let samples: Vec<u8> = (0..5000).map(|at| (at % 251) as u8).collect();
    send(address, &[heap(4, 0, 0, &samples), stop(5)].concat());
    let (events, good) = running.finish();
    assert!(good, "{events:?}");
    assert!(scratch.read("heap-0-4.bin") == samples);
}

#[test]
fn incomplete_heaps_are_shown_on_request() {
    for incomplete in [true, false] {
        let mut options = vec!["--timeout", "60", "127.0.0.1:0"];
        options.extend(incomplete.then_some("--incomplete"));
        let mut running = Running::recv(&options);
        let address = running.addresses()[0];
        let mut packets = heap(1, 0, 0, &[9; 3000]);
        packets.pop();
        send(address, &[packets, stop(2)].concat());
        let (events, good) = running.finish();
        assert!(good, "{events:?}");
        let end = events.last().unwrap();
        assert_eq!(end["heaps"], u64::from(incomplete), "{end}");
        if incomplete {
            assert_eq!(events[0]["status"], "incomplete");
        }
    }
}

#[test]
fn ctrl_c_ends_it_though_nobody_reads_what_it_writes() {
    let mut running = Running::recv(&["--values", "--max-values", "0", "tcp://127.0.0.1:0"]);
    let address = running.addresses()[0];
    let mut connection = TcpStream::connect(address).unwrap();
    // Once the pipe behind it is full, it holds the sender back.
    connection.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut heaps = (1..).map(|cnt| heap(cnt, cnt, 0, &[7; 50_000]).concat());
    while connection.write_all(&heaps.next().unwrap()).is_ok() {}
    let end = Instant::now() + Duration::from_secs(60);
    // The first is not noticed; two in a row may be one to the kernel.
    let status = loop {
        interrupt(running.id());
        if let Some(status) = running.try_wait() {
            break status;
        }
        assert!(Instant::now() < end, "it does not end");
    };
    assert_eq!(status.code(), Some(130), "128 and SIGINT");
}

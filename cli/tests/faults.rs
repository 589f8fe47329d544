//! What goes wrong around the program: killed and stopped processes, sockets that are shut or reset
//! under a reader, little memory, a fork. (Cables and networks are in `privileged.rs`.)
#![cfg(target_os = "linux")]

mod common;

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Running, assert_balance, heap, of_kind, send, stop};
use serde_json::json;
use socket2::{SockRef, Socket};
use speadway::chunk::WhenFull;
use speadway::heap::Heap;
use speadway::net::{ReceiverConfig, UdpConfig};
use speadway::recv::readers::{TcpConfig, TcpReader, UdpReader};
use speadway::recv::{End, Stream, StreamConfig, Worker};
use speadway::ring::Ring;
use speadway::send::transport::TcpTransport;
use speadway::send::{Heap as SendHeap, SendConfig, SendStream};
use speadway::wire::Flavour;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn signal(process: u32, name: &str) {
    let kill = Command::new("kill").args([name, &process.to_string()]).status();
    assert!(kill.expect("kill runs").success());
}

fn heaps_over(
    reader: impl speadway::recv::Reader + 'static,
    worker: &Worker,
) -> (Stream, Ring<Heap>) {
    let ring = Ring::new(64).unwrap();
    let stream = Stream::heaps()
        .config(StreamConfig::default())
        .ring(&ring, WhenFull::Wait)
        .reader(reader)
        .start(worker)
        .unwrap();
    (stream, ring)
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::yield_now();
    }
}

/// A receiver that is killed while it is sent to: the sender is told, and another one may take its
/// place at once.
#[test]
fn a_receiver_may_be_killed() {
    let mut running = Running::recv(&["tcp://127.0.0.1:0"]);
    let address = running.addresses()[0];
    let connection = TcpStream::connect(address).unwrap();
    let transport = TcpTransport::new(connection).unwrap();
    let worker = Worker::new().unwrap();
    let stream = SendStream::start(&worker, transport, SendConfig::default()).unwrap();
    let heap = || SendHeap::new(Flavour::default()).item(0x3300, vec![1; 1 << 16]).unwrap();
    stream.send_waiting(heap()).unwrap();
    until("the first heap", || running.next().is_some());
    signal(running.id(), "-KILL");
    let end = Instant::now() + PATIENCE;
    let mut refused = false;
    while !refused && Instant::now() < end {
        refused = stream.send_waiting(heap()).is_err() || stream.last_error().is_some();
    }
    assert!(refused, "the sender is told");
    drop(running);
    let endpoint = format!("tcp://{address}");
    let mut again = Running::recv(&[&endpoint]);
    assert_eq!(again.addresses(), [address]);
}

/// A sender that is killed in the middle of a heap: the stream ends, and what arrived is accounted
/// for.
#[test]
fn a_sender_may_be_killed() {
    let mut running = Running::recv(&["tcp://127.0.0.1:0"]);
    let address = running.addresses()[0];
    let mut packets = heap(1, 0, 0, &[7; 4000]).concat();
    packets.extend(&heap(2, 1, 0, &[8; 4000]).concat()[..2000]);
    // Sends them and stays, connected.
    let script = "exec 3<>/dev/tcp/127.0.0.1/$0; cat >&3; echo sent; exec sleep 600";
    let mut sender = Command::new("bash")
        .args(["-c", script, &address.port().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    sender.stdin.take().unwrap().write_all(&packets).unwrap();
    assert_eq!(running.next().unwrap()["cnt"], 1);
    sender.kill().unwrap();
    sender.wait().unwrap();
    let (events, good) = running.finish();
    assert!(good, "{events:?}");
    let end = events.last().unwrap();
    assert_balance(end);
    assert_eq!(end["heaps"], 1, "{end}");
}

/// A receiver that stands still loses to the kernel, which says how much; then it goes on.
#[test]
fn a_receiver_may_be_stopped_and_continued() {
    const HEAPS: u64 = 400;
    let mut running = Running::recv(&["--buffer", "65536", "127.0.0.1:0"]);
    let address = running.addresses()[0];
    signal(running.id(), "-STOP");
    let payload = [5; 1000];
    for cnt in 1..=HEAPS {
        send(address, &heap(cnt, cnt, 0, &payload));
    }
    signal(running.id(), "-CONT");
    // There is room again once it has read a heap.
    running.next().expect("a heap");
    let end = Instant::now() + PATIENCE;
    while running.try_wait().is_none() && Instant::now() < end {
        send(address, &stop(HEAPS + 1));
    }
    let (events, good) = running.finish();
    assert!(good);
    let end = events.last().unwrap();
    assert_balance(end);
    let stats = &end["streams"][0]["stats"];
    let count = |name: &str| stats[name].as_u64().unwrap_or(0);
    assert!(count("kernel_drops") > 0, "{end}");
    let stops = count("packets_received") - count("heaps");
    assert!(count("heaps") + count("kernel_drops") >= HEAPS && stops >= 1, "{end}");
}

/// Sockets of the user's, shut down while streams read duplicates of them.
#[test]
fn sockets_may_be_shut_under_a_reader() {
    let worker = Worker::new().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let reader = UdpReader::adopt(udp.as_fd(), &ReceiverConfig::default()).unwrap();
    let (stream, ring) = heaps_over(reader, &worker);
    send(udp.local_addr().unwrap(), &heap(1, 0, 0, &[1; 10]));
    assert_eq!(ring.pop().unwrap().cnt(), 1);
    // Fails on a socket that is not connected, but wakes its readers.
    let _ = SockRef::from(&udp).shutdown(Shutdown::Both);
    let other = UdpReader::bind(&UdpConfig::new("127.0.0.1:0".parse().unwrap())).unwrap();
    let address = other.local_addr();
    let (neighbour, its_ring) = heaps_over(other, &worker);
    send(address, &[heap(2, 0, 0, &[1; 10]), stop(3)].concat());
    assert_eq!(its_ring.iter().count(), 1);
    assert_eq!(neighbour.wait(), End::Finished);
    stream.stop();
    assert!(stream.stats().packets_balance());
}

/// Connections that end as they should not: by a reset, in the middle of a packet.
#[test]
fn connections_may_be_reset() {
    let worker = Worker::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (receiver, _) = listener.accept().unwrap();
    let reader = TcpReader::from_stream(receiver, &TcpConfig::default()).unwrap();
    let (stream, ring) = heaps_over(reader, &worker);
    let packet = heap(1, 0, 0, &[1; 100]).concat();
    sender.write_all(&packet).unwrap();
    assert_eq!(ring.pop().unwrap().cnt(), 1);
    sender.write_all(&packet[..60]).unwrap();
    // Closing with this set resets the connection.
    Socket::from(sender.try_clone().unwrap()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(sender);
    let end = stream.wait();
    assert!(matches!(end, End::Finished | End::Failed(_)), "{end:?}");
    let stats = stream.stats();
    assert!(stats.packets_balance() && stats.heaps_balance(), "{stats}");
    assert_eq!(ring.iter().count(), 0);
}

/// With little memory a heap that asks for much of it is counted, and the next is received.
#[test]
fn memory_may_be_short() {
    let limited = format!("ulimit -v 600000; exec {} \"$@\"", env!("CARGO_BIN_EXE_speadway"));
    let mut command = Command::new("sh");
    command.args(["-c", &limited, "sh"]);
    let mut running = Running::start(command, &["127.0.0.1:0"]);
    let address = running.addresses()[0];
    // The first packet of a heap of 2 GiB.
    let mut huge = heap(1, 0, 0, &[1; 5000]).swap_remove(0);
    let length = huge[8..].chunks_exact_mut(8).find(|item| item[..3] == [0x80, 0, 2]);
    length.unwrap()[3..].copy_from_slice(&(2_u64 << 30).to_be_bytes()[3..]);
    send(address, &[vec![huge], heap(2, 1, 0, &[2; 100]), stop(3)].concat());
    let (events, good) = running.finish();
    assert!(good, "{events:?}");
    let end = events.last().unwrap();
    assert_balance(end);
    assert_eq!(of_kind(&events, "heap").len(), 1, "{events:?}");
    assert_eq!(end["streams"][0]["stats"]["packets_discarded.no_memory"], json!(1), "{end}");
}

/// A process that this one starts does not keep its sockets.
#[test]
fn children_inherit_nothing() {
    let worker = Worker::new().unwrap();
    let reader = UdpReader::bind(&UdpConfig::new("127.0.0.1:0".parse().unwrap())).unwrap();
    let udp = reader.local_addr();
    let listener =
        TcpReader::listen("127.0.0.1:0".parse().unwrap(), &TcpConfig::default()).unwrap();
    let tcp = listener.local_addr();
    let streams = [heaps_over(reader, &worker), heaps_over(listener, &worker)];
    let mut child = Command::new("sleep").arg("600").spawn().unwrap();
    drop(streams);
    drop(worker);
    // A process that another test starts right now holds copies until it runs its program.
    let patience = Instant::now() + Duration::from_secs(10);
    let again = loop {
        let again = UdpSocket::bind(udp).and_then(|_| TcpListener::bind(tcp));
        if again.is_ok() || Instant::now() > patience {
            break again;
        }
        std::thread::yield_now();
    };
    child.kill().unwrap();
    child.wait().unwrap();
    again.expect("the ports are free");
}

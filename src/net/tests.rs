//! The same tests over every way of sending and receiving, so that what other systems rely on is
//! tested here too.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::*;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Path {
    /// What this system does best: GRO and GSO on Linux.
    Best,
    /// Without merging and splitting by the kernel.
    Plain,
    /// What every system can do.
    Fallback,
}

const PATHS: [Path; 3] = [Path::Best, Path::Plain, Path::Fallback];
const ADDRESSES: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

fn receiver(path: Path, address: &str, config: ReceiverConfig) -> UdpReceiver {
    let config = config.gro(path == Path::Best);
    let udp = UdpConfig::new(address.parse().unwrap()).gro(config.gro).recv_buffer(0);
    let socket = bind_udp(&udp).unwrap();
    match path {
        Path::Best | Path::Plain => UdpReceiver::new(socket, &config),
        Path::Fallback => UdpReceiver::with_batch(socket, &config, |slots, wanted, drops| {
            Box::new(fallback::Receives::new(slots, wanted, drops))
        }),
    }
}

fn sender(path: Path, to: SocketAddr) -> UdpSender {
    let sender = UdpSender::open(&UdpSendConfig::to(to).gso(path == Path::Best)).unwrap();
    match path {
        Path::Best | Path::Plain => sender,
        Path::Fallback => sender.with_batch(Box::new(fallback::Sends::new(true))),
    }
}

fn wait(receiver: &UdpReceiver) {
    use std::os::fd::AsRawFd;
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(1);
    let fd = receiver.as_raw_fd();
    poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE).unwrap();
    poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
    assert!(!events.is_empty(), "nothing arrived");
}

/// Sends all packets, reading whatever arrives in between, so that no buffer overflows.
fn exchange(
    sender: &mut UdpSender,
    receiver: &mut UdpReceiver,
    packets: &[PacketParts<'_>],
) -> Vec<Vec<u8>> {
    // A default receive buffer, 212992 bytes, holds one train of 64 KiB or 64 small packets with
    // all that the kernel adds to them.
    let longest = packets.iter().map(PacketParts::len).max().unwrap().max(1024);
    let at_once = (65_536 / longest).max(1);
    let mut received = Vec::new();
    for some in packets.chunks(at_once) {
        let (mut sent, target) = (0, received.len() + some.len());
        while received.len() < target {
            sent += sender.send(Some(receiver.local_addr()), &some[sent..]).unwrap();
            wait(receiver);
            receiver.receive().unwrap();
            while let Some(datagram) = receiver.peek() {
                assert!(!datagram.truncated);
                received.push(datagram.bytes.to_vec());
                receiver.advance();
            }
        }
    }
    received
}

fn joined(packet: &PacketParts<'_>) -> Vec<u8> {
    let more = packet.more.iter().flat_map(|piece| piece.iter());
    packet.header.iter().chain(packet.payload).chain(more).copied().collect()
}

/// Runs `packets` through every pair of ways and families.
fn round_trips(packets: &[PacketParts<'_>]) {
    let expected: Vec<_> = packets.iter().map(joined).collect();
    for address in ADDRESSES {
        for (from, to) in PATHS.into_iter().flat_map(|from| PATHS.map(|to| (from, to))) {
            let mut receiver = receiver(to, address, ReceiverConfig::default());
            let mut sender = sender(from, receiver.local_addr());
            let received = exchange(&mut sender, &mut receiver, packets);
            assert!(received == expected, "{address}, {from:?} to {to:?}");
            assert_eq!(receiver.receive().unwrap(), 0);
            assert_eq!(receiver.truncated(), 0);
            assert_eq!(receiver.poll_kernel_drops(), 0);
            assert_eq!(sender.gso(), from == Path::Best && cfg!(target_os = "linux"));
        }
    }
}

fn noise(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[test]
fn a_train_with_an_odd_last_packet() {
    let (headers, payload) = (noise(8 * 30), noise(1472 * 30 - 500));
    let payloads = payload.chunks(1472);
    let packets: Vec<_> =
        headers.chunks(8).zip(payloads).map(|(head, body)| PacketParts::new(head, body)).collect();
    assert_eq!(packets.last().unwrap().payload.len(), 972);
    round_trips(&packets);
}

#[test]
fn jumbo_packets() {
    let bytes = noise(8972 * 40);
    let packets: Vec<_> = bytes.chunks(8972).map(|body| PacketParts::new(&[], body)).collect();
    round_trips(&packets);
}

#[test]
fn packets_of_all_sizes_in_many_pieces() {
    let bytes = noise(3000);
    let more: Vec<_> = (0..150).map(|i| [IoSlice::new(&bytes[i..i * 2]); 3]).collect();
    let packet = |i: usize| {
        let pieces = &more[i][..i % 4];
        PacketParts::new(&bytes[..i % 17], &bytes[i..i * 37 % 1000 + i]).with_more(pieces)
    };
    let packets: Vec<_> = (0..150).map(packet).collect();
    assert!(packets[0].is_empty());
    round_trips(&packets);
}

#[test]
fn every_way_cuts_flags_and_names_the_source() {
    for path in PATHS {
        let config = ReceiverConfig::default().max_datagram(99).want_source(true);
        let mut receiver = receiver(path, "127.0.0.1:0", config);
        let mut sender = sender(path, receiver.local_addr());
        let bytes = noise(250);
        let packets: Vec<_> = bytes.chunks(100).map(|p| PacketParts::new(p, &[])).collect();
        assert_eq!(sender.send(Some(receiver.local_addr()), &packets).unwrap(), 3);
        let mut seen = Vec::new();
        while seen.len() < 3 {
            wait(&receiver);
            receiver.receive().unwrap();
            while let Some(datagram) = receiver.peek() {
                let port = datagram.source.unwrap().port();
                assert_eq!(port, sender.local_addr().port());
                assert_eq!(datagram.bytes, &bytes[seen.len() * 100..][..datagram.bytes.len()]);
                seen.push((datagram.bytes.len(), datagram.truncated));
                receiver.advance();
            }
        }
        assert_eq!(seen, [(99, true), (99, true), (50, false)], "{path:?}");
        assert_eq!(receiver.truncated(), 2);
    }
}

#[test]
fn a_packet_too_long_for_udp_is_refused_and_the_rest_goes_on() {
    for path in PATHS {
        let mut receiver = receiver(path, "127.0.0.1:0", ReceiverConfig::default());
        let mut sender = sender(path, receiver.local_addr());
        let to = Some(receiver.local_addr());
        let (good, long) = (noise(10), noise(65_508));
        let [good, long] = [&good, &long].map(|bytes| PacketParts::new(bytes, &[]));
        assert_eq!(sender.send(to, &[good, long, good]).unwrap(), 1, "{path:?}");
        let error = sender.send(to, &[long, good]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        let received = exchange(&mut sender, &mut receiver, &[good; 2]);
        assert_eq!(received[..2], [good.header; 2], "{path:?}");
    }
}

#[test]
fn the_longest_packet_of_each_family_arrives() {
    for (address, len) in ADDRESSES.into_iter().zip([65_507, 65_527]) {
        for path in PATHS {
            let config = ReceiverConfig::default().max_datagram(len);
            let mut receiver = receiver(path, address, config);
            let mut sender = sender(path, receiver.local_addr());
            let bytes = noise(len);
            let packets = [PacketParts::new(&bytes[..9], &bytes[9..])];
            let received = exchange(&mut sender, &mut receiver, &packets);
            assert!(received == [bytes], "{address}, {path:?}");
        }
    }
}

#[test]
fn what_only_linux_can_is_said_so_elsewhere() {
    let receiver = receiver(Path::Fallback, "127.0.0.1:0", ReceiverConfig::default());
    let socket = receiver.socket().socket();
    for error in [
        fallback::options::set_timestamps(socket).unwrap_err(),
        fallback::options::set_busy_poll(socket, 50).unwrap_err(),
        fallback::options::set_max_pacing_rate(socket, 1).unwrap_err(),
        fallback::options::set_departure_times(socket, Discipline::Fq).unwrap_err(),
        fallback::options::drops(socket).unwrap_err(),
    ] {
        assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
        assert!(error.to_string().ends_with("is supported on Linux only"), "{error}");
    }
    fallback::options::set_recv_buffer(socket, 1 << 17).unwrap();
    assert!(fallback::options::recv_buffer(socket).unwrap() >= 1 << 17);
}

//! Receiving UDP over loopback, through the public interface.

mod net_common;

use std::net::UdpSocket as StdSocket;
use std::time::{Duration, SystemTime};

use net_common::{collect, packets, receiver, wait_readable};
use speadway::net::{ReceiverConfig, UdpConfig, UdpReceiver, bind_udp};

const BOTH_FAMILIES: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

#[test]
fn datagrams_arrive_byte_exact_with_and_without_merging() {
    for address in BOTH_FAMILIES {
        for gro in [false, true] {
            let mut receiver = receiver(address, &ReceiverConfig::default().gro(gro));
            let sender = StdSocket::bind(address).unwrap();
            let sent = packets(150, |i| 1 + (i * 61) % 1400);
            for packet in &sent {
                sender.send_to(packet, receiver.local_addr()).unwrap();
            }
            assert_eq!(collect(&mut receiver, sent.len()), sent, "{address}, gro {gro}");
            assert_eq!(receiver.receive().unwrap(), 0);
        }
    }
}

#[test]
fn staged_datagrams_survive_another_receive() {
    let mut receiver = receiver("127.0.0.1:0", &ReceiverConfig::default().gro(false));
    let sender = StdSocket::bind("127.0.0.1:0").unwrap();
    let sent = packets(3, |i| 10 + i);
    for packet in &sent {
        sender.send_to(packet, receiver.local_addr()).unwrap();
    }
    assert_eq!(receiver.receive().unwrap(), 3);
    receiver.advance();
    assert_eq!(receiver.receive().unwrap(), 2);
    assert_eq!(receiver.peek().unwrap().bytes, sent[1]);
    assert_eq!(receiver.staged(), 2);
}

#[test]
fn an_empty_datagram_is_received() {
    let mut receiver = receiver("127.0.0.1:0", &ReceiverConfig::default());
    let sender = StdSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(&[], receiver.local_addr()).unwrap();
    assert_eq!(collect(&mut receiver, 1), [Vec::new()]);
}

#[test]
fn long_datagrams_are_cut_flagged_and_counted() {
    for gro in [false, true] {
        let config = ReceiverConfig::default().gro(gro).max_datagram(100);
        let mut receiver = receiver("127.0.0.1:0", &config);
        let sender = StdSocket::bind("127.0.0.1:0").unwrap();
        for size in [100, 101, 5000] {
            sender.send_to(&vec![7; size], receiver.local_addr()).unwrap();
        }
        let mut flags = Vec::new();
        while flags.len() < 3 {
            wait_readable(&receiver);
            receiver.receive().unwrap();
            while let Some(datagram) = receiver.peek() {
                assert_eq!(datagram.bytes, [7; 100]);
                flags.push(datagram.truncated);
                receiver.advance();
            }
        }
        assert_eq!(flags, [false, true, true], "gro {gro}");
        assert_eq!(receiver.truncated(), 2);
    }
}

#[test]
fn source_and_time_come_when_wanted() {
    for address in BOTH_FAMILIES {
        let socket = bind_udp(&UdpConfig::new(address.parse().unwrap()).timestamps(true)).unwrap();
        let config = ReceiverConfig::default().want_source(true).want_time(true);
        let mut receiver = UdpReceiver::new(socket, &config);
        let sender = StdSocket::bind(address).unwrap();
        sender.send_to(b"x", receiver.local_addr()).unwrap();
        wait_readable(&receiver);
        assert_eq!(receiver.receive().unwrap(), 1);
        let datagram = receiver.peek().unwrap();
        assert_eq!(datagram.source, Some(sender.local_addr().unwrap()));
        let age = SystemTime::now().duration_since(datagram.time.unwrap()).unwrap();
        assert!(age < Duration::from_secs(60), "{age:?}");
    }
    let mut receiver = receiver("127.0.0.1:0", &ReceiverConfig::default());
    let sender = StdSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"x", receiver.local_addr()).unwrap();
    wait_readable(&receiver);
    receiver.receive().unwrap();
    let datagram = receiver.peek().unwrap();
    assert_eq!((datagram.source, datagram.time), (None, None));
}

//! Setting sockets up: what is refused and how it is said, what is shared, adopted and reported.

mod net_common;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket as StdSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use net_common::{collect, packets, receiver, wait_readable};
use socket2::SockRef;
use speadway::net::{
    Interface, NetError, PacketParts, ReceiverConfig, UdpConfig, UdpReceiver, UdpSendConfig,
    UdpSender, adopt_udp, bind_udp,
};

fn loopback() -> UdpConfig {
    UdpConfig::new("127.0.0.1:0".parse().unwrap())
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let first = bind_udp(&loopback()).unwrap();
    let address = first.local_addr();
    let text = bind_udp(&UdpConfig::new(address)).unwrap_err().to_string();
    assert!(text.starts_with(&format!("cannot bind UDP {address}: Address already in use")));
    let advice = "; another process receives on this port, choose another or use reuse_port";
    assert!(text.ends_with(advice), "{text}");
}

#[test]
fn an_address_of_no_interface_is_refused_with_what_to_do() {
    let config = UdpConfig::new("203.0.113.77:0".parse().unwrap());
    let error = bind_udp(&config).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrNotAvailable);
    assert!(error.to_string().contains("no interface of this host has this address"), "{error}");
}

#[test]
fn a_missing_interface_is_named() {
    let group: SocketAddr = "239.255.77.1:0".parse().unwrap();
    for (interface, wanted) in [
        (Interface::Name("nosuchif9".into()), "is called nosuchif9"),
        (Interface::Index(u32::MAX), "has the index 4294967295"),
        (Interface::Addr(Ipv4Addr::new(203, 0, 113, 77)), "has the address 203.0.113.77"),
    ] {
        let receive = bind_udp(&UdpConfig::new(group).interface(interface.clone())).unwrap_err();
        let send = UdpSender::open(&UdpSendConfig::to(group).interface(interface)).unwrap_err();
        for error in [receive, send] {
            assert!(matches!(error, NetError::NoInterface { .. }), "{error:?}");
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }
}

#[test]
fn contradictions_are_refused() {
    let refused = |config: UdpConfig| {
        let error = bind_udp(&config).unwrap_err();
        assert!(matches!(error, NetError::BadConfig { .. }), "{error:?}");
    };
    refused(loopback().source("10.0.0.1".parse().unwrap()));
    refused(loopback().interface(Interface::Index(1)));
    refused(loopback().interface(Interface::Addr(Ipv4Addr::new(127, 0, 0, 2))));
    let group = UdpConfig::new("232.1.2.3:0".parse().unwrap());
    refused(group.source("::1".parse().unwrap()));
    bind_udp(&loopback().interface(Interface::Addr(Ipv4Addr::LOCALHOST))).unwrap();
}

#[test]
fn the_buffer_granted_is_reported_in_the_terms_of_the_request() {
    let small = bind_udp(&loopback().recv_buffer(100_000)).unwrap().recv_buffer();
    assert_eq!((small.requested, small.granted), (100_000, 100_000));
    assert_eq!(small.sysctl_hint(), None);

    let default = bind_udp(&loopback().recv_buffer(0)).unwrap().recv_buffer();
    assert_eq!(default.requested, 0);
    assert!(default.granted > 0 && !default.is_short());

    // Only privilege, or a huge limit, grants this one.
    let huge = bind_udp(&loopback().recv_buffer(1 << 30)).unwrap().recv_buffer();
    let hint = huge.sysctl_hint();
    assert_eq!(hint.is_some(), huge.is_short());
    assert!(hint.is_none_or(|hint| hint.contains("1073741824")));
}

#[test]
#[cfg(target_os = "linux")]
fn busy_polling_is_granted_or_refused_with_what_to_do() {
    match bind_udp(&loopback().busy_poll(std::time::Duration::from_micros(50))) {
        Ok(socket) => assert_eq!(SockRef::from(&socket).busy_poll().unwrap(), 50),
        Err(error) => {
            assert!(error.to_string().starts_with("cannot busy-poll for 50 µs: "), "{error}");
            assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
        }
    }
}

#[test]
fn sockets_that_reuse_a_port_share_its_packets() {
    let first = bind_udp(&loopback().reuse_port(true)).unwrap();
    let address = first.local_addr();
    let second = bind_udp(&UdpConfig::new(address).reuse_port(true)).unwrap();
    let mut receivers =
        [first, second].map(|socket| UdpReceiver::new(socket, &ReceiverConfig::default()));
    // The kernel chooses by the sender's address; 64 of them all choosing one socket is as likely
    // as 2^-63.
    let senders: Vec<_> = (0..64).map(|_| StdSocket::bind("127.0.0.1:0").unwrap()).collect();
    for sender in &senders {
        sender.send_to(b"x", address).unwrap();
    }
    // Loopback delivers within the send, so everything is there.
    let counts = receivers.each_mut().map(|receiver| {
        let mut count = 0;
        while receiver.receive().unwrap() > 0 {
            while receiver.peek().is_some() {
                count += 1;
                receiver.advance();
            }
        }
        count
    });
    assert_eq!(counts[0] + counts[1], 64);
    assert!(counts[0] > 0 && (counts[1] > 0 || cfg!(not(target_os = "linux"))), "{counts:?}");
}

#[test]
fn an_adopted_socket_keeps_its_flags_and_is_received_from() {
    for blocking in [true, false] {
        let original = StdSocket::bind("127.0.0.1:0").unwrap();
        original.set_nonblocking(!blocking).unwrap();
        let socket = adopt_udp(original.as_fd()).unwrap();
        assert_eq!(socket.local_addr(), original.local_addr().unwrap());
        let mut receiver = UdpReceiver::new(socket, &ReceiverConfig::default());
        assert_eq!(receiver.receive().unwrap(), 0, "it must not block");
        let sent = packets(5, |i| i + 1);
        let sender = StdSocket::bind("127.0.0.1:0").unwrap();
        for packet in &sent {
            sender.send_to(packet, receiver.local_addr()).unwrap();
        }
        assert_eq!(collect(&mut receiver, 5), sent);
        drop(receiver);
        assert_eq!(SockRef::from(&original).nonblocking().unwrap(), !blocking);
        sender.send_to(b"to the original", original.local_addr().unwrap()).unwrap();
        wait_readable(&original);
        assert_eq!(original.recv(&mut [0; 32]).unwrap(), 15);
    }
}

#[test]
fn only_udp_sockets_can_be_adopted() {
    let refused = |fd: std::os::fd::BorrowedFd<'_>, text: &str| {
        for error in [adopt_udp(fd).unwrap_err(), UdpSender::adopt(fd, true).unwrap_err()] {
            assert!(matches!(error, NetError::WrongSocket { .. }), "{error:?}");
            assert!(error.to_string().contains(text), "{error}");
        }
    };
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    refused(tcp.as_fd(), "STREAM");
    let unix = UnixDatagram::unbound().unwrap();
    refused(unix.as_fd(), "address family");
    let file = std::fs::File::open("/dev/null").unwrap();
    refused(file.as_fd(), "not a socket");
}

#[test]
fn an_adopted_socket_sends_with_its_flags_left_alone() {
    let original = StdSocket::bind("127.0.0.1:0").unwrap();
    let mut sender = UdpSender::adopt(original.as_fd(), true).unwrap();
    let mut receiver = receiver("127.0.0.1:0", &ReceiverConfig::default().want_source(true));
    original.connect(receiver.local_addr()).unwrap();
    assert_eq!(sender.send(None, &[PacketParts::new(b"he", b"llo"); 3]).unwrap(), 3);
    assert_eq!(collect(&mut receiver, 3), [b"hello"; 3]);
    assert!(!SockRef::from(&original).nonblocking().unwrap());
}

#[test]
fn an_answer_that_nobody_listens_does_not_end_receiving() {
    let gone = StdSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let original = StdSocket::bind("127.0.0.1:0").unwrap();
    original.connect(gone).unwrap();
    let mut receiver =
        UdpReceiver::new(adopt_udp(original.as_fd()).unwrap(), &ReceiverConfig::default());
    original.send(b"anyone?").unwrap();
    wait_readable(&receiver);
    let error = receiver.receive().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(receiver.receive().unwrap(), 0);
    let late = StdSocket::bind(gone).unwrap();
    late.send_to(b"yes", receiver.local_addr()).unwrap();
    assert_eq!(collect(&mut receiver, 1), [b"yes"]);
}

#[test]
#[cfg(target_os = "linux")]
fn every_packet_is_received_or_counted_as_dropped() {
    let socket = bind_udp(&loopback().recv_buffer(8192).gro(false)).unwrap();
    let mut receiver = UdpReceiver::new(socket, &ReceiverConfig::default().gro(false));
    let config = UdpSendConfig::to(receiver.local_addr()).gso(false);
    let mut sender = UdpSender::open(&config).unwrap();
    let (mut sent, mut received) = (0, 0);
    for _ in 0..3 {
        let packets = [PacketParts::new(&[1; 1000], &[]); 500];
        sent += sender.send(Some(receiver.local_addr()), &packets).unwrap() as u64;
        while receiver.receive().unwrap() > 0 {
            received += receiver.staged() as u64;
            while receiver.peek().is_some() {
                receiver.advance();
            }
        }
    }
    assert_eq!(sent, 1500);
    assert!(received < sent && received > 0);
    // What was dropped behind the last packet received is known only when asked for.
    let told = receiver.kernel_drops();
    assert!(told > 0 && told < sent - received, "{told}");
    assert_eq!(receiver.poll_kernel_drops(), sent - received);
    assert_eq!(receiver.kernel_drops(), sent - received);
}

#[test]
#[cfg(target_os = "linux")]
fn drops_before_adoption_are_not_ours() {
    let original = StdSocket::bind("127.0.0.1:0").unwrap();
    SockRef::from(&original).set_recv_buffer_size(4096).unwrap();
    let sender = StdSocket::bind("127.0.0.1:0").unwrap();
    let flood = || {
        for _ in 0..100 {
            sender.send_to(&[0; 1000], original.local_addr().unwrap()).unwrap();
        }
    };
    flood();
    let socket = adopt_udp(original.as_fd()).unwrap();
    let mut receiver = UdpReceiver::new(socket, &ReceiverConfig::default());
    assert_eq!(receiver.poll_kernel_drops(), 0);
    flood();
    assert_eq!(receiver.poll_kernel_drops(), 100);
}

#[test]
#[cfg(target_os = "linux")]
fn a_pacing_rate_can_be_set() {
    let sender = UdpSender::open(&UdpSendConfig::to("127.0.0.1:1".parse().unwrap())).unwrap();
    sender.set_max_pacing_rate(1_000_000_000).unwrap();
    sender.set_max_pacing_rate(u64::MAX).unwrap();
}

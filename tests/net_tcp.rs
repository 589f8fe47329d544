//! Listening and connecting over loopback.

mod net_common;

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use net_common::wait_readable;
use socket2::{Domain, SockRef, Socket, Type};
use speadway::net::{NetError, TcpListener, adopt_tcp_listener, connect_tcp, listen_tcp};

const TIMEOUT: Duration = Duration::from_secs(20);

fn transfer(listener: &TcpListener) {
    assert!(listener.accept().unwrap().is_none());
    let mut client = connect_tcp(listener.local_addr(), None, 65_536, TIMEOUT).unwrap();
    wait_readable(listener);
    let (mut stream, peer) = listener.accept().unwrap().expect("a connection");
    assert_eq!(peer, client.local_addr().unwrap());
    let mut bytes = [0; 16];
    assert_eq!(stream.read(&mut bytes).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    client.write_all(b"packets").unwrap();
    drop(client);
    wait_readable(&stream);
    let mut received = Vec::new();
    while received.len() < 7 {
        wait_readable(&stream);
        let count = stream.read(&mut bytes).unwrap();
        received.extend_from_slice(&bytes[..count]);
    }
    assert_eq!(received, b"packets");
}

#[test]
fn bytes_cross_a_connection_of_each_family() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = listen_tcp(address.parse().unwrap(), 100_000).unwrap();
        assert_eq!(listener.recv_buffer().granted, 100_000);
        transfer(&listener);
    }
}

#[test]
fn an_adopted_blocking_listener_stays_blocking_and_does_not_block_us() {
    let original = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = adopt_tcp_listener(original.as_fd()).unwrap();
    transfer(&listener);
    assert!(!SockRef::from(&original).nonblocking().unwrap());
    drop(listener);
    assert!(original.local_addr().is_ok());
}

#[test]
fn only_a_listener_can_be_adopted() {
    let found = |error| match error {
        NetError::WrongSocket { found, .. } => found,
        other => panic!("{other}"),
    };
    let idle = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let error = adopt_tcp_listener(idle.as_fd()).unwrap_err();
    assert_eq!(found(error), "a TCP socket that does not listen");
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(found(adopt_tcp_listener(udp.as_fd()).unwrap_err()).contains("DGRAM"));
    let file = std::fs::File::open("/dev/null").unwrap();
    let error = adopt_tcp_listener(file.as_fd()).unwrap_err();
    assert!(found(error).starts_with("not a socket"));
}

#[test]
fn errors_say_what_was_attempted_and_what_to_do() {
    let first = listen_tcp("127.0.0.1:0".parse().unwrap(), 0).unwrap();
    let address = first.local_addr();
    let text = listen_tcp(address, 0).unwrap_err().to_string();
    assert!(text.starts_with(&format!("cannot bind TCP {address}: ")), "{text}");
    assert!(text.ends_with("another process listens on this port, choose another"), "{text}");

    drop(first);
    let error = connect_tcp(address, None, 0, TIMEOUT).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert!(error.to_string().starts_with(&format!("cannot connect to TCP {address}: ")));
}

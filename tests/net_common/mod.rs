//! What the tests of the `net` layer share.
#![allow(dead_code, reason = "each test file uses its part of it")]

use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use speadway::net::{ReceiverConfig, UdpConfig, UdpReceiver, bind_udp};

/// Long enough for any packet to cross a loaded machine's loopback interface.
const PATIENCE: Duration = Duration::from_secs(20);

/// A receiver on `address`.
pub(crate) fn receiver(address: &str, config: &ReceiverConfig) -> UdpReceiver {
    let socket = bind_udp(&UdpConfig::new(address.parse().unwrap()).gro(config.gro)).unwrap();
    UdpReceiver::new(socket, config)
}

/// Whether `source` becomes readable within `patience`.
pub(crate) fn readable_within(source: &impl AsRawFd, patience: Duration) -> bool {
    let mut poll = Poll::new().unwrap();
    let fd = source.as_raw_fd();
    poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE).unwrap();
    let mut events = Events::with_capacity(1);
    poll.poll(&mut events, Some(patience)).unwrap();
    !events.is_empty()
}

/// Waits until `source` is readable.
pub(crate) fn wait_readable(source: &impl AsRawFd) {
    assert!(readable_within(source, PATIENCE), "nothing arrived within {PATIENCE:?}");
}

/// The next `count` datagrams.
pub(crate) fn collect(receiver: &mut UdpReceiver, count: usize) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    while seen.len() < count {
        wait_readable(receiver);
        receiver.receive().unwrap();
        while let Some(datagram) = receiver.peek() {
            assert!(!datagram.truncated);
            seen.push(datagram.bytes.to_vec());
            receiver.advance();
        }
    }
    seen
}

/// `count` different packets with the sizes that `size` gives.
pub(crate) fn packets(count: usize, size: impl Fn(usize) -> usize) -> Vec<Vec<u8>> {
    let byte = |i: usize, at: usize| (i * 31 + at * 7 + at / 251) as u8;
    (0..count).map(|i| (0..size(i)).map(|at| byte(i, at)).collect()).collect()
}

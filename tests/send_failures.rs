//! Send streams whose other end stalls or goes, and callbacks that panic: errors, never a hang.

use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use socket2::SockRef;
use speadway::net::{UdpSendConfig, connect_tcp};
use speadway::recv::Worker;
use speadway::send::transport::{BytesTransport, TcpTransport, Transport, UdpTransport};
use speadway::send::{Heap, HeapRef, SendConfig, SendError, SendStream};
use speadway::wire::Flavour;

fn heap(number: u64, size: usize) -> Heap {
    let bytes: Vec<u8> = (0..size as u64).map(|k| (number * 31 + k * 7) as u8).collect();
    let (first, second) = bytes.split_at(size / 3);
    Heap::new(Flavour::default())
        .immediate(0x1600, number)
        .and_then(|heap| heap.item(0x3300, first.to_vec()))
        .and_then(|heap| heap.item(0x3301, second.to_vec()))
        .unwrap()
}

/// A connection's two ends, with small buffers.
fn connection() -> (TcpTransport, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
    let address = listener.local_addr().unwrap();
    let stream = connect_tcp(address, None, 4096, Duration::from_secs(10)).unwrap();
    (TcpTransport::new(stream).unwrap(), listener.accept().unwrap().0)
}

fn start(worker: &Worker, transport: impl Transport + 'static) -> SendStream {
    let config = SendConfig::default().max_heaps(16).max_packet_size(8972);
    SendStream::start(worker, transport, config).unwrap()
}

/// A stream that waits for the other end to read, which it never does. More may be queued.
fn stalled(worker: &Worker) -> (SendStream, TcpStream) {
    let (transport, other) = connection();
    let stream = start(worker, transport);
    stream.send(heap(0, 20_000_000)).unwrap();
    while stream.stats().would_block == 0 {
        std::thread::yield_now();
    }
    (stream, other)
}

#[test]
fn split_writes_lose_nothing() {
    let worker = Worker::new().unwrap();
    let (bytes, expected) = BytesTransport::new();
    let (transport, mut other) = connection();
    let reader = std::thread::spawn(move || {
        let (mut all, mut part) = (Vec::new(), [0; 1777]);
        loop {
            match other.read(&mut part).unwrap() {
                0 => return all,
                read => all.extend_from_slice(&part[..read]),
            }
        }
    });
    let streams = [start(&worker, transport), start(&worker, bytes)];
    for number in 0..60 {
        for stream in &streams {
            stream.send_waiting(heap(number, 1 + number as usize * 1999)).unwrap();
        }
    }
    streams.iter().for_each(SendStream::close);
    assert!(streams[0].stats().would_block > 0, "nothing was split");
    assert!(reader.join().unwrap() == expected.take());
}

#[test]
fn a_reset_fails_this_heap_and_later_ones() {
    let (transport, other) = connection();
    let stream = start(&Worker::new().unwrap(), transport);
    stream.ticket(heap(0, 1000)).unwrap().wait().unwrap();
    SockRef::from(&other).set_linger(Some(Duration::ZERO)).unwrap();
    drop(other);
    for number in 1..4 {
        let error = stream.ticket(heap(number, 100_000)).unwrap().wait().unwrap_err();
        assert!(matches!(error, SendError::Transport(_)), "{error}");
    }
    assert_eq!((stream.stats().heaps, stream.stats().errors), (1, 3));
    stream.close();
}

#[test]
fn a_reset_ends_the_wait_for_a_reader() {
    let (stream, other) = stalled(&Worker::new().unwrap());
    let later = stream.ticket(heap(1, 1000)).unwrap();
    SockRef::from(&other).set_linger(Some(Duration::ZERO)).unwrap();
    drop(other);
    assert!(matches!(later.wait(), Err(SendError::Transport(_))));
    stream.close();
    assert_eq!(stream.stats().errors, 2);
}

#[test]
fn aborting_ends_a_close_that_waits_for_a_reader() {
    let (stream, _other) = stalled(&Worker::new().unwrap());
    let ticket = stream.ticket(heap(1, 1000)).unwrap();
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| stream.close());
        while !matches!(stream.send(heap(2, 1)), Err(SendError::Closed | SendError::QueueFull)) {
            std::thread::yield_now();
        }
        stream.abort();
        closing.join().unwrap();
    });
    assert!(matches!(ticket.wait(), Err(SendError::Aborted)));
}

#[test]
fn nobody_listening_is_no_error() {
    // Closed again, so that every packet is answered by "port unreachable".
    let to = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let transport = UdpTransport::open(&[to], &UdpSendConfig::to(to)).unwrap();
    let stream = start(&Worker::new().unwrap(), transport);
    for number in 0..50 {
        let bytes = stream.ticket(heap(number, 100_000)).unwrap().wait().unwrap();
        assert!(bytes > 100_000);
    }
    assert_eq!((stream.stats().heaps, stream.stats().errors), (50, 0));
}

#[test]
fn unreachable_destinations_fail_their_heaps_only() {
    let worker = Worker::new().unwrap();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let reachable = receiver.local_addr().unwrap();
    // From the address that a host talks to itself with there is no way out.
    let config = UdpSendConfig::to(reachable).bind("127.0.0.1:0".parse().unwrap());
    let elsewhere = "192.0.2.1:9".parse().unwrap();
    // One destination alone, and beside another.
    let alone = start(&worker, UdpTransport::open(&[elsewhere], &config).unwrap());
    let both = start(&worker, UdpTransport::open(&[elsewhere, reachable], &config).unwrap());
    for number in 0..3 {
        for stream in [&alone, &both] {
            let error = stream.ticket(heap(number, 20_000)).unwrap().wait().unwrap_err();
            assert!(matches!(error, SendError::Transport(_)), "{error}");
        }
        let there = HeapRef::from(heap(number, 20_000)).substream(1);
        assert!(both.ticket(there).unwrap().wait().unwrap() > 20_000);
    }
    assert_eq!((alone.stats().packets, alone.stats().errors), (0, 3));
    assert_eq!((both.stats().heaps, both.stats().errors), (3, 3));
}

#[test]
fn port_zero_is_no_destination() {
    let to = "127.0.0.1:0".parse().unwrap();
    let transport = UdpTransport::open(&[to], &UdpSendConfig::to(to)).unwrap();
    let stream = start(&Worker::new().unwrap(), transport);
    let error = stream.ticket(heap(0, 1000)).unwrap().wait().unwrap_err();
    assert!(matches!(error, SendError::Transport(_)), "{error}");
}

#[test]
fn closing_gives_up_on_a_reader_that_does_not_read() {
    let (stream, _other) = stalled(&Worker::new().unwrap());
    let ticket = stream.ticket(heap(1, 1000)).unwrap();
    assert!(!stream.close_timeout(Duration::from_millis(20)));
    assert!(matches!(ticket.wait(), Err(SendError::Aborted)));
    assert!(matches!(stream.send(heap(2, 1)), Err(SendError::Closed)));
    assert!(stream.close_timeout(Duration::ZERO), "it has ended");
}

#[test]
fn closing_in_time_sends_everything() {
    let (transport, received) = BytesTransport::new();
    let stream = start(&Worker::new().unwrap(), transport);
    let tickets = [0, 1, 2].map(|number| stream.ticket(heap(number, 100_000)).unwrap());
    assert!(stream.close_timeout(Duration::from_secs(60)));
    let bytes: u64 = tickets.map(|ticket| ticket.wait().unwrap()).iter().sum();
    assert_eq!(received.take().len() as u64, bytes);
}

#[test]
fn dropping_gives_up_on_a_reader_that_does_not_read() {
    let worker = Worker::new().unwrap();
    let (transport, _other) = connection();
    let config = SendConfig::default().drop_timeout(Duration::from_millis(20));
    let stream = SendStream::start(&worker, transport, config).unwrap();
    let ticket = stream.ticket(heap(0, 20_000_000)).unwrap();
    drop(stream);
    assert!(matches!(ticket.wait(), Err(SendError::Aborted)));
    still_works(&worker);
}

#[test]
fn a_callback_that_panics_ends_its_stream_alone() {
    let worker = Worker::new().unwrap();
    let (transport, _received) = BytesTransport::new();
    let stream = start(&worker, transport);
    stream.send_then(heap(0, 10), |_| panic!("wanted by the test")).unwrap();
    // Later heaps are refused, or end with an error once the panic has been dealt with.
    while stream.ticket(heap(1, 10)).and_then(|ticket| ticket.wait()).is_ok() {}
    stream.close();
    assert!(matches!(stream.send(heap(1, 10)), Err(SendError::Closed)));
    still_works(&worker);
}

#[test]
fn callbacks_may_all_panic_when_a_stream_is_aborted() {
    let worker = Worker::new().unwrap();
    let (stream, _other) = stalled(&worker);
    let (called, calls) = mpsc::channel();
    for number in 0..5 {
        let called = called.clone();
        let panics = move |result: Result<u64, SendError>| {
            called.send(result.is_err()).unwrap();
            panic!("wanted by the test");
        };
        stream.send_then(heap(number, 10), panics).unwrap();
    }
    stream.abort();
    drop(called);
    assert_eq!(calls.iter().filter(|&failed| failed).count(), 5);
    still_works(&worker);
}

fn still_works(worker: &Worker) {
    let (transport, received) = BytesTransport::new();
    let stream = start(worker, transport);
    let bytes = stream.ticket(heap(0, 1000)).unwrap().wait().unwrap();
    assert_eq!(received.take().len() as u64, bytes);
}

#[test]
fn a_stream_that_waits_for_its_time_holds_nobody_up() {
    let worker = Worker::new().unwrap();
    let unread = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = unread.local_addr().unwrap();
    let transport = UdpTransport::open(&[to], &UdpSendConfig::to(to)).unwrap();
    // The first burst goes, the second in hours.
    let slow = SendStream::start(&worker, transport, SendConfig::default().rate(1.0)).unwrap();
    let ticket = slow.ticket(heap(0, 1_000_000)).unwrap();
    for _ in 0..100 {
        still_works(&worker);
    }
    assert!(slow.stats().bytes > 0 && !ticket.is_done());
    slow.abort();
    assert!(matches!(ticket.wait(), Err(SendError::Aborted)));
    let shared = Arc::new(heap(1, 10));
    assert!(matches!(slow.send(shared), Err(SendError::Closed)));
}

//! Threads that wait for their heaps, threads that do not, and the worker, all sending on one stream.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use speadway::net::UdpSendConfig;
use speadway::recv::Worker;
use speadway::send::transport::{BytesTransport, Received, UdpTransport};
use speadway::send::{
    GroupMode, Heap, HeapRef, SendConfig, SendError, SendStream, SendThread, Ticket,
};
use speadway::wire::{Flavour, Packet};

const THREADS: u64 = 3;
const HEAPS: u64 = 200;
const MODES: [SendThread; 3] = [SendThread::Worker, SendThread::Waiting, SendThread::Caller];

/// A heap of a thread's, whose number says which; of one packet or of several.
fn heap(thread: u64, number: u64) -> HeapRef {
    let size = 100 + number as usize % 3 * 4000;
    let heap = Heap::new(Flavour::default()).item(0x3300, vec![number as u8; size]).unwrap();
    HeapRef::from(heap).cnt(thread << 20 | number)
}

fn start(thread: SendThread) -> (SendStream, Received) {
    let (transport, received) = BytesTransport::new();
    let config = SendConfig::default().max_heaps(4).thread(thread);
    (SendStream::start(&Worker::new().unwrap(), transport, config).unwrap(), received)
}

/// The counts of the heaps that arrived, each of which is whole and in one piece.
fn heaps_in(received: &Received) -> Vec<u64> {
    let bytes = received.take();
    let (mut rest, mut heaps, mut left) = (&bytes[..], Vec::new(), 0);
    while !rest.is_empty() {
        let packet = Packet::decode(rest).unwrap();
        rest = &rest[packet.size()..];
        if left == 0 {
            heaps.push(packet.heap_cnt());
            left = packet.heap_length().unwrap();
        }
        assert_eq!(heaps.last(), Some(&packet.heap_cnt()), "heaps mixed");
        left -= packet.payload().len() as u64;
    }
    assert_eq!(left, 0, "the last heap is cut");
    heaps
}

/// What one thread does: waits for each heap, or for some heaps later, or sends pairs.
fn send_all(stream: &SendStream, thread: u64) -> Result<(), SendError> {
    let mut tickets = Vec::<Ticket>::new();
    for number in 0..HEAPS {
        let heap = heap(thread, number);
        match thread {
            0 => stream.send_blocking(heap).map(drop)?,
            1 => stream.send_waiting(heap)?,
            _ if number % 2 == 1 => {
                let pair: Arc<[HeapRef]> = Arc::new([self::heap(thread, number - 1), heap]);
                stream.send_list_blocking(&pair, GroupMode::Serial)?;
            }
            _ => match stream.ticket(self::heap(THREADS, number)) {
                Ok(ticket) => tickets.push(ticket),
                Err(SendError::QueueFull) => {}
                Err(error) => return Err(error),
            },
        }
    }
    tickets.into_iter().try_for_each(|ticket| ticket.wait().map(drop))
}

#[test]
fn every_thread_keeps_its_order() {
    for mode in MODES {
        let (stream, received) = start(mode);
        std::thread::scope(|scope| {
            let stream = &stream;
            let send = |thread| scope.spawn(move || send_all(stream, thread));
            let threads: Vec<_> = (0..THREADS).map(send).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
        });
        stream.flush().unwrap();
        let heaps = heaps_in(&received);
        for thread in 0..THREADS {
            let of_thread = heaps.iter().filter(|&&cnt| cnt >> 20 == thread);
            let numbers: Vec<u64> = of_thread.map(|cnt| cnt & 0xf_ffff).collect();
            assert_eq!(numbers, (0..HEAPS).collect::<Vec<_>>(), "{mode:?}, thread {thread}");
        }
        assert_eq!(stream.stats().heaps, heaps.len() as u64);
    }
}

#[test]
fn streams_end_at_any_moment() {
    for round in 0..60 {
        let (stream, received) = start(MODES[round % 3]);
        let sent = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (stream, sent) = (&stream, &sent);
                scope.spawn(move || {
                    let error = (0..).map(|number| stream.send_blocking(heap(thread, number)));
                    let error = error.inspect(|result| {
                        sent.fetch_add(u64::from(result.is_ok()), Ordering::Relaxed);
                    });
                    let error = error.filter_map(Result::err).next();
                    assert!(matches!(error, Some(SendError::Closed | SendError::Aborted)));
                });
            }
            while sent.load(Ordering::Relaxed) < round as u64 {
                std::thread::yield_now();
            }
            if round % 2 == 0 {
                assert!(stream.close_timeout(Duration::from_secs(60)));
            } else {
                stream.abort();
            }
        });
        assert_eq!(stream.stats().heaps, sent.into_inner());
        if round % 2 == 0 {
            assert_eq!(heaps_in(&received).len() as u64, stream.stats().heaps);
        }
    }
}

#[test]
fn a_full_socket_is_left_to_the_worker() {
    let unread = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = unread.local_addr().unwrap();
    // As small as the kernel makes it.
    let transport = UdpTransport::open(&[to], &UdpSendConfig::to(to).send_buffer(1)).unwrap();
    let config = SendConfig::default().thread(SendThread::Caller);
    let stream = SendStream::start(&Worker::new().unwrap(), transport, config).unwrap();
    for number in 0..HEAPS {
        assert!(stream.send_blocking(heap(0, number)).unwrap() > 100);
    }
    assert_eq!((stream.stats().heaps, stream.stats().errors), (HEAPS, 0));
}

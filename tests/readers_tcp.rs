//! Receiving over TCP.

mod readers_common;

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use readers_common::*;
use socket2::SockRef;
use speadway::heap::PacketDiscard;
use speadway::net::NetError;
use speadway::recv::End;
use speadway::recv::readers::{Connections, TcpConfig, TcpReader};

fn listen(config: &TcpConfig) -> TcpReader {
    TcpReader::listen("127.0.0.1:0".parse().unwrap(), config).unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// The two ends of a connection: ours to write to, and the reader's.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = connect(listener.local_addr().unwrap());
    (ours, listener.accept().unwrap().0)
}

/// Has a connection broken off: the other end sees a reset.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn heaps_arrive_whole_and_the_end_of_the_connection_ends_the_stream() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let config = TcpConfig::default().recv_buffer(100_000);
        let reader = TcpReader::listen(address.parse().unwrap(), &config).unwrap();
        assert_eq!(reader.recv_buffer().unwrap().granted, 100_000);
        let address = reader.local_addr();
        let (stream, ring) = heap_stream(reader, 4);
        let sender = thread::spawn(move || {
            let mut connection = connect(address);
            let sent = connection.local_addr().unwrap();
            connection.write_all(&heaps(50, 30_000, 9000).concat()).unwrap();
            sent
        });
        let received = rest(&ring);
        assert_heaps(&received, 0..50, |_| 30_000);
        let peer = sender.join().unwrap();
        assert!(received.iter().all(|heap| heap.origin().source == Some(peer)));
        assert_eq!(stream.wait(), End::Finished);
        assert_eq!(final_stats(&stream).packets_discarded(), 0);
    }
}

#[test]
fn one_connection_is_taken_by_default() {
    let reader = listen(&TcpConfig::default());
    let address = reader.local_addr();
    let (_stream, ring) = heap_stream(reader, 4);
    let mut first = connect(address);
    first.write_all(&packets(0, 100, 1472).concat()).unwrap();
    assert_heaps(&[next(&ring)], [0], |_| 100);
    // The listener is closed by now.
    assert!(TcpStream::connect(address).is_err());
    first.write_all(&packets(1, 100, 1472).concat()).unwrap();
    drop(first);
    assert_heaps(&rest(&ring), [1], |_| 100);
}

#[test]
fn many_connections_are_taken_one_after_the_other_whatever_ends_them() {
    let reader = listen(&TcpConfig::default().connections(Connections::Many));
    let address = reader.local_addr();
    let (stream, ring) = heap_stream(reader, 4);
    for n in 0..6 {
        let mut connection = connect(address);
        // Connected already, its turn comes later.
        let mut waiting = connect(address);
        waiting.write_all(&packets(100 + n, 10, 1472).concat()).unwrap();
        connection.write_all(&packets(n, 100, 1472).concat()).unwrap();
        assert_heaps(&[next(&ring)], [n], |_| 100);
        // The packet that is cut short is not continued by the next connection.
        connection.write_all(&packets(n, 100, 1472).concat()[..60]).unwrap();
        if n % 2 == 0 {
            drop(connection);
        } else {
            reset(connection);
        }
        assert_heaps(&[next(&ring)], [100 + n], |_| 10);
        drop(waiting);
    }
    stream.stop();
    assert_eq!(stream.end(), Some(End::Stopped));
    let stats = final_stats(&stream);
    assert_eq!(stats.discarded(PacketDiscard::PayloadOverflow), 6);
    assert_eq!((stats.packets_discarded(), stats.reader_errors), (6, 3));
}

#[test]
fn a_packet_may_be_cut_anywhere() {
    let (mut sender, receiver) = pair();
    let reader = TcpReader::from_stream(receiver, &TcpConfig::default()).unwrap();
    let (stream, ring) = heap_stream(reader, 4);
    let length = packets(0, 21, 1472)[0].len();
    for cut in 0..=length {
        let n = 2 * cut as u64;
        let (first, second) = (packets(n, 5, 1472).concat(), packets(n + 1, 21, 1472).concat());
        // When the first has been received the second is there up to the cut.
        sender.write_all(&[&first, &second[..cut]].concat()).unwrap();
        assert_heaps(&[next(&ring)], [n], |_| 5);
        sender.write_all(&second[cut..]).unwrap();
        assert_heaps(&[next(&ring)], [n + 1], |_| 21);
    }
    drop(sender);
    assert_eq!(stream.wait(), End::Finished);
    assert_eq!(final_stats(&stream).packets_placed, 2 * (length as u64 + 1));
}

#[test]
fn a_reset_ends_the_stream_after_what_came_before() {
    let reader = listen(&TcpConfig::default());
    let address = reader.local_addr();
    let (stream, ring) = heap_stream(reader, 4);
    let mut connection = connect(address);
    let bytes = [heaps(3, 5000, 1472).concat(), packets(3, 5000, 1472)[0][..700].to_vec()].concat();
    connection.write_all(&bytes).unwrap();
    assert_heaps(&[next(&ring), next(&ring), next(&ring)], 0..3, |_| 5000);
    reset(connection);
    assert_heaps(&rest(&ring), [], |_| 0);
    let End::Failed(why) = stream.wait() else { panic!("{:?}", stream.wait()) };
    assert!(why.starts_with(&format!("TCP {address}: the connection from 127.0.0.1:")), "{why}");
    assert!(why.contains("broke: Connection reset"), "{why}");
    let stats = final_stats(&stream);
    assert_eq!(stats.discarded(PacketDiscard::PayloadOverflow), 1);
    assert_eq!((stats.packets_discarded(), stats.reader_errors), (1, 1));
}

#[test]
fn a_stream_can_be_stopped_while_nobody_connects_or_sends() {
    let reader = listen(&TcpConfig::default());
    let address = reader.local_addr();
    let (stream, _ring) = heap_stream(reader, 4);
    wait_until("it has looked for a connection", || stream.stats().batches > 0);
    stream.stop();
    assert_eq!(stream.end(), Some(End::Stopped));
    assert!(TcpStream::connect(address).is_err());

    let (_sender, receiver) = pair();
    let reader = TcpReader::from_stream(receiver, &TcpConfig::default()).unwrap();
    let (stream, _ring) = heap_stream(reader, 4);
    wait_until("it has read", || stream.stats().batches > 0);
    stream.stop();
    assert_eq!(stream.end(), Some(End::Stopped));
}

#[test]
fn a_stream_that_parks_holds_the_sender_back_and_loses_nothing() {
    const HEAPS: u64 = 1000;
    // More than what all buffers on the way can hold.
    const SIZE: usize = 64 << 10;
    let reader = listen(&TcpConfig::default().recv_buffer(128 << 10));
    let address = reader.local_addr();
    let (stream, ring) = heap_stream(reader, 1);
    let sender = thread::spawn(move || {
        let mut connection = connect(address);
        for n in 0..HEAPS {
            connection.write_all(&packets(n, SIZE, 16 << 10).concat()).unwrap();
        }
    });
    wait_until("the stream parks", || parks(&stream) > 0);
    assert!(!sender.is_finished());
    assert_heaps(&rest(&ring), 0..HEAPS, |_| SIZE);
    sender.join().unwrap();
    assert_eq!(final_stats(&stream).packets_discarded(), 0);
}

#[test]
fn chunks_lose_nothing_to_small_rings() {
    let (mut sender, receiver) = pair();
    let reader = TcpReader::from_stream(receiver, &TcpConfig::default()).unwrap();
    let sending = thread::spawn(move || sender.write_all(&heaps(800, 64, 1472).concat()));
    receive_chunks_parking(reader, 800);
    sending.join().unwrap().unwrap();
}

#[test]
fn packets_larger_than_the_limit_are_skipped_and_counted() {
    let (mut sender, receiver) = pair();
    let reader = TcpReader::from_stream(receiver, &TcpConfig::default().max_packet(2000)).unwrap();
    let (stream, ring) = heap_stream(reader, 4);
    let bytes = [packets(0, 1000, 2000), packets(1, 600_000, 600_100), packets(2, 1000, 2000)];
    let sending = thread::spawn(move || sender.write_all(&bytes.concat().concat()));
    assert_heaps(&rest(&ring), [0, 2], |_| 1000);
    sending.join().unwrap().unwrap();
    assert_eq!(final_stats(&stream).discarded(PacketDiscard::Truncated), 1);
}

#[test]
fn adopted_sockets_may_block_and_are_left_alone() {
    let original = TcpListener::bind("127.0.0.1:0").unwrap();
    let reader = TcpReader::adopt_listener(original.as_fd(), &TcpConfig::default()).unwrap();
    assert_eq!(reader.local_addr(), original.local_addr().unwrap());
    let (_stream, ring) = heap_stream(reader, 4);
    connect(original.local_addr().unwrap()).write_all(&packets(0, 9, 1472).concat()).unwrap();
    assert_heaps(&rest(&ring), [0], |_| 9);
    assert!(!SockRef::from(&original).nonblocking().unwrap());

    let (mut sender, original) = pair();
    let reader = TcpReader::adopt_stream(original.as_fd(), &TcpConfig::default()).unwrap();
    let (stream, ring) = heap_stream(reader, 4);
    sender.write_all(&packets(0, 9, 1472).concat()).unwrap();
    assert_heaps(&[next(&ring)], [0], |_| 9);
    // It does not block its worker, or this would not return.
    stream.stop();
    assert!(!SockRef::from(&original).nonblocking().unwrap());
    // And the connection lives on.
    original.shutdown(Shutdown::Both).unwrap();
}

#[test]
fn what_cannot_be_is_refused_with_advice() {
    let address = "127.0.0.1:0".parse().unwrap();
    let refused = |config| TcpReader::listen(address, &config).unwrap_err().to_string();
    let nothing = refused(TcpConfig::default().max_packet(0));
    assert_eq!(nothing, "the largest packet accepted must be at least 1 byte");
    let absurd = refused(TcpConfig::default().max_packet(usize::MAX));
    assert!(absurd.ends_with("lower max_packet"), "{absurd}");

    let taken = listen(&TcpConfig::default());
    let error = TcpReader::listen(taken.local_addr(), &TcpConfig::default()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);

    let found = |error| match error {
        NetError::WrongSocket { found, .. } => found,
        other => panic!("{other}"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = TcpReader::adopt_stream(listener.as_fd(), &TcpConfig::default()).unwrap_err();
    assert_eq!(found(error), "a TCP socket that is not connected");
    let (ours, _theirs) = pair();
    let error = TcpReader::adopt_listener(ours.as_fd(), &TcpConfig::default()).unwrap_err();
    assert_eq!(found(error), "a TCP socket that does not listen");
}

/// What a byte stream is made of.
#[derive(Clone, Debug)]
enum Part {
    /// A heap of this size.
    Heap(usize),
    /// Words of garbage.
    Garbage(Vec<u64>),
}

fn part() -> impl Strategy<Value = Part> {
    // No word starts as a packet does.
    let word = any::<u64>().prop_filter("no magic", |word| word >> 48 != 0x5304);
    prop_oneof![
        3 => (1..5000_usize).prop_map(Part::Heap),
        1 => prop::collection::vec(word, 1..200).prop_map(Part::Garbage),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// However the stream is cut into writes, the same heaps arrive, and each stretch of garbage
    /// between them is counted once.
    #[test]
    fn any_cuts_and_garbage_between_packets(
        parts in prop::collection::vec(part(), 1..20),
        // Packets that these heaps' pointers fill (64 bytes) have small heaps padded to 9 bytes.
        max_packet in 72..3000_usize,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let (mut bytes, mut sizes, mut stretches, mut lost) = (Vec::new(), Vec::new(), 0, false);
        for part in &parts {
            match part {
                Part::Heap(size) => {
                    bytes.extend(packets(sizes.len() as u64, *size, max_packet).concat());
                    sizes.push(*size);
                    lost = false;
                }
                Part::Garbage(words) => {
                    bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
                    stretches += u64::from(!std::mem::replace(&mut lost, true));
                }
            }
        }
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();

        let (mut sender, receiver) = pair();
        let reader = TcpReader::from_stream(receiver, &TcpConfig::default()).unwrap();
        let (stream, ring) = heap_stream(reader, 2);
        let sending = thread::spawn(move || {
            for piece in cuts.windows(2) {
                sender.write_all(&bytes[piece[0]..piece[1]]).unwrap();
            }
        });
        assert_heaps(&rest(&ring), 0..sizes.len() as u64, |n| sizes[n as usize]);
        sending.join().unwrap();
        let stats = final_stats(&stream);
        prop_assert_eq!(stats.discarded(PacketDiscard::BadMagic), stretches);
        prop_assert_eq!(stats.packets_discarded(), stretches);
    }
}

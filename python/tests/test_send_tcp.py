"""`send.TcpStream`."""

import os
import signal
import socket
import struct
import threading

import pytest
from sending import Value, endpoint, listener, make_heap, packets, read_all


@pytest.fixture
def listening():
    with listener() as made:
        yield made


def connected(lib, listening, **options):
    config = lib.send.StreamConfig(**options)
    stream = lib.send.TcpStream(lib.ThreadPool(), [endpoint(listening)], config)
    return stream, listening.accept()[0]


def test_constants(lib):
    assert lib.send.TcpStream.DEFAULT_BUFFER_SIZE == 208 * 1024
    assert lib.module("send.asyncio").TcpStream.DEFAULT_BUFFER_SIZE == 208 * 1024


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_packets_arrive_and_the_end_is_told(lib, host):
    with listener(host) as listening:
        stream, peer = connected(lib, listening, max_packet_size=200)
        heap = make_heap(lib, Value(0x1000, bytes(20_000)))
        assert stream.num_substreams == 1
        length = stream.send_heap(heap)
        del stream
        data = read_all(peer)
        assert len(data) == length
        assert data == b"".join(packets(lib, heap, 1, 200))


def test_constructors(lib, listening):
    pool, config = lib.ThreadPool(), lib.send.StreamConfig()
    there = [endpoint(listening)]
    lib.send.TcpStream(thread_pool=pool, endpoints=there)
    lib.send.TcpStream(pool, there, config, 0)
    lib.send.TcpStream(pool, there, config, 1000, "127.0.0.1")
    for wrong in (
        (),
        (None, there),
        (pool,),
        (pool, None),
        (pool, there, None),
        (pool, [("127.0.0.1", 65536)]),
        (pool, there, config, -1),
        (pool, there, config, 0, None),
        (pool, there, config, 0, "", 1),
    ):
        with pytest.raises(TypeError):
            lib.send.TcpStream(*wrong)
    for wrong in ([], there * 2):
        with pytest.raises(ValueError, match="exactly one"):
            lib.send.TcpStream(pool, wrong)


def test_what_cannot_be_connected_to(lib, listening):
    pool, config = lib.ThreadPool(), lib.send.StreamConfig()
    there = [endpoint(listening)]
    with listener() as closed:
        nowhere = [endpoint(closed)]
    with pytest.raises(ConnectionRefusedError):
        lib.send.TcpStream(pool, nowhere)
    for arguments in [
        ([("nonsense.invalid", 1)],),
        (there, config, 0, "192.0.2.1"),
        (there, config, 0, "::1"),
        (there, config, 0, "nonsense.invalid"),
    ]:
        with pytest.raises(RuntimeError):
            lib.send.TcpStream(pool, *arguments)


@pytest.mark.parametrize("name", ["send", "send.asyncio"])
def test_sockets_are_adopted(lib, listening, name):
    cls = lib.module(name).TcpStream
    pool, config = lib.ThreadPool(), lib.send.StreamConfig()
    with socket.create_connection(endpoint(listening)) as mine:
        cls(pool, mine)
        cls(pool, socket=mine, config=config)
    with pytest.raises(TypeError):
        cls(pool, mine)  # closed
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, pytest.raises(TypeError):
        cls(pool, udp)


def test_an_adopted_socket_is_sent_on(lib, listening):
    with socket.create_connection(endpoint(listening)) as mine:
        stream = lib.send.TcpStream(lib.ThreadPool(), mine)
    peer, _ = listening.accept()
    assert stream.send_heap(lib.send.Heap()) == 49
    del stream
    assert len(read_all(peer)) == 49


def test_sockets_that_are_not_connected_are_refused(ours, listening):
    """The reference takes them, and hangs when it sends."""
    with socket.socket() as mine, pytest.raises(TypeError):
        ours.send.TcpStream(ours.ThreadPool(), mine)
    with pytest.raises(TypeError):
        ours.send.TcpStream(ours.ThreadPool(), listening)


def test_peers_that_reset(ours, listening):
    """The reference does not come back from such a send."""
    stream, peer = connected(ours, listening)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    heap = make_heap(ours, Value(0x1000, bytes(100_000)))
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        for _ in range(100):
            stream.send_heap(heap)
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        stream.send_heap(heap)


def test_a_slow_peer_gets_everything(lib, listening):
    stream, peer = connected(lib, listening, max_packet_size=65536)
    heap = make_heap(lib, Value(0x1000, os.urandom(8 << 20)))
    expected = b"".join(packets(lib, heap, 1, 65536))
    data = []
    reader = threading.Thread(target=lambda: data.append(read_all(peer)))
    reader.start()
    assert stream.send_heap(heap) == len(expected)
    del stream
    reader.join()
    assert data == [expected]


def interrupted(stream, heap, peer):
    """Sends a heap that does not fit the peer's buffers until Ctrl-C."""

    def interrupt():
        peer.recv(1)  # the heap is on its way
        os.kill(os.getpid(), signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        stream.send_heap(heap)
    interrupter.join()


def test_control_c_ends_the_wait_for_a_stuck_peer(ours, listening):
    """The reference does not come back from what follows."""
    stream, peer = connected(ours, listening, max_heaps=1)
    heap = make_heap(ours, Value(0x1000, bytes(64 << 20)))
    interrupted(stream, heap, peer)
    # It is on its way still, and keeps its place.
    with pytest.raises(BlockingIOError):
        stream.send_heap(ours.send.Heap())
    reader = threading.Thread(target=read_all, args=(peer,))
    reader.start()
    del stream
    reader.join()


def test_what_is_on_its_way_keeps_its_memory(ours, listening):
    """The reference lets go of it, and may send whatever is there then."""
    stream, peer = connected(ours, listening)
    memory = bytearray(64 << 20)
    interrupted(stream, make_heap(ours, Value(0x1000, memory)), peer)
    with pytest.raises(BufferError):
        memory.append(0)
    reader = threading.Thread(target=read_all, args=(peer,))
    reader.start()
    del stream
    reader.join()
    memory.append(0)

"""Sources of packets: `_Stream.add_*_reader`."""

import logging
import socket

import numpy as np
import packets
import pytest
import spead2
import spead2.send
from odd_sockets import Answers
from waiting import eventually

V4 = (socket.AF_INET, "127.0.0.1")


def make(lib, **options):
    return lib.recv.Stream(lib.ThreadPool(), lib.recv.StreamConfig(**options))


def udp_socket(family=socket.AF_INET, host="127.0.0.1"):
    opened = socket.socket(family, socket.SOCK_DGRAM)
    opened.bind((host, 0))
    return opened


def listener():
    opened = socket.socket()
    opened.bind(("127.0.0.1", 0))
    opened.listen()
    return opened


@pytest.fixture
def port():
    """A UDP port that was free a moment ago."""
    with udp_socket() as opened:
        return opened.getsockname()[1]


def send_udp(host, port, count=3, **options):
    """Sends a stream of `count` heaps of 5000 bytes to a UDP port."""
    config = spead2.send.StreamConfig(rate=100e6)
    sender = spead2.send.UdpStream(spead2.ThreadPool(), [(host, port)], config, **options)
    for heap in packets.heaps(count, 5000):
        sender.send_heap(heap)
    sender.send_heap(packets.end())


def send_tcp(port, count=3):
    sender = spead2.send.TcpStream(spead2.ThreadPool(), [("127.0.0.1", port)])
    for heap in packets.heaps(count, 5000):
        sender.send_heap(heap)
    del sender


def check(stream, count=3):
    heaps = list(stream)
    assert [packets.number_of(heap) for heap in heaps] == list(range(count))
    for number, heap in enumerate(heaps):
        np.testing.assert_array_equal(packets.data_of(heap), packets.values(number, 5000))


def test_the_defaults(lib):
    stream = lib.recv.Stream
    assert (stream.DEFAULT_UDP_MAX_SIZE, stream.DEFAULT_UDP_BUFFER_SIZE) == (9200, 8388608)
    assert (stream.DEFAULT_TCP_MAX_SIZE, stream.DEFAULT_TCP_BUFFER_SIZE) == (65536, 212992)


# Buffers


def test_a_buffer(lib):
    stream = make(lib)
    stream.add_buffer_reader(packets.stream(3, 5000))
    check(stream)


def test_buffers_of_all_kinds(lib):
    data = packets.stream(3, 5000)
    for buffer in [bytearray(data), memoryview(data), np.frombuffer(data, np.uint8)]:
        stream = make(lib)
        stream.add_buffer_reader(buffer=buffer)
        check(stream)


def test_what_is_no_packet_ends_a_buffer(lib):
    stream = make(lib)
    stream.add_buffer_reader(packets.stream(3, 5000, stop=False) + bytes(8) + packets.stream(2))
    check(stream)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [("text", TypeError), (None, TypeError), (3, TypeError), (memoryview(bytes(9))[::2], BufferError)],
)
def test_what_is_no_buffer(lib, wrong, error):
    with pytest.raises(error):
        make(lib).add_buffer_reader(wrong)


# UDP


def test_a_port(lib, port):
    stream = make(lib)
    stream.add_udp_reader(port, bind_hostname="127.0.0.1")
    send_udp("127.0.0.1", port)
    check(stream)


def test_a_port_of_any_address(lib, port):
    stream = make(lib)
    stream.add_udp_reader(port=port, max_size=9000, buffer_size=0)
    send_udp("127.0.0.1", port)
    check(stream)


def test_a_port_on_ipv6(lib):
    with udp_socket(socket.AF_INET6, "::1") as opened:
        port = opened.getsockname()[1]
    stream = make(lib)
    stream.add_udp_reader(port, bind_hostname="::1")
    send_udp("::1", port)
    check(stream)


def test_a_multicast_group_as_bind_hostname(lib, port):
    stream = make(lib)
    stream.add_udp_reader(port, bind_hostname="239.255.12.1")
    stream.stop()


def test_an_ipv4_group(lib, port):
    stream = make(lib)
    stream.add_udp_reader("239.255.12.2", port, interface_address="127.0.0.1")
    send_udp("239.255.12.2", port, interface_address="127.0.0.1", ttl=0)
    check(stream)


def test_an_ipv6_group(lib, port):
    # Not every host has a route to send to one, so this only joins.
    stream = make(lib)
    stream.add_udp_reader("ff14::1234", port, 9200, 0, interface_index=socket.if_nametoindex("lo"))
    stream.add_udp_reader("ff14::1234", port, 9200, 0, socket.if_nametoindex("lo"))
    stream.stop()


def test_a_group_may_be_the_address_of_the_interface(lib, port):
    for group in ["127.0.0.1", ""]:
        stream = make(lib)
        stream.add_udp_reader(
            multicast_group=group,
            port=port,
            max_size=9200,
            buffer_size=100000,
            interface_address="127.0.0.1",
        )
        send_udp("127.0.0.1", port)
        check(stream)
        stream.stop()


def test_a_socket(lib):
    with udp_socket() as opened:
        port = opened.getsockname()[1]
        stream = make(lib)
        stream.add_udp_reader(opened)
        timeout = opened.gettimeout()
    assert timeout is None
    send_udp("127.0.0.1", port)
    check(stream)


def test_whatever_has_a_fileno(lib):
    class Wrapper:
        def __init__(self):
            self.socket = udp_socket(socket.AF_INET6, "::1")

        def fileno(self):
            return self.socket.fileno()

    wrapper = Wrapper()
    stream = make(lib)
    stream.add_udp_reader(socket=wrapper, max_size=9200)
    send_udp("::1", wrapper.socket.getsockname()[1])
    check(stream)
    wrapper.socket.close()


def test_what_is_no_udp_socket(lib):
    closed = udp_socket()
    closed.close()
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix:
        with open("/dev/null") as file:
            for wrong in [tcp, unix, closed, file, None, 1.5, Answers("a"), Answers(-1), Answers(ZeroDivisionError())]:
                with pytest.raises(TypeError):
                    make(lib).add_udp_reader(wrong)
        with udp_socket() as opened:
            with pytest.raises(TypeError):
                make(lib).add_udp_reader(opened, buffer_size=3)
            with pytest.raises(TypeError):
                make(lib).add_udp_reader(opened, 100, 100)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((100000,), {}),
        ((-1,), {}),
        (("239.255.12.1",), {}),
        (("239.255.12.1", 100000), {}),
        ((0, -1), {}),
        ((0, 9200, -1), {}),
        ((0, "127.0.0.1"), {}),
        ((0, 9200, 0, "127.0.0.1", 3), {}),
        ((0,), {"port": 0}),
        ((0,), {"hostname": "127.0.0.1"}),
        ((), {"multicast_group": "239.255.12.1", "port": 0, "bind_hostname": ""}),
        (("ff11::1", 0), {"interface_index": -1}),
    ],
)
def test_arguments_that_cannot_be(lib, args, kwargs):
    with pytest.raises(TypeError):
        make(lib).add_udp_reader(*args, **kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        (("10.1.2.3", 0), {"interface_address": "127.0.0.1"}, "not multicast and does not match"),
        (("127.0.0.1", 0), {}, "not multicast and does not match"),
        (("::1", 0), {"interface_address": "127.0.0.1"}, "not an IPv4 address"),
        (("ff11::1", 0), {}, "not an IPv4 address"),
        (("::1", 0), {"interface_index": 1}, "not an IPv6 multicast address"),
        (("239.255.12.1", 0), {"interface_index": 1}, "not an IPv6 multicast address"),
    ],
)
def test_groups_that_cannot_be(lib, args, kwargs, text):
    with pytest.raises(ValueError, match=text):
        make(lib).add_udp_reader(*args, **kwargs)


def test_sockets_that_cannot_be_had(lib):
    for kwargs in [
        {"port": 0, "bind_hostname": "no.such.host.invalid"},
        {"port": 0, "bind_hostname": "192.0.2.1"},
        {"multicast_group": "239.255.12.1", "port": 0, "interface_address": "192.0.2.1"},
        {"multicast_group": "ff11::1", "port": 0, "interface_index": 99999},
    ]:
        with pytest.raises(RuntimeError):
            make(lib).add_udp_reader(**kwargs)
    with pytest.raises(RuntimeError, match="Host not found"):
        make(lib).add_udp_reader(0, bind_hostname="no.such.host.invalid")
    with udp_socket() as opened, pytest.raises(RuntimeError, match=r"(?i)address .*in use"):
        make(lib).add_udp_reader(opened.getsockname()[1], bind_hostname="127.0.0.1")


def test_packets_that_are_too_long_are_dropped(lib):
    opened = udp_socket()
    # Single datagrams: the limit is the reader's business only where the kernel does not merge.
    stream = make(lib)
    stream.add_udp_reader(opened, 100)
    with udp_socket() as sender:
        for packet in packets.encode([*packets.heaps(1, 500), packets.end()]):
            sender.sendto(packet, opened.getsockname())
    opened.close()
    assert list(stream) == []


def test_a_limit_of_0_drops_everything(lib, port):
    stream = make(lib)
    stream.add_udp_reader(port, max_size=0, bind_hostname="127.0.0.1", buffer_size=0)
    stream.stop()


def test_a_buffer_that_is_too_small_is_a_warning(lib, caplog):
    stream = make(lib)
    with caplog.at_level(logging.WARNING):
        stream.add_udp_reader(0, buffer_size=10**12, bind_hostname="127.0.0.1")
        eventually(lambda: any("1000000000000" in r.getMessage() for r in caplog.records), timeout=10)
    [record] = [r for r in caplog.records if "1000000000000" in r.getMessage()]
    assert (record.name, record.levelname) == (lib.name, "WARNING")


def test_several_readers(lib):
    sockets = [udp_socket(), udp_socket()]
    stream = make(lib, stop_on_stop_item=False)
    for opened in sockets:
        stream.add_udp_reader(opened)
    for opened in sockets:
        send_udp("127.0.0.1", opened.getsockname()[1], 1)
    # Each sends a heap and one that would end the stream.
    heaps = [stream.get() for _ in range(4)]
    assert sum(heap.is_end_of_stream() for heap in heaps) == 2
    stream.stop()
    for opened in sockets:
        opened.close()


def test_the_stream_ends_with_the_first_reader_that_ends(lib):
    stream = make(lib)
    stream.add_udp_reader(0, bind_hostname="127.0.0.1", buffer_size=0)
    stream.add_buffer_reader(packets.stream(3, 5000, stop=False))
    check(stream)


# Starting and stopping


def test_explicit_start(lib, port):
    stream = make(lib, explicit_start=True)
    stream.add_udp_reader(port, bind_hostname="127.0.0.1")
    with udp_socket() as opened:
        # Not bound yet.
        opened.close()
    stream.start()
    send_udp("127.0.0.1", port)
    check(stream)


def test_sockets_are_bound_by_start(lib):
    with udp_socket() as taken:
        port = taken.getsockname()[1]
        stream = make(lib, explicit_start=True)
        stream.add_udp_reader(port, bind_hostname="127.0.0.1")
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"(?i)address .*in use"):
                stream.start()
        stream.stop()


def test_start_can_be_tried_again(ours):
    with udp_socket() as taken:
        port = taken.getsockname()[1]
        stream = make(ours, explicit_start=True)
        stream.add_udp_reader(port, bind_hostname="127.0.0.1")
        with pytest.raises(RuntimeError):
            stream.start()
    stream.start()
    send_udp("127.0.0.1", port)
    check(stream)


def test_names_are_resolved_when_a_reader_is_added(lib):
    stream = make(lib, explicit_start=True)
    with pytest.raises(RuntimeError, match="Host not found"):
        stream.add_udp_reader(0, bind_hostname="no.such.host.invalid")
    with pytest.raises(RuntimeError):
        stream.add_udp_pcap_file_reader("/no/such/file")


def test_no_reader_is_added_after_an_explicit_start(lib):
    stream = make(lib, explicit_start=True)
    stream.add_buffer_reader(packets.stream(3, 5000))
    stream.start()
    with pytest.raises(RuntimeError, match="Cannot add readers after explicit start"):
        stream.add_udp_reader(0)
    stream.start()
    check(stream)


def test_start_is_not_needed_without_explicit_start(lib):
    stream = make(lib)
    stream.start()
    stream.add_buffer_reader(packets.stream(3, 5000))
    stream.start()
    check(stream)


def test_readers_of_a_stopped_stream_are_ignored(lib):
    for explicit in [False, True]:
        stream = make(lib, explicit_start=explicit)
        stream.stop()
        stream.add_buffer_reader(packets.stream(1))
        stream.add_udp_reader(0, buffer_size=0)
        stream.add_tcp_reader(0)
        stream.start()
        assert list(stream) == []


# TCP


def test_a_tcp_port(lib):
    with listener() as opened:
        port = opened.getsockname()[1]
    stream = make(lib)
    stream.add_tcp_reader(port, bind_hostname="127.0.0.1")
    send_tcp(port)
    check(stream)


def test_a_listening_socket(lib):
    with listener() as opened:
        stream = make(lib)
        stream.add_tcp_reader(acceptor=opened, max_size=65536)
        send_tcp(opened.getsockname()[1])
        check(stream)


def test_tcp_sockets_that_cannot_be(lib):
    with udp_socket() as udp, listener() as opened, socket.socket(socket.AF_UNIX) as unix:
        for wrong in [udp, unix, "127.0.0.1", None]:
            with pytest.raises(TypeError):
                make(lib).add_tcp_reader(wrong)
        with pytest.raises(TypeError):
            make(lib).add_tcp_reader(opened, buffer_size=3)
        for kwargs in [{"port": 100000}, {"port": -1}, {}, {"port": 0, "max_size": -1}]:
            with pytest.raises(TypeError):
                make(lib).add_tcp_reader(**kwargs)
        for kwargs in [
            {"port": opened.getsockname()[1], "bind_hostname": "127.0.0.1"},
            {"port": 0, "bind_hostname": "192.0.2.1"},
            {"port": 0, "bind_hostname": "no.such.host.invalid"},
        ]:
            with pytest.raises(RuntimeError):
                make(lib).add_tcp_reader(**kwargs)
    make(lib).add_tcp_reader(0, max_size=0)


# Captures


def capture(path, count=3):
    """A capture of a stream to 239.1.1.1 port 7148, with rubbish sent elsewhere in between."""
    datagrams = []
    for packet in packets.encode([*packets.heaps(count, 5000), packets.end()]):
        datagrams.append((("10.0.0.1", 5000), ("239.1.1.1", 7148), packet))
        datagrams.append((("10.0.0.2", 5000), ("239.1.1.2", 7149), packet[:40]))
    path.write_bytes(packets.pcap(datagrams))
    return str(path)


@pytest.mark.parametrize(
    "filter",
    [
        "",
        "port 7148",
        "udp dst port 7148",
        "src host 10.0.0.1",
        "net 239.1.1.1/32",
        "dst net 239.1.1 and not port 7149",
        "portrange 7140-7148 && (host 239.1.1.1 or 239.1.1.9)",
        "ip proto 17",
    ],
)
def test_a_capture(lib, tmp_path, filter):
    stream = make(lib)
    stream.add_udp_pcap_file_reader(capture(tmp_path / "some.pcap"), filter)
    check(stream)


@pytest.mark.parametrize("filter", ["port 7149", "host 10.0.0.2", "not port 7148", "src port 1 or 2"])
def test_a_capture_of_nothing(lib, tmp_path, filter):
    stream = make(lib)
    stream.add_udp_pcap_file_reader(filename=capture(tmp_path / "some.pcap"), filter=filter)
    assert list(stream) == []


@pytest.mark.parametrize(
    "filter",
    [
        "port", "(port 3", "port 3)", "port 3 and", "not", "port 3 port 4", "1.2.3.4", "port 70000",
        "net 10.1.2.3/8", "net 10.0.0.0/33", "host no.such.host.invalid", "tcp", "tcp port 3", "arp",
        "udp host 1.2.3.4", "nonsense",
    ],
)  # fmt: skip
def test_filters_that_cannot_be(lib, tmp_path, filter):
    with pytest.raises(RuntimeError):
        make(lib).add_udp_pcap_file_reader(capture(tmp_path / "some.pcap"), filter)


def test_captures_that_cannot_be(lib, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    for name in ["/no/such/file", str(tmp_path / "empty")]:
        with pytest.raises(RuntimeError):
            make(lib).add_udp_pcap_file_reader(name)
    for name in [3, None, tmp_path / "empty"]:
        with pytest.raises(TypeError):
            make(lib).add_udp_pcap_file_reader(name)


# Queues


def test_a_queue(lib):
    queue = lib.InprocQueue()
    stream = make(lib)
    stream.add_inproc_reader(queue)
    for packet in packets.encode(packets.heaps(3, 5000)):
        queue.add_packet(packet)
    queue.stop()
    check(stream)


def test_a_queue_that_was_filled_before(lib):
    queue = lib.InprocQueue()
    for packet in packets.encode([*packets.heaps(3, 5000), packets.end()]):
        queue.add_packet(bytearray(packet))
    stream = make(lib)
    stream.add_inproc_reader(queue=queue)
    check(stream)


def test_queues_copy(lib):
    queue = lib.InprocQueue()
    for packet in packets.encode([*packets.heaps(3, 5000), packets.end()]):
        changing = bytearray(packet)
        queue.add_packet(changing)
        changing[:] = bytes(len(changing))
    stream = make(lib)
    stream.add_inproc_reader(queue)
    check(stream)


def test_stopped_queues(lib):
    queue = lib.InprocQueue()
    queue.stop()
    queue.stop()
    with pytest.raises(lib.Stopped):
        queue.add_packet(b"x")
    stream = make(lib)
    stream.add_inproc_reader(queue)
    assert list(stream) == []


def test_what_is_no_packet(lib):
    queue = lib.InprocQueue()
    queue.add_packet(b"")
    for wrong, error in [("x", TypeError), (3, TypeError), (memoryview(bytes(9))[::2], BufferError)]:
        with pytest.raises(error):
            queue.add_packet(wrong)
    with pytest.raises(TypeError):
        queue.add_packet(packet=b"x")


def test_what_is_no_queue(ours):
    # The reference crashes.
    for wrong in [None, 3]:
        with pytest.raises(TypeError):
            make(ours).add_inproc_reader(wrong)


# ibverbs


def test_ibverbs_is_absent_as_in_a_build_without_it(ours):
    """Programs find out with `hasattr`."""
    assert not hasattr(ours.recv, "UdpIbvConfig")
    assert not hasattr(ours.recv.Stream, "add_udp_ibv_reader")
    assert not hasattr(ours.send, "UdpIbvStream")
    assert not hasattr(ours.root, "IbvContext")

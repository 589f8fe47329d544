"""`send.UdpStream`."""

import errno
import fcntl
import os
import socket
import struct

import pytest
from odd_sockets import Answers
from sending import (
    Value,
    endpoint,
    interface_for_multicast,
    make_heap,
    packets,
    udp_socket,
)

UNICAST, MULTICAST = [("127.0.0.1", 9)], [("239.1.2.3", 9)]
UNICAST6, MULTICAST6 = [("::1", 9)], [("ff14::1234", 9)]


@pytest.fixture(params=["UdpStream", "asyncio.UdpStream"])
def make(lib, request):
    """Makes a stream of either kind: the constructors are the same."""
    if request.param == "UdpStream":
        cls = lib.send.UdpStream
    else:
        cls = lib.module("send.asyncio").UdpStream
    pool = lib.ThreadPool()
    return lambda *args, **kwargs: cls(pool, *args, **kwargs)


def test_constants(lib):
    assert lib.send.UdpStream.DEFAULT_BUFFER_SIZE == 512 * 1024
    assert lib.module("send.asyncio").UdpStream.DEFAULT_BUFFER_SIZE == 512 * 1024


def test_constructors(lib, make):
    config = lib.send.StreamConfig()
    for endpoints in (
        UNICAST,
        UNICAST6,
        MULTICAST,
        MULTICAST6,
        MULTICAST + UNICAST,
        [("localhost", 9)],
        [("", 9)],
        (["127.0.0.1", 0], (b"127.0.0.1", 65535)),
    ):
        assert make(endpoints).num_substreams == len(endpoints)
    make(UNICAST, config, 0)
    make(UNICAST, config, 1000, "")
    make(UNICAST, config, 1000, "127.0.0.1")
    make(MULTICAST6, config, 1000, "::1")
    make(UNICAST, buffer_size=5, config=config)
    make(endpoints=UNICAST, interface_address="localhost")
    lib.send.UdpStream(thread_pool=lib.ThreadPool(), endpoints=UNICAST)


def test_constructors_for_multicast(lib, make):
    config = lib.send.StreamConfig()
    for ttl in (0, 1, 255):
        make(MULTICAST, ttl=ttl)
        make(MULTICAST6, config, 1000, ttl)
    make(MULTICAST, config, 1000, 1, "127.0.0.1")
    make(MULTICAST, ttl=1, interface_address="")
    make(MULTICAST6, config, 1000, 1, 1)
    make(MULTICAST6, ttl=1, interface_index=0)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"endpoints": None},
        {"endpoints": "127.0.0.1"},
        {"endpoints": ("127.0.0.1", 9)},
        {"endpoints": iter(UNICAST)},
        {"endpoints": [("127.0.0.1", 65536)]},
        {"endpoints": [("127.0.0.1", -1)]},
        {"endpoints": [("127.0.0.1", "9")]},
        {"endpoints": [("127.0.0.1",)]},
        {"endpoints": [("127.0.0.1", 9, 9)]},
        {"endpoints": [(None, 9)]},
        {"endpoints": UNICAST, "config": None},
        {"endpoints": UNICAST, "buffer_size": -1},
        {"endpoints": UNICAST, "buffer_size": 2**70},
        {"endpoints": UNICAST, "interface_address": None},
        {"endpoints": UNICAST, "colour": 1},
        {"endpoints": MULTICAST, "ttl": "a"},
        {"endpoints": MULTICAST, "ttl": 2**40},
        {"endpoints": MULTICAST6, "interface_index": 1},
        {"endpoints": MULTICAST6, "ttl": 1, "interface_index": -1},
        {"endpoints": MULTICAST6, "ttl": 1, "interface_index": 2**40},
        {"endpoints": MULTICAST, "ttl": 1, "interface_address": "", "interface_index": 1},
        {"socket": None, "endpoints": UNICAST},
        {"socket": 5, "endpoints": UNICAST},
    ],
)
def test_what_fits_no_constructor(make, arguments):
    with pytest.raises(TypeError):
        make(**arguments)


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (ValueError, {"endpoints": []}),
        (ValueError, {"endpoints": [], "ttl": 1}),
        (ValueError, {"endpoints": UNICAST + UNICAST6}),
        (ValueError, {"endpoints": UNICAST, "ttl": 1}),
        (ValueError, {"endpoints": MULTICAST + UNICAST, "ttl": 1}),
        (ValueError, {"endpoints": MULTICAST + MULTICAST6, "ttl": 1}),
        (ValueError, {"endpoints": MULTICAST6, "ttl": 1, "interface_address": "127.0.0.1"}),
        (ValueError, {"endpoints": UNICAST, "ttl": 1, "interface_address": "127.0.0.1"}),
        (ValueError, {"endpoints": MULTICAST, "ttl": 1, "interface_address": "::1"}),
        (ValueError, {"endpoints": MULTICAST, "ttl": 1, "interface_index": 1}),
        (ValueError, {"endpoints": UNICAST6, "ttl": 1, "interface_index": 1}),
        (IndexError, {"endpoints": MULTICAST, "ttl": 256}),
        (IndexError, {"endpoints": MULTICAST, "ttl": -1}),
        (RuntimeError, {"endpoints": [("nonsense.invalid", 9)]}),
        (RuntimeError, {"endpoints": UNICAST, "interface_address": "nonsense.invalid"}),
        (RuntimeError, {"endpoints": UNICAST, "interface_address": "192.0.2.1"}),
        (RuntimeError, {"endpoints": UNICAST, "interface_address": "::1"}),
        (RuntimeError, {"endpoints": MULTICAST, "ttl": 1, "interface_address": "192.0.2.1"}),
        (RuntimeError, {"endpoints": MULTICAST6, "ttl": 1, "interface_index": 99999}),
    ],
)
def test_what_cannot_be(make, error, arguments):
    with pytest.raises(error):
        make(**arguments)


def test_pools_are_needed(lib):
    for wrong in (None, 1):
        with pytest.raises(TypeError):
            lib.send.UdpStream(wrong, UNICAST)
    with pytest.raises(TypeError):
        lib.send.UdpStream()


def test_sockets_are_adopted(lib, make):
    class Wrapper:
        def __init__(self, inner):
            self.fileno = inner.fileno

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        make(mine, UNICAST)
        make(mine, UNICAST, lib.send.StreamConfig())
        make(socket=mine, endpoints=UNICAST * 3)
        make(Wrapper(mine), UNICAST)
        with pytest.raises(ValueError, match="does not match"):
            make(mine, UNICAST6)
        with pytest.raises(TypeError):
            make(mine)
        with pytest.raises(TypeError):
            make(mine, UNICAST, lib.send.StreamConfig(), 1000)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as mine:
        make(mine, UNICAST6)
        with pytest.raises(ValueError, match="does not match"):
            make(mine, UNICAST)


def test_other_sockets_are_refused(make):
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local:
        for wrong in (tcp, local):
            with pytest.raises(TypeError):
                make(wrong, UNICAST)
    with pytest.raises(TypeError):
        make(tcp, UNICAST)  # closed

    for answer in (-1, "a", None, 10**6, KeyError("mine")):
        with pytest.raises(TypeError):
            make(Answers(answer), UNICAST)


def test_an_adopted_socket_is_the_users_still(ours):
    """The reference makes it non-blocking."""
    with udp_socket() as mine, udp_socket() as sink:
        mine.settimeout(None)
        stream = ours.send.UdpStream(ours.ThreadPool(), mine, [endpoint(sink)])
        assert not fcntl.fcntl(mine, fcntl.F_GETFL) & os.O_NONBLOCK
        source = endpoint(mine)
        mine.close()
        stream.send_heap(make_heap(ours))
        assert sink.recvfrom(100)[1] == source


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("size", [200, 1472, 9000, 60000])
def test_packets_arrive(lib, host, size):
    with udp_socket(host) as first, udp_socket(host) as second:
        config = lib.send.StreamConfig(max_packet_size=size)
        endpoints = [endpoint(first), endpoint(second)]
        stream = lib.send.UdpStream(lib.ThreadPool(), endpoints, config)
        heap = make_heap(lib, Value(0x1000, bytes(20_000)))
        for index, sink in enumerate([first, second]):
            expected = packets(lib, heap, 7, size)
            assert stream.send_heap(heap, 7, index) == sum(map(len, expected))
            assert [sink.recv(65536) for _ in expected] == expected


def test_the_address_to_send_from(lib):
    with udp_socket() as sink:
        config = lib.send.StreamConfig()
        pool = lib.ThreadPool()
        stream = lib.send.UdpStream(pool, [endpoint(sink)], config, 0, "127.0.0.2")
        stream.send_heap(lib.send.Heap())
        assert sink.recvfrom(100)[1][0] == "127.0.0.2"


def test_nobody_listens(lib):
    """What the network answers to a packet is not an error of the next heap."""
    with udp_socket() as closed:
        nowhere = endpoint(closed)
    stream = lib.send.UdpStream(lib.ThreadPool(), [nowhere])
    heap = make_heap(lib, Value(0x1000, bytes(3000)))
    assert [stream.send_heap(heap) for _ in range(5)] == [3128] * 5


@pytest.mark.parametrize(
    ("destination", "size", "number", "error"),
    [
        (("127.0.0.1", 9), 70_000, errno.EMSGSIZE, OSError),
        (("127.0.0.1", 0), 1472, errno.EINVAL, OSError),
        (("255.255.255.255", 9), 1472, errno.EACCES, PermissionError),
    ],
)
def test_what_the_system_refuses(lib, destination, size, number, error):
    config = lib.send.StreamConfig(max_packet_size=size)
    stream = lib.send.UdpStream(lib.ThreadPool(), [destination, ("127.0.0.1", 9)], config)
    heap = make_heap(lib, Value(0x1000, bytes(100_000)))
    small = make_heap(lib, Value(0x1000, bytes(100)))
    for _ in range(2):
        with pytest.raises(error) as caught:
            stream.send_heap(heap)
        assert caught.value.errno == number
        assert stream.send_heap(small, substream_index=1) == 148


def test_a_failed_heap_does_not_take_others_with_it(lib):
    with udp_socket() as sink:
        endpoints = [endpoint(sink), ("127.0.0.1", 0)]
        stream = lib.send.UdpStream(lib.ThreadPool(), endpoints)
        refs = [lib.send.HeapReference(lib.send.Heap(), substream_index=i) for i in (0, 1, 0)]
        with pytest.raises(OSError, match="Invalid argument"):
            stream.send_heaps(refs, lib.send.GroupMode.SERIAL)
        assert stream.send_heap(lib.send.Heap()) == 49


def test_multicast_leaves_from_the_interface_with_an_address(lib):
    group, interface = "239.255.88.88", "127.0.0.1"
    with udp_socket("0.0.0.0") as sink:
        member = socket.inet_aton(group) + socket.inet_aton(interface)
        sink.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        there = [(group, endpoint(sink)[1])]
        stream = lib.send.UdpStream(lib.ThreadPool(), there, ttl=0, interface_address=interface)
        stream.send_heap(lib.send.Heap())
        assert len(sink.recv(100)) == 49


def test_multicast_leaves_from_the_interface_with_an_index(lib):
    group = "ff11::1234"
    with udp_socket("::") as sink:
        there = (group, endpoint(sink)[1])
        interface = interface_for_multicast(there)
        member = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", interface)
        sink.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
        stream = lib.send.UdpStream(lib.ThreadPool(), [there], ttl=0, interface_index=interface)
        stream.send_heap(lib.send.Heap())
        assert len(sink.recv(100)) == 49

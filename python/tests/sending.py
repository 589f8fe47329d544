"""What the tests of sending share."""

import contextlib
import socket
import struct

import pytest


class Value:
    """The least that a heap takes for an item."""

    def __init__(self, item_id, buffer, immediate=False):
        self.id = item_id
        self.buffer = buffer
        self.immediate = immediate

    def to_buffer(self):
        return self.buffer

    def allow_immediate(self):
        return self.immediate


def make_heap(lib, *items, bits=40, repeat=False):
    heap = lib.send.Heap(lib.Flavour(4, 64, bits, 0))
    for item in items:
        heap.add_item(item)
    heap.repeat_pointers = repeat
    return heap


def packets(lib, heap, cnt=1, size=1472):
    return list(lib.send.PacketGenerator(heap, cnt, size))


def bytes_stream(lib, **options):
    return lib.send.BytesStream(lib.ThreadPool(), lib.send.StreamConfig(**options))


def heap_counts(data):
    """The counts of one-packet heaps without items, as a stream sent them (49 bytes each)."""
    return [struct.unpack(">Q", data[at + 8 : at + 16])[0] & (1 << 40) - 1 for at in range(0, len(data), 49)]


def udp_socket(host="127.0.0.1"):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    bound.settimeout(10)
    bound.bind((host, 0))
    return bound


def listener(host="127.0.0.1"):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.settimeout(10)
    listening.bind((host, 0))
    listening.listen(16)
    return listening


def endpoint(bound):
    return bound.getsockname()[:2]


def read_all(connection):
    """What comes until the end of a connection, which is then closed."""
    parts = []
    with connection:
        connection.settimeout(10)
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def interface_for_multicast(there):
    """The index of one that IPv6 multicast can be sent from."""
    for index, _ in socket.if_nameindex():
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 0)
            with contextlib.suppress(OSError):
                probe.sendto(b"", (*there[:1], 9))
                return index
    pytest.skip("no interface has IPv6 multicast")

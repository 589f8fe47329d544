"""What one module sends, the other receives: values, descriptors and control over every transport."""

import asyncio

import numpy as np
import pytest
from conftest import Library
from sending import bytes_stream, endpoint, interface_for_multicast, listener, udp_socket

FLAVOURS = [(bits, compat) for bits in (24, 32, 40, 48) for compat in (0, 7)]

ITEMS = {
    "array": ({"shape": (20, 30), "dtype": "<f4"}, np.arange(600, dtype="<f4").reshape(20, 30)),
    "big endian": ({"shape": (70,), "dtype": ">u2"}, np.arange(70, dtype=">u2")),
    "fortran": ({"shape": (3, 5), "dtype": "<i8", "order": "F"}, np.arange(15).reshape(3, 5)),
    "bits": ({"shape": (4,), "format": [("u", 12)]}, np.array([1, 2, 3, 4095])),
    "fields": ({"shape": (2,), "format": [("u", 4), ("i", 4)]}, [(1, -2), (3, 4)]),
    "counter": ({"shape": (), "format": [("u", 24)]}, 123_456),
    "text": ({"shape": (None,), "format": [("c", 8)]}, "hello"),
}


@pytest.fixture
def peer(lib):
    """The other module."""
    return Library("speadway" if lib.name == "spead2" else "spead2")


def flavour(lib, bits=48, compat=0):
    return lib.Flavour(4, 64, bits, compat)


def item_group(lib, **options):
    group = lib.send.ItemGroup(flavour=flavour(lib, **options))
    for number, (name, (kind, value)) in enumerate(ITEMS.items()):
        group.add_item(0x1000 + number, name, f"the {name}", value=value, **kind)
    return group


def receiver(peer, **options):
    return peer.recv.Stream(peer.ThreadPool(), peer.recv.StreamConfig(**options))


def check_values(peer, heap):
    group = peer.ItemGroup()
    updated = group.update(heap)
    assert sorted(updated) == sorted(ITEMS)
    for name in updated:
        kind, value = ITEMS[name]
        item = group[name]
        assert item.description == f"the {name}"
        if isinstance(value, list):
            value = np.array(value, item.value.dtype)
        assert np.array_equal(item.value, value)


def check_received(peer, stream, heaps=1):
    received = list(stream)
    assert len(received) == heaps
    for heap in received:
        check_values(peer, heap)


@pytest.mark.parametrize(("bits", "compat"), FLAVOURS)
@pytest.mark.parametrize("size", [200, 1472, 65000])
@pytest.mark.parametrize("repeat", [False, True])
def test_through_memory(lib, peer, bits, compat, size, repeat):
    group = item_group(lib, bits=bits, compat=compat)
    heap = group.get_heap()
    heap.repeat_pointers = repeat and size > 200
    stream = bytes_stream(lib, max_packet_size=size)
    stream.send_heap(group.get_start())
    stream.send_heap(heap)
    stream.send_heap(group.get_end())
    receiving = receiver(peer, bug_compat=compat)
    receiving.add_buffer_reader(stream.getvalue())
    start, heap = receiving
    assert start.is_start_of_stream()
    assert heap.flavour == flavour(peer, bits, compat)
    check_values(peer, heap)


@pytest.mark.parametrize("mode", ["SERIAL", "ROUND_ROBIN"])
def test_many_heaps_at_once(lib, peer, mode):
    group = item_group(lib)
    heaps = [group.get_heap(descriptors="all", data="all") for _ in range(4)]
    stream = bytes_stream(lib, max_packet_size=500)
    references = lib.send.HeapReferenceList([lib.send.HeapReference(heap) for heap in heaps])
    stream.send_heaps(references, lib.send.GroupMode[mode])
    receiving = receiver(peer)
    receiving.add_buffer_reader(stream.getvalue())
    check_received(peer, receiving, 4)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("size", [1472, 9000])
def test_through_udp(lib, peer, host, size):
    with udp_socket(host) as bound:
        receiving = receiver(peer)
        receiving.add_udp_reader(bound)
        config = lib.send.StreamConfig(max_packet_size=size)
        stream = lib.send.UdpStream(lib.ThreadPool(), [endpoint(bound)], config)
        group = item_group(lib)
        stream.send_heap(group.get_heap())
        stream.send_heap(group.get_end())
        check_received(peer, receiving)


def test_through_ipv4_multicast(lib, peer):
    with udp_socket("0.0.0.0") as free:
        port = endpoint(free)[1]
    receiving = receiver(peer)
    receiving.add_udp_reader("239.255.88.88", port, interface_address="127.0.0.1")
    there = [("239.255.88.88", port)]
    stream = lib.send.UdpStream(lib.ThreadPool(), there, ttl=0, interface_address="127.0.0.1")
    group = item_group(lib)
    stream.send_heap(group.get_heap())
    stream.send_heap(group.get_end())
    check_received(peer, receiving)


def test_through_ipv6_multicast(lib, peer):
    with udp_socket("::") as free:
        there = ("ff14::1234", endpoint(free)[1])
    index = interface_for_multicast(there)
    receiving = receiver(peer)
    receiving.add_udp_reader(*there, interface_index=index)
    stream = lib.send.UdpStream(lib.ThreadPool(), [there], ttl=0, interface_index=index)
    group = item_group(lib)
    stream.send_heap(group.get_heap())
    stream.send_heap(group.get_end())
    check_received(peer, receiving)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_through_tcp(lib, peer, host):
    with listener(host) as listening:
        receiving = receiver(peer)
        receiving.add_tcp_reader(listening)
        stream = lib.send.TcpStream(lib.ThreadPool(), [endpoint(listening)])
        group = item_group(lib)
        for _ in range(3):
            stream.send_heap(group.get_heap(descriptors="all", data="all"))
        del stream  # which ends the connection, and so the stream
        check_received(peer, receiving, 3)


def test_through_a_queue(lib):
    """Queues are of one module."""
    queue = lib.InprocQueue()
    receiving = receiver(lib)
    receiving.add_inproc_reader(queue)
    stream = lib.send.InprocStream(lib.ThreadPool(), [queue])
    stream.send_heap(item_group(lib).get_heap())
    queue.stop()
    check_received(lib, receiving)


async def test_through_asyncio(lib, peer):
    with udp_socket() as bound:
        receiving = peer.module("recv.asyncio").Stream(peer.ThreadPool())
        receiving.add_udp_reader(bound)
        cls = lib.module("send.asyncio").UdpStream
        stream = cls(lib.ThreadPool(), [endpoint(bound)])
        group = item_group(lib)
        futures = [
            stream.async_send_heap(group.get_heap(descriptors="all", data="all")) for _ in range(3)
        ]
        await asyncio.gather(*futures)
        await stream.async_send_heap(group.get_end())
        count = 0
        async for heap in receiving:
            check_values(peer, heap)
            count += 1
        assert count == 3


def test_chunks(ours):
    """Through spead2 or to it is where users have numba; our layouts need none."""
    heaps, size = 24, 1024
    stream = bytes_stream(ours, max_packet_size=500)
    group = ours.send.ItemGroup(flavour=flavour(ours))
    group.add_item(0x1600, "number", "", (), format=[("u", 48)])
    group.add_item(0x3300, "data", "", (size,), np.uint8)
    for number in range(heaps):
        group["number"].value = number
        group["data"].value = np.full(size, number, np.uint8)
        heap = group.get_heap(descriptors="none", data="all")
        heap.repeat_pointers = True
        stream.send_heap(heap)
    layout = ours.recv.Layout(sequence=0x1600, heaps_per_chunk=8, heap_size=size)
    data, free = ours.recv.ChunkRingbuffer(4), ours.recv.ChunkRingbuffer(4)
    receiving = ours.recv.ChunkRingStream(
        ours.ThreadPool(),
        ours.recv.StreamConfig(),
        ours.recv.ChunkStreamConfig(place=layout, max_chunks=2),
        data,
        free,
    )
    for _ in range(4):
        chunk = ours.recv.Chunk(data=np.zeros(8 * size, np.uint8), present=np.zeros(8, np.uint8))
        receiving.add_free_chunk(chunk)
    receiving.add_buffer_reader(stream.getvalue())
    for chunk_id in range(3):
        chunk = data.get()
        assert chunk.chunk_id == chunk_id
        assert chunk.present.all()
        assert (chunk.data.reshape(8, size) == chunk_id * 8 + np.arange(8)[:, None]).all()

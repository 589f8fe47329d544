"""Packets to receive, made by the peer (spead2) whichever implementation is under test."""

import struct

import numpy as np
import spead2
import spead2.send

DATA = 0x1000
NUMBER = 0x1001


def item_group(size):
    """Items `data`, of `size` bytes, and `number`, an immediate."""
    group = spead2.send.ItemGroup()
    group.add_item(DATA, "data", "some bytes", shape=(size,), dtype=np.uint8)
    group.add_item(NUMBER, "number", "which heap", shape=(), format=[("u", 40)])
    return group


def values(number, size):
    return ((np.arange(size) + number) % 251).astype(np.uint8)


def heaps(count, size=8, *, first=0, descriptors="stale"):
    """Heaps to send, numbered from `first`. The first of them carries the descriptors."""
    group = item_group(size)
    for number in range(first, first + count):
        group["data"].value = values(number, size)
        group["number"].value = number
        yield group.get_heap(descriptors=descriptors, data="all")


def end():
    return spead2.send.ItemGroup().get_end()


def start():
    return spead2.send.ItemGroup().get_start()


def encode(to_send, max_packet_size=1472, flavour=None):
    """The packets of heaps, each as bytes; heaps are counted from 1."""
    packets = []
    for cnt, heap in enumerate(to_send, 1):
        packets.extend(spead2.send.PacketGenerator(heap, cnt, max_packet_size))
    return packets


def stream(count, size=8, *, stop=True, max_packet_size=1472, descriptors="stale"):
    """The packets of a whole stream, as one buffer."""
    to_send = list(heaps(count, size, descriptors=descriptors))
    if stop:
        to_send.append(end())
    return b"".join(encode(to_send, max_packet_size))


def packet(cnt, payload=b"", *, offset=0, length=None, items=(), address_bits=40):
    """A packet made by hand. `items` are (id, immediate value) or (id, None, offset)."""
    shift = address_bits
    pointers = [(True, 1, cnt), (True, 3, offset), (True, 4, len(payload))]
    if length is not None:
        pointers.append((True, 2, length))
    for item in items:
        pointers.append((True, *item) if item[1] is not None else (False, item[0], item[2]))
    words = [(immediate << 63) | (id_ << shift) | value for immediate, id_, value in pointers]
    header = struct.pack(">BBBBHH", 0x53, 4, 8 - shift // 8, shift // 8, 0, len(words))
    return header + b"".join(struct.pack(">Q", word) for word in words) + bytes(payload)


def pcap(datagrams):
    """A pcap file of UDP packets: (source, destination, payload), addresses as (host, port)."""
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 1)]
    for at, ((source, sport), (destination, dport), payload) in enumerate(datagrams):
        udp = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload
        address = [bytes(map(int, host.split("."))) for host in (source, destination)]
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), at, 0x4000, 64, 17, 0)
        frame = bytes(12) + b"\x08\x00" + ip + b"".join(address) + udp
        out.append(struct.pack("<IIII", at, 0, len(frame), len(frame)) + frame)
    return b"".join(out)


def number_of(heap):
    """The value of `number` in a received heap."""
    return next(item.immediate_value for item in heap.get_items() if item.id == NUMBER)


def data_of(heap):
    """The value of `data` in a received heap."""
    return next(np.array(item, np.uint8) for item in heap.get_items() if item.id == DATA)

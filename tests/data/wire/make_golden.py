"""Makes the golden vectors of the wire layer with spead2. See README.md."""

import pathlib
import random
import struct
import sys

import numpy as np
import spead2
import spead2._spead2
import spead2.recv
import spead2.send

assert spead2.__version__ == "4.5.1"
RNG = random.Random(1)
POOL = spead2.ThreadPool()
BITS = range(8, 57, 8)


def flavour(bits, bug_compat=0):
    return spead2.Flavour(4, 64, bits, bug_compat)


def hexed(data):
    return bytes(data).hex() or "-"


class Item:
    """The least that `Heap.add_item` takes."""

    def __init__(self, id, data, inline):
        self.id, self.data, self.inline = id, bytes(data), inline

    def to_buffer(self):
        return np.frombuffer(self.data, np.uint8) if self.data else np.zeros(0, np.uint8)

    def allow_immediate(self):
        return self.inline


class Described:
    """The least that `Heap.add_descriptor` takes."""

    def __init__(self, raw):
        self.raw = raw

    def to_raw(self, flavour):
        return self.raw


def raw_descriptor(id, name, description, shape, format, header=b""):
    raw = spead2._spead2.RawDescriptor()
    raw.id, raw.name, raw.description = id, name, description
    raw.shape, raw.format, raw.numpy_header = shape, format, header
    return raw


def descriptor_line(raw):
    shape = ",".join("None" if size is None else str(size) for size in raw.shape)
    format = ",".join(f"{ord(code)}:{bits}" for code, bits in raw.format)
    strings = map(hexed, (raw.name, raw.description, raw.numpy_header))
    return f"descriptor {raw.id} {shape or '-'} {format or '-'} {' '.join(strings)}"


def encode(bits, contents, *, cnt=1, size=1472, bug_compat=0, repeat=False):
    """The lines of one heap: what it is made of, and its packets."""
    heap = spead2.send.Heap(flavour(bits, bug_compat))
    heap.repeat_pointers = repeat
    lines = [f"heap {bits} {bug_compat} {cnt} {size} {int(repeat)}"]
    for part in contents:
        if part == "start":
            heap.add_start()
            lines.append("start")
        elif part == "stop":
            heap.add_end()
            lines.append("stop")
        elif isinstance(part, Item):
            heap.add_item(part)
            kind = "inline" if part.inline else "addressed"
            lines.append(f"{kind} {part.id} {hexed(part.data)}")
        else:
            heap.add_descriptor(Described(part))
            lines.append(descriptor_line(part))
    packets = [bytes(p) for p in spead2.send.PacketGenerator(heap, cnt, size)]
    data_length = sum(len(line.split()[2]) // 2 for line in lines if is_payload(line, bits))
    if not any(line.startswith("descriptor") for line in lines):
        packets = [padding_last(p, bits, data_length) for p in packets]
    lines += [f"packet {hexed(p)}" for p in packets]
    return lines + ["end"]


def is_payload(line, bits):
    kind, *words = line.split()
    is_long = len(words) == 2 and words[1] != "-" and len(words[1]) > bits // 4
    return kind == "addressed" and words[1] != "-" or kind == "inline" and is_long


def padding_last(packet, bits, data_length):
    """Puts right the packet in which the data ends and the padding of a heap begins.

    spead2 4.5.1 sends the padding first, so that its own receiver returns zeros followed by a
    part of the data. This alone is not what it sends.
    """
    payload = 8 + 8 * int.from_bytes(packet[6:8])
    offset = int.from_bytes(packet[24:32]) % 2**bits
    data = data_length - offset
    padding = len(packet) - payload - data
    if not 0 < data < data + padding:
        return packet
    assert packet[payload : payload + padding] == bytes(padding)
    return packet[:payload] + packet[payload + padding :] + bytes(padding)


def heaps():
    for bits in BITS:
        ids = min(0x1000, 2 ** (63 - bits) - 40)
        inline = [Item(ids + i, RNG.randbytes(i % (bits // 8 + 1)), True) for i in range(20)]
        yield encode(bits, [])
        yield encode(bits, ["start"], cnt=200)
        yield encode(bits, ["stop"], cnt=255, size=56)
        for size in (56, 63, 72, 1472):
            # Nothing but immediates: padded.
            for n in (1, 3, 8):
                yield encode(bits, inline[:n], size=size)
        for size in (56, 80, 1472):
            yield encode(bits, [Item(ids, RNG.randbytes(101), False)], size=size)
            mixed = [Item(ids + 1, RNG.randbytes(n), n % 2 == 0) for n in (3, 0, 1, 30, 9, 20, 6)]
            yield encode(bits, mixed, size=size)
            yield encode(bits, mixed + ["stop"], size=size)
            # More pointers than payload.
            yield encode(bits, mixed[:3] + inline[:9], size=size)
        for n in (0, 1, 4):
            for size in (56 + 8 * n, 92 + 8 * n):
                size += 8
                yield encode(bits, inline[:n], size=size, repeat=True)
                data = Item(ids + 30, RNG.randbytes(100), False)
                yield encode(bits, inline[: n - 1] + [data] if n else [], size=size, repeat=True)
        for bug_compat in (0, 1, 2, 7):
            # Bits and sizes that one byte holds, as some flavours have no more.
            fields = [("u", 7), ("f", 32), ("c", 8)]
            one = raw_descriptor(ids % 251, b"name", b"text", [3, None, 200], fields)
            two = raw_descriptor(1, b"", b"", [], [], b"{'descr': '<u4', 'shape': ()}")
            three = raw_descriptor(127, b"x", b"", [], [])
            for contents in ([one], [two], [three]):
                yield encode(bits, contents, bug_compat=bug_compat)
            if bits > 8:
                every = [one, inline[3], two, Item(ids, RNG.randbytes(99), False), three]
                yield encode(bits, every, bug_compat=bug_compat, size=128)
    large = [Item(0x1600, b"\1\2\3\4\5\6", True), Item(0x4300, RNG.randbytes(5000), False)]
    yield encode(48, large, cnt=2**48 - 1)
    yield encode(40, large, size=9200)
    yield encode(40, large[1:] + large[:1], size=1024, repeat=True)


def pointer(immediate, id, value, bits):
    return struct.pack(">Q", (immediate << 63) | (id << bits) | value)


def packet(bits, pointers, payload, count=None):
    pointers = b"".join(pointer(*p, bits) for p in pointers)
    count = len(pointers) // 8 if count is None else count
    return struct.pack(">HBBHH", 0x5304, 8 - bits // 8, bits // 8, 0, count) + pointers + payload


def mutants():
    for bits in BITS:
        good = [(1, 1, 9), (1, 2, 8), (1, 3, 0), (1, 4, 8), (0, 5, 0)]
        yield packet(bits, good, bytes(8))
        for i in range(4):
            yield packet(bits, good[:i] + good[i + 1 :], bytes(8))
            yield packet(bits, good[:i] + [(0,) + good[i][1:]] + good[i + 1 :], bytes(8))
            for value in (0, 7, 9, 255):
                # The last of two counts, whichever is right.
                yield packet(bits, good + [(1, i + 1, value)], bytes(8))
                yield packet(bits, [(1, i + 1, value)] + good, bytes(8))
        for length in (0, 7, 9):
            yield packet(bits, good, bytes(length))
        for count in (0, 1, 4, 6, 7, 65535):
            yield packet(bits, good, bytes(8), count)
        yield packet(bits, [], b"")
        whole = packet(bits, good, bytes(8))
        for length in (1, 7, 8, 9, 40, 48):
            yield whole[:length]
        for _ in range(60):
            changed = bytearray(whole)
            for _ in range(RNG.randint(1, 2)):
                changed[RNG.randrange(len(changed))] = RNG.choice([0, 1, 2, 3, 4, 8, 128, 255])
            yield bytes(changed)


def huge(data):
    """Whether spead2 would die of a failed allocation, in place of an answer."""
    if len(data) < 8 or not 0 < data[3] < 8:
        return False
    bits = 8 * data[3]
    pointers = (p for (p,) in struct.iter_unpack(">Q", data[8 : len(data) // 8 * 8]))
    return any((p >> bits) % 2 ** (63 - bits) in (2, 3) and p % 2**bits > 2**24 for p in pointers)


def accepted(data):
    config = spead2.recv.StreamConfig(stop_on_stop_item=False)
    stream = spead2.recv.Stream(POOL, config)
    queue = spead2.InprocQueue()
    queue.add_packet(data)
    queue.stop()
    stream.add_inproc_reader(queue)
    list(stream)
    return stream.stats.packets


def descriptor_values():
    some = [(1, 0x14, 0x77), (0, 0x10, 0), (0, 0x11, 2)]
    for bits in BITS:
        for bug_compat in (0, 1, 2, 7):
            def value(pointers, payload, length=None, offset=0):
                length = len(payload) if length is None else length
                specials = [(1, 1, 1), (1, 2, length), (1, 3, offset), (1, 4, len(payload))]
                return bits, bug_compat, packet(bits, specials + pointers, payload)

            yield value(some, b"abcd")
            yield value(some[::-1], b"abcd")
            yield value(some[:1], b"")
            yield value(some[1:], b"abcd")
            yield value([(0, 0x14, 0)], b"abcd")
            yield value(some, b"abcd", 8)
            yield value(some, b"abcd", 8, 4)
            yield value(some + [(0, 0, 3)], b"abcd")
            yield value(some + [(0, 0x15, 4)], b"abcd{}")
            yield value(some + [(0, 0x15, 9)], b"abcd{}")
            yield value(some + [(0, 0x10, 3)], b"abcd")
            yield value([(1, 0x10, 0x41)] + some, b"abcd")
            yield value(some + [(1, 0x14, 0x12)], b"abcd")
            for id in (0x12, 0x13):
                yield value(some[:1] + [(1, id, 3)], b"")
                for length in (3, 7, 8, 16, 17, 33):
                    data = bytes(RNG.choice([0, 0, 0, 1, 2, 3, 65]) for _ in range(length))
                    if id == 0x13:
                        # A number of bits beyond 32 bits means nothing.
                        step = 4 if bug_compat & 1 else 9 - bits // 8
                        data = bytes(0 if 0 < i % step < step - 2 else b for i, b in enumerate(data))
                    yield value(some[:1] + [(0, id, 0)], data)


def described(bits, bug_compat, data):
    heap = spead2.send.Heap(flavour(48))
    heap.add_item(Item(5, data, False))
    packets = spead2.send.PacketGenerator(heap, 1, 1472)
    stream = spead2.recv.Stream(POOL, spead2.recv.StreamConfig(bug_compat=bug_compat))
    stream.add_buffer_reader(b"".join(packets))
    return [d for heap in stream for d in heap.get_descriptors()]


def main(directory):
    directory = pathlib.Path(directory)
    lines = [line for heap in heaps() for line in heap]
    (directory / "encode.txt").write_text("\n".join(lines) + "\n")
    lines = [f"{'accept' if accepted(data) else 'reject'} {hexed(data)}" for data in mutants() if not huge(data)]
    (directory / "decode.txt").write_text("\n".join(dict.fromkeys(lines)) + "\n")
    lines = []
    for bits, bug_compat, data in descriptor_values():
        lines.append(f"value {bug_compat} {hexed(data)}")
        lines += [descriptor_line(raw) for raw in described(bits, bug_compat, data)]
    (directory / "descriptors.txt").write_text("\n".join(lines) + "\n")


main(sys.argv[1])

#!/usr/bin/env python3
"""Send a deterministic SPEAD stream with spead2, the independent peer of the tests.

Heap i carries three items:

  0x1600 timestamp  immediate  i * --timestamp-step
  0x1601 feng_id    immediate  i % --fengs
  0x3300 payload    u8[--heap-size], byte k being (i*131 + k*7 + (k>>8)*13) & 0xff

and has heap count i + 1. Descriptor and end-of-stream heaps have counts from the upper half of the
range, out of the way. The last line of output is JSON: the data heaps sent, and their payload bytes.
"""

import argparse
import json
import sys
from dataclasses import dataclass

import numpy as np
import spead2
import spead2.send

TIMESTAMP, FENG_ID, PAYLOAD = 0x1600, 0x1601, 0x3300


def parse_endpoint(text):
    """Parse host:port, where an IPv6 host may be in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not host:port")
    return host.strip("[]"), int(port)


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    yes_no = argparse.BooleanOptionalAction
    add("endpoints", nargs="+", type=parse_endpoint, metavar="HOST:PORT")
    add("--transport", choices=["udp", "tcp"], default="udp")
    add("--split", action="store_true",
        help="heap i to endpoint i %% n; otherwise the heaps that are sent take turns, which "
             "differs with --drop-every")
    add("--interleave", type=int, default=1, metavar="N",
        help="mix the packets of N heaps at a time")
    add("--flavour", type=int, default=48, metavar="BITS",
        help="heap address bits, of 64 (40 means SPEAD-64-40; default %(default)s)")
    add("--packet", type=int, default=1472, metavar="BYTES",
        help="largest packet (default %(default)s)")
    add("--heaps", type=int, default=100, metavar="N",
        help="heaps, including those dropped (default %(default)s)")
    add("--first-heap", type=int, default=0, metavar="I",
        help="index of the first heap (default %(default)s)")
    add("--heap-size", type=int, default=4096, metavar="BYTES",
        help="payload of a heap (default %(default)s); spead2 sends 0 as an immediate value")
    add("--timestamp-step", type=int, default=1, metavar="STEP")
    add("--fengs", type=int, default=1, metavar="N")
    add("--repeat-pointers", action="store_true", help="all item pointers in every packet")
    add("--descriptors", action="store_true",
        help="first a heap of descriptors, to every endpoint")
    add("--drop-every", type=int, default=0, metavar="N",
        help="leave out heaps N-1, 2N-1, ... (default: none)")
    add("--stop", action=yes_no, default=True,
        help="at the end, an end-of-stream heap to every endpoint")
    add("--rate", type=float, default=0.2, metavar="GB/s",
        help="10^9 bytes a second over all endpoints; 0 is as fast as it goes "
             "(default %(default)s)")
    add("--burst", type=int, default=65536, metavar="BYTES",
        help="sent in one go between pauses (default %(default)s)")
    add("--ttl", type=int, help="multicast time to live (UDP only)")
    add("--interface", help="address of the interface to send from; index for IPv6 multicast")
    args = parser.parse_args(argv)
    check(parser, args)
    return args


def check(parser, args):
    if args.heaps < 0 or args.first_heap < 0 or args.heap_size < 0:
        parser.error("--heaps, --first-heap and --heap-size cannot be negative")
    if args.interleave < 1 or args.fengs < 1 or args.drop_every < 0:
        parser.error("--interleave and --fengs must be positive, --drop-every not negative")
    if args.flavour % 8 or not 8 <= args.flavour < 64:
        parser.error("--flavour must be a multiple of 8 between 8 and 56")
    if args.first_heap + args.heaps >= service_count(args, 0):
        parser.error("so many heaps leave no counts for descriptors and the end of the stream")
    if args.transport == "tcp" and args.ttl is not None:
        parser.error("--ttl is for UDP")


def service_count(args, n):
    """The heap count of the n-th heap that is not data, distinct for each --first-heap."""
    return (1 << (args.flavour - 1)) + args.first_heap + n


class Pattern:
    """The payload of heap i."""

    def __init__(self, size):
        k = np.arange(size, dtype=np.uint64)
        self._base = (k * 7 + (k >> 8) * 13).astype(np.uint8)

    def __call__(self, i):
        return self._base + np.uint8(i * 131 & 0xFF)


class Heaps:
    """Makes the heaps of a stream."""

    def __init__(self, args):
        self._args = args
        self._flavour = spead2.Flavour(4, 64, args.flavour)
        self._pattern = Pattern(args.heap_size)
        number = [("u", args.flavour)]
        self._items = [
            spead2.Item(TIMESTAMP, "timestamp", "heap index in steps", (), format=number),
            spead2.Item(FENG_ID, "feng_id", "source of the heap", (), format=number),
            spead2.Item(PAYLOAD, "payload", "deterministic bytes", (args.heap_size,), np.uint8),
        ]

    def _heap(self):
        heap = spead2.send.Heap(self._flavour)
        heap.repeat_pointers = self._args.repeat_pointers
        return heap

    def data(self, i):
        heap = self._heap()
        timestamp, feng_id, payload = self._items
        timestamp.value = i * self._args.timestamp_step
        feng_id.value = i % self._args.fengs
        payload.value = self._pattern(i)
        for item in self._items:
            heap.add_item(item)
        return heap

    def descriptors(self):
        heap = self._heap()
        for item in self._items:
            heap.add_descriptor(item)
        return heap

    def end(self):
        heap = self._heap()
        heap.add_end()
        return heap


@dataclass
class Outgoing:
    heap: spead2.send.Heap
    count: int
    endpoint: int


class UdpSender:
    """One stream with a substream for each endpoint."""

    def __init__(self, args, config):
        extra = {}
        if args.ttl is not None:
            extra["ttl"] = args.ttl
        if args.interface is not None:
            if args.interface.isdigit():
                extra["interface_index"] = int(args.interface)
            else:
                extra["interface_address"] = args.interface
        self._stream = spead2.send.UdpStream(
            spead2.ThreadPool(), args.endpoints, config, **extra
        )

    def send(self, batch):
        references = [
            spead2.send.HeapReference(out.heap, cnt=out.count, substream_index=out.endpoint)
            for out in batch
        ]
        self._stream.send_heaps(references, spead2.send.GroupMode.ROUND_ROBIN)


class TcpSender:
    """One connection for each endpoint; spead2 allows a TCP stream no more."""

    def __init__(self, args, config):
        config.rate /= len(args.endpoints)
        interface = args.interface or ""
        self._streams = [
            spead2.send.TcpStream(
                spead2.ThreadPool(), [endpoint], config, interface_address=interface
            )
            for endpoint in args.endpoints
        ]

    def send(self, batch):
        for endpoint, stream in enumerate(self._streams):
            references = [
                spead2.send.HeapReference(out.heap, cnt=out.count)
                for out in batch
                if out.endpoint == endpoint
            ]
            if references:
                stream.send_heaps(references, spead2.send.GroupMode.ROUND_ROBIN)


def kept(args):
    """Indices of the heaps that are sent."""
    for i in range(args.first_heap, args.first_heap + args.heaps):
        if not args.drop_every or (i + 1) % args.drop_every:
            yield i


def data_batches(args, heaps):
    batch = []
    for turn, i in enumerate(kept(args)):
        endpoint = (i if args.split else turn) % len(args.endpoints)
        batch.append(Outgoing(heaps.data(i), i + 1, endpoint))
        if len(batch) == args.interleave:
            yield batch
            batch = []
    if batch:
        yield batch


def send_all(args):
    config = spead2.send.StreamConfig(
        max_packet_size=args.packet,
        rate=args.rate * 1e9,
        burst_size=args.burst,
        max_heaps=max(args.interleave, len(args.endpoints)),
    )
    sender = (UdpSender if args.transport == "udp" else TcpSender)(args, config)
    heaps = Heaps(args)
    endpoints = range(len(args.endpoints))
    if args.descriptors:
        for n in endpoints:
            sender.send([Outgoing(heaps.descriptors(), service_count(args, n), n)])
    sent = 0
    for batch in data_batches(args, heaps):
        sender.send(batch)
        sent += len(batch)
    if args.stop:
        for n in endpoints:
            count = service_count(args, len(endpoints) + n)
            sender.send([Outgoing(heaps.end(), count, n)])
    return sent


def main():
    args = parse_args(sys.argv[1:])
    sent = send_all(args)
    print(json.dumps({"heaps": sent, "bytes": sent * args.heap_size}), flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Receive streams from the network with spead2, and say what came of them.

The argument is a JSON object:

  {"transport": "udp" | "multicast" | "tcp", "address": "127.0.0.1", "receivers": 1,
   "kind": "heaps" | "items" | "chunks", "bug_compat": 0, ...}

For "multicast", "address" is the IPv4 group, joined on the loopback interface. For "chunks" there are
"heap_size", "per_chunk" and "chunks", as `receive.py` says. Prints "ready" and the receivers' ports,
and when all streams have ended a line of JSON: a list with an entry for each receiver.

  heaps:  [{"cnt", "items": [[id, immediate or null, hex], ...] by id}, ...]
  items:  {name: {"id", "description", "shape", "dtype", "format", "order", "value"}, ...}
  chunks: [{"id", "present", "data"}, ...]
"""

import json
import signal
import socket
import sys

import numpy as np
import spead2
import spead2.recv

from receive import make_place, show_item

PATIENCE = 120  # seconds, so that a test whose packets were lost ends


def listen(case):
    """A socket on a free port."""
    address = case["address"]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if case["transport"] == "tcp" else socket.SOCK_DGRAM
    sock = socket.socket(family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    sock.bind((address, 0))
    if case["transport"] == "tcp":
        sock.listen()
    if case["transport"] == "multicast":
        member = socket.inet_aton(address) + socket.inet_aton("127.0.0.1")
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    return sock


def start(case, sock):
    """A receiver: the stream, and what has to stay alive with it."""
    config = spead2.recv.StreamConfig(bug_compat=case.get("bug_compat", 0), max_heaps=16)
    alive = None
    if case["kind"] == "chunks":
        place, alive = make_place(case["heap_size"], case["per_chunk"], 1)
        chunk_config = spead2.recv.ChunkStreamConfig(
            items=[0x1600, spead2.HEAP_LENGTH_ID], max_chunks=2, place=place
        )
        # Room for all, so that nobody has to be quick.
        rings = [spead2.recv.ChunkRingbuffer(case["chunks"] + 2) for _ in range(2)]
        stream = spead2.recv.ChunkRingStream(spead2.ThreadPool(), config, chunk_config, *rings)
        for _ in range(case["chunks"] + 2):
            stream.add_free_chunk(spead2.recv.Chunk(
                data=bytearray(case["heap_size"] * case["per_chunk"]),
                present=bytearray(case["per_chunk"]),
            ))
        alive = (alive, rings[0])
    else:
        ring = spead2.recv.RingStreamConfig(heaps=1024)
        stream = spead2.recv.Stream(spead2.ThreadPool(), config, ring)
    (stream.add_tcp_reader if case["transport"] == "tcp" else stream.add_udp_reader)(sock)
    return stream, alive


def heaps(stream, _alive):
    return [
        {"cnt": heap.cnt, "items": sorted(show_item(item) for item in heap.get_items())}
        for heap in stream
    ]


def show(item):
    return {
        "id": item.id,
        "description": item.description,
        "shape": list(item.shape),
        "dtype": None if item.dtype is None else item.dtype.str,
        "format": item.format,
        "order": item.order,
        "value": item.value if isinstance(item.value, str) else np.asarray(item.value).tolist(),
    }


def items(stream, _alive):
    group = spead2.ItemGroup()
    for heap in stream:
        group.update(heap)
    return {name: show(item) for name, item in group.items()}


def chunks(_stream, alive):
    return [
        {"id": c.chunk_id, "present": bytes(c.present).hex(), "data": bytes(c.data).hex()}
        for c in alive[1]
    ]


def main():
    signal.alarm(PATIENCE)
    case = json.loads(sys.argv[1])
    socks = [listen(case) for _ in range(case.get("receivers", 1))]
    receivers = [start(case, sock) for sock in socks]
    print("ready", *(sock.getsockname()[1] for sock in socks), flush=True)
    kinds = {"heaps": heaps, "items": items, "chunks": chunks}
    print(json.dumps([kinds[case["kind"]](*receiver) for receiver in receivers]), flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Divide heaps into packets with spead2.

Reads cases from standard input, one JSON object a line, and answers each with a line: the packets of
all heaps, one after the other, in hexadecimal.

  {"bits": heap address bits, "packet": size, "mode": null | "serial" | "round_robin",
   "first": heap count, "step": to the next,
   "heaps": [{"repeat": bool, "items": [["start"] | ["stop"] | [kind, id, hex], ...]}, ...]}

The kind of an item is "inline" or "addressed". Without a mode the heaps' packets are taken from
`PacketGenerator`; with one they are what a stream sends for a list.
"""

import json
import sys

import numpy as np
import spead2
import spead2.send


class Item:
    """The least that `Heap.add_item` takes."""

    def __init__(self, kind, id, data):
        self.id, self.data, self.inline = id, bytes.fromhex(data), kind == "inline"

    def to_buffer(self):
        return np.frombuffer(self.data, np.uint8) if self.data else np.zeros(0, np.uint8)

    def allow_immediate(self):
        return self.inline

    def in_payload(self, bits):
        return not self.inline or len(self.data) > bits // 8


def make(case, heap):
    """The heap, and how much data its payload has."""
    made = spead2.send.Heap(spead2.Flavour(4, 64, case["bits"], 0))
    made.repeat_pointers = heap["repeat"]
    length = 0
    for item in heap["items"]:
        if item[0] == "start":
            made.add_start()
        elif item[0] == "stop":
            made.add_end()
        else:
            item = Item(*item)
            made.add_item(item)
            length += len(item.data) if item.in_payload(case["bits"]) else 0
    return made, length


def data_first(packet, bits, length):
    """Puts the end of the data before the padding, where the peer has them the other way round."""
    payload = 8 + 8 * int.from_bytes(packet[6:8], "big")
    data = length - int.from_bytes(packet[24:32], "big") % 2**bits
    padding = len(packet) - payload - data
    if not 0 < data < data + padding:
        return packet
    return packet[:payload] + packet[payload + padding :] + bytes(padding)


def generated(case):
    cnt = case["first"]
    for heap in case["heaps"]:
        made, length = make(case, heap)
        for packet in spead2.send.PacketGenerator(made, cnt, case["packet"]):
            yield data_first(bytes(packet), case["bits"], length)
        cnt += case["step"]


def sent(case):
    config = spead2.send.StreamConfig(
        max_packet_size=case["packet"], max_heaps=len(case["heaps"])
    )
    stream = spead2.send.BytesStream(spead2.ThreadPool(), config)
    stream.set_cnt_sequence(case["first"], case["step"])
    heaps = [spead2.send.HeapReference(make(case, heap)[0]) for heap in case["heaps"]]
    stream.send_heaps(heaps, spead2.send.GroupMode.__members__[case["mode"].upper()])
    return [stream.getvalue()]


for line in sys.stdin:
    case = json.loads(line)
    print(b"".join(sent(case) if case["mode"] else generated(case)).hex())

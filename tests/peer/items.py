#!/usr/bin/env python3
"""Send and receive items of any type with spead2, and say what their values are.

Reads cases from standard input, one JSON object a line, and answers each with one line:

  {"kind": "send", "bits": 48, "bug_compat": 0, "items": [{"id", "name", "shape", "dtype", "order",
   "format", "value"}, ...]}
  {"kind": "random", "bits": 48, "bug_compat": 0, "seed": 1, "count": 20}
  -> {"stream": "5304...", "items": {...}}

  {"kind": "receive", "bug_compat": 0, "stream": "5304..."}
  -> {"items": {name: {"id", "shape", "dtype", "order", "format", "values", "version"}, ...}}

  {"kind": "stale", "frequency": null, "steps": [["set", 4096], ["heap", "stale", "all"], ...]}
  -> {"heaps": [[[5, id] or [id], ...], ...]}

A stream is all packets of its heaps one after the other, without a stop item. Values are those that
spead2 itself receives, element by element and field by field: integers in decimals, "true" or
"false", "f" and a double in hexadecimal, "c" and two, "b" and bytes in hexadecimal, "t" and text.
"""

import json
import random
import string
import struct
import sys

import numpy as np
import spead2
import spead2.recv
import spead2.send

NUMPY_TYPES = [
    order + name
    for order in "<>"
    for name in ("i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16", "U3")
] + ["|b1", "|i1", "|u1", "|S1", "|S5", "|V3"]


def flavour(case):
    return spead2.Flavour(4, 64, case["bits"], case["bug_compat"])


def spell(value):
    if isinstance(value, tuple):
        return [text for field in value for text in spell(field)]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, int):
        return [str(value)]
    if isinstance(value, float):
        return ["f" + struct.pack(">d", value).hex()]
    if isinstance(value, complex):
        return ["c" + struct.pack(">dd", value.real, value.imag).hex()]
    if isinstance(value, bytes):
        return ["b" + value.hex()]
    if isinstance(value, str):
        return ["t" + value]
    raise TypeError(type(value))


def show(item):
    value = item.value
    if value is None:
        shape, values = None, None
    elif type(value) is str:
        shape, values = [len(value)], spell(value)
    else:
        array = np.asarray(value)
        shape = list(array.shape)
        values = [text for element in array.reshape(-1).tolist() for text in spell(element)]
    return {
        "id": item.id,
        "shape": shape,
        "dtype": None if item.dtype is None else item.dtype.str,
        "order": item.order,
        "format": item.format,
        "values": values,
        "version": item.version,
    }


def received(stream, bug_compat):
    config = spead2.recv.StreamConfig(bug_compat=bug_compat)
    receiver = spead2.recv.Stream(spead2.ThreadPool(), config)
    receiver.add_buffer_reader(stream)
    group = spead2.ItemGroup()
    for heap in receiver:
        group.update(heap)
    return {"items": {item.name: show(item) for item in group.values()}}


def sent(case, items):
    group = spead2.send.ItemGroup(flavour=flavour(case))
    for item in items:
        group.add_item(**item)
    stream = spead2.send.BytesStream(spead2.ThreadPool(), spead2.send.StreamConfig())
    stream.send_heap(group.get_heap())
    return {"stream": stream.getvalue().hex(), **received(stream.getvalue(), case["bug_compat"])}


def send(case):
    items = []
    for item in case["items"]:
        form = item.get("format")
        items.append({
            "id": item["id"],
            "name": item["name"],
            "description": "Item " + item["name"],
            "shape": tuple(item["shape"]),
            "dtype": np.dtype([tuple(field) for field in item["dtype"]])
            if isinstance(item.get("dtype"), list) else item.get("dtype"),
            "order": item.get("order", "C"),
            "format": None if form is None else [tuple(field) for field in form],
            "value": tuple(item["value"]) if isinstance(item.get("dtype"), list) else item["value"],
        })
    return sent(case, items)


def random_numpy(rng, dtype, shape):
    kind = np.dtype(dtype).kind
    count = int(np.prod(shape, dtype=int))
    if kind == "f":
        values = [rng.gauss(0, 100) for _ in range(count)]
    elif kind == "c":
        values = [complex(rng.gauss(0, 100), rng.gauss(0, 100)) for _ in range(count)]
    elif kind == "S":
        size = np.dtype(dtype).itemsize
        letters = string.ascii_letters.encode()
        values = [bytes(rng.choices(letters, k=rng.randrange(size + 1))) for _ in range(count)]
    elif kind == "U":
        values = ["".join(rng.choices("aZ0é\u4e2d\U0001f52d", k=rng.randrange(4))) for _ in range(count)]
    elif kind == "b":
        values = [rng.random() < 0.5 for _ in range(count)]
    else:
        # Any bytes are a value.
        raw = rng.randbytes(count * np.dtype(dtype).itemsize)
        return np.frombuffer(raw, dtype=dtype).reshape(shape)
    return np.array(values, dtype=dtype).reshape(shape)


def random_field(rng):
    code = rng.choice("uuiibfc")
    if code == "f":
        return code, rng.choice((32, 64))
    if code == "c":
        return code, 8
    return code, rng.choice((1, 2, 3, 4, 5, 7, 8, 12, 16, 24, 31, 32, 33, 48, 63, 64, 65, 100, 128))


def random_element(rng, fields):
    def value(code, bits):
        if code == "u":
            return rng.getrandbits(bits)
        if code == "i":
            return rng.getrandbits(bits) - (1 << bits - 1)
        if code == "b":
            return rng.random() < 0.5
        if code == "f":
            return float(np.float32(rng.gauss(0, 100)))
        return rng.choice(string.ascii_letters)

    values = tuple(value(*field) for field in fields)
    return values[0] if len(values) == 1 else values


def nested(rng, fields, shape):
    if not shape:
        return random_element(rng, fields)
    return [nested(rng, fields, shape[1:]) for _ in range(shape[0])]


def random_item(rng, at):
    shape = [rng.randrange(1, 5) for _ in range(rng.randrange(4))]
    item = {"id": 0x1000 + at, "name": f"item{at}", "description": f"Number {at}"}
    if rng.random() < 0.5:
        dtype = rng.choice(NUMPY_TYPES)
        order = rng.choice("CF")
        value = random_numpy(rng, dtype, shape)
        return {**item, "shape": tuple(shape), "dtype": dtype, "order": order, "value": value}
    fields = [random_field(rng) for _ in range(rng.choice((1, 1, 2, 5)))]
    value = nested(rng, fields, shape)
    if not shape and len(fields) == 1 and fields[0] in (("i", 16), ("i", 24), ("i", 48)):
        value = abs(value + 1)  # spead2 refuses some negative scalars
    if fields == [("c", 8)] and len(shape) == 1:
        value = "".join(value)
    if shape and rng.random() < 0.5:
        shape[rng.randrange(len(shape))] = None
    return {**item, "shape": tuple(shape), "format": fields, "value": value}


def random_items(case):
    rng = random.Random(case["seed"])
    return sent(case, [random_item(rng, at) for at in range(case["count"])])


class Recorder:
    """Stands for a heap, and writes down what is added."""

    def __init__(self):
        self.added = []

    def add_descriptor(self, descriptor):
        self.added.append([spead2.DESCRIPTOR_ID, descriptor.id])

    def add_item(self, item):
        self.added.append([item.id])


def stale(case):
    group = spead2.send.ItemGroup(descriptor_frequency=case["frequency"])
    heaps = []
    for kind, *rest in case["steps"]:
        if kind == "add":
            number, name, bits = rest
            group.add_item(number, name, "", (), format=[("u", bits)])
        elif kind == "set":
            (name,) = rest
            if name in group:
                group[name].value = 1
        else:
            descriptors, data = rest
            heap = Recorder()
            group.add_to_heap(heap, descriptors=descriptors, data=data)
            heaps.append(heap.added)
    versions = [[item.id, item.version] for item in group.values()]
    return {"heaps": heaps, "versions": versions}


def receive(case):
    return received(bytes.fromhex(case["stream"]), case["bug_compat"])


def main():
    kinds = {"send": send, "random": random_items, "receive": receive, "stale": stale}
    for line in sys.stdin:
        case = json.loads(line)
        print(json.dumps(kinds[case["kind"]](case)), flush=True)


if __name__ == "__main__":
    main()

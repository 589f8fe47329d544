"""Receives one workload with spead2, and says what it cost: `receive_spead2.py WAY NAME=VALUE ...`.

The other half of `examples/bench_receive`, with the same ways (`memory`, `udp`), names, defaults and
answers. Run by `receive.py` with the interpreter whose build of spead2 is to be measured.
"""

import json
import os
import resource
import subprocess
import sys
import time

import numba
import numpy as np
import scipy
import spead2.recv
from numba import types

NUMBER = 0x1600

# As in examples/bench_receive/options.rs.
DEFAULTS = {
    "heap": 65536, "payload": 1416, "chunk": 4 << 20, "chunks": 8, "window": 4, "passes": 3,
    "buffer": 4 << 20, "core": None, "packets": None,
}

PLACE_DATA = types.Record.make_c_struct([
    ("packet", types.intp),
    ("packet_size", types.uintp),
    ("items", types.intp),
    ("chunk_id", types.int64),
    ("heap_index", types.uintp),
    ("heap_offset", types.uintp),
    ("batch_stats", types.intp),
    ("extra", types.intp),
    ("extra_offset", types.uintp),
    ("extra_size", types.uintp),
])


def make_place(heap_size, per_chunk):
    """Places heap n at n % per_chunk of chunk n // per_chunk; compiled, as for production."""

    @numba.cfunc(types.void(types.CPointer(PLACE_DATA), types.uintp), nopython=True)
    def place(data_ptr, _size):
        data = numba.carray(data_ptr, 1)
        items = numba.carray(types_cast(data[0].items), 2, dtype=np.int64)
        number, length = items[0], items[1]
        if number >= 0 and length == heap_size:
            data[0].chunk_id = number // per_chunk
            index = number % per_chunk
            data[0].heap_index = index
            data[0].heap_offset = index * heap_size

    return scipy.LowLevelCallable(
        place.ctypes, signature="void (void *, size_t)"
    ), place


@numba.extending.intrinsic
def types_cast(typing_context, address):
    """The address of the items as a pointer."""
    signature = types.voidptr(address)

    def codegen(context, builder, signature, arguments):
        kind = context.get_value_type(types.voidptr)
        return builder.inttoptr(arguments[0], kind)

    return signature, codegen


def make_chunks(options):
    heaps = options["chunk"] // options["heap"]
    chunks = []
    for _ in range(options["chunks"]):
        data, present = np.zeros(options["chunk"], np.uint8), np.zeros(heaps, np.uint8)
        data[::4096] = 1  # its pages are there from the start
        chunks.append(spead2.recv.Chunk(data=data, present=present))
    return chunks


def make_stream(options, place, pool, chunks):
    free = spead2.recv.ChunkRingbuffer(options["chunks"])
    data = spead2.recv.ChunkRingbuffer(options["chunks"])
    config = spead2.recv.ChunkStreamConfig(
        items=[NUMBER, spead2.HEAP_LENGTH_ID], max_chunks=options["window"], place=place
    )
    stream = spead2.recv.ChunkRingStream(pool, spead2.recv.StreamConfig(), config, data, free)
    for chunk in chunks:
        stream.add_free_chunk(chunk)
    return stream, data


def consume(stream, data):
    """Takes chunks and gives them back; how many heaps were in them."""
    heaps = 0
    for chunk in data:
        heaps += int(np.count_nonzero(chunk.present))
        stream.add_free_chunk(chunk)
    return heaps


def thread_pool(options):
    cores = [] if options["core"] is None else [options["core"]]
    return spead2.ThreadPool(1, cores)


def memory(options):
    packets = np.fromfile(options["packets"], np.uint8)
    place, _alive = make_place(options["heap"], options["chunk"] // options["heap"])
    pool, chunks = thread_pool(options), make_chunks(options)
    times, used = [], []
    for number in range(options["passes"] + 1):
        stream, data = make_stream(options, place, pool, chunks)
        start, start_cpu = time.perf_counter(), cpu()
        stream.add_buffer_reader(packets)
        heaps = consume(stream, data)
        took, took_cpu = time.perf_counter() - start, cpu() - start_cpu
        stream.stop()
        chunks = make_chunks(options)
        if number > 0:
            times.append(took)
            used.append(took_cpu)
    seconds, used = sorted(times)[len(times) // 2], sorted(used)[len(used) // 2]
    count = heaps * -(-options["heap"] // options["payload"])
    print(json.dumps({
        "heaps": heaps, "packets": count, "bytes": heaps * options["heap"], "seconds": seconds,
        "packet_ns": seconds * 1e9 / count, "cpu_ns": used * 1e9 / count,
    }))


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def udp(options):
    place, _alive = make_place(options["heap"], options["chunk"] // options["heap"])
    pool = thread_pool(options)
    stream, data = make_stream(options, place, pool, make_chunks(options))
    port = options["port"]
    stream.add_udp_reader(port, max_size=9200, buffer_size=options["buffer"], bind_hostname="127.0.0.1")
    print(port, flush=True)
    start, used = time.perf_counter(), cpu()
    heaps = consume(stream, data)
    seconds, used = time.perf_counter() - start, cpu() - used
    print(json.dumps({
        "heaps": heaps, "bytes": heaps * options["heap"], "batches": stream.stats["batches"],
        "seconds": seconds, "cpu": used,
    }))


def main():
    options = dict(DEFAULTS)
    for argument in sys.argv[2:]:
        name, value = argument.split("=", 1)
        options[name] = value if name == "packets" else int(float(value))
    {"memory": memory, "udp": udp}[sys.argv[1]](options)


if __name__ == "__main__":
    main()

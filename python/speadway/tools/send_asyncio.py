"""Sends test data: `speadway-py-send`."""

import argparse
import asyncio
import collections
import itertools
import logging
import time
from typing import Any

import numpy as np

from ..send import HeapGenerator, ItemGroup
from . import cmdline

_FIRST_ID = 0x1000


def main() -> int:
    """Runs the command."""
    args, sender = _parse()
    logging.basicConfig(level=args.log.upper())
    try:
        asyncio.run(_run(args, sender))
    except KeyboardInterrupt:
        return 130
    except (OSError, RuntimeError, ValueError) as error:
        logging.getLogger("speadway").error("%s", error)
        return 1
    return 0


def _parse() -> tuple[argparse.Namespace, cmdline.SenderOptions]:
    parser = argparse.ArgumentParser(description="Send SPEAD heaps.")
    protocol = cmdline.ProtocolOptions()
    sender = cmdline.SenderOptions(protocol)
    parser.add_argument("endpoint", nargs="+", metavar="HOST:PORT")

    group = parser.add_argument_group("Data options")
    group.add_argument(
        "--heap-size",
        metavar="BYTES",
        type=int,
        default=4194304,
        help="Payload size for heap [%(default)s]",
    )
    group.add_argument(
        "--items", type=int, default=1, help="Number of items per heap [%(default)s]"
    )
    group.add_argument("--dtype", default="<c8", help="Numpy data type [%(default)s]")
    group.add_argument("--heaps", type=int, help="Number of data heaps to send [infinite]")

    group = parser.add_argument_group("Output options")
    group.add_argument("--log", metavar="LEVEL", default="INFO", help="Log level [%(default)s]")

    group = parser.add_argument_group("Protocol and performance options")
    protocol.add_arguments(group)
    sender.add_arguments(group)
    group.add_argument(
        "--descriptors", type=int, help="Description issue frequency [only at start]"
    )
    args = parser.parse_args()
    protocol.notify(parser, args)
    sender.notify(parser, args)
    return args, sender


def _make_items(args: argparse.Namespace, flavour: Any) -> ItemGroup:
    dtype = np.dtype(args.dtype)
    elements = args.heap_size // (args.items * dtype.itemsize)
    if elements == 0:
        raise ValueError("--heap-size leaves no room for an element of each item: raise it")
    items = ItemGroup(args.descriptors, flavour)
    for at in range(args.items):
        items.add_item(
            _FIRST_ID + at,
            f"Test item {at}",
            "A test item with arbitrary value",
            (elements,),
            dtype,
            value=np.zeros(elements, dtype),
        )
    return items


async def _run(args: argparse.Namespace, sender: cmdline.SenderOptions) -> None:
    items = _make_items(args, sender.make_flavour())
    endpoints = [cmdline.parse_endpoint(endpoint) for endpoint in args.endpoint]
    values = [item.value for item in items.values()]
    stream = await sender.make_stream(sender.make_thread_pool(), endpoints, values)
    start = time.perf_counter()
    sent = await _send(args, sender, items, stream)
    elapsed = time.perf_counter() - start
    print(f"Sent {sent} bytes in {elapsed:.6f}s, {sent * 8 / elapsed / 1e9:.6f} Gb/s")


async def _send(
    args: argparse.Namespace, sender: cmdline.SenderOptions, items: ItemGroup, stream: Any
) -> int:
    """Sends the heaps, to each endpoint in turn, and an end to each."""
    destinations = stream.num_substreams
    # Each destination has to have the descriptors.
    generators = [
        HeapGenerator(items, args.descriptors, sender.make_flavour()) for _ in range(destinations)
    ]
    in_flight: collections.deque[asyncio.Future[int]] = collections.deque()
    sent = 0
    for heap_number in itertools.count() if args.heaps is None else range(args.heaps):
        to = heap_number % destinations
        heap = generators[to].get_heap(data="all")
        if len(in_flight) >= sender.max_heaps:
            sent += await in_flight.popleft()
        in_flight.append(stream.async_send_heap(heap, substream_index=to))
    for future in in_flight:
        sent += await future
    for to, generator in enumerate(generators):
        # What is sent may take all of the queue, so one at a time.
        sent += await stream.async_send_heap(generator.get_end(), substream_index=to)
    return sent


if __name__ == "__main__":
    raise SystemExit(main())

"""Receives streams and says what is in them: `speadway-py-recv`."""

import argparse
import asyncio
import logging
import signal
from collections.abc import Iterable

from .. import Item, ItemGroup
from .. import recv as _recv
from ..recv.asyncio import Stream
from . import cmdline


def main() -> int:
    """Runs the command."""
    args, receiver = _parse()
    logging.basicConfig(level=args.log.upper())
    try:
        asyncio.run(_run(args, receiver))
    except (OSError, RuntimeError, ValueError) as error:
        logging.getLogger("speadway").error("%s", error)
        return 1
    return 0


def _parse() -> tuple[argparse.Namespace, cmdline.ReceiverOptions]:
    parser = argparse.ArgumentParser(description="Receive SPEAD streams.")
    protocol = cmdline.ProtocolOptions()
    receiver = cmdline.ReceiverOptions(protocol)
    parser.add_argument("source", nargs="+", help="Sources (filename, host:port or port)")

    group = parser.add_argument_group("Output options")
    group.add_argument("--log", metavar="LEVEL", default="INFO", help="Log level [%(default)s]")
    group.add_argument("--values", action="store_true", help="Show heap values")
    group.add_argument("--descriptors", action="store_true", help="Show descriptors")

    group = parser.add_argument_group("Input options")
    group.add_argument("--max-heaps", type=int, help="Stop receiving after this many heaps")
    group.add_argument(
        "--joint", action="store_true", help="Treat all sources as a single stream"
    )

    group = parser.add_argument_group("Protocol and performance options")
    protocol.add_arguments(group)
    receiver.add_arguments(group)
    args = parser.parse_args()
    protocol.notify(parser, args)
    receiver.notify(parser, args)
    return args, receiver


async def _run(args: argparse.Namespace, receiver: cmdline.ReceiverOptions) -> None:
    thread_pool = receiver.make_thread_pool()
    joined = [args.source] if args.joint else [[source] for source in args.source]
    streams: list[tuple[str, Stream]] = []
    for sources in joined:
        config, ring_config = receiver.make_stream_config(), receiver.make_ring_stream_config()
        stream = Stream(thread_pool, config, ring_config)
        streams.append((sources[0], stream))
        receiver.add_readers(stream, sources, allow_pcap=True)

    def stop() -> None:
        for _, stream in streams:
            stream.stop()

    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop)
    await asyncio.gather(*(_show_stream(args, name, stream) for name, stream in streams))


async def _show_stream(args: argparse.Namespace, name: str, stream: Stream) -> None:
    items = ItemGroup()
    heaps = 0
    async for heap in stream:
        print(f"Received heap {heap.cnt} on stream {name}", flush=True)
        heaps += 1
        try:
            if args.descriptors:
                _show_descriptors(heap)
            _show_items(items.update(heap).values(), args.values)
        except ValueError as error:
            print(f"Error raised processing heap: {error}", flush=True)
        if heaps == args.max_heaps:
            stream.stop()
            return
    print(f"Shutting down stream {name} after {heaps} heaps")
    for statistic, value in stream.stats.items():
        print(f"{statistic}: {value}", flush=True)


def _show_descriptors(heap: _recv.Heap) -> None:
    for raw in heap.get_descriptors():
        descriptor = Item.from_raw(raw, heap.flavour)
        print(f"    Descriptor for {descriptor.name} ({descriptor.id:#x})")
        print(f"      description: {descriptor.description}")
        print(f"      format:      {descriptor.format}")
        print(f"      dtype:       {descriptor.dtype}")
        print(f"      shape:       {descriptor.shape}", flush=True)


def _show_items(items: Iterable[Item], values: bool) -> None:
    for item in items:
        print(f"{item.name} = {item.value}" if values else item.name, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())

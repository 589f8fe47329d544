"""Finds the highest rate at which everything arrives: `speadway-py-bench`.

An agent receives, a master sends; both talk over a TCP connection, in lines of JSON: the master sends
`{"cmd": "start", ...}` with what the agent needs to know to receive, gets `ready`, sends the heaps over
UDP to the same port, then `{"cmd": "stop"}`, and gets `{"received_heaps": n}`.
"""

import argparse
import asyncio
import collections
import json
import logging
import time
from typing import Any, NamedTuple

import numpy as np

from .. import send
from ..recv.asyncio import Stream
from . import cmdline

_logger = logging.getLogger("speadway")

_PASSES = 5
"""A rate is good if this many attempts lose nothing."""
_MIN_BYTES = 10**9
"""What an attempt sends at least; and at least a second's worth, at a rate above this."""
_PRECISION = 0.02
"""The search ends when it knows the rate to this fraction of the highest."""
_BEFORE_END_S, _AFTER_END_S = 0.1, 0.5
"""Pauses for the last heap, and the end, to arrive. UDP tells nobody when they have."""
_MEMORY_SLACK = 1024
"""Bytes by which heaps may differ in size: descriptors."""

# Names on the command line of what both a sender and a receiver have.
_SENDER_NAMES = {
    "buffer": "send_buffer",
    "bind": "send_bind",
    "affinity": "send-affinity",
    "threads": "send-threads",
    "packet": None,
    "rate": None,
}
_RECEIVER_NAMES = {
    "buffer": "recv_buffer",
    "bind": "recv_bind",
    "affinity": "recv-affinity",
    "threads": "recv-threads",
    "mem_pool": None,
    "mem_lower": None,
    "mem_upper": None,
}
_PROTOCOL_NAMES = {"tcp": None}


class _Pass(NamedTuple):
    """What became of one attempt."""

    rate: float
    """Bytes per second that were really sent."""
    received: int
    """Heaps."""


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description="Measure the rate between two hosts.")
    parser.add_argument("--log", metavar="LEVEL", default="INFO", help="Log level [%(default)s]")
    commands = parser.add_subparsers(title="subcommands", dest="command", required=True)
    options = _add_master(commands.add_parser("master"))
    commands.add_parser("agent").add_argument("port", type=int)
    args = parser.parse_args()
    logging.basicConfig(level=args.log.upper())
    try:
        if args.command == "agent":
            asyncio.run(_run_agent(args.port))
        else:
            asyncio.run(options.master(parser, args).run())
    except KeyboardInterrupt:
        return 130
    except (OSError, RuntimeError, ValueError) as error:
        _logger.error("%s", error)
        return 1
    return 0


class _Options:
    """The options of the master."""

    def __init__(self) -> None:
        self.protocol = cmdline.ProtocolOptions(name_map=_PROTOCOL_NAMES)
        self.sender = cmdline.SenderOptions(self.protocol, name_map=_SENDER_NAMES)
        self.receiver = cmdline.ReceiverOptions(self.protocol, name_map=_RECEIVER_NAMES)

    def master(self, parser: argparse.ArgumentParser, args: argparse.Namespace) -> "_Master":
        for options in (self.protocol, self.sender, self.receiver):
            options.notify(parser, args)
        # One option for both sides.
        self.sender.packet = args.packet or self.sender.packet
        self.receiver.mem_pool = True
        self.receiver.mem_lower = args.heap_size
        self.receiver.mem_upper = args.heap_size + _MEMORY_SLACK
        return _Master(args, self)


def _add_master(parser: argparse.ArgumentParser) -> _Options:
    options = _Options()
    parser.add_argument("--quiet", action="store_true", help="Print only the final result")
    parser.add_argument(
        "--heap-size",
        metavar="BYTES",
        type=int,
        default=4194304,
        help="Payload size for heap [%(default)s]",
    )
    parser.add_argument(
        "--multicast", metavar="ADDRESS", help="Send via multicast group [unicast]"
    )
    options.protocol.add_arguments(parser)
    options.sender.add_arguments(parser.add_argument_group("sender options"))
    options.receiver.add_arguments(parser.add_argument_group("receiver options"))
    parser.add_argument("endpoint", metavar="HOST:PORT")
    return options


class _Master:
    def __init__(self, args: argparse.Namespace, options: _Options) -> None:
        if args.heap_size < 1:
            raise ValueError("--heap-size must be at least 1")
        self._args = args
        self._options = options
        self._host, self._port = cmdline.parse_endpoint(args.endpoint)
        self._thread_pool = options.sender.make_thread_pool()
        self._items = send.ItemGroup(flavour=options.sender.make_flavour())
        zeros = np.zeros(args.heap_size, np.uint8)
        self._items.add_item(None, "test", "A test item", (args.heap_size,), "u1", value=zeros)

    async def run(self) -> None:
        """Prints the highest rate."""
        await self._pass(0, self._heaps(0))  # warms up
        heaps = self._heaps(0)
        passes = [await self._pass(0, heaps) for _ in range(_PASSES)]
        highest = sum(done.rate for done in passes) / len(passes)
        self._say(f"Send rate: {_gbps(highest)} Gbps")
        if all(done.received >= heaps - 1 for done in passes):
            self._say("Limited by send speed")
            best = highest
        else:
            best = await self._search(highest)
        print(f"{_gbps(best)}" if self._args.quiet else f"Sustainable rate: {_gbps(best)} Gbps")

    async def _search(self, highest: float) -> float:
        low, high, best = 0.0, highest, 0.0
        while high - low > highest * _PRECISION:
            rate = (low + high) / 2
            good, actual = await self._try(rate)
            verdict = "GOOD" if good else "BAD"
            self._say(f"Rate: {_gbps(rate)} Gbps ({_gbps(actual)} actual): {verdict}")
            if good:
                low, best = rate, actual
            else:
                high = rate
        return best

    async def _try(self, rate: float) -> tuple[bool, float]:
        """Whether nothing is lost at a rate, and what the rate really was."""
        heaps = self._heaps(rate)
        passes = [await self._pass(rate, heaps) for _ in range(_PASSES)]
        good = all(done.received >= heaps - 1 for done in passes)
        return good, sum(done.rate for done in passes) / len(passes)

    def _heaps(self, rate: float) -> int:
        return int(max(_MIN_BYTES, rate) / self._args.heap_size) + 2

    async def _pass(self, rate: float, heaps: int) -> _Pass:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(self._start_command())
            if await reader.readline() != b"ready\n":
                raise RuntimeError("the agent is not ready: see what it says about it")
            actual = await self._send(rate, heaps)
            await asyncio.sleep(_AFTER_END_S)
            writer.write(b'{"cmd": "stop"}\n')
            answer = json.loads(await reader.readline())
            return _Pass(actual, int(answer["received_heaps"]))
        finally:
            writer.close()

    def _start_command(self) -> bytes:
        command = {
            "cmd": "start",
            "args": {**vars(self._args), "rate_method": self._options.sender.rate_method.name},
            "protocol": _public(self._options.protocol),
            "receiver": _public(self._options.receiver),
        }
        return json.dumps(command).encode() + b"\n"

    async def _send(self, rate: float, heaps: int) -> float:
        """Sends heaps and then the end; returns bytes per second."""
        sender = self._options.sender
        sender.rate = rate * 8e-9
        host = self._args.multicast or self._host
        stream = await sender.make_stream(self._thread_pool, [(host, self._port)])
        generator = send.HeapGenerator(self._items, flavour=sender.make_flavour())
        start = time.perf_counter()
        sent = await self._send_heaps(stream, generator, heaps)
        elapsed = time.perf_counter() - start
        await asyncio.sleep(_BEFORE_END_S)
        await stream.async_send_heap(generator.get_end())
        return sent / elapsed

    async def _send_heaps(self, stream: Any, generator: send.HeapGenerator, heaps: int) -> int:
        in_flight: collections.deque[asyncio.Future[int]] = collections.deque()
        sent = 0
        heap = generator.get_heap()
        for number in range(heaps):
            if len(in_flight) >= self._options.sender.max_heaps:
                sent += await in_flight.popleft()
            in_flight.append(stream.async_send_heap(heap))
            if number == 0:
                heap = generator.get_heap(data="all")  # without descriptors, and used again
        return sent + sum([await future for future in in_flight])

    def _say(self, text: str) -> None:
        if not self._args.quiet:
            print(text, flush=True)


def _public(options: object) -> dict[str, Any]:
    return {name: value for name, value in vars(options).items() if not name.startswith("_")}


def _gbps(rate: float) -> str:
    return f"{rate * 8e-9:.3f}"


async def _run_agent(port: int) -> None:
    server = await asyncio.start_server(_serve, port=port)
    async with server:
        await server.serve_forever()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Does what one master asks for."""
    stream: Stream | None = None
    counting: asyncio.Task[int] | None = None
    try:
        while line := await reader.readline():
            command = json.loads(line)
            if command["cmd"] == "start":
                stream = _receive(command)
                counting = asyncio.create_task(_count(stream))
                writer.write(b"ready\n")
            elif command["cmd"] == "stop" and stream is not None and counting is not None:
                stream.stop()
                writer.write(json.dumps({"received_heaps": await counting}).encode() + b"\n")
    except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        _logger.error("a master's wish cannot be met: %s", error)
    finally:
        if stream is not None:
            stream.stop()
        writer.close()


def _receive(command: dict[str, Any]) -> Stream:
    protocol = cmdline.ProtocolOptions()
    receiver = cmdline.ReceiverOptions(protocol)
    for options, wanted in ((protocol, command["protocol"]), (receiver, command["receiver"])):
        known = _public(options).keys()
        vars(options).update((name, value) for name, value in wanted.items() if name in known)
    config, ring_config = receiver.make_stream_config(), receiver.make_ring_stream_config()
    stream = Stream(receiver.make_thread_pool(), config, ring_config)
    args = command["args"]
    _, port = cmdline.parse_endpoint(args["endpoint"])
    group = args.get("multicast")
    receiver.add_readers(stream, [f"{group}:{port}" if group else str(port)])
    return stream


async def _count(stream: Stream) -> int:
    heaps = 0
    async for _ in stream:
        heaps += 1
    return heaps


if __name__ == "__main__":
    raise SystemExit(main())

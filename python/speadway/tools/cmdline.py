"""Options of command lines, for tools that receive or send.

To use them::

    parser = argparse.ArgumentParser()
    protocol = ProtocolOptions()
    receiver = ReceiverOptions(protocol)
    protocol.add_arguments(parser)
    receiver.add_arguments(parser)
    args = parser.parse_args()
    protocol.notify(parser, args)
    receiver.notify(parser, args)

Afterwards each option is an attribute, as it was on the class before. All classes take a `name_map`,
which gives options other names on the command line, or `None` to leave them out.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from .. import recv, send
from .._ranges import parse_range_list
from .._speadway import (
    BUG_COMPAT_PYSPEAD_0_5_2,
    MEMCPY_NONTEMPORAL,
    Flavour,
    MemoryPool,
    ThreadPool,
)

NameMap = Mapping[str, str | None]
Endpoints = Sequence[tuple[str, int]]

_GIGABIT = 1e9 / 8
"""Bytes per second of a Gb/s."""


def parse_endpoint(endpoint: str) -> tuple[str, int]:
    """Host and port of `"host:port"`, or `""` and the port of `"port"`.

    Raises `ValueError` if the port is no number.
    """
    host, _, port = endpoint.rpartition(":")
    return host, int(port)


class _Options:
    def __init__(self, name_map: NameMap | None = None) -> None:
        self._name_map = dict(name_map or {})

    def _add_argument(
        self, parser: argparse._ActionsContainer, name: str, *args: Any, **kwargs: Any
    ) -> None:
        """Adds an option with the default that its attribute has."""
        shown = self._name_map.get(name, name)
        if shown is not None:
            kwargs.setdefault("default", getattr(self, name))
            option = "--" + shown.replace("_", "-")
            parser.add_argument(option, *args, dest=shown, **kwargs)

    def _extract_args(self, namespace: argparse.Namespace) -> None:
        """Takes over what the command line said."""
        for name in vars(self):
            shown = self._name_map.get(name, name)
            if shown is not None and hasattr(namespace, shown):
                setattr(self, name, getattr(namespace, shown))


class ProtocolOptions(_Options):
    """Options that sender and receiver have to agree on."""

    def __init__(self, name_map: NameMap | None = None) -> None:
        super().__init__(name_map)
        self.tcp = False
        self.pyspead = False

    def add_arguments(self, parser: argparse._ActionsContainer) -> None:
        """Adds the options to a parser or a group of one."""
        self._add_argument(parser, "tcp", action="store_true", help="Use TCP instead of UDP")
        self._add_argument(
            parser, "pyspead", action="store_true", help="Be bug-compatible with PySPEAD"
        )

    def notify(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace) -> None:
        """Takes over what the command line said."""
        self._extract_args(namespace)

    @property
    def _bug_compat(self) -> int:
        return BUG_COMPAT_PYSPEAD_0_5_2 if self.pyspead else 0


class SharedOptions(_Options):
    """Options of senders as well as receivers, which belong to one side each."""

    def __init__(self, protocol: ProtocolOptions, name_map: NameMap | None = None) -> None:
        super().__init__(name_map)
        self._protocol = protocol
        self.buffer: int | None = None
        self.bind: str | None = None
        self.threads = 1
        self.affinity: list[int] | None = None

    def add_arguments(self, parser: argparse._ActionsContainer) -> None:
        """Adds the options to a parser or a group of one."""
        self._add_argument(parser, "buffer", type=int, help="Socket buffer size")
        self._add_argument(parser, "bind", help="Interface address")
        self._add_argument(
            parser,
            "affinity",
            type=parse_range_list,
            help="List of CPUs to pin threads to [no affinity]",
        )
        self._add_argument(
            parser, "threads", type=int, help="Number of worker threads [%(default)s]"
        )

    def make_thread_pool(self) -> ThreadPool:
        """The threads asked for, pinned if that was asked for."""
        return ThreadPool(self.threads, self.affinity or [])


class ReceiverOptions(SharedOptions):
    """Options of a receiver."""

    def __init__(self, protocol: ProtocolOptions, name_map: NameMap | None = None) -> None:
        super().__init__(protocol, name_map)
        self.memcpy_nt = False
        self.concurrent_heaps = recv.StreamConfig.DEFAULT_MAX_HEAPS
        self.substreams = 1
        self.ring_heaps = recv.RingStreamConfig.DEFAULT_HEAPS
        self.mem_pool = False
        self.mem_lower = 16384
        self.mem_upper = 32 * 1024**2
        self.mem_max_free = 12
        self.mem_initial = 8
        self.packet: int | None = None

    def add_arguments(self, parser: argparse._ActionsContainer) -> None:
        def number(name: str, help: str) -> None:
            self._add_argument(parser, name, type=int, help=help)

        self._add_argument(
            parser, "memcpy_nt", action="store_true", help="Use non-temporal memcpy"
        )
        number("concurrent_heaps", "Maximum number of in-flight heaps per substream [%(default)s]")
        number("substreams", "Number of parallel substreams [%(default)s]")
        number("ring_heaps", "Ring buffer capacity in heaps [%(default)s]")
        self._add_argument(parser, "mem_pool", action="store_true", help="Use a memory pool")
        number("mem_lower", "Minimum allocation which will use the memory pool [%(default)s]")
        number("mem_upper", "Maximum allocation which will use the memory pool [%(default)s]")
        number("mem_max_free", "Maximum free memory buffers [%(default)s]")
        number("mem_initial", "Initial free memory buffers [%(default)s]")
        number("packet", "Maximum packet size to accept")
        super().add_arguments(parser)

    def notify(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace) -> None:
        """Takes over what the command line said, and what it left to the protocol."""
        self._extract_args(namespace)
        stream, tcp = recv.Stream, self._protocol.tcp
        if self.buffer is None:
            self.buffer = stream.DEFAULT_TCP_BUFFER_SIZE if tcp else stream.DEFAULT_UDP_BUFFER_SIZE
        if self.packet is None:
            self.packet = stream.DEFAULT_TCP_MAX_SIZE if tcp else stream.DEFAULT_UDP_MAX_SIZE

    def make_stream_config(self) -> recv.StreamConfig:
        """The configuration of a receive stream."""
        config = recv.StreamConfig(
            max_heaps=self.concurrent_heaps,
            substreams=self.substreams,
            bug_compat=self._protocol._bug_compat,
        )
        if self.mem_pool:
            config.memory_allocator = MemoryPool(
                self.mem_lower, self.mem_upper, self.mem_max_free, self.mem_initial
            )
        if self.memcpy_nt:
            config.memcpy = MEMCPY_NONTEMPORAL
        return config

    def make_ring_stream_config(self) -> recv.RingStreamConfig:
        """The configuration of a receive stream's ring."""
        return recv.RingStreamConfig(heaps=self.ring_heaps)

    def add_readers(
        self, stream: recv.Stream, endpoints: Iterable[str], *, allow_pcap: bool = False
    ) -> None:
        """Has the stream receive from `"port"` or `"host:port"`; or else, if that is allowed, from
        captures of these names."""
        for endpoint in endpoints:
            try:
                host, port = parse_endpoint(endpoint)
            except ValueError:
                if not allow_pcap:
                    raise
                stream.add_udp_pcap_file_reader(endpoint)
                continue
            self._add_reader(stream, host, port)

    def _add_reader(self, stream: recv.Stream, host: str, port: int) -> None:
        packet, buffer = cast(int, self.packet), cast(int, self.buffer)
        if self._protocol.tcp:
            stream.add_tcp_reader(port, packet, buffer, host)
        elif self.bind and host:
            stream.add_udp_reader(host, port, packet, buffer, self.bind)
        else:
            stream.add_udp_reader(port, packet, buffer, host or self.bind or "")


class SenderOptions(SharedOptions):
    """Options of a sender."""

    def __init__(self, protocol: ProtocolOptions, name_map: NameMap | None = None) -> None:
        super().__init__(protocol, name_map)
        config = send.StreamConfig
        self.addr_bits = 40
        self.packet = config.DEFAULT_MAX_PACKET_SIZE
        self.burst = config.DEFAULT_BURST_SIZE
        self.burst_rate_ratio = config.DEFAULT_BURST_RATE_RATIO
        self.max_heaps = config.DEFAULT_MAX_HEAPS
        self.rate_method: send.RateMethod = config.DEFAULT_RATE_METHOD
        self.rate = 0.0
        self.ttl: int | None = None

    def add_arguments(self, parser: argparse._ActionsContainer) -> None:
        def number(name: str, type: Callable[[str], float], help: str, **kwargs: Any) -> None:
            self._add_argument(parser, name, type=type, help=help, **kwargs)

        number("addr_bits", int, "Heap address bits [%(default)s]")
        number("packet", int, "Maximum packet size to send [%(default)s]")
        number("burst", int, "Burst size [%(default)s]", metavar="BYTES")
        number(
            "burst_rate_ratio",
            float,
            "Hard rate limit, relative to --rate [%(default)s]",
            metavar="RATIO",
        )
        number("max_heaps", int, "Maximum heaps in flight [%(default)s]", metavar="HEAPS")
        self._add_argument(
            parser,
            "rate_method",
            type=_parse_rate_method,
            help="Method for rate limiting (SW/HW/AUTO)",
            metavar="METHOD",
        )
        number("rate", float, "Transmission rate bound [no limit]", metavar="Gb/s")
        number("ttl", int, "TTL for multicast target")
        super().add_arguments(parser)

    def notify(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace) -> None:
        """Takes over what the command line said, and what it left to the protocol."""
        self._extract_args(namespace)
        if self.buffer is None:
            stream = send.TcpStream if self._protocol.tcp else send.UdpStream
            self.buffer = stream.DEFAULT_BUFFER_SIZE

    def make_flavour(self) -> Flavour:
        """The flavour of the heaps."""
        return Flavour(4, 64, self.addr_bits, self._protocol._bug_compat)

    def make_stream_config(self) -> send.StreamConfig:
        """The configuration of a send stream."""
        return send.StreamConfig(
            max_packet_size=self.packet,
            rate=self.rate * _GIGABIT,
            burst_size=self.burst,
            max_heaps=self.max_heaps,
            burst_rate_ratio=self.burst_rate_ratio,
            rate_method=self.rate_method,
        )

    async def make_stream(
        self,
        thread_pool: ThreadPool,
        endpoints: Endpoints,
        memory_regions: Sequence[object] | None = None,
    ) -> "send.asyncio.UdpStream | send.asyncio.TcpStream":
        """A stream to these endpoints, connected. `memory_regions` is not used."""
        from ..send.asyncio import TcpStream, UdpStream

        config, buffer, bind = self.make_stream_config(), cast(int, self.buffer), self.bind or ""
        if self._protocol.tcp:
            return await TcpStream.connect(thread_pool, endpoints, config, buffer, bind)
        if self.ttl is None:
            return UdpStream(thread_pool, endpoints, config, buffer, bind)
        if not bind:
            return UdpStream(thread_pool, endpoints, config, buffer, self.ttl)
        return UdpStream(thread_pool, endpoints, config, buffer, self.ttl, bind)


def _parse_rate_method(name: str) -> send.RateMethod:
    try:
        return send.RateMethod.__members__[name.upper()]
    except KeyError:
        methods = ", ".join(send.RateMethod.__members__)
        raise argparse.ArgumentTypeError(f"{name!r} is none of {methods}") from None

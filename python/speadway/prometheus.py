"""Every counter of streams, groups and rings for Prometheus. Needs the package `prometheus_client`.

    collector = speadway.prometheus.Collector(labelnames=["source"])
    collector.add(stream, source="antenna 3")

Metrics of streams, each with the labels of `labelnames` and `member`, the index in a group:

* `speadway_packets_discarded_total{reason}`, `speadway_heap_outcomes_total{outcome}`: what became of
  packets and heaps, all of them: nothing is lost without being counted here;
* `speadway_parks_total{cause}`, `speadway_parked_seconds_total{cause}`: waits for chunks or for room;
* `speadway_statistic_total{name}`, `speadway_statistic_max{name}`: statistics of the program's own;
* everything else in the stream's `counters` under its name, such as `speadway_kernel_drops_total`.

Metrics of rings have the label `ring` (`data`, `free`, or `heaps` for that of a heap stream):
`speadway_ring_size`, `speadway_ring_capacity`, and for chunks `speadway_ring_high_water`,
`speadway_ring_pushed_total`, `speadway_ring_producer_wait_seconds_total` and others. Those of groups are
`speadway_group_head`, `speadway_group_chunks_delivered_total` and others.
"""

import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as _Base

from . import recv as _recv
from ._speadway.recv import _Stream
from .recv import stream_stat_indices as _indices

# Counters that tell how things are or the most they were, not how often something happened.
_GAUGES = frozenset({
    *("max_batch", "packets_in_flight", "heaps_in_flight"),
    *("ring_size", "ring_capacity", "ring_high_water"),
    *("group_head", "group_tail", "group_backlog", "group_live_members"),
})
# Counters of one kind, and the label that tells them apart: "kind.value".
_KINDS = {
    "packets_discarded": ("packets_discarded", "reason"),
    "heaps": ("heap_outcomes", "outcome"),
    "parks": ("parks", "cause"),
    "parked_ns": ("parked_ns", "cause"),
}
_OWN_LABELS = frozenset({"member", "ring", "name", *(label for _, label in _KINDS.values())})
_FIRST_OWN_STATISTIC = _indices.WORKER_BLOCKED + 1
_NS = "_ns"


class Collector(_Base):
    """Shows streams, groups and rings to Prometheus for as long as they exist.

    Parameters
    ----------
    registry
        Where to register, by default where everything is; `None` is nowhere.
    namespace
        What all names begin with.
    labelnames
        Labels that the objects differ in.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = REGISTRY,
        *,
        namespace: str = "speadway",
        labelnames: Iterable[str] = (),
    ) -> None:
        self._namespace = namespace
        self._labelnames = tuple(labelnames)
        taken = _OWN_LABELS.intersection(self._labelnames)
        if taken:
            raise ValueError(f"labels have other meanings here: {', '.join(sorted(taken))}")
        self._sources: dict[tuple[str, ...], weakref.ref[Any]] = {}
        self._lock = threading.Lock()
        if registry is not None:
            registry.register(self)

    def add(self, source: object, /, **labels: str) -> None:
        """Shows a stream, a group and its members, or a ring of chunks, with these labels.

        A stream or group brings its rings with it. It is not kept alive, and its metrics go with it.
        Raises `ValueError` if something else has these labels, or they are not those of
        `labelnames`; `TypeError` if there is nothing to show.
        """
        kinds = (_Stream, _recv.ChunkStreamRingGroup, _recv.ChunkRingbuffer)
        if not isinstance(source, kinds):
            raise TypeError(f"a {type(source).__name__} is no stream, group or ring of chunks")
        if set(labels) != set(self._labelnames):
            raise ValueError(f"give the labels {self._labelnames}, not {tuple(labels)}")
        key = tuple(str(labels[name]) for name in self._labelnames)
        with self._lock:
            present = self._sources.get(key)
            if present is not None and present() is not None:
                raise ValueError(f"the labels {labels} are those of something else already")
            self._sources[key] = weakref.ref(source)

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is to show depends on what exists."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The values now."""
        families = _Families(self._namespace, self._labelnames)
        for key, source in self._alive():
            families.add(key, source)
        return families.all()

    def _alive(self) -> list[tuple[tuple[str, ...], Any]]:
        with self._lock:
            alive = [(key, source()) for key, source in self._sources.items()]
            for key, source in alive:
                if source is None:
                    del self._sources[key]
        return [(key, source) for key, source in alive if source is not None]


class _Families:
    """The metrics of one collection, by name."""

    def __init__(self, namespace: str, labelnames: tuple[str, ...]) -> None:
        self._namespace = namespace
        self._labelnames = labelnames
        self._families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}

    def all(self) -> Iterator[Metric]:
        yield from self._families.values()

    def add(self, key: tuple[str, ...], source: Any) -> None:
        if isinstance(source, _recv.ChunkRingbuffer):
            self._add_ring(key, "", source.counters)
        elif isinstance(source, _recv.ChunkStreamRingGroup):
            for name, value in source.counters.items():
                self._put(f"group_{name}", value, key)
            for index, member in enumerate(source):
                self._add_stream((*key, str(index)), member)
        else:
            self._add_stream((*key, ""), source)
        if isinstance(source, _recv.ChunkRingPair):
            self._add_ring(key, "data", source.data_ringbuffer.counters)
            self._add_ring(key, "free", source.free_ringbuffer.counters)
        elif isinstance(source, _recv.Stream):
            ring = source.ringbuffer
            self._add_ring(key, "heaps", {"size": ring.size(), "capacity": ring.capacity()})

    def _add_ring(self, key: tuple[str, ...], ring: str, counters: Mapping[str, int]) -> None:
        for name, value in counters.items():
            self._put(f"ring_{name}", value, (*key, ring), "ring")

    def _add_stream(self, key: tuple[str, ...], stream: _Stream) -> None:
        for name, value in stream.counters.items():
            kind, _, which = name.partition(".")
            if which:
                family, label = _KINDS.get(kind, (kind, "which"))
                self._put(family, value, (*key, which), "member", label)
            else:
                self._put(name, value, key, "member")
        self._add_own_statistics(key, stream)

    def _add_own_statistics(self, key: tuple[str, ...], stream: _Stream) -> None:
        stats, config = stream.stats, stream.config
        for at in range(_FIRST_OWN_STATISTIC, config.next_stat_index()):
            statistic = config.stats[at]
            is_max = statistic.mode == _recv.StreamStatConfig.Mode.MAXIMUM
            self._put(
                "statistic_max" if is_max else "statistic",
                stats[at],
                (*key, statistic.name),
                "member",
                "name",
                is_gauge=is_max,
            )

    def _put(
        self, name: str, value: int, key: tuple[str, ...], *labels: str, is_gauge: bool = False
    ) -> None:
        scaled: float = value
        is_gauge = is_gauge or name in _GAUGES
        if name.endswith(_NS):
            name, scaled = name.removesuffix(_NS) + "_seconds", value * 1e-9
        family = self._families.get(name)
        if family is None:
            make = GaugeMetricFamily if is_gauge else CounterMetricFamily
            text = f"{name.replace('_', ' ')} of speadway"
            full_name = f"{self._namespace}_{name}"
            family = make(full_name, text, labels=[*self._labelnames, *labels])
            self._families[name] = family
        family.add_metric(key, scaled)

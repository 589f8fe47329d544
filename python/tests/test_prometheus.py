"""The Prometheus collector: every counter, for as long as what it counts exists."""

import gc

import prometheus_client
import pytest
import speadway
import speadway.prometheus
import speadway.recv
import speadway.send


@pytest.fixture
def registry():
    return prometheus_client.CollectorRegistry()


@pytest.fixture
def collector(registry):
    return speadway.prometheus.Collector(registry, labelnames=["source"])


def packets(heaps):
    """Heaps of 64 bytes, numbered in item 0x1600."""
    stream = speadway.send.BytesStream(speadway.ThreadPool())
    group = speadway.send.ItemGroup()
    group.add_item(0x1600, "number", "", (), format=[("u", 40)])
    group.add_item(0x3300, "data", "", (64,), "u1", value=bytearray(64))
    for number in range(heaps):
        group["number"].value = number
        stream.send_heap(group.get_heap(descriptors="none", data="all"))
    return stream.getvalue()


def samples(registry):
    """All values, by name and labels."""
    return {
        (sample.name, *sorted((k, v) for k, v in sample.labels.items() if v)): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def make_chunk():
    return speadway.recv.Chunk(data=bytearray(128), present=bytearray(2))


def test_a_heap_stream(registry, collector):
    config = speadway.recv.StreamConfig()
    config.add_stat("mine.count")
    config.add_stat("mine.most", speadway.recv.StreamStatConfig.Mode.MAXIMUM)
    stream = speadway.recv.Stream(speadway.ThreadPool(), config)
    collector.add(stream, source="a")
    stream.add_buffer_reader(packets(3) + b"rubbish!")
    assert len(list(stream)) == 3
    shown = samples(registry)
    source = ("source", "a")
    assert shown["speadway_heaps_total", source] == 3
    assert shown["speadway_packets_received_total", source] >= 3
    assert shown["speadway_heap_outcomes_total", ("outcome", "placed"), source] == 3
    assert shown["speadway_packets_discarded_total", ("reason", "bad_magic"), source] == 1
    assert shown["speadway_parked_seconds_total", ("cause", "data_ring"), source] >= 0
    assert shown["speadway_max_batch", source] >= 3
    assert shown["speadway_statistic_total", ("name", "mine.count"), source] == 0
    assert shown["speadway_statistic_max", ("name", "mine.most"), source] == 0
    assert shown["speadway_ring_capacity", ("ring", "heaps"), source] == 4
    assert shown["speadway_ring_size", ("ring", "heaps"), source] == 0


def test_every_counter_is_shown(registry, collector):
    stream = speadway.recv.Stream(speadway.ThreadPool())
    collector.add(stream, source="a")
    stream.add_buffer_reader(packets(3))
    list(stream)
    shown = sorted(
        value for (name, *_), value in samples(registry).items() if not name.startswith("speadway_ring")
    )
    values = [v * 1e-9 if "_ns" in name else v for name, v in stream.counters.items()]
    assert shown == sorted(values)


def test_a_group_brings_its_members_and_rings(registry, collector):
    data, free = (speadway.recv.ChunkRingbuffer(4) for _ in range(2))
    group = speadway.recv.ChunkStreamRingGroup(speadway.recv.ChunkStreamGroupConfig(), data, free)
    collector.add(group, source="g")
    for _ in range(4):
        group.add_free_chunk(make_chunk())
    layout = speadway.recv.Layout(sequence=0x1600, heap_size=64, heaps_per_chunk=2)
    members = [
        group.emplace_back(
            speadway.ThreadPool(),
            speadway.recv.StreamConfig(),
            speadway.recv.ChunkStreamConfig(place=layout),
        )
        for _ in range(2)
    ]
    for member in members:
        member.add_buffer_reader(packets(4))
    assert [chunk.chunk_id for chunk in data] == [0, 1]
    shown = samples(registry)
    source = ("source", "g")
    for member in ("0", "1"):
        assert shown["speadway_heaps_total", ("member", member), source] == 4
    assert shown["speadway_group_chunks_delivered_total", source] == 2
    assert shown["speadway_ring_pushed_total", ("ring", "data"), source] == 2
    assert shown["speadway_ring_size", ("ring", "free"), source] == 2
    assert shown["speadway_ring_capacity", ("ring", "free"), source] == 4


def test_a_ring_alone(registry, collector):
    ring = speadway.recv.ChunkRingbuffer(3)
    ring.put(make_chunk())
    collector.add(ring, source="r")
    shown = samples(registry)
    assert shown["speadway_ring_size", ("source", "r")] == 1
    assert shown["speadway_ring_high_water", ("source", "r")] == 1
    assert shown["speadway_ring_producer_wait_seconds_total", ("source", "r")] >= 0


def test_what_is_gone_is_not_shown(registry, collector):
    stream = speadway.recv.Stream(speadway.ThreadPool())
    collector.add(stream, source="a")
    assert samples(registry)
    del stream
    gc.collect()
    assert samples(registry) == {}
    stream = speadway.recv.Stream(speadway.ThreadPool())
    collector.add(stream, source="a")
    assert samples(registry)


def test_labels_tell_things_apart(collector):
    ring = speadway.recv.ChunkRingbuffer(3)
    collector.add(ring, source="a")
    with pytest.raises(ValueError, match="something else"):
        collector.add(speadway.recv.ChunkRingbuffer(3), source="a")
    for labels in ({}, {"other": "a"}, {"source": "a", "other": "b"}):
        with pytest.raises(ValueError, match="labels"):
            collector.add(ring, **labels)


def test_there_are_labels_of_its_own():
    with pytest.raises(ValueError, match="reason, ring"):
        speadway.prometheus.Collector(None, labelnames=["ring", "reason", "source"])


@pytest.mark.parametrize("source", [5, None, speadway.recv.StreamConfig()])
def test_other_things_are_refused(collector, source):
    with pytest.raises(TypeError):
        collector.add(source, source="a")


def test_the_text_format_and_names(registry):
    collector = speadway.prometheus.Collector(registry, namespace="mine")
    stream = speadway.recv.Stream(speadway.ThreadPool())
    collector.add(stream)
    text = prometheus_client.generate_latest(registry).decode()
    assert '# TYPE mine_packets_discarded_total counter' in text
    assert 'mine_packets_discarded_total{member="",reason="duplicate"} 0.0' in text
    assert "mine_kernel_drops_total" in text

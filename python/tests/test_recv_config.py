"""`recv.StreamConfig`, `recv.RingStreamConfig` and statistics."""

import decimal
import weakref

import numpy as np
import pytest


class Uncountable:
    """Something that is asked for a number or a truth and has none."""

    def __index__(self):
        raise KeyError("index")

    def __bool__(self):
        raise KeyError("bool")


BUILT_IN = [
    ("heaps", 0),
    ("incomplete_heaps_evicted", 0),
    ("incomplete_heaps_flushed", 0),
    ("packets", 0),
    ("batches", 0),
    ("max_batch", 1),
    ("single_packet_heaps", 0),
    ("search_dist", 0),
    ("worker_blocked", 0),
]
OPTIONS = {
    "max_heaps": 7,
    "substreams": 3,
    "bug_compat": 5,
    "memcpy": 1,
    "stop_on_stop_item": False,
    "allow_unsized_heaps": False,
    "allow_out_of_order": True,
    "stream_id": 2**64 - 1,
    "explicit_start": True,
}


def test_the_defaults(lib):
    config = lib.recv.StreamConfig()
    assert lib.recv.StreamConfig.DEFAULT_MAX_HEAPS == 4
    assert config.max_heaps == 4
    assert config.substreams == 1
    assert (config.bug_compat, config.memcpy, config.stream_id) == (0, 0, 0)
    assert config.stop_on_stop_item is True
    assert config.allow_unsized_heaps is True
    assert config.allow_out_of_order is False
    assert config.explicit_start is False


def test_options_are_keywords_and_attributes(lib):
    by_keyword = lib.recv.StreamConfig(**OPTIONS)
    by_attribute = lib.recv.StreamConfig()
    for name, value in OPTIONS.items():
        setattr(by_attribute, name, value)
    for name, value in OPTIONS.items():
        assert getattr(by_keyword, name) == getattr(by_attribute, name) == value


def test_the_allocator_is_the_identical_object(lib):
    allocator = lib.MemoryAllocator()
    config = lib.recv.StreamConfig(memory_allocator=allocator)
    assert config.memory_allocator is allocator
    stream = lib.recv.Stream(lib.ThreadPool(), config)
    assert stream.config.memory_allocator is allocator
    default = lib.recv.StreamConfig()
    assert default.memory_allocator is default.memory_allocator
    assert isinstance(default.memory_allocator, lib.MemoryAllocator)
    default.memory_allocator = None
    assert default.memory_allocator is None


@pytest.mark.parametrize(
    ("keywords", "error"),
    [
        ({"max_heaps": 0}, ValueError),
        ({"max_heaps": -1}, TypeError),
        ({"max_heaps": 2**64}, TypeError),
        ({"max_heaps": 1.0}, TypeError),
        ({"max_heaps": "1"}, TypeError),
        ({"substreams": 0}, ValueError),
        ({"bug_compat": 8}, ValueError),
        ({"bug_compat": -1}, TypeError),
        ({"memcpy": 2}, ValueError),
        ({"memcpy": -1}, ValueError),
        ({"memory_allocator": 3}, TypeError),
        ({"stop_on_stop_item": "yes"}, TypeError),
        ({"stop_on_stop_item": []}, TypeError),
        ({"stream_id": -1}, TypeError),
        ({"stream_id": 2**64}, TypeError),
        ({"unknown": 1}, TypeError),
        ({"stats": []}, AttributeError),
    ],
)
def test_options_that_cannot_be(lib, keywords, error):
    with pytest.raises(error):
        lib.recv.StreamConfig(**keywords)


def test_unknown_keywords_are_named(ours):
    with pytest.raises(TypeError, match="unexpected keyword argument 'max_heap'"):
        ours.recv.StreamConfig(max_heap=3)


def test_options_are_keywords_only(lib):
    with pytest.raises(TypeError):
        lib.recv.StreamConfig(4)
    with pytest.raises(TypeError):
        lib.recv.RingStreamConfig(4)


def test_attributes_are_checked_too(lib):
    config = lib.recv.StreamConfig()
    with pytest.raises(ValueError):
        config.max_heaps = 0
    with pytest.raises(TypeError):
        config.max_heaps = -3
    with pytest.raises(AttributeError):
        config.unknown = 3
    assert config.max_heaps == 4


def test_numbers_of_numpy_are_numbers(lib):
    config = lib.recv.StreamConfig(max_heaps=np.int32(3), allow_out_of_order=np.bool_(True))
    assert (config.max_heaps, config.allow_out_of_order) == (3, True)
    with pytest.raises(TypeError):
        config.max_heaps = np.float64(3)


def test_yes_and_no_may_be_numbers_or_none(lib):
    config = lib.recv.StreamConfig(allow_out_of_order=2, stop_on_stop_item=None)
    assert config.allow_out_of_order is True
    assert config.stop_on_stop_item is False


def test_a_subclass_may_have_another_constructor(lib):
    class Tuned(lib.recv.StreamConfig):
        def __init__(self, heaps, note):
            super().__init__(max_heaps=heaps)
            self.note = note

    tuned = Tuned(9, "fast")
    assert (tuned.max_heaps, tuned.note) == (9, "fast")
    assert lib.recv.Stream(lib.ThreadPool(), tuned).config.max_heaps == 9


def test_constructors_must_be_called(lib):
    class Lazy(lib.recv.StreamConfig):
        def __init__(self):
            pass

    with pytest.raises(TypeError, match="__init__"):
        Lazy().max_heaps  # noqa: B018


def test_only_attributes_of_the_native_class_are_keywords(lib):
    class Noted(lib.recv.StreamConfig):
        note = None

    with pytest.raises(TypeError):
        Noted(note=3)


def test_configurations_can_be_referred_to_weakly(lib):
    config = lib.recv.StreamConfig()
    reference = weakref.ref(config)
    assert reference() is config
    del config
    assert reference() is None


def test_configurations_compare_by_identity(lib):
    config = lib.recv.StreamConfig()
    assert config == config
    assert config != lib.recv.StreamConfig()


def test_a_stream_takes_a_copy(lib):
    config = lib.recv.StreamConfig(max_heaps=5)
    stream = lib.recv.Stream(lib.ThreadPool(), config)
    config.max_heaps = 6
    stream.config.max_heaps = 7
    assert stream.config.max_heaps == 5
    assert stream.config is not stream.config


def test_statistics_are_added_from_index_9(lib):
    mode = lib.recv.StreamStatConfig.Mode
    config = lib.recv.StreamConfig()
    assert config.next_stat_index() == 9
    assert config.add_stat("first") == 9
    assert config.add_stat("largest", mode.MAXIMUM) == 10
    assert config.add_stat(name="third", mode=mode.COUNTER) == 11
    assert config.next_stat_index() == 12
    assert config.get_stat_index("largest") == 10
    assert config.get_stat_index("heaps") == 0
    shown = [(stat.name, stat.mode.value) for stat in config.stats]
    assert shown == [*BUILT_IN, ("first", 0), ("largest", 1), ("third", 0)]


def test_statistics_that_cannot_be(lib):
    config = lib.recv.StreamConfig()
    config.add_stat("mine")
    with pytest.raises(ValueError, match="mine already exists"):
        config.add_stat("mine")
    with pytest.raises(ValueError, match="heaps already exists"):
        config.add_stat("heaps")
    with pytest.raises(TypeError):
        config.add_stat(3)
    with pytest.raises(TypeError):
        config.add_stat("other", 1)
    with pytest.raises(IndexError, match="nothing is not a known statistic name"):
        config.get_stat_index("nothing")
    assert config.next_stat_index() == 10


def test_modes_are_an_enumeration(lib):
    mode = lib.recv.StreamStatConfig.Mode
    assert list(mode.__members__) == ["COUNTER", "MAXIMUM"]
    assert [member.value for member in mode] == [0, 1]
    assert mode.MAXIMUM.name == "MAXIMUM"
    assert mode(1) is mode.MAXIMUM
    assert mode.COUNTER != 0
    assert repr(mode.COUNTER) == "<Mode.COUNTER: 0>"


def test_configurations_of_statistics(lib):
    stat, mode = lib.recv.StreamStatConfig, lib.recv.StreamStatConfig.Mode
    assert (stat("a").name, stat("a").mode) == ("a", mode.COUNTER)
    assert stat(name="a", mode=mode.MAXIMUM).mode is mode.MAXIMUM
    assert stat("a") == stat("a")
    assert stat("a") != stat("a", mode.MAXIMUM)
    assert stat("a") != "a"
    assert stat("a").combine(3, 4) == 7
    assert stat("a").combine(2**64 - 1, 4) == 3
    assert stat("a", mode.MAXIMUM).combine(3, 4) == 4
    with pytest.raises(TypeError):
        stat("a").combine(-1, 0)
    with pytest.raises(TypeError):
        stat("a", 1)
    with pytest.raises(TypeError):
        stat()
    with pytest.raises(TypeError):
        hash(stat("a"))
    with pytest.raises(AttributeError):
        stat("a").name = "b"


def test_indices_are_those_of_the_configuration(lib):
    indices = lib.module("recv.stream_stat_indices")
    for at, (name, _) in enumerate(BUILT_IN):
        assert getattr(indices, name.upper()) == at


def stats_with(lib, *names):
    config = lib.recv.StreamConfig()
    for name in names:
        config.add_stat(name)
    config.add_stat("peak", lib.recv.StreamStatConfig.Mode.MAXIMUM)
    return lib.recv.Stream(lib.ThreadPool(), config).stats


def test_statistics_are_a_sequence_and_a_mapping(lib):
    stats = stats_with(lib, "mine")
    names = [name for name, _ in BUILT_IN] + ["mine", "peak"]
    assert len(stats) == 11
    assert list(stats) == list(stats.keys()) == names
    stats[9] = 5
    stats["peak"] = 7
    stats.heaps = 3
    assert (stats["mine"], stats[10], stats[0], stats["heaps"]) == (5, 7, 3, 3)
    assert list(stats.values()) == [3] + [0] * 8 + [5, 7]
    assert list(stats.items()) == list(zip(names, stats.values()))
    assert dict(stats) == dict(stats.items())
    assert next(stats.items()) == ("heaps", 3)
    assert "mine" in stats
    assert "other" not in stats
    assert stats.get("mine") == 5
    assert stats.get("other") is None
    assert stats.get("other", 4) == 4
    assert [(stat.name, stat.mode.value) for stat in stats.config] == [*BUILT_IN, ("mine", 0), ("peak", 1)]


def test_statistics_by_attribute(lib):
    stats = stats_with(lib)
    for at, (name, _) in enumerate(BUILT_IN):
        setattr(stats, name, at + 1)
        assert getattr(stats, name) == stats[at] == stats[name] == at + 1
    with pytest.raises(AttributeError):
        stats.peak  # noqa: B018
    with pytest.raises(AttributeError):
        stats.other = 1
    with pytest.raises(TypeError):
        stats.heaps = -1


@pytest.mark.parametrize(
    ("key", "error"),
    [(11, IndexError), (-1, TypeError), ("other", KeyError), (None, TypeError), (1.0, TypeError)],
)
def test_statistics_that_there_are_not(lib, key, error):
    stats = stats_with(lib, "mine")
    with pytest.raises(error):
        stats[key]
    with pytest.raises(error):
        stats[key] = 1


def test_only_names_are_in_statistics(lib):
    with pytest.raises(TypeError):
        0 in stats_with(lib)  # noqa: B015
    with pytest.raises(TypeError):
        stats_with(lib).get(0)


def test_statistics_are_added_by_mode(lib):
    a, b = stats_with(lib, "mine"), stats_with(lib, "mine")
    a["mine"], b["mine"] = 3, 4
    a["peak"], b["peak"] = 9, 2
    a.max_batch, b.max_batch = 5, 6
    a.packets, b.packets = 10, 20
    total = a + b
    assert (total["mine"], total["peak"], total.max_batch, total.packets) == (7, 9, 6, 30)
    assert (a["mine"], b["mine"]) == (3, 4)
    same = a
    a += b
    assert a is same
    assert dict(a) == dict(total)
    a += a
    assert (a.packets, a["peak"]) == (60, 9)


def test_statistics_of_other_streams_cannot_be_added(lib):
    a, b = stats_with(lib, "mine"), stats_with(lib, "yours")
    with pytest.raises(ValueError, match="config must match"):
        a + b
    with pytest.raises(ValueError, match="config must match"):
        a += b
    with pytest.raises(TypeError):
        a + 3


def test_statistics_cannot_be_made(lib):
    with pytest.raises(TypeError):
        lib.recv.StreamStats()


def test_statistics_are_a_moment(lib):
    stream = lib.recv.Stream(lib.ThreadPool())
    stats = stream.stats
    stats.heaps = 4
    assert stream.stats.heaps == 0


def test_options_of_the_ring(lib):
    config = lib.recv.RingStreamConfig()
    assert lib.recv.RingStreamConfig.DEFAULT_HEAPS == 4
    assert (config.heaps, config.contiguous_only) == (4, True)
    assert config.incomplete_keep_payload_ranges is False
    config = lib.recv.RingStreamConfig(
        heaps=2, contiguous_only=False, incomplete_keep_payload_ranges=True
    )
    stream = lib.recv.Stream(lib.ThreadPool(), ring_config=config)
    config.heaps = 3
    assert stream.ring_config.heaps == 2
    assert stream.ring_config.contiguous_only is False
    assert stream.ring_config.incomplete_keep_payload_ranges is True


@pytest.mark.parametrize(
    ("keywords", "error"),
    [
        ({"heaps": 0}, ValueError),
        ({"heaps": -1}, TypeError),
        ({"contiguous_only": "no"}, TypeError),
        ({"unknown": 1}, TypeError),
    ],
)
def test_options_of_the_ring_that_cannot_be(lib, keywords, error):
    with pytest.raises(error):
        lib.recv.RingStreamConfig(**keywords)


@pytest.mark.parametrize(
    "number", [np.int8(3), np.bool_(True), np.float32(3), np.array(3.0), decimal.Decimal(3)]
)
def test_numbers_may_be_of_any_type_but_float(lib, number):
    assert lib.recv.StreamConfig(max_heaps=number).max_heaps == int(number)


@pytest.mark.parametrize("number", [3.0, np.float64(3), "3", b"3", [3], 3j, object(), Uncountable()])
def test_what_is_no_whole_number_is_refused(lib, number):
    with pytest.raises(TypeError):
        lib.recv.StreamConfig(max_heaps=number)


@pytest.mark.parametrize("truth", [np.arange(3), Uncountable()])
def test_what_is_neither_true_nor_false_is_refused(lib, truth):
    with pytest.raises(TypeError):
        lib.recv.StreamConfig(explicit_start=truth)


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_names_may_be_bytes(lib, kind):
    config = lib.recv.StreamConfig()
    assert config.add_stat(kind(b"mine")) == 9
    assert config.get_stat_index("mine") == config.get_stat_index(kind(b"mine")) == 9
    assert lib.recv.StreamStatConfig(kind(b"mine")).name == "mine"
    stats = lib.recv.Stream(lib.ThreadPool(), config).stats
    assert kind(b"mine") in stats
    assert (stats[kind(b"mine")], stats.get(kind(b"none"), 5)) == (0, 5)


def test_no_mode_is_not_the_default_mode(lib):
    with pytest.raises(TypeError):
        lib.recv.StreamConfig().add_stat("mine", None)
    with pytest.raises(TypeError):
        lib.recv.StreamStatConfig("mine", mode=None)

"""`recv.ChunkStreamConfig` and `recv.ChunkStreamGroupConfig`."""

import weakref

import chunk_tools as tools
import numpy as np
import pytest


@pytest.fixture
def make(lib):
    return lib.recv.ChunkStreamConfig


@pytest.fixture
def make_group(lib):
    return lib.recv.ChunkStreamGroupConfig


def test_defaults(make):
    config = make()
    assert (config.items, config.max_chunks, config.place) == ([], 2, None)
    assert (config.max_heap_extra, config.packet_presence_payload_size) == (0, 0)
    assert make.DEFAULT_MAX_CHUNKS == config.DEFAULT_MAX_CHUNKS == 2


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ((1, 2), [1, 2]), ([2**64 - 1], [2**64 - 1]), (np.array([3, 4]), [3, 4]), ([], []),
        ({5}, [5]), (range(2), [0, 1]),
    ],
    ids=str,
)  # fmt: skip
def test_items(make, given, kept):
    config = make(items=given)
    assert config.items == kept
    config.items.append(7)
    assert config.items == kept  # the getter gives a copy
    config.items = [9]
    assert config.items == [9]


@pytest.mark.parametrize("wrong", [[-1], [2**64], 5, "ab", [1.0], None, [None]], ids=repr)
def test_wrong_items_are_type_errors(make, wrong):
    with pytest.raises(TypeError):
        make(items=wrong)


@pytest.mark.parametrize("name", ["max_chunks", "max_heap_extra"])
def test_numbers(make, name):
    config = make(**{name: np.int64(4)})
    assert getattr(config, name) == 4
    setattr(config, name, 5)
    assert getattr(config, name) == 5
    for wrong in (-1, 2**64, 1.5, "4", None):
        with pytest.raises(TypeError):
            setattr(config, name, wrong)
        with pytest.raises(TypeError):
            make(**{name: wrong})
    assert getattr(config, name) == 5


def test_an_empty_window_is_refused(make, make_group):
    for configuration in (make, make_group):
        with pytest.raises(ValueError, match="max_chunks cannot be 0"):
            configuration(max_chunks=0)
        config = configuration()
        with pytest.raises(ValueError):
            config.max_chunks = 0


def test_only_known_keywords(make, make_group):
    for configuration in (make, make_group):
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            configuration(unknown=1)
        with pytest.raises(TypeError):
            configuration(4)
        with pytest.raises(AttributeError):
            configuration().unknown = 1


def test_packet_presence(make):
    config = make()
    assert config.enable_packet_presence(8) is config
    assert config.packet_presence_payload_size == 8
    assert config.enable_packet_presence(payload_size=16).packet_presence_payload_size == 16
    assert config.disable_packet_presence() is config
    assert config.packet_presence_payload_size == 0
    with pytest.raises(ValueError, match="must not be zero"):
        config.enable_packet_presence(0)
    with pytest.raises(TypeError):
        config.enable_packet_presence(-1)
    with pytest.raises(AttributeError):
        config.packet_presence_payload_size = 4


@pytest.mark.parametrize("name", [tools.PLAIN, tools.WITH_CONTEXT])
def test_place_is_the_object_that_was_given(make, name):
    place = (tools.capsule(0x1234, name), "kept", None)
    config = make(place=place)
    assert config.place is place
    config.place = None
    assert config.place is None


def test_place_is_kept_alive(make):
    class Kept:
        pass

    kept = Kept()
    reference = weakref.ref(kept)
    config = make(place=(tools.capsule(0x1234), kept))
    del kept
    assert reference() is not None
    config.place = None
    assert reference() is None


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ((), IndexError),
        ("", IndexError),
        ({}, IndexError),
        ((5,), TypeError),
        ([1], TypeError),
        (5, TypeError),
        ((tools.capsule(1, b"void(void *, size_t)"),), ValueError),
        ((tools.capsule(1, b"int (void *)"),), ValueError),
        ((tools.capsule(1, b""),), ValueError),
        ((tools.capsule(1, None),), ValueError),
    ],
    ids=repr,
)
def test_wrong_places_are_refused(make, wrong, error):
    with pytest.raises(error):
        make(place=wrong)
    config = make()
    with pytest.raises(error):
        config.place = wrong
    assert config.place is None


def test_low_level_callables(make):
    scipy = pytest.importorskip("scipy")
    kept = tools.placement(tools.by_number)[1]
    import ctypes

    call = scipy.LowLevelCallable(
        ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t)(
            ctypes.cast(kept, ctypes.c_void_p).value
        ),
        signature="void (void *, size_t)",
    )
    assert make(place=call).place is call


def test_configurations_are_classes_like_others(make, make_group):
    for configuration in (make, make_group):

        class Mine(configuration):
            def __init__(self, window):
                super().__init__(max_chunks=window)
                self.note = "mine"

        config = Mine(7)
        assert (config.max_chunks, config.note) == (7, "mine")
        assert weakref.ref(config)() is config

        class Forgetful(configuration):
            def __init__(self):
                pass

        with pytest.raises(TypeError, match="__init__"):
            _ = Forgetful().max_chunks


def test_group_configuration(make_group):
    mode = make_group.EvictionMode
    config = make_group()
    assert (config.max_chunks, config.eviction_mode) == (2, mode.LOSSY)
    assert config.eviction_mode is mode.LOSSY and config.EvictionMode is mode
    config.max_chunks, config.eviction_mode = 9, mode.LOSSLESS
    assert (config.max_chunks, config.eviction_mode) == (9, mode.LOSSLESS)
    assert list(mode.__members__) == ["LOSSY", "LOSSLESS"]
    assert [(one.name, one.value) for one in mode] == [("LOSSY", 0), ("LOSSLESS", 1)]
    for wrong in (0, "LOSSY", None):
        with pytest.raises(TypeError):
            make_group(eviction_mode=wrong)
    with pytest.raises(TypeError):
        make_group(max_chunks=-1)


class TestOfOurs:
    def test_defaults_are_what_the_reference_does(self, ours):
        config = ours.recv.ChunkStreamConfig()
        assert (config.deduplicate, config.max_jump, config.max_age) == (False, None, None)
        assert (config.when_empty, config.when_full) == ("wait", "wait")
        group = ours.recv.ChunkStreamGroupConfig()
        assert (group.max_age, group.max_age_in_lossless) == (None, None)
        assert (group.when_empty, group.when_full) == ("wait", "wait")

    @pytest.mark.parametrize("policy", ["wait", "drop_newest", "recycle_oldest"])
    @pytest.mark.parametrize("name", ["when_empty", "when_full"])
    def test_policies(self, ours, name, policy):
        for make in (ours.recv.ChunkStreamConfig, ours.recv.ChunkStreamGroupConfig):
            assert getattr(make(**{name: policy}), name) == policy
            with pytest.raises(ValueError, match="recycle_oldest"):
                make(**{name: "panic"})
            with pytest.raises(TypeError):
                make(**{name: 1})

    def test_ages_and_jumps(self, ours):
        config = ours.recv.ChunkStreamConfig(max_age=0.5, max_jump=10, deduplicate=True)
        assert (config.max_age, config.max_jump, config.deduplicate) == (0.5, 10, True)
        for wrong in (0, -1, float("nan"), float("inf")):
            with pytest.raises(ValueError, match="max_age"):
                config.max_age = wrong
        config.max_age = config.max_jump = None
        assert (config.max_age, config.max_jump) == (None, None)
        with pytest.raises(TypeError):
            config.max_jump = -1

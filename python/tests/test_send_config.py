"""`send.StreamConfig` and the enumerations."""

import enum
import gc
import weakref

import pytest

DEFAULTS = {
    "max_packet_size": 1472,
    "rate": 0.0,
    "burst_size": 65536,
    "max_heaps": 4,
    "burst_rate_ratio": 1.05,
}


def test_defaults(lib):
    config = lib.send.StreamConfig()
    for name, value in DEFAULTS.items():
        assert getattr(config, name) == value
    assert config.burst_rate == 0.0
    assert config.rate_method is lib.send.RateMethod.AUTO


def test_constants(lib):
    cls = lib.send.StreamConfig
    assert cls.DEFAULT_MAX_PACKET_SIZE == 1472
    assert cls.DEFAULT_BURST_SIZE == 65536
    assert cls.DEFAULT_MAX_HEAPS == 4
    assert cls.DEFAULT_BURST_RATE_RATIO == 1.05
    assert cls.DEFAULT_RATE_METHOD is lib.send.RateMethod.AUTO


def test_options_are_keywords_and_attributes(lib):
    options = {
        "max_packet_size": 9172,
        "rate": 1e9,
        "burst_size": 0,
        "max_heaps": 10,
        "burst_rate_ratio": 1.5,
        "rate_method": lib.send.RateMethod.HW,
    }
    config = lib.send.StreamConfig(**options)
    other = lib.send.StreamConfig()
    for name, value in options.items():
        assert getattr(config, name) == value
        setattr(other, name, value)
        assert getattr(other, name) == value
    assert config.burst_rate == other.burst_rate == 1.5e9


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("max_packet_size", -1, TypeError),
        ("max_packet_size", 1.5, TypeError),
        ("max_packet_size", 2**64, TypeError),
        ("rate", -1, ValueError),
        ("rate", float("nan"), ValueError),
        ("rate", float("inf"), ValueError),
        ("rate", "fast", TypeError),
        ("burst_size", -1, TypeError),
        ("max_heaps", 0, ValueError),
        ("max_heaps", -1, TypeError),
        ("burst_rate_ratio", 0.9, ValueError),
        ("burst_rate_ratio", float("nan"), ValueError),
        ("burst_rate_ratio", float("inf"), ValueError),
        ("rate_method", 0, TypeError),
        ("rate_method", None, TypeError),
        ("burst_rate", 1.0, AttributeError),
    ],
)
def test_impossible_options_are_refused(lib, name, value, error):
    with pytest.raises(error):
        lib.send.StreamConfig(**{name: value})
    config = lib.send.StreamConfig()
    with pytest.raises(error):
        setattr(config, name, value)
    assert getattr(config, name) == getattr(lib.send.StreamConfig(), name)


def test_other_arguments_are_refused(lib):
    with pytest.raises(TypeError):
        lib.send.StreamConfig(colour="blue")
    with pytest.raises(TypeError):
        lib.send.StreamConfig(1472)
    with pytest.raises(AttributeError):
        lib.send.StreamConfig().colour = "blue"


def test_a_small_packet_size_is_no_error_yet(lib):
    assert lib.send.StreamConfig(max_packet_size=0).max_packet_size == 0


def test_a_subclass_may_have_another_constructor(lib):
    class Fast(lib.send.StreamConfig):
        def __init__(self, gigabits):
            super().__init__(rate=gigabits * 1e9 / 8)

    assert Fast(8).rate == 1e9


def test_configurations_can_be_referenced_weakly(lib):
    config = lib.send.StreamConfig()
    reference = weakref.ref(config)
    del config
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize(
    ("name", "members"),
    [("RateMethod", ["SW", "HW", "AUTO"]), ("GroupMode", ["ROUND_ROBIN", "SERIAL"])],
)
def test_enumerations(lib, name, members):
    cls = getattr(lib.send, name)
    assert issubclass(cls, enum.Enum)
    assert list(cls.__members__) == members
    for number, member in enumerate(members):
        assert cls[member].name == member
        assert cls[member].value == number
        assert cls(number) is cls[member]
        assert str(cls[member]) == f"{name}.{member}"
        assert cls[member] != number
    with pytest.raises(ValueError):
        cls(len(members))

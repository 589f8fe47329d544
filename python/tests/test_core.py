"""Flavours and thread pools."""

import numpy as np
import pytest


def test_the_default_flavour(lib):
    flavour = lib.Flavour()
    assert (flavour.version, flavour.item_pointer_bits) == (4, 64)
    assert (flavour.heap_address_bits, flavour.bug_compat) == (40, 0)


def test_flavours_compare_by_value(lib):
    assert lib.Flavour(4, 64, 48, 2) == lib.Flavour(4, 64, 48, 2)
    assert lib.Flavour(4, 64, 48, 2) != lib.Flavour(4, 64, 48, 0)
    assert lib.Flavour(4, 64, 48) != lib.Flavour(4, 64, 40)
    assert lib.Flavour() != 5


@pytest.mark.parametrize("arguments", [(3, 64, 40), (4, 32, 40), (4, 64, 41), (4, 64, 0), (4, 64, 64)])
def test_impossible_flavours_are_refused(lib, arguments):
    with pytest.raises(ValueError):
        lib.Flavour(*arguments)


@pytest.mark.parametrize("arguments", [(4,), (4, 64), (2**31, 64, 40), (4, 64, -(2**40)), (None, 64, 40)])
def test_half_a_flavour_is_none(lib, arguments):
    with pytest.raises(TypeError):
        lib.Flavour(*arguments)
    with pytest.raises(TypeError):
        lib.Flavour(bug_compat=2)


def test_flavours_leave_comparing_to_others(lib):
    class Other:
        def __eq__(self, other):
            return "equal"

    assert (lib.Flavour() == Other()) == "equal"


def test_a_subclass_may_have_another_constructor(lib):
    class Wide(lib.Flavour):
        def __init__(self, *, compat):
            super().__init__(4, 64, 48, compat)
            self.note = "mine"

    assert (Wide(compat=1).heap_address_bits, Wide(compat=1).note) == (48, "mine")


@pytest.mark.parametrize("threads", [0, -1])
def test_a_pool_needs_threads(lib, threads):
    with pytest.raises(ValueError, match="at least one thread"):
        lib.ThreadPool(threads)


def test_pools_take_affinities(lib):
    lib.ThreadPool(2, [0])
    lib.ThreadPool(threads=2, affinity=[])
    for wrong in [("a",), (1, None), (1, ["a"])]:
        with pytest.raises(TypeError):
            lib.ThreadPool(*wrong)


def test_several_cores(lib):
    for cores in [(0,), {0}, range(1), (core for core in [0]), np.arange(1), map(int, "0")]:
        lib.ThreadPool(1, cores)
    for wrong in ["0", b"0", {0: 0}, iter([0]), 0, None, [2**31], [0.0]]:
        with pytest.raises(TypeError):
            lib.ThreadPool(1, wrong)


@pytest.mark.parametrize("core", [1023, 1024, 2**31 - 1, -1])
def test_a_core_that_is_not_there_is_no_error(lib, core):
    assert lib.ThreadPool.set_affinity(core) is None


@pytest.mark.parametrize("core", [2**31, -(2**31) - 1, 0.0, "0", None])
def test_what_is_no_core_is_one(lib, core):
    with pytest.raises(TypeError):
        lib.ThreadPool.set_affinity(core)

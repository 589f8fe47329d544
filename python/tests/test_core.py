"""Flavours and thread pools."""

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

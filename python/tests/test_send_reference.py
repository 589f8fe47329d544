"""Heap references and lists of them."""

import gc
import weakref

import pytest
from sending import Value, bytes_stream, heap_counts, make_heap

def test_defaults(lib):
    heap = lib.send.Heap()
    reference = lib.send.HeapReference(heap)
    assert reference.heap is heap
    assert (reference.cnt, reference.substream_index, reference.rate) == (-1, 0, -1.0)


def test_attributes(lib):
    heap = lib.send.Heap()
    reference = lib.send.HeapReference(heap=heap, cnt=3, substream_index=2, rate=1.5)
    assert (reference.cnt, reference.substream_index, reference.rate) == (3, 2, 1.5)
    reference.cnt, reference.substream_index, reference.rate = -5, 7, 0
    assert (reference.cnt, reference.substream_index, reference.rate) == (-5, 7, 0.0)
    with pytest.raises(AttributeError):
        reference.heap = heap


@pytest.mark.parametrize(
    "options",
    [
        {"cnt": 2**63},
        {"cnt": "a"},
        {"cnt": 1.5},
        {"substream_index": -1},
        {"substream_index": 2**64},
        {"rate": "a"},
        {"rate": None},
        {"colour": 1},
    ],
)
def test_impossible_references(lib, options):
    heap = lib.send.Heap()
    with pytest.raises(TypeError):
        lib.send.HeapReference(heap, **options)
    reference = lib.send.HeapReference(heap)
    for name, value in options.items():
        with pytest.raises((TypeError, AttributeError)):
            setattr(reference, name, value)


def test_options_are_keywords(lib):
    with pytest.raises(TypeError):
        lib.send.HeapReference(lib.send.Heap(), 1)
    with pytest.raises(TypeError):
        lib.send.HeapReference(None)


def test_lists_are_made_of_sequences_of_references(lib):
    heap = lib.send.Heap()
    references = [lib.send.HeapReference(heap, cnt=i) for i in range(5)]
    for heaps in ([], references, tuple(references)):
        assert len(lib.send.HeapReferenceList(heaps)) == len(heaps)
    assert len(lib.send.HeapReferenceList(heaps=references)) == 5
    for wrong in (iter(references), [heap], [None], None, "abc", 5):
        with pytest.raises(TypeError):
            lib.send.HeapReferenceList(wrong)


def test_lists_are_sliced(lib):
    heap = lib.send.Heap()
    whole = lib.send.HeapReferenceList([lib.send.HeapReference(heap, cnt=i) for i in range(5)])
    for part in (slice(None), slice(1, 3), slice(None, None, -2), slice(-2, None), slice(9, None)):
        numbers = list(range(5))[part]
        assert type(whole[part]) is lib.send.HeapReferenceList
        assert len(whole[part]) == len(numbers)
        if numbers:
            stream = bytes_stream(lib, max_heaps=5)
            stream.send_heaps(whole[part], lib.send.GroupMode.SERIAL)
            assert heap_counts(stream.getvalue()) == numbers
    with pytest.raises(TypeError):
        whole[0]
    with pytest.raises(TypeError):
        list(whole)
    with pytest.raises(ValueError):
        whole[::0]


def test_what_holds_a_heap(lib):
    heap = lib.send.Heap()
    heap_alive = weakref.ref(heap)
    reference = lib.send.HeapReference(heap)
    reference_alive = weakref.ref(reference)
    del heap
    heaps = lib.send.HeapReferenceList([reference])
    list_alive = weakref.ref(heaps)
    del reference
    gc.collect()
    assert reference_alive() is None
    assert heap_alive() is not None
    bytes_stream(lib).send_heaps(heaps, lib.send.GroupMode.SERIAL)
    del heaps
    gc.collect()
    assert list_alive() is None
    assert heap_alive() is None


def test_a_list_keeps_what_references_said(lib):
    reference = lib.send.HeapReference(lib.send.Heap(), cnt=3)
    heaps = lib.send.HeapReferenceList([reference])
    reference.cnt = 4
    stream = bytes_stream(lib)
    stream.send_heaps(heaps, lib.send.GroupMode.SERIAL)
    stream.send_heaps([reference], lib.send.GroupMode.SERIAL)
    assert heap_counts(stream.getvalue()) == [3, 4]


def test_a_list_sees_how_its_heaps_change(lib):
    heap = make_heap(lib, Value(0x1000, b"x" * 100))
    heaps = lib.send.HeapReferenceList([lib.send.HeapReference(heap)] * 2)
    stream = bytes_stream(lib)
    before = stream.send_heaps(heaps, lib.send.GroupMode.SERIAL)
    heap.add_item(Value(0x1001, b"y" * 100))
    after = stream.send_heaps(heaps, lib.send.GroupMode.SERIAL)
    assert after - before == 2 * 108
    assert stream.send_heaps(heaps, lib.send.GroupMode.SERIAL) == after


def test_a_list_serves_streams_of_other_packet_sizes(lib):
    heap = make_heap(lib, *(Value(0x1000 + i, b"x" * 20) for i in range(4)), repeat=True)
    heaps = lib.send.HeapReferenceList([lib.send.HeapReference(heap)])
    large, small = bytes_stream(lib), bytes_stream(lib, max_packet_size=64)
    large.send_heaps(heaps, lib.send.GroupMode.SERIAL)
    with pytest.raises(ValueError, match="too small"):
        small.send_heaps(heaps, lib.send.GroupMode.SERIAL)
    large.send_heaps(heaps, lib.send.GroupMode.SERIAL)

"""Placement functions in numba: what a `recv.ChunkStreamConfig.place` function is given."""

from numba import types

_size_t = types.uintp

#: The record that a placement function is given a pointer to. Fields that are pointers in C are
#: `intp`: convert them with `speadway.numba.intp_to_voidptr`.
#:
#: * `packet`, `packet_size`: the heap's first packet, from its header on;
#: * `items`: the values of the configured items (`int64`), -1 for those the packet has not;
#: * `chunk_id`, `heap_index`, `heap_offset`: to be set to the heap's place, or `chunk_id` left at -1;
#: * `batch_stats`: the statistics (`uint64`), of which the user's own may be changed;
#: * `extra`, `extra_offset`, `extra_size`: scratch memory, where what is in it goes in the chunk's
#:   `extra`, and how many bytes of it.
chunk_place_data = types.Record.make_c_struct(
    [
        ("packet", types.intp),
        ("packet_size", _size_t),
        ("items", types.intp),
        ("chunk_id", types.int64),
        ("heap_index", _size_t),
        ("heap_offset", _size_t),
        ("batch_stats", types.intp),
        ("extra", types.intp),
        ("extra_offset", _size_t),
        ("extra_size", _size_t),
    ]
)

__all__ = ["chunk_place_data"]

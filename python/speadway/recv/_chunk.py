"""The Python half of the chunk classes."""

from collections.abc import Sequence
from typing import Any, NoReturn

from .._speadway import recv as _native
from .._speadway.recv import Chunk, ChunkRingbuffer, ChunkStreamGroupMember


class ChunkRingPair:
    """What fills chunks between two rings: a `ChunkRingStream` or a `ChunkStreamRingGroup`.

    There are no other objects of this class.
    """

    __slots__ = ()

    def __new__(cls, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError(f"{cls.__name__}: No constructor defined!")

    # The native classes come first in the order of resolution, so these are never called.

    @property
    def data_ringbuffer(self) -> ChunkRingbuffer:
        """The ring that filled chunks are put in."""
        raise NotImplementedError

    @property
    def free_ringbuffer(self) -> ChunkRingbuffer:
        """The ring that chunks are taken from."""
        raise NotImplementedError

    def add_free_chunk(self, chunk: Chunk) -> None:
        """Put a chunk in the free ring, with nothing present."""
        raise NotImplementedError


class ChunkRingStream(_native.ChunkRingStream, ChunkRingPair):
    __doc__ = _native.ChunkRingStream.__doc__
    __slots__ = ()


class ChunkStreamRingGroup(
    _native.ChunkStreamRingGroup, ChunkRingPair, Sequence[ChunkStreamGroupMember]
):
    __doc__ = _native.ChunkStreamRingGroup.__doc__


for _class in (ChunkRingPair, ChunkRingStream, ChunkStreamRingGroup):
    _class.__module__ = "speadway.recv"
del _class

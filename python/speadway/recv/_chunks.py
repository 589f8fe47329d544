"""The consumer's side of a data ring: which chunks to look at, and what was missing."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from .._speadway import Empty, Stopped
from .._speadway.recv import Chunk, ChunkRingbuffer


@dataclass(slots=True)
class Tally:
    """What was seen of a sequence of chunks.

    Chunks that never came, because their ids were jumped over, count as missing whole.
    """

    chunks: int = 0
    """Chunks seen."""
    complete: int = 0
    """Chunks seen in which nothing was missing."""
    chunks_missing: int = 0
    """Chunk ids that were jumped over."""
    heaps_present: int = 0
    """Heaps (or packets, with packet presence) that were there."""
    heaps_missing: int = 0
    """Those that were not, in chunks seen and in chunks jumped over."""
    last_id: int | None = None
    """The last chunk's id."""

    def note(self, chunk: Chunk) -> None:
        """Take note of the next chunk, which has to have its buffers."""
        present, missing = chunk.n_present, chunk.n_missing
        # After a resync ids may go back; then nothing was jumped over.
        gap = 0 if self.last_id is None else max(0, chunk.chunk_id - self.last_id - 1)
        self.chunks += 1
        self.complete += missing == 0
        self.chunks_missing += gap
        self.heaps_present += present
        self.heaps_missing += missing + gap * (present + missing)
        self.last_id = chunk.chunk_id


class Chunks(Iterator[Chunk], AsyncIterator[Chunk]):
    """The chunks of a data ring, without those that are not wanted.

    What is skipped goes back to its free ring at once. `tally` knows all that were seen, skipped ones
    too. The iterator ends with the ring, or `timeout` seconds after it was made. Over a ring of
    `speadway.recv.asyncio` it is an asynchronous iterator too (without a timeout: use
    `asyncio.timeout`).

    :param complete_only: skip chunks in which something is missing
    :param since: skip chunks with smaller ids
    """

    def __init__(
        self,
        ring: ChunkRingbuffer,
        *,
        complete_only: bool = False,
        since: int = 0,
        timeout: float | None = None,
    ) -> None:
        self.tally = Tally()
        self._ring: Any = ring
        self._complete_only = complete_only
        self._since = since
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def _wants(self, chunk: Chunk) -> bool:
        self.tally.note(chunk)
        if chunk.chunk_id >= self._since and not (self._complete_only and chunk.n_missing):
            return True
        chunk.recycle()
        return False

    def _left(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def __iter__(self) -> "Chunks":
        return self

    def __next__(self) -> Chunk:
        # The ring's own `get` is a coroutine if it is one of asyncio's.
        get = ChunkRingbuffer.get
        while True:
            try:
                chunk = get(self._ring, self._left())
            except (Empty, Stopped):
                raise StopIteration from None
            if self._wants(chunk):
                return chunk

    def __aiter__(self) -> "Chunks":
        return self

    async def __anext__(self) -> Chunk:
        while True:
            try:
                chunk: Chunk = await self._ring.get()
            except Stopped:
                raise StopAsyncIteration from None
            if self._wants(chunk):
                return chunk

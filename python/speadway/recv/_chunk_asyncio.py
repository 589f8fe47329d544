"""The ring of chunks for asyncio."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from .._speadway import Empty, Full, Stopped
from .._speadway import recv as _native
from .._speadway.recv import Chunk

_T = TypeVar("_T")


class _Turns:
    """Coroutines at one end of a ring, which are served in the order they came.

    Only the first of them waits for the descriptor. It is told that the ring is ready, and takes (or
    puts) for itself when it runs; so a coroutine that is cancelled in between has taken nothing.
    """

    def __init__(self) -> None:
        # Known once somebody waits. Not how to find out: the ring and this would keep each other.
        self._descriptor = -1
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self, attempt: Callable[[], _T], descriptor: Callable[[], int]) -> _T:
        """What `attempt` returns, once it neither raises `Empty` nor `Full` and all who came before
        are done. `descriptor` says which is readable when it may be so."""
        # Others get their turn even if the ring never runs empty.
        await asyncio.sleep(0)
        if not self._waiting:
            try:
                return attempt()
            except (Empty, Full):
                pass
        self._descriptor = descriptor()
        turn = self._join()
        try:
            while True:
                await turn
                try:
                    return attempt()
                except (Empty, Full):
                    # Somebody outside this queue was quicker. The first place is kept.
                    turn = self._waiting[0] = turn.get_loop().create_future()
                    self._watch()
        finally:
            self._leave(turn)

    def _join(self) -> "asyncio.Future[None]":
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        if len(self._waiting) == 1:
            self._watch()
        return turn

    def _leave(self, turn: "asyncio.Future[None]") -> None:
        was_first = self._waiting[0] is turn
        self._waiting.remove(turn)
        if was_first:
            if not turn.done() or turn.cancelled():
                turn.get_loop().remove_reader(self._descriptor)
            if self._waiting:
                self._watch()

    def _watch(self) -> None:
        """Have the first in the queue told when the ring is ready."""
        turn = self._waiting[0]
        turn.get_loop().add_reader(self._descriptor, self._tell, turn)

    def _tell(self, turn: "asyncio.Future[None]") -> None:
        turn.get_loop().remove_reader(self._descriptor)
        if not turn.done():
            turn.set_result(None)


class ChunkRingbuffer(_native.ChunkRingbuffer):
    """A ring of chunks whose `get` and `put` are coroutines, and which is an asynchronous iterator.

    Coroutines are served in the order they came, and nothing is lost if one is cancelled. Threads may
    use the other methods meanwhile, but only one event loop at a time the coroutines.
    """

    def __init__(self, maxsize: int) -> None:
        super().__init__(maxsize)
        self._getters = _Turns()
        self._putters = _Turns()

    async def get(self) -> Chunk:  # type: ignore[override]
        """Take the oldest chunk; raises `speadway.Stopped` at the end."""
        return await self._getters.take(self.get_nowait, lambda: self.data_fd)

    async def put(self, chunk: Chunk) -> None:  # type: ignore[override]
        """Put a chunk in; raises `speadway.Stopped` once the ring has been stopped."""
        await self._putters.take(lambda: self.put_nowait(chunk), lambda: self.space_fd)

    def __aiter__(self) -> "ChunkRingbuffer":
        return self

    async def __anext__(self) -> Chunk:
        try:
            return await self.get()
        except Stopped:
            raise StopAsyncIteration from None

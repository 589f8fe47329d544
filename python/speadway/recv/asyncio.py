"""Receiving with asyncio."""

import asyncio
from collections import deque
from typing import Any

from .. import Empty, Stopped
from . import Heap
from . import Stream as _Stream
from ._chunk_asyncio import ChunkRingbuffer

__all__ = ["ChunkRingbuffer", "Stream"]


class Stream(_Stream):
    """A stream whose `get` is a coroutine, and that can be iterated with `async for`.

    Any number of tasks of one event loop may wait; they are served in the order they came. A task
    that is cancelled takes no heap with it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Tasks that wait, in order. Only the first looks for heaps; its future is set when there may
        # be one. It stays first until it has one, gives up, or is cancelled.
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def get(self) -> Heap | Any:
        """The next heap: waits for it. `Stopped` at the end of the stream."""
        # Others have their turn even while there is always a heap.
        await asyncio.sleep(0)
        if not self._waiting:
            try:
                return self.get_nowait()
            except Empty:
                pass
        return await self._wait()

    async def _wait(self) -> Heap | Any:
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        try:
            while True:
                if self._waiting[0] is turn:
                    loop.add_reader(self.fd, self._wake)
                await turn
                try:
                    return self.get_nowait()
                except Empty:  # somebody else was faster
                    self._waiting[0] = turn = loop.create_future()
        finally:
            self._leave(turn, loop)

    def _wake(self) -> None:
        """There may be a heap for the first who waits."""
        turn = self._waiting[0]
        turn.get_loop().remove_reader(self.fd)
        if not turn.done():
            turn.set_result(None)

    def _leave(self, turn: asyncio.Future[None], loop: asyncio.AbstractEventLoop) -> None:
        """One who waited does so no more; the next is first, if it was."""
        was_first = self._waiting[0] is turn
        self._waiting.remove(turn)
        if was_first:
            loop.remove_reader(self.fd)
            if self._waiting:
                loop.add_reader(self.fd, self._wake)

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> Heap | Any:
        try:
            return await self.get()
        except Stopped:
            raise StopAsyncIteration from None

"""Group commit: one task that makes what was appended durable and tells who waits for it."""

import heapq
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import trio

from controller.array import DiskError, VirtualArrayStore
from controller.remote_copy.ports import ArrayFault

IDLE_COMMIT_S = 0.05  # records that nobody waits for are durable after at most this long

RunBlocking = Callable[..., Awaitable[Any]]


class Committer:
    """Owns the commit of one array. Replies come in sequence order, on the event loop's thread.

    run_blocking: runs the commit off the loop (`trio.to_thread.run_sync`); a simulation passes its own.
    """

    def __init__(self, store: VirtualArrayStore, run_blocking: RunBlocking, on_fenced: Callable[[str], None]) -> None:
        self._store = store
        self._run_blocking = run_blocking
        self._on_fenced = on_fenced
        self._waiting: list[tuple[int, int, Callable[[bool], None]]] = []
        self._tie = count()
        self._wanted = trio.Event()
        self.fenced = False
        self.commits = 0

    def when_durable(self, sequence: int, reply: Callable[[bool], None]) -> None:
        """See `HardenPort`."""
        if self.fenced:
            reply(False)
        elif sequence <= self._store.durable:
            reply(True)
        else:
            heapq.heappush(self._waiting, (sequence, next(self._tie), reply))
            self._wanted.set()

    async def run(self) -> None:
        """Commit for ever."""
        while True:
            with trio.move_on_after(IDLE_COMMIT_S):
                await self._wanted.wait()
            self._wanted = trio.Event()
            await self._commit()

    async def _commit(self) -> None:
        batch = None if self.fenced else self._store.take_batch()
        if batch is None:
            return
        try:
            await self._run_blocking(self._store.commit, batch)
        except DiskError as error:
            self._store.failed(batch)
            self.fenced = True
            self._on_fenced(str(error))
            self._answer(None)
        else:
            self.commits += 1
            self._answer(self._store.committed(batch))

    def _answer(self, durable: int | None) -> None:
        while self._waiting and (durable is None or self._waiting[0][0] <= durable):
            _, _, reply = heapq.heappop(self._waiting)
            try:
                reply(durable is not None)
            except ArrayFault as fault:
                self._on_fenced(str(fault))

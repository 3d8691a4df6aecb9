"""Group commit: one task that makes what was appended durable and tells who waits for it."""

import heapq
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Any

import trio

from controller.array import DiskError, VirtualArrayStore
from controller.remote_copy.ports import ArrayFault

HOUSEKEEPING_S = 0.01  # of background work between two commits, at most, and one step
HOUSEKEEPING_IN_NEED_S = 0.03  # the same when room runs out: who waits for a commit writes nothing more meanwhile
HOUSEKEEPING_STEP_BYTES = 128 << 10
IDLE_WORK_BYTES = 1 << 20  # background work is given as if so much had been written, when nothing was
IDLE_COMMIT_S = 0.05  # records that nobody waits for are durable after at most this long

RunBlocking = Callable[..., Awaitable[Any]]


class Committer:
    """Owns the commit of one array. Replies come in sequence order, on the event loop's thread.

    run_blocking: runs the commit off the loop (`trio.to_thread.run_sync`); a simulation passes its own. say: takes what
    the operator should know of the background work, a line at a time.
    """

    def __init__(
        self,
        store: VirtualArrayStore,
        run_blocking: RunBlocking,
        on_fenced: Callable[[str], None],
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._store = store
        self._say = say
        self._segment_begun = trio.Event()
        self._run_blocking = run_blocking
        self._on_fenced = on_fenced
        self._waiting: list[tuple[int, int, Callable[[bool], None]]] = []
        self._tie = count()
        self._wanted = trio.Event()
        self.fenced = False
        self.idle_commit_s = IDLE_COMMIT_S
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
            with trio.move_on_after(self.idle_commit_s):
                await self._wanted.wait()
            self._wanted = trio.Event()
            if not self.fenced:
                await self._housekeep(await self._commit() or IDLE_WORK_BYTES)

    async def keep_room(self) -> None:
        """For ever, hold room for the next segment, so that no write waits for one to be filled with zeros.

        What cannot be held is not told here: the write that needs it is refused, and the operator hears of that.
        """
        while True:
            with suppress(DiskError):
                await self._run_blocking(self._store.prepare)
            await self._segment_begun.wait()
            self._segment_begun = trio.Event()

    async def _housekeep(self, written: int) -> None:
        """Go on with checkpoints and collection, in steps so short that links are served between them."""
        budget = self._store.housekeeping_budget(written)
        until = trio.current_time() + (HOUSEKEEPING_IN_NEED_S if self._store.short_of_room else HOUSEKEEPING_S)
        while budget > 0 and (done := self._store.housekeep(min(budget, HOUSEKEEPING_STEP_BYTES))):
            budget -= done
            await trio.lowlevel.checkpoint()
            if trio.current_time() > until:
                break
        while self._store.notices:
            self._say(self._store.notices.pop(0))

    async def _commit(self) -> int:
        """Commit what was appended; how many bytes that were."""
        batch = self._store.take_batch()
        if batch is None:
            return 0
        if batch.begins_segment:
            self._segment_begun.set()
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
        return batch.bytes

    def _answer(self, durable: int | None) -> None:
        while self._waiting and (durable is None or self._waiting[0][0] <= durable):
            _, _, reply = heapq.heappop(self._waiting)
            try:
                reply(durable is not None)
            except ArrayFault as fault:
                self._on_fenced(str(fault))

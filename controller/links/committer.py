"""Group commit: makes what was appended durable and tells who waits for it.

    take a batch -> write and sync it, off the core -> tell, in sequence order -> a little background work -> again

A running system has a thread for it, that sends the answers itself: a wake-up of the event loop, and one of a worker,
cost more than a sync does. A simulation runs the same steps as a task.

Where the disk is quick even the change to that thread costs more than it gains, so who served all that was ready may
commit at once (`take_at_once`). The thread has its turn when the disk is slow, and for the background work; should a
commit at once get stuck, the thread serves meanwhile, so that nobody waits for the disk who does not write.
"""

import heapq
import queue
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import partial
from itertools import count
from typing import Any

import trio

from controller.array import DiskError, VirtualArrayStore
from controller.array.log import Batch
from controller.links.threads import Bell, CoreLock, run_in_thread
from controller.remote_copy.ports import ArrayFault

HOUSEKEEPING_S = 0.01  # of background work between two commits, at most, and one step
HOUSEKEEPING_IN_NEED_S = 0.03  # the same when room runs out: who waits for a commit writes nothing more meanwhile
HOUSEKEEPING_STEP_BYTES = 128 << 10
AT_ONCE_S = 0.0005  # a commit that takes no longer may be made at once
AT_ONCE_AGAIN = 256  # commits by the thread after one made at once that took longer
QUICK_S = 0.0001  # a commit that takes no longer did not wait for a disk
IDLE_WORK_BYTES = 1 << 20  # background work is given as if so much had been written, when nothing was
IDLE_COMMIT_S = 0.05  # records that nobody waits for are durable after at most this long

RunBlocking = Callable[..., Awaitable[Any]]


class Committer:
    """Owns the commit of one array. Replies come in sequence order, by whoever has the core.

    run_blocking: runs what takes long off the loop (`trio.to_thread.run_sync`); a simulation passes its own. say: takes
    what the operator should know of the background work, a line at a time. stopwatch: seconds, by which commits are
    timed.
    """

    def __init__(
        self,
        store: VirtualArrayStore,
        run_blocking: RunBlocking,
        on_fenced: Callable[[str], None],
        say: Callable[[str], None] = lambda text: None,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._say = say
        self._stopwatch = stopwatch
        self._segment_begun = Bell()
        self._run_blocking = run_blocking
        self._on_fenced = on_fenced
        self._waiting: list[tuple[int, int, Callable[[bool], None]]] = []
        self._tie = count()
        self._wanted = Bell()
        self._wake: Callable[[], None] = self._wanted.ring
        self._woken = False  # since the last batch was taken
        self._took = 0.0  # seconds, the last commit
        self._at_once_from = 0  # of `commits`
        self._on_its_way = False  # a batch
        self._lent: Batch | None = None  # to whom commits at once
        self.relieve: Callable[[Callable[[], bool]], None] = lambda needed: None
        """Set by who commits at once: serves in its place while `needed`. It lasts for idle_commit_s already then."""
        self._written = 0  # bytes since the last background work
        self._clock = trio.lowlevel.current_clock()
        self.fenced = False
        self.idle_commit_s = IDLE_COMMIT_S
        self.commits = 0

    def awaited(self) -> bool:
        """Does anybody wait for a commit, on a disk that took its time for the last one?"""
        return self._took > QUICK_S and bool(self._waiting)

    def take_at_once(self) -> Batch | None:
        """What somebody waits for, for the caller to commit at once: None when the thread had better do it."""
        if not self._waiting or self.fenced:
            return None
        if self._took > AT_ONCE_S or self.commits < self._at_once_from:
            return None
        if self._written >= IDLE_WORK_BYTES or self._store.short_of_room:
            return None
        batch = self._take()
        if batch is not None:
            self._lent = batch
        return batch

    def commit_at_once(self, core: AbstractContextManager[None], batch: Batch) -> None:
        """Commit what `take_at_once` gave. For who does not have the core."""
        failure = self._write(batch)
        with core:
            self._lent = None
            self._finish(batch, failure)
            if self._took > AT_ONCE_S and not batch.begins_segment:
                self._at_once_from = self.commits + AT_ONCE_AGAIN
            if self._waiting:
                self._wake()

    def when_durable(self, sequence: int, reply: Callable[[bool], None]) -> None:
        """See `HardenPort`."""
        if self.fenced:
            reply(False)
        elif sequence <= self._store.durable:
            reply(True)
        else:
            heapq.heappush(self._waiting, (sequence, next(self._tie), reply))
            if not self._woken:
                self._woken = True
                self._wake()

    async def durable(self, sequence: int) -> bool:
        """Wait until everything up to `sequence` is durable; False when it never will be."""
        answered = Bell()
        answers: list[bool] = []

        def reply(good: bool) -> None:
            answers.append(good)
            answered.ring()

        self.when_durable(sequence, reply)
        await answered.wait()
        return answers[0]

    async def run(self) -> None:
        """Commit for ever, as a task."""
        while True:
            with trio.move_on_after(self.idle_commit_s):
                await self._wanted.wait()
            if self.fenced:
                continue
            batch = self._take()
            if batch is not None:
                try:
                    await self._run_blocking(self._store.commit, batch)
                except DiskError as error:
                    self._failed(batch, error)
                else:
                    self._committed(batch)
            for _ in self._housekeeping():
                await trio.lowlevel.checkpoint()

    async def run_in_thread(self) -> None:
        """Commit for ever, in a thread of its own."""
        asked: queue.SimpleQueue[None] = queue.SimpleQueue()
        core = CoreLock.of_this_run()

        def wake() -> None:
            if self._waiting and not self._on_its_way:  # else it was done at once, or the thread is at it
                asked.put(None)

        self._wake = partial(core.defer, wake)
        stopped = False

        def stop() -> None:
            nonlocal stopped
            stopped = True
            asked.put(None)

        def needed(lent: Batch) -> bool:
            return self._lent is lent and not stopped

        def commit() -> None:
            while not stopped:
                idle, lent = False, self._lent
                if lent is not None or not self._waiting:
                    try:
                        asked.get(timeout=self.idle_commit_s)
                    except queue.Empty:
                        idle = True
                if self._lent is not None:
                    if idle and self._lent is lent:
                        self.relieve(partial(needed, lent))
                elif not self.fenced and (idle or self._waiting):
                    self._turns(core)

        await run_in_thread(commit, stop)

    def _turns(self, core: CoreLock) -> None:
        """One batch after the other as long as somebody waits, each with the background work that goes with it."""
        with core:
            batch = self._take()
        while True:
            failure = self._write(batch) if batch is not None else None
            with core:
                if batch is not None:
                    self._finish(batch, failure)
                steps = self._housekeeping()
                more = next(steps, None) is not None
                batch = self._take() if self._waiting and not more else None
            while more:
                with core:
                    more = next(steps, None) is not None
            if batch is None:
                return

    def _write(self, batch: Batch) -> DiskError | None:
        begun = self._stopwatch()
        try:
            self._store.commit(batch)
        except DiskError as error:
            return error
        self._took = self._stopwatch() - begun
        return None

    async def keep_room(self) -> None:
        """For ever, hold room for the next segment, so that no write waits for one to be filled with zeros.

        What cannot be held is not told here: the write that needs it is refused, and the operator hears of that.
        """
        while True:
            with suppress(DiskError):
                await self._run_blocking(self._store.prepare)
            await self._segment_begun.wait()

    def _housekeeping(self) -> Iterator[int]:
        """Go on with checkpoints and collection, in steps so short that links are served between them."""
        if self.fenced:
            return
        budget = self._store.housekeeping_budget(self._written or IDLE_WORK_BYTES)
        self._written = 0
        until = self._clock.current_time() + (
            HOUSEKEEPING_IN_NEED_S if self._store.short_of_room else HOUSEKEEPING_S
        )
        while budget > 0 and (done := self._store.housekeep(min(budget, HOUSEKEEPING_STEP_BYTES))):
            budget -= done
            yield done
            if self._clock.current_time() > until:
                break
        while self._store.notices:
            self._say(self._store.notices.pop(0))

    def _take(self) -> Batch | None:
        """What was appended, to be committed; None as long as a batch is on its way, and for ever once one failed."""
        if self._on_its_way or self.fenced:
            return None
        self._woken = False
        batch = self._store.take_batch()
        if batch is not None:
            self._on_its_way = True
            self._written += batch.bytes
            if batch.begins_segment:
                self._segment_begun.ring()
        return batch

    def _finish(self, batch: Batch, failure: DiskError | None) -> None:
        if failure is None:
            self._committed(batch)
        else:
            self._failed(batch, failure)

    def _committed(self, batch: Batch) -> None:
        self.commits += 1
        self._on_its_way = False
        self._answer(self._store.committed(batch))

    def _failed(self, batch: Batch, error: DiskError) -> None:
        self._store.failed(batch)
        self._on_its_way = False
        self.fenced = True
        self._on_fenced(str(error))
        self._answer(None)

    def _answer(self, durable: int | None) -> None:
        while self._waiting and (durable is None or self._waiting[0][0] <= durable):
            _, _, reply = heapq.heappop(self._waiting)
            try:
                reply(durable is not None)
            except ArrayFault as fault:
                self._on_fenced(str(fault))

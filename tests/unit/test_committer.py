"""Commits at once: when whoever serves the clients makes them itself, and when that is left to the thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from random import Random

import trio
import trio.testing

from controller.array import DiskError, MemoryDisk, StoredTrack, VirtualArrayStore
from controller.links.committer import AT_ONCE_AGAIN, AT_ONCE_S, IDLE_WORK_BYTES, Committer
from controller.links.threads import CoreLock
from tests.helpers.patience import PATIENCE_S


class MoodyDisk(MemoryDisk):
    """Takes `sync_s` for a sync, by its own clock, and fails it when `broken`; while `gate` is shut a sync lasts."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.sync_s = 0.0
        self.broken = False
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()

    def sync(self, number: int) -> None:
        """See MemoryDisk."""
        if self.broken:
            raise DiskError("the disk is broken")
        self.now += self.sync_s
        self.reached.set()
        assert self.gate.wait(PATIENCE_S)
        super().sync(number)


class Site:
    """A store and its committer, whose thread does not run unless a test starts it."""

    def __init__(self) -> None:
        self.disk = MoodyDisk()
        self.store = VirtualArrayStore.open(self.disk, segment_bytes=8 << 20)
        self.store.define_volume(1, {})
        self.store.sync()
        self.fences: list[str] = []
        self.committer = Committer(
            self.store, trio.to_thread.run_sync, self.fences.append, stopwatch=lambda: self.disk.now
        )
        self.answers: list[bool] = []

    def write(self, payload: bytes = bytes(700), reply: Callable[[bool], None] | None = None) -> None:
        """Write a track whose writer waits for it."""
        self.store.write_stored(1, 0, StoredTrack(0, len(payload), payload))
        self.committer.when_durable(self.store.appended, reply or self.answers.append)

    def commit_at_once(self) -> bool:
        """What the thread that serves does when it has served all; whether it committed."""
        batch = self.committer.take_at_once()
        if batch is not None:
            self.committer.commit_at_once(nullcontext(), batch)  # one thread only: nobody to share the core with
        return batch is not None

    async def answered(self, count: int) -> None:
        """Wait for so many answers."""
        with trio.fail_after(PATIENCE_S):
            while len(self.answers) < count:
                await trio.sleep(0.001)


async def test_what_somebody_waits_for_is_durable_when_it_is_answered() -> None:
    site = Site()
    site.write(reply=lambda good: site.answers.append(good and site.store.durable == site.store.appended))
    site.write()
    assert site.answers == []
    site.commit_at_once()
    assert site.answers == [True, True]
    assert site.committer.commits == 1
    site.disk.crash(Random(1))
    assert VirtualArrayStore.open(site.disk, segment_bytes=8 << 20).durable >= site.store.durable


async def test_what_nobody_waits_for_is_left_to_the_thread() -> None:
    site = Site()
    site.store.write_stored(1, 0, StoredTrack(0, 700, bytes(700)))
    site.commit_at_once()
    assert site.store.durable < site.store.appended


async def test_a_disk_that_was_slow_is_left_to_the_thread_for_a_while() -> None:
    site = Site()
    site.disk.sync_s = 4 * AT_ONCE_S
    site.write()
    site.commit_at_once()
    assert site.answers == [True]
    site.disk.sync_s = 0.0
    site.write()
    site.commit_at_once()
    assert site.answers == [True]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.committer.run_in_thread)
        for count in range(2, AT_ONCE_AGAIN + 1):
            await site.answered(count)
            site.write()
            site.commit_at_once()
            assert len(site.answers) == count, "the thread is to make this one"
        await site.answered(AT_ONCE_AGAIN + 1)
        site.write()
        site.commit_at_once()
        assert len(site.answers) == AT_ONCE_AGAIN + 2
        nursery.cancel_scope.cancel()


async def test_the_thread_has_its_turn_when_much_was_written() -> None:
    """Else a steady load of quick commits would leave no room for checkpoints and collection."""
    site = Site()
    payload = bytes(50_000)
    turns = 0
    while turns * len(payload) < IDLE_WORK_BYTES:
        site.write(payload)
        site.commit_at_once()
        turns += 1
        assert len(site.answers) == turns
    site.write(payload)
    site.commit_at_once()
    assert len(site.answers) == turns
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.committer.run_in_thread)
        await site.answered(turns + 1)
        site.write(payload)
        site.commit_at_once()
        assert len(site.answers) == turns + 2, "its work is done: commits are made at once again"
        nursery.cancel_scope.cancel()


async def test_no_second_batch_is_on_its_way_beside_the_one_of_the_thread() -> None:
    site = Site()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.committer.run_in_thread)
        site.disk.gate.clear()
        site.disk.reached.clear()
        site.write()
        assert await trio.to_thread.run_sync(site.disk.reached.wait, PATIENCE_S)
        site.write()
        assert not site.commit_at_once()
        assert site.answers == []
        site.disk.gate.set()
        await site.answered(2)
        nursery.cancel_scope.cancel()
    assert site.answers == [True, True]


async def test_a_commit_at_once_that_fails_fences_the_array() -> None:
    site = Site()
    site.disk.broken = True
    site.write()
    site.commit_at_once()
    assert site.answers == [False]
    assert site.committer.fenced
    assert site.fences == ["the disk is broken"]
    site.committer.when_durable(1 << 40, site.answers.append)
    site.commit_at_once()
    assert site.answers == [False, False]


async def test_a_commit_at_once_that_is_stuck_is_relieved_and_nothing_is_committed_beside_it() -> None:
    """The thread serves instead, as long as it lasts; what was written meanwhile is committed behind it."""
    site = Site()
    relieved = threading.Event()
    served: list[int] = []

    def relieve(needed: Callable[[], bool]) -> None:
        relieved.set()
        while needed():
            with core:
                served.append(len(site.answers))

    site.committer.relieve = relieve
    core = CoreLock.of_this_run()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.committer.run_in_thread)
        await trio.testing.wait_all_tasks_blocked()
        site.write()
        batch = site.committer.take_at_once()
        assert batch is not None
        site.disk.gate.clear()
        nursery.start_soon(trio.to_thread.run_sync, site.committer.commit_at_once, core, batch)
        assert await trio.to_thread.run_sync(relieved.wait, PATIENCE_S)
        site.write()
        with trio.fail_after(PATIENCE_S):
            while served.count(0) < 2:
                await trio.sleep(0.001)
        assert site.answers == []
        site.disk.gate.set()
        await site.answered(2)
        nursery.cancel_scope.cancel()
    assert site.answers == [True, True]


async def test_a_commit_at_once_that_fences_the_array_ends_no_thread() -> None:
    """That looks for records nobody waits for, and stands before the core meanwhile."""
    site = Site()
    site.committer.idle_commit_s = 0.001
    CoreLock.of_this_run()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.committer.run_in_thread)
        await trio.sleep(0.01)
        time.sleep(0.05)  # the core is ours: the thread waits for it
        site.disk.broken = True
        site.write()
        assert site.commit_at_once()
        await trio.sleep(0.01)
        assert site.answers == [False]
        assert site.fences == ["the disk is broken"]
        nursery.cancel_scope.cancel()


async def test_relief_comes_to_one_commit_that_lasts_not_to_whoever_commits_just_then() -> None:
    site = Site()
    site.committer.idle_commit_s = 0.3
    relieved: list[float] = []
    core = CoreLock.of_this_run()

    def relieve(needed: Callable[[], bool]) -> None:
        began = time.monotonic()
        with core:
            site.write()
            assert site.committer.take_at_once() is None
        assert needed(), "the other is stuck as before"
        relieved.append(began)
        while needed():
            time.sleep(0.001)

    site.committer.relieve = relieve
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.committer.run_in_thread)
        await trio.sleep(0.2)  # most of the time that the thread waits for something to do
        site.write()
        site.disk.gate.clear()
        begun = time.monotonic()
        batch = site.committer.take_at_once()
        assert batch is not None
        nursery.start_soon(trio.to_thread.run_sync, site.committer.commit_at_once, core, batch)
        with trio.fail_after(PATIENCE_S):
            while not relieved:
                await trio.sleep(0.01)
        site.disk.gate.set()
        await site.answered(2)
        nursery.cancel_scope.cancel()
    assert relieved[0] - begun >= site.committer.idle_commit_s

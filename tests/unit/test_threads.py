"""The core lock and the bell: turns between the event loop and threads, and wakes that are not lost."""

from __future__ import annotations

import threading
import time

import pytest
import trio

from controller.links.threads import Bell, CoreLock, run_in_thread
from tests.helpers.patience import PATIENCE_S


async def test_tasks_and_threads_never_have_the_core_at_once_and_both_get_their_turn() -> None:
    core = CoreLock.of_this_run()
    inside: list[str] = []
    turns = {"task": 0, "thread": 0}
    enough = 300

    def visit(who: str) -> None:
        inside.append(who)
        time.sleep(0.0001)  # whoever else may come in now does
        assert inside == [who]
        turns[who] += 1
        inside.pop()

    def thread() -> None:
        while turns["thread"] < enough:
            with core:
                visit("thread")

    async def task() -> None:
        while turns["task"] < enough:
            visit("task")
            await trio.lowlevel.checkpoint()

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(task)
            nursery.start_soon(trio.to_thread.run_sync, thread)


async def test_a_run_has_one_core_lock_and_holds_it_while_a_task_works() -> None:
    core = CoreLock.of_this_run()
    assert CoreLock.of_this_run() is core
    got = threading.Event()

    def take() -> None:
        with core:
            got.set()

    thread = threading.Thread(target=take)
    thread.start()
    assert not got.wait(0.1)  # this task does not let go of it
    await trio.to_thread.run_sync(thread.join)
    assert got.is_set()


async def test_what_is_deferred_is_done_when_the_core_is_let_go_by_whoever_has_it() -> None:
    core = CoreLock.of_this_run()
    done: list[str] = []
    core.defer(lambda: done.append("task"))
    assert done == []

    def thread() -> None:
        with core:
            core.defer(lambda: done.append("thread"))
            assert done == ["task"]

    with trio.fail_after(PATIENCE_S):
        await trio.to_thread.run_sync(thread)
    assert done == ["task", "thread"]


async def test_a_bell_is_heard_from_any_thread_and_is_silent_again() -> None:
    bell = Bell()
    with trio.fail_after(PATIENCE_S):
        await trio.to_thread.run_sync(bell.ring)
        await bell.wait()
        bell.ring()
        await bell.wait()
    with trio.move_on_after(0.01) as waited:
        await bell.wait()
    assert waited.cancelled_caught


async def test_a_thread_is_stopped_when_its_task_is_cancelled() -> None:
    stop = threading.Event()
    with trio.fail_after(PATIENCE_S), trio.move_on_after(0.05) as scope:
        await run_in_thread(stop.wait, stop.set)
    assert scope.cancelled_caught and stop.is_set()


async def test_what_a_thread_raises_reaches_its_task() -> None:
    def broken() -> None:
        raise AssertionError("a bug of ours")

    with pytest.RaisesGroup(AssertionError):
        await run_in_thread(broken, lambda: None)

"""1,024 volumes wait; the patent restricts those that synchronise to the number of bridges, "preferably eight or less".

Queue and workers are the real ones; the array and the senders count. Four control-unit images' worth of volumes: more
than one image can address, which the queue does not care about.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

from ccw.bridge import Result
from controller.remote_copy.pair import BoxName, Pair
from controller.remote_copy.states import BridgeState, PairState
from controller.remote_copy.sync_queue import QueueFull, SyncQueue
from controller.remote_copy.sync_worker import SyncWorker

VOLUMES, BRIDGES, TRACKS = 1024, 8, 150_000  # of 3390-9s
A, B = BoxName(b"A" * 12, 0x0100, 0), BoxName(b"B" * 12, 0x0200, 0)
ENTRY_BYTES_MAX = 1024  # of memory for one more entry


class Counted:
    """Array, clock and owner of the workers: everything succeeds at once, and says how much is going on."""

    appended = 0

    def __init__(self) -> None:
        self.snapshots: list[int] = []
        self.copying_most = 0
        self.workers: list[SyncWorker] = []
        self.waiting: list[Callable[[], None]] = []  # copies whose end has not been said yet

    def now(self) -> float:
        return 0.0

    tod = now

    def snapshot(self, source: int, target: int) -> int:
        self.snapshots.append(source)
        self.copying_most = max(self.copying_most, sum(worker.pair is not None for worker in self.workers))
        return len(self.snapshots)

    def release_space(self, volume: int, first: int, stop: int) -> int:
        return 0

    def read_stored(self, volume: int, track: int) -> None:
        return None  # never written

    def prepare_copy(self, pair: Pair, ready: Callable[[bool], None]) -> None:
        ready(True)

    def when_durable(self, sequence: int, reply: Callable[[bool], None]) -> None:
        reply(True)

    def track_confirmed(self, pair: Pair) -> None:
        """Nothing to write down."""

    def copy_finished(self, pair: Pair, done: Callable[[], None]) -> None:
        pair.state = PairState.DUPLEX
        self.waiting.append(done)


class Sender:
    """Takes all that the worker has, one record after the other, and has each applied at once."""

    def __init__(self, worker: SyncWorker) -> None:
        self._worker = worker

    def pump(self) -> None:
        while (record := self._worker.next_copy()) is not None:
            self._worker.record_done(record, Result.APPLIED)


def pending(number: int, tracks: int) -> Pair:
    pair = Pair(
        number + 1, True, A.volume(number % 256), B.volume(number % 256), number, tracks, 15, PairState.DUPLEX_PENDING
    )
    pair.mark([0])
    return pair


def make(counted: Counted, queue: SyncQueue) -> None:
    def log(step: int | None, text: str, fields: Any) -> None:
        """Nobody reads it."""

    for number in range(1, BRIDGES + 1):
        worker = SyncWorker(number, 0xE0 + number, queue, counted, counted, counted, log)  # type: ignore[arg-type]
        counted.workers.append(worker)


def test_1024_volumes_wait_as_entries_and_at_most_eight_are_copied() -> None:
    counted, queue = Counted(), SyncQueue()
    make(counted, queue)
    for number in range(VOLUMES):
        queue.append(pending(number, TRACKS))
    assert len(queue) == VOLUMES
    for worker in counted.workers:
        worker.state = BridgeState.ESTABLISHING
        worker.attach(Sender(worker), B)  # type: ignore[arg-type]
    assert len(queue) == VOLUMES - BRIDGES
    assert sum(worker.pair is not None for worker in counted.workers) == BRIDGES
    while counted.waiting:
        counted.waiting.pop(0)()
    assert counted.snapshots == list(range(VOLUMES))  # first come, first served; each snapped once
    assert counted.copying_most == BRIDGES
    assert len(queue) == 0
    assert all(worker.state is BridgeState.IDLE for worker in counted.workers)


def test_the_1025th_is_refused() -> None:
    queue = SyncQueue()
    for number in range(VOLUMES):
        queue.append(pending(number, 15))
    try:
        queue.append(pending(VOLUMES, 15))
    except QueueFull:
        return
    raise AssertionError("the queue takes more than it may")


def test_an_entry_costs_no_more_however_large_its_volume() -> None:
    """Pairs exist anyway; what queueing adds is the entry."""
    queue = SyncQueue()
    pairs = [pending(number, TRACKS) for number in range(VOLUMES)]
    tracemalloc.start()
    try:
        for pair in pairs:
            queue.append(pair)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used / VOLUMES < ENTRY_BYTES_MAX

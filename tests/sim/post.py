"""What is to happen at which virtual time: frames that arrive, timers of links. One task carries all of it.

Actions that are due at the same time happen in the order they were asked for, within one step of the task: a whole
exchange between two ends costs no task switch. Where nobody else has anything to do before the next action, the task
puts the clock forward itself. Actions must not raise.
"""

import heapq
import math
from collections.abc import Callable
from itertools import count

import trio
import trio.testing


class Post:
    """A queue of (time, action)."""

    def __init__(self, clock: trio.testing.MockClock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._tie = count()
        self._changed = trio.Event()
        self._next = math.inf  # when the task looks again by itself
        self._now: float | None = None  # known while actions are being done

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do `action` at `when` (trio time), or at once if that is past."""
        heapq.heappush(self._heap, (when, next(self._tie), action))
        if when < self._next:
            self._changed.set()

    def now(self) -> float:
        """The time, cheaply while actions are being done."""
        return trio.current_time() if self._now is None else self._now

    async def run(self) -> None:
        """Do everything when it is due, for ever."""
        while True:
            now = self._now = trio.current_time()
            self._next = -math.inf  # this task is awake: nobody needs to wake it
            while self._heap and (self._heap[0][0] <= now or self._may_jump(self._heap[0][0] - now)):
                heapq.heappop(self._heap)[2]()
                now = self._now
            self._now = None
            self._next = self._heap[0][0] if self._heap else math.inf
            self._changed = trio.Event()
            with trio.move_on_at(self._next):
                await self._changed.wait()

    def _may_jump(self, seconds: float) -> bool:
        """Put the clock forward, unless another task can run now or by then."""
        others = trio.lowlevel.current_statistics()
        if others.tasks_runnable or others.seconds_to_next_deadline <= seconds:
            return False
        self._clock.jump(seconds)
        self._now = trio.current_time()
        return True

"""Timers and clocks of the shell."""

import heapq
import math
from collections.abc import Callable
from itertools import count

import trio

from controller.links.threads import Bell

TOD_PER_SECOND = 4_096_000_000  # bit 51 of the TOD clock is one microsecond
TOD_OF_1970 = 0x7D91_048B_CA00_0000  # the TOD clock starts at 1900-01-01


class TrioClock:
    """Monotonic time from trio, for any thread; time of day counted from a given instant.

    epoch_s: seconds since 1970 when the clock was made (a simulation passes a constant).
    """

    def __init__(self, epoch_s: float) -> None:
        self._epoch_s = epoch_s
        self._clock = trio.lowlevel.current_clock()
        self._start = self.now()

    def now(self) -> float:
        return self._clock.current_time()

    def tod(self) -> int:
        seconds = self._epoch_s + (self.now() - self._start)
        return TOD_OF_1970 + int(seconds * TOD_PER_SECOND)


class Timers:
    """Calls functions at given times, on the event loop's thread. `call_at` may be called by whoever has the core."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._tie = count()
        self._changed = Bell()

    def call_at(self, when: float, action: Callable[[], None]) -> None:
        """Call `action` once at `when` (trio time) or soon after."""
        heapq.heappush(self._heap, (when, next(self._tie), action))
        self._changed.ring()

    async def run(self) -> None:
        """Serve timers for ever. What an action asks for is done after all others had their turn, even if it is due."""
        while True:
            due = []
            while self._heap and self._heap[0][0] <= trio.current_time():
                due.append(heapq.heappop(self._heap)[2])
            for action in due:
                action()
            with trio.move_on_at(self._heap[0][0] if self._heap else math.inf):
                await self._changed.wait()

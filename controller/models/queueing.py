"""A queue in front of one or several equal servers: first come first served, or by priority.

Invariants, numbered for the tests:
Q1. Work starts when it arrives or when a server becomes free, whichever is later; never before, never later.
Q2. No more than `count` pieces of work are in service at any instant.
Q3. Work is conserved: the time the servers were busy is the sum of all demands.
Q4. With priorities: no work waits while a server is free, none starts before waiting work of a better priority, equals
    start in the order of their arrival, and work in service is not interrupted.
"""

from __future__ import annotations

import heapq
from typing import Generic, NamedTuple, TypeVar

Work = TypeVar("Work")


class Service(NamedTuple):
    """When a piece of work started and finished."""

    start: float
    finish: float


class Servers:
    """`count` servers with one queue. Work is offered in the order of its arrival.

    Work that is offered late, behind work that arrives after it, takes what that left; nothing given out moves.
    """

    def __init__(self, count: int = 1) -> None:
        assert count > 0
        self.count = count
        self.busy = 0.0  # seconds of service given out
        self.served = 0
        self._free = [0.0] * count  # heap: when each server becomes free

    def serve(self, arrival: float, demand: float) -> Service:
        """Let work of `demand` seconds arrive at `arrival`."""
        start = max(arrival, self._free[0])
        finish = start + demand
        heapq.heapreplace(self._free, finish)
        self.busy += demand
        self.served += 1
        return Service(start, finish)

    def next_free(self) -> float:
        """When a server is free for work that arrives now."""
        return self._free[0]

    def utilisation(self, elapsed: float) -> float:
        """Share of the time that the servers were busy, over `elapsed` seconds."""
        return self.busy / (elapsed * self.count) if elapsed > 0 else 0.0


class PriorityServers(Generic[Work]):
    """`count` servers, one queue, the best priority first: the lowest number. Arrivals and ends come in as they happen.

    How long a piece of work takes is known only when it ends, so there are no times here, only who is next.
    """

    def __init__(self, count: int = 1) -> None:
        assert count > 0
        self.count = count
        self.in_service = 0
        self._arrivals = 0
        self._waiting: list[tuple[int, int, Work]] = []  # heap: priority, place in the order of arrival, work

    def __len__(self) -> int:
        """How much work waits."""
        return len(self._waiting)

    @property
    def free(self) -> bool:
        """Whether work that arrives now starts at once."""
        return self.in_service < self.count

    def arrive(self, work: Work, priority: int = 0) -> bool:
        """Work arrives; True when it starts at once, else a later `leave` tells of its start."""
        if self.free:
            self.in_service += 1
            return True
        self._arrivals += 1
        heapq.heappush(self._waiting, (priority, self._arrivals, work))
        return False

    def leave(self) -> Work | None:
        """Some work in service is done; the work that starts in its place, None when none waits."""
        assert self.in_service > 0
        if self._waiting:
            return heapq.heappop(self._waiting)[2]
        self.in_service -= 1
        return None

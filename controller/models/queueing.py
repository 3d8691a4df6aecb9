"""A queue in front of one or several equal servers, first come first served.

Invariants, numbered for the tests:
Q1. Work starts when it arrives or when a server becomes free, whichever is later; never before, never later.
Q2. No more than `count` pieces of work are in service at any instant.
Q3. Work is conserved: the time the servers were busy is the sum of all demands.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple


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

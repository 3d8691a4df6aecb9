"""One disk drive: an arm, a rotation, one request at a time.

The seek over d of C cylinders takes minimum + (average - minimum) * 15/8 * sqrt(d / C): the square-root law of arms
that accelerate half of the way, scaled so that random pairs of cylinders take the published average. Latency is its
mean, half a rotation. Source: the law is textbook; parameters in parameters.py.
"""

from __future__ import annotations

from collections import deque
from math import sqrt

from controller.models.parameters import DiskParameters
from controller.models.queueing import Servers, Service

OVER_RANDOM_PAIRS = 15 / 8  # 1 / E[sqrt(|u - v|)] for u, v uniform on 0..1


class Disk:
    """A drive of `cylinders`; the arm stands at cylinder 0 at first."""

    def __init__(self, parameters: DiskParameters, cylinders: int) -> None:
        self.parameters = parameters
        self.cylinders = cylinders
        self.cylinder = 0
        self.queue = Servers(1)
        self._later: deque[tuple[float, int, int]] = deque()

    def seek(self, distance: int) -> float:
        """Seconds to move the arm by `distance` cylinders."""
        if not distance:
            return 0.0
        spread = self.parameters.seek_average - self.parameters.seek_minimum
        return self.parameters.seek_minimum + spread * OVER_RANDOM_PAIRS * sqrt(distance / self.cylinders)

    def access(self, cylinder: int, length: int) -> float:
        """Seconds for seek, latency and `length` bytes; the arm is at `cylinder` afterwards."""
        seconds = self.seek(abs(cylinder - self.cylinder)) + self.parameters.latency + length / self.parameters.rate
        self.cylinder = cylinder
        return seconds

    def later(self, arrival: float, cylinder: int, length: int) -> None:
        """An access that nobody waits for: it is done when the drive would be idle, and not interrupted once begun."""
        self._later.append((arrival, cylinder, length))

    @property
    def backlog(self) -> int:
        """Accesses that nobody waits for and that were not begun."""
        return len(self._later)

    def serve(self, arrival: float, cylinder: int, length: int) -> Service:
        """An access that arrives at `arrival` and waits for those before it, and for one that nobody waits for."""
        while self._later:
            begin = max(self.queue.next_free(), self._later[0][0])
            if begin >= arrival:
                break
            _, where, size = self._later.popleft()
            self.queue.serve(begin, self.access(where, size))
        return self.queue.serve(arrival, self.access(cylinder, length))

"""Follows the chains of a control unit as they are executed and keeps what the model says of each.

The model's hardware may be slower than the machine this runs on, and then chains would arrive at a control unit that
is not done with the one before. So a path's chain for a volume arrives no earlier than the last one finished: the host
of a replay, or of a live link, waits for its answer as a real one would (a closed loop; queueing in the host is not
counted).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

from ccw.geometry import Geometry
from controller.models.counters import CacheCounters
from controller.models.response import ChainTiming, ResponseModel, ResponseTime
from controller.models.work import CommandWork

KEPT = 10_000  # response times kept for percentiles, the last ones
MILLISECONDS = 1e3


@dataclass(slots=True)
class ResponseStatistics:
    """Response times of many chains, or of many commands. Seconds; percentiles are those of the last `KEPT`."""

    count: int = 0
    pend: float = 0.0
    disconnect: float = 0.0
    connect: float = 0.0
    totals: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))

    def add(self, pend: float, disconnect: float, connect: float) -> None:
        """Count one."""
        self.count += 1
        self.pend += pend
        self.disconnect += disconnect
        self.connect += connect
        self.totals.append(pend + disconnect + connect)

    def percentile(self, share: float) -> float:
        """The smallest kept response time that `share` of them do not exceed; 0 without any."""
        if not self.totals:
            return 0.0
        ranked = sorted(self.totals)
        return ranked[max(0, -int(-share * len(ranked) // 1) - 1)]

    def figures(self) -> dict[str, float | int]:
        """As one JSON-ready object, milliseconds: mean, its three parts, percentiles."""
        count = max(self.count, 1)
        mean = (self.pend + self.disconnect + self.connect) / count
        parts = {
            "mean_ms": mean,
            "pend_ms": self.pend / count,
            "disconnect_ms": self.disconnect / count,
            "connect_ms": self.connect / count,
            "p50_ms": self.percentile(0.50),
            "p95_ms": self.percentile(0.95),
            "p99_ms": self.percentile(0.99),
        }
        return {"count": self.count, **{name: round(value * MILLISECONDS, 4) for name, value in parts.items()}}


class Meter:
    """See the module head. Volumes are told with `add_volume`; `by_command` is kept only when asked for."""

    def __init__(self, model: ResponseModel | None = None, *, commands: bool = False) -> None:
        self.model = model or ResponseModel()
        self.by_volume: dict[Hashable, ResponseStatistics] = {}
        self.by_command: dict[int, ResponseStatistics] | None = {} if commands else None
        self._active: dict[tuple[Hashable, Hashable], ChainTiming] = {}
        self._finished: dict[tuple[Hashable, Hashable], float] = {}

    def add_volume(self, volume: Hashable, geometry: Geometry) -> None:
        """Tell of a volume before its first chain."""
        self.model.add_volume(volume, geometry)
        self.by_volume[volume] = ResponseStatistics()

    def counters(self, volume: Hashable) -> CacheCounters:
        """The cache's counts of a volume."""
        return self.model.cache.counters_of(volume)

    def command(
        self, path: Hashable, link: Hashable, volume: Hashable, now: float, chained: bool, command: CommandWork
    ) -> float:
        """One command of a path's chain for a volume; when its ending status is there on the model's hardware."""
        key = path, volume
        timing = self._active.get(key)
        if timing is None or not chained:
            self.end_chain(path, volume)
            arrival = max(now, self._finished.get(key, now))
            timing = self._active[key] = self.model.begin(volume, link, arrival)
            before = (0.0, 0.0, 0.0)
        else:
            before = timing.pend, timing.disconnect, timing.connect
        done = timing.command(command)
        if self.by_command is not None:
            statistics = self.by_command.setdefault(command.code, ResponseStatistics())
            statistics.add(timing.pend - before[0], timing.disconnect - before[1], timing.connect - before[2])
        return done

    def touch(self, volume: Hashable, track: int, written: bool) -> None:
        """A track was read or written whole, without a chain that could be timed: the cache counts it."""
        if written:
            self.model.cache.write(volume, track)
        else:
            self.model.cache.read(volume, track)

    def end_chain(self, path: Hashable, volume: Hashable) -> ResponseTime | None:
        """The chain is over; its response time, None when there was none."""
        timing = self._active.pop((path, volume), None)
        if timing is None:
            return None
        response = timing.end()
        self._finished[path, volume] = response.finish
        self.by_volume[volume].add(response.pend, response.disconnect, response.connect)
        return response

    def forget_path(self, path: Hashable) -> None:
        """The path is gone: what its chains were at does not count."""
        for kept in (self._active, self._finished):
            for key in [key for key in kept if key[0] == path]:
                del kept[key]

    def figures(self) -> dict[str, dict[str, float | int]]:
        """Response times by volume, milliseconds, of volumes that were used."""
        return {str(volume): found.figures() for volume, found in self.by_volume.items() if found.count}

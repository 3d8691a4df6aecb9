"""The models of the controller as stations of a simulation: SimPy brings the clock, the models do the queueing.

A station that serves in the order of arrival, and whose demands are known, needs no events of its own: `Servers` says
when the work finishes, and the process waits until then. One with priorities, or that is held for as long as its holder
likes, hands out an event to those who must wait.
"""

from __future__ import annotations

from collections.abc import Hashable

from simpy import Environment, Event
from simpy.events import Timeout

from controller.models.disk import Disk
from controller.models.parameters import DiskParameters
from controller.models.queueing import PriorityServers, Servers

UPDATE, COPY = 0, 1  # priorities on a link
CYLINDERS = 1_000  # of a drive of the array; only ratios of distances matter
GOLDEN = 0x9E3779B97F4A7C15  # spreads consecutive numbers evenly


class Station:
    """Held from `enter` to `leave`. Seconds held add up in `busy`."""

    __slots__ = ("_changed", "busy", "environment", "servers")

    def __init__(self, environment: Environment, count: int = 1) -> None:
        self.environment = environment
        self.servers: PriorityServers[Event] = PriorityServers(count)
        self.busy = 0.0
        self._changed = 0.0

    def enter(self, priority: int = COPY) -> Event | None:
        """Ask for it: None when it is had at once, else the event to wait for."""
        if self.servers.free:
            self._count()
            self.servers.arrive(_NOBODY)
            return None
        turn = Event(self.environment)
        self.servers.arrive(turn, priority)
        return turn

    def leave(self) -> None:
        """Give it back; the best who waits has it now."""
        self._count()
        turn = self.servers.leave()
        if turn is not None:
            turn.succeed()

    def utilisation(self) -> float:
        """Share of the time since the start that its servers were held."""
        self._count()
        now = float(self.environment.now)
        return self.busy / (now * self.servers.count) if now > 0 else 0.0

    def _count(self) -> None:
        now = float(self.environment.now)
        self.busy += (now - self._changed) * self.servers.in_service
        self._changed = now


_NOBODY: Event = Event.__new__(Event)  # takes a free server at once, so nobody ever waits for it


class Processors:
    """The processors of one system. A fixed number of looks a second at pairs being copied is served in between."""

    def __init__(self, environment: Environment, count: int, look: float) -> None:
        self.environment = environment
        self.servers = Servers(count)
        self._look = look  # seconds of one look
        self._interval = 0.0  # seconds between looks, 0: none
        self._next_look = 0.0

    def look_at(self, pairs: int, interval: float) -> None:
        """From now on `pairs` are looked at, each once every `interval` seconds, evenly spread."""
        now = float(self.environment.now)
        self._catch_up(now)
        self._interval = interval / pairs if pairs and self._look else 0.0
        self._next_look = now + self._interval

    def finish(self, demand: float) -> float:
        """When work of `demand` seconds that arrives now is done."""
        now = float(self.environment.now)
        if self._interval:
            self._catch_up(now)
        return self.servers.serve(now, demand).finish

    def _catch_up(self, now: float) -> None:
        while self._interval and self._next_look <= now:
            self.servers.serve(self._next_look, self._look)
            self._next_look += self._interval


class Array:
    """The drives behind all volumes. A virtual array spreads tracks over drives and cylinders: here by their number."""

    def __init__(self, parameters: DiskParameters, drives: int) -> None:
        self.drives = [Disk(parameters, CYLINDERS) for _ in range(drives)]

    def place(self, volume: Hashable, track: int) -> tuple[Disk, int]:
        """Where a track lies: its drive and cylinder."""
        spread = (hash(volume) * 65_537 + track) * GOLDEN >> 20 & 0xFFFFFFFF
        return self.drives[spread % len(self.drives)], (spread >> 10) % CYLINDERS

    def finish(self, volume: Hashable, track: int, length: int, now: float) -> float:
        """When an access that arrives now is done, behind those that wait for the same drive."""
        drive, cylinder = self.place(volume, track)
        return drive.serve(now, cylinder, length).finish

    def later(self, volume: Hashable, track: int, length: int, now: float) -> None:
        """An access that nobody waits for."""
        drive, cylinder = self.place(volume, track)
        drive.later(now, cylinder, length)


def until(environment: Environment, time: float) -> Timeout:
    """The event of reaching a time, now at the earliest."""
    return Timeout(environment, max(0.0, time - environment.now))

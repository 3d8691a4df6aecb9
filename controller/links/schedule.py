"""Snapshots by the clock: taken every hour or every day, and the oldest of them deleted when there are enough.

A snapshot of the schedule is named after it and its time, `hourly-2026-11-24T21.00Z`; others are never deleted here.
What was missed while the system was down is not made up for: the next one is taken at the next full hour, or at
midnight UTC.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import trio

from controller.array import StoreError
from controller.config import ScheduleConfig
from controller.links.operations import Operations

PERIODS_S = {"hourly": 3600, "daily": 86_400}
LOOK_S = 30.0  # a clock that is set shows within this

Say = Callable[[str, Mapping[str, object]], None]


def snapshot_name(every: str, period: int) -> str:
    """The name of the snapshot of the `period`-th hour or day since 1970."""
    taken = datetime.fromtimestamp(period * PERIODS_S[every], UTC)
    return f"{every}-{taken:%Y-%m-%dT%H.%M}Z"


class SnapshotSchedule:
    """One schedule of a running system. `now`: the time of day, seconds since 1970."""

    def __init__(
        self, config: ScheduleConfig, operations: Operations, say: Say, now: Callable[[], float] = time.time
    ) -> None:
        self._config = config
        self._operations = operations
        self._say = say
        self._now = now
        self._last = self._period()

    def _period(self) -> int:
        return int(self._now() // PERIODS_S[self._config.every])

    async def run(self) -> None:
        """Take snapshots until cancelled."""
        while True:
            await trio.sleep(min(LOOK_S, self.wait_s()))
            await self.look()

    def wait_s(self) -> float:
        """Seconds until the next period begins."""
        length = PERIODS_S[self._config.every]
        return length - self._now() % length

    async def look(self) -> None:
        """Take what is due. What cannot be taken or deleted is said, and does not stop the rest."""
        period = self._period()
        if period == self._last:
            return
        self._last = period
        name = snapshot_name(self._config.every, period)
        for device in self._config.devices or [int(row["device"], 16) for row in self._operations.volumes()]:
            try:
                await self._operations.create_snapshot(device, name)
                await self._prune(device)
            except StoreError as error:
                self._say("a scheduled snapshot failed", {"device": f"{device:04X}", "name": name, "why": str(error)})

    async def _prune(self, device: int) -> None:
        own = [row["name"] for row in self._operations.snapshots(device) if self._is_own(row["name"])]
        for name in own[: -self._config.keep]:
            await self._operations.delete_snapshot(device, name)

    def _is_own(self, name: str) -> bool:
        try:
            datetime.strptime(name, f"{self._config.every}-%Y-%m-%dT%H.%MZ")
        except ValueError:
            return False
        return True

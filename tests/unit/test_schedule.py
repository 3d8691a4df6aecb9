"""Snapshots by the clock: when they are taken, and which are deleted."""

from __future__ import annotations

from collections.abc import Mapping

from controller.array.volumes import shape_of
from controller.config import ScheduleConfig
from controller.links.operations import Operations
from controller.links.schedule import SnapshotSchedule, snapshot_name
from tests.helpers.two_systems import Rig, rig

MIDNIGHT = 20_000 * 86_400


class Clock:
    def __init__(self) -> None:
        self.time = MIDNIGHT + 600.0

    def __call__(self) -> float:
        return self.time


def operations(made: Rig) -> Operations:
    system = made.a.running
    for address, volume in system.subsystem.volumes.items():
        system.store.define_volume(address, shape_of(volume.geometry))
    return Operations(system, "A")


def names(verbs: Operations, device: int = 0) -> list[str]:
    return [row["name"] for row in verbs.snapshots(device)]


async def test_one_each_hour_and_only_the_newest_are_kept() -> None:
    async with rig() as made:
        verbs, clock = operations(made), Clock()
        await verbs.create_snapshot(0, "mine")
        await verbs.create_snapshot(0, "hourly-but-mine")
        schedule = SnapshotSchedule(ScheduleConfig("hourly", 2, (0,)), verbs, print, clock)
        await schedule.look()
        assert names(verbs) == ["mine", "hourly-but-mine"]
        assert schedule.wait_s() == 3000
        for hour in range(1, 5):
            clock.time = MIDNIGHT + hour * 3600 + 1
            await schedule.look()
            await schedule.look()
        kept = [snapshot_name("hourly", MIDNIGHT // 3600 + hour) for hour in (3, 4)]
        assert sorted(names(verbs)) == sorted(["mine", "hourly-but-mine", *kept])
        assert kept[0].endswith("T03.00Z")
        assert names(verbs, 1) == []


async def test_all_volumes_where_none_are_named_and_a_failure_stops_nothing() -> None:
    said: list[Mapping[str, object]] = []
    async with rig() as made:
        verbs, clock = operations(made), Clock()
        await verbs.create_snapshot(0, snapshot_name("daily", 20_001))
        schedule = SnapshotSchedule(ScheduleConfig("daily", 1), verbs, lambda _, fields: said.append(fields), clock)
        clock.time += 86_400
        await schedule.look()
        assert names(verbs, 1) == names(verbs, 2) == [snapshot_name("daily", 20_001)]
        assert [entry["device"] for entry in said] == ["0000"]

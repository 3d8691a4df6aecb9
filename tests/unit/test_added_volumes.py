"""What a running system was given is there again after a restart, although no configuration lists it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from ccw.geometry import geometry_for
from controller import app
from controller.added_volumes import added_volumes
from controller.array import MemoryDisk, VirtualArrayStore
from controller.array.volumes import ADDED, create_volume
from controller.config import ConfigError, check_config
from controller.links.operations import Operations
from controller.links.system import StorageSystem
from tools.plain_store import settings_for

LISTED = {"address": "10", "device_number": "0110", "type": "3390", "cylinders": 2}


def table(*volumes: dict[str, object]) -> dict[str, object]:
    return {"name": "one", "serial": "000000012345", "ssid": "0100", "store": "store", "volume": list(volumes)}


@asynccontextmanager
async def running(folder: Path, *volumes: dict[str, object]) -> AsyncIterator[tuple[StorageSystem, Operations]]:
    """A system over the store in `folder` whose configuration lists `volumes`."""
    async with trio.open_nursery() as nursery:
        system: StorageSystem = await nursery.start(app.serve, check_config(table(*volumes), folder))
        yield system, Operations(system, "one")
        nursery.cancel_scope.cancel()


def served(system: StorageSystem) -> dict[int, tuple[int | None, int, bool]]:
    """Of each unit address: device number, cylinders, whether hosts may only read it."""
    return {
        address: (volume.number, volume.geometry.cylinders, volume.read_only)
        for address, volume in system.subsystem.volumes.items()
    }


async def test_added_volumes_come_back_and_deleted_ones_do_not(tmp_path: Path) -> None:
    async with running(tmp_path, LISTED) as (system, verbs):
        await verbs.create_volume(0x0301, geometry_for("3390", 3), {})
        await verbs.create_volume(0x0302, geometry_for("3380", 4), {})
        await verbs.create_snapshot(0x0110, "then")
        await verbs.clone(0x0110, "then", 0x0210, read_only=True)
        await verbs.delete_volume(0x0302)
        before = served(system)
    assert before == {0x10: (0x0110, 2, False), 1: (0x0301, 3, False), 0: (0x0210, 2, True)}
    async with running(tmp_path, LISTED) as (system, verbs):
        assert served(system) == before
        assert [row["device"] for row in verbs.volumes()] == ["0110", "0210", "0301"]
        await verbs.delete_volume(0x0301)
    async with running(tmp_path, LISTED) as (system, _):
        assert served(system) == {0x10: (0x0110, 2, False), 0: (0x0210, 2, True)}


async def test_the_configuration_has_the_last_word(tmp_path: Path) -> None:
    async with running(tmp_path, LISTED) as (_, verbs):
        await verbs.create_snapshot(0x0110, "then")
        await verbs.clone(0x0110, "then", 0x0301, read_only=True)
        await verbs.create_volume(0x0320, geometry_for("3390", 3), {})
    named = {"address": "20", "device_number": "0301", "type": "3390", "cylinders": 2}
    async with running(tmp_path, LISTED, named) as (system, _):
        assert served(system) == {0x10: (0x0110, 2, False), 0x20: (0x0301, 2, False), 0: (0x0320, 3, False)}


async def test_a_read_only_clone_stays_read_only_without_a_configuration(tmp_path: Path) -> None:
    async with running(tmp_path, LISTED) as (_, verbs):
        await verbs.create_snapshot(0x0110, "then")
        await verbs.clone(0x0110, "then", 0x0301, read_only=True)
    settings = settings_for(tmp_path / "store", [], None)
    assert [(volume.number, volume.read_only) for volume in settings.volumes] == [(0x0110, False), (0x0301, True)]


def test_more_volumes_than_unit_addresses(tmp_path: Path) -> None:
    config = check_config(table(*({**LISTED, "address": f"{n:02X}", "device_number": f"{n:04X}"} for n in range(256))),
                          tmp_path)  # fmt: skip
    with VirtualArrayStore.open(MemoryDisk()) as store:
        create_volume(store, 0x0301, geometry_for("3390", 1), {})
        assert added_volumes(store, config) == ()
        store.define_volume(0x0301, {**store.attributes(0x0301), ADDED: True})
        with pytest.raises(ConfigError, match="volume 0301, added to the running system: no unit address is left"):
            added_volumes(store, config)

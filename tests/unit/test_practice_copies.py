"""Writable copies of secondaries, of one instant, while their mirroring goes on."""

from __future__ import annotations

import pytest

from ccw.geometry import Cchh, geometry_for
from controller.array.snapshots import SnapshotError
from controller.array.volumes import VolumeExistsError, shape_of
from controller.links.operations import Operations
from host_emulator import orders
from tests.helpers import operator
from tests.helpers.copying import core, duplex, equal, format_track
from tests.helpers.operator import order, set_up_bridge
from tests.helpers.two_systems import CYLINDERS, VOLUMES, Rig, rig, until


def operations_of_b(r: Rig) -> Operations:
    """B's volumes as a configured system has them: with their shapes."""
    for volume in VOLUMES:
        r.b.running.store.define_volume(volume, shape_of(geometry_for("3390", CYLINDERS)))
    return Operations(r.b.running, "B")


async def test_hosts_change_the_copies_and_the_mirroring_goes_on(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        operations = operations_of_b(r)
        await set_up_bridge(to_a, to_b)
        for volume in (0, 1):
            await format_track(to_a, volume, 3, "before")
            assert (await order(to_a, volume, operator.establish_pair(volume))).completed
        await until(lambda: duplex(r, 0) and duplex(r, 1))
        made = await operations.practice("drill", {0: 0x20, 1: 0x21})
        assert [volume["device"] for volume in made] == ["0020", "0021"]
        assert duplex(r, 0) and duplex(r, 1)
        await format_track(to_a, 0, 3, "mirrored later")
        for copy in (0x20, 0x21):
            seen = await to_b.run_program(copy, orders.read_record(Cchh(0, 3), 1))
            assert seen.data == "before".encode("cp037")
            await format_track(to_b, copy, 4, "rehearsed")
        assert equal(r, 0) and equal(r, 1)
        refused = await to_b.run_program(0, orders.read_record(Cchh(0, 3), 1))
        assert refused.sense is not None and refused.sense[7] == 0x0E, "the secondary is a secondary"
        with pytest.raises(VolumeExistsError):
            await operations.practice("again", {0: 0x20})
        with pytest.raises(SnapshotError, match="'drill' already"):
            await operations.practice("drill", {0: 0x22})


async def test_nothing_is_made_unless_all_can_be(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b):
        operations = operations_of_b(r)
        assert (await order(to_a, 0, operator.establish_path())).completed
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        with pytest.raises(SnapshotError, match=r"0000 is not complete \(duplex pending\)"):
            await operations.practice("drill", {0: 0x20})
        assert (await order(to_a, 1, operator.establish_pair(1, mode=1))).completed
        assert core(r.b).secondaries[1].consistent, "declared to be equal"
        for copies in ({1: 0x20, 0: 0x21}, {1: 0x20, 2: 0x21}, {1: 0x03}, {1: 0x20, 3: 0x20}):
            with pytest.raises((SnapshotError, VolumeExistsError)):
                await operations.practice("drill", copies)
        assert not operations.snapshots() and 0x20 not in r.b.running.store.volumes()

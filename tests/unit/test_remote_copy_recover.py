"""Recover Pair at the secondary: hosts go on there, and what the primary hears of it."""

from __future__ import annotations

from random import Random

import pytest

from ccw.geometry import Cchh, geometry_for
from ccw.tracks import parse_track
from ccw.volume_label import initial_tracks
from host_emulator import orders
from host_emulator.session import HostSession
from tests.helpers.copying import duplex, format_track, in_step
from tests.helpers.operator import A, B, order, query_volume
from tests.helpers.two_systems import CYLINDERS, rig

NOT_A_SECONDARY, IDENTITY, NOT_THE_ONE_NAMED, VOLUME_SERIAL = 0x55, 0x48, 0x44, 0x56


def recover(primary: orders.System, secondary: orders.System, device: int, other: int, **serials: str) -> bytes:
    return orders.recover_pair(primary, secondary, device, other, **serials).encode()


async def test_hosts_go_on_at_the_secondary_when_the_primary_is_lost(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.b) as to_b:
        async with r.host(r.a) as to_a:
            await format_track(to_a, 0, 3, "before")
            await in_step(r, to_a, to_b)
            await format_track(to_a, 0, 4, "in step")
        await r.a.crash(Random(1))
        assert (await order(to_b, 0, recover(A, B, 0, 0))).completed
        assert (await query_volume(to_b, 0)).role == 0
        await format_track(to_b, 0, 5, "recovered")
        for track, text in ((3, "before"), (4, "in step"), (5, "recovered")):
            image = r.b.running.store.read(0, track)
            assert image is not None and text.encode("cp037") in image
        await r.b.crash(Random(2))
        await r.b.start(r.nursery)
        async with r.host(r.b) as again:
            assert (await query_volume(again, 0)).role == 0
            await format_track(again, 0, 6, "still simplex")


async def test_a_primary_that_lives_hears_it_with_its_next_write(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await in_step(r, to_a, to_b)
        assert (await order(to_b, 0, recover(A, B, 0, 0))).completed
        before = r.b.running.store.read(0, 7)
        result = await to_a.run_program(0, orders.format_track(Cchh(0, 7), [orders.NewRecord(b"late")]))
        assert result.sense is not None and result.sense[7] == 0xFB
        assert (await query_volume(to_a, 0)).state == 7
        assert r.b.running.store.read(0, 7) == before


async def test_what_is_refused(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        assert await refused(to_b, 0, recover(A, B, 0, 0)) == NOT_A_SECONDARY
        await in_step(r, to_a, to_b)
        assert await refused(to_a, 0, recover(B, A, 0, 0)) == NOT_A_SECONDARY
        assert await refused(to_b, 0, recover(B, A, 0, 0)) == IDENTITY
        assert await refused(to_b, 0, recover(A, B, 1, 0)) == NOT_THE_ONE_NAMED
        assert await refused(to_b, 0, recover(A, B, 0, 1)) == NOT_THE_ONE_NAMED
        assert await refused(to_b, 0, recover(A, B, 0, 0, old_serial="NONE")) == VOLUME_SERIAL
        assert duplex(r, 0)


async def refused(session: HostSession, device: int, parameters: bytes) -> int:
    result = await order(session, device, parameters)
    assert result.sense is not None and result.sense[7] == 0x0F, result
    return result.sense[8]


@pytest.mark.parametrize("wanted", ["OLDONE", "WRONG"])
async def test_the_volume_serial_is_compared_and_rewritten(wanted: str, autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        for track, image in initial_tracks(geometry_for("3390", CYLINDERS), "OLDONE").items():
            r.a.running.store.write(0, track, image)
        await in_step(r, to_a, to_b)
        parameters = recover(A, B, 0, 0, old_serial=wanted, new_serial="NEWONE")
        if wanted == "WRONG":
            assert await refused(to_b, 0, parameters) == VOLUME_SERIAL
            assert (await query_volume(to_b, 0)).role != 0
        else:
            assert (await order(to_b, 0, parameters)).completed
        image = r.b.running.store.read(0, 0)
        assert image is not None
        serial = parse_track(image)[3].data[4:10].decode("cp037")
        assert serial == ("OLDONE" if wanted == "WRONG" else "NEWONE")

"""Extended distance: hosts never wait for the secondary, which follows; several pairs share a bridge; and its end."""

from __future__ import annotations

from random import Random

import pytest
import trio

from ccw.geometry import Cchh
from ccw.pprc_flags import VolumeFlag
from controller.remote_copy.states import Reason
from host_emulator import orders
from host_emulator.session import HostSession
from tests.helpers import operator
from tests.helpers.copying import COPY, NOCOPY, RESYNC, HeldStatus, core, duplex, equal, equal_images, format_track
from tests.helpers.operator import A, B, order, query_volume, set_up_bridge
from tests.helpers.two_systems import BY_COMMAND, Rig, rig, until

MSGREQ = 0x20


def extended(volume: int, mode: int = COPY, flags: int = 0) -> bytes:
    return orders.establish_pair(A, B, volume, volume, mode=mode, option=1, flags=flags).encode()


def caught_up(r: Rig, volume: int) -> bool:
    pair = core(r.a).primaries[volume]
    return pair.resting and not pair.out_of_sync.any()


async def set_up(r: Rig, to_a: HostSession, to_b: HostSession, conventional: bool) -> None:
    if conventional:
        assert (await order(to_a, 0, operator.establish_path())).completed
    else:
        await set_up_bridge(to_a, to_b)


async def test_hosts_do_not_wait_and_the_secondary_follows(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        for track in range(10):
            await format_track(to_a, 0, track, "before")
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, extended(0, flags=MSGREQ))).completed, "nothing to wait for: it is never duplex"
        await until(lambda: caught_up(r, 0))
        assert equal(r, 0)
        query = await query_volume(to_a, 0)
        assert (query.state, query.flags & VolumeFlag.EXTENDED_DISTANCE) == (1, VolumeFlag.EXTENDED_DISTANCE)
        status = HeldStatus(r)
        await format_track(to_a, 0, 3, "after")
        await until(lambda: bool(status.held))
        await format_track(to_a, 0, 3, "later")
        await format_track(to_a, 0, 4, "later")
        status.release()
        core(r.b).receiving[1].receiver.status.send()
        await until(lambda: caught_up(r, 0))
        assert equal(r, 0)
        refused = await to_b.run_program(0, orders.read_track(Cchh(0, 3)))
        assert refused.sense is not None and refused.sense[7] == 0x0E


async def test_without_bridges(autojump_clock: object) -> None:
    async with rig(conventional=True) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await format_track(to_a, 0, 3, "before")
        await set_up(r, to_a, to_b, conventional=True)
        assert (await order(to_a, 0, extended(0))).completed
        await until(lambda: not core(r.a).primaries[0].out_of_sync.any())
        await format_track(to_a, 0, 4, "after")
        await until(lambda: not core(r.a).primaries[0].out_of_sync.any())
        assert equal_images(r, 0) and (await query_volume(to_a, 0)).state == 1
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        assert equal_images(r, 0)


async def test_pairs_that_are_always_pending_leave_the_bridge_to_others(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.a) as io, r.host(r.b) as to_b, trio.open_nursery() as nursery:
        await set_up_bridge(to_a, to_b)
        done = False

        async def write_always(volume: int) -> None:
            while not done:
                for track in range(20):
                    await format_track(io, volume, track, "again")
                    await trio.sleep(0.01)

        for volume in (0, 1):
            assert (await order(to_a, volume, extended(volume))).completed
        nursery.start_soon(write_always, 0)
        assert (await order(to_a, 2, operator.establish_pair(2))).completed
        await until(lambda: duplex(r, 2))
        done = True
        await until(lambda: caught_up(r, 0) and caught_up(r, 1))
        assert equal(r, 0) and equal(r, 1)


@pytest.mark.parametrize("mode", [COPY, RESYNC])
@pytest.mark.parametrize("rests", [True, False])
async def test_going_to_synchronous(mode: int, rests: bool, autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await format_track(to_a, 0, 3, "before")
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, extended(0))).completed
        if rests:
            await until(lambda: caught_up(r, 0))
        assert (await order(to_a, 0, operator.establish_pair(0, mode))).completed
        await until(lambda: duplex(r, 0))
        await format_track(to_a, 0, 4, "in step")
        assert equal(r, 0) and not (await query_volume(to_a, 0)).flags & VolumeFlag.EXTENDED_DISTANCE


async def test_suspended_and_begun_again(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        for parameters in (extended(0), extended(0, RESYNC)):
            refused = await order(to_a, 0, parameters)
            assert refused.sense is not None and refused.sense[8] == Reason.STATE, "suspend it first"
        assert (await order(to_a, 0, operator.suspend_pair(0))).completed
        await format_track(to_a, 0, 5, "while suspended")
        refused = await order(to_a, 0, extended(0, NOCOPY))
        assert refused.sense is not None and refused.sense[8] == Reason.STATE
        assert (await order(to_a, 0, extended(0, RESYNC))).completed
        await until(lambda: caught_up(r, 0))
        assert equal(r, 0)
        for parameters in (extended(0), operator.establish_pair(0, NOCOPY)):
            refused = await order(to_a, 0, parameters)
            assert refused.sense is not None and refused.sense[8] == Reason.STATE


async def test_it_goes_on_after_a_crash_of_the_primary(autojump_clock: object) -> None:
    async with rig(copy=BY_COMMAND) as r:
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            await set_up_bridge(to_a, to_b)
            assert (await order(to_a, 0, extended(0))).completed
            await until(lambda: caught_up(r, 0))
            await format_track(to_a, 0, 6, "not sent yet, perhaps")
        await r.a.crash(Random(1))
        await r.a.start(r.nursery)
        await r.connect()
        async with r.host(r.a) as to_a:
            assert (await order(to_a, 0, operator.establish_path())).completed
            assert (await order(to_a, 0xF0, operator.establish_bridge())).completed
            await format_track(to_a, 0, 7, "after")
            await until(lambda: caught_up(r, 0))
            assert equal(r, 0) and core(r.a).primaries[0].extended

"""A cascade: a secondary that is a primary too. The third volume lies in box A again, over a bridge the other way."""

from __future__ import annotations

from random import Random

import trio

from ccw.geometry import Cchh
from controller.remote_copy.states import PairState, Reason
from host_emulator import orders
from host_emulator.session import HostSession
from tests.helpers import operator
from tests.helpers.copying import core, duplex, equal, format_track, in_step
from tests.helpers.operator import A, B, order, set_up_bridge, set_up_bridge_back
from tests.helpers.two_systems import PEER_PORTS, Rig, rig, until

CASCADE, CRIT = 0x08, 0x40
FIRST, LAST = 0, 1  # volumes of A; the one between is 00 of B
THERE, BACK = PEER_PORTS["A"][:2], PEER_PORTS["B"][2:]


def cascade(*, mode: int = 0, option: int = 1, pace: int = 0, flags: int = CASCADE, action: int = 0) -> bytes:
    parameters = orders.establish_pair(
        B, A, FIRST, LAST, mode=mode, option=option, pace=pace, flags=flags, action=action
    )
    return parameters.encode()


def all_equal(r: Rig) -> bool:
    pair = core(r.b).primaries[FIRST]
    store = r.a.running.store
    copied = all(store.read(LAST, track) == r.b.running.store.read(FIRST, track) for track in range(pair.tracks))
    return copied and equal(r, FIRST) and not pair.out_of_sync.any()


async def set_up(to_a: HostSession, to_b: HostSession, r: Rig) -> None:
    await in_step(r, to_a, to_b, (FIRST,), saids=THERE)
    await set_up_bridge_back(to_a, to_b, BACK)
    assert (await order(to_b, FIRST, cascade())).completed
    await until(lambda: all_equal(r))


async def test_what_a_host_writes_comes_to_the_end_of_the_cascade(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await format_track(to_a, FIRST, 3, "before")
        await set_up(to_a, to_b, r)
        await trio.sleep(5)
        assert core(r.b).primaries[FIRST].resting
        for track in (3, 4, 29):
            await format_track(to_a, FIRST, track, "in step with B")
            assert equal(r, FIRST), "the host waits for B, not for the last"
        await until(lambda: all_equal(r))
        for session, volume in ((to_b, FIRST), (to_a, LAST)):
            refused = await session.run_program(volume, orders.read_track(Cchh(0, 3)))
            assert refused.sense is not None and refused.sense[7] == 0x0E


async def test_a_copy_from_the_first_volume_goes_on_to_the_last(autojump_clock: object) -> None:
    """The pair of A and B is copied anew, in full, while B is a primary."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up(to_a, to_b, r)
        assert (await order(to_a, FIRST, operator.suspend_pair(FIRST))).completed
        await format_track(to_a, FIRST, 7, "while suspended")
        assert (await order(to_a, FIRST, operator.establish_pair(FIRST))).completed
        await until(lambda: duplex(r, FIRST) and all_equal(r))


async def test_the_middle_crashes(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a:
        async with r.host(r.b) as to_b:
            await format_track(to_a, FIRST, 3, "before")
            await set_up(to_a, to_b, r)
            await format_track(to_a, FIRST, 4, "perhaps not at the last yet")
        await r.b.crash(Random(3))
        await r.b.start(r.nursery)
        pairs = core(r.b)
        assert pairs.secondaries[FIRST].primary.cca == FIRST and pairs.primaries[FIRST].secondary.cca == LAST
        assert pairs.primaries[FIRST].state is PairState.DUPLEX_PENDING
        await r.connect()
        await until(lambda: duplex(r, FIRST) and all_equal(r), 300)


async def test_the_first_loses_what_the_middle_has(autojump_clock: object) -> None:
    """After its crash the first asks the middle for what may differ, not for what the last has yet to get."""
    async with rig() as r:
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            await format_track(to_a, FIRST, 3, "both have")
            await set_up(to_a, to_b, r)
            await trio.sleep(1)
        await r.a.crash(Random(1))
        lost = r.b.running.store.read(FIRST, 3)
        assert lost is not None
        r.b.running.store.write(FIRST, 3, lost.replace("both".encode("cp037"), "only".encode("cp037")))
        r.b.running.store.sync()
        await r.a.start(r.nursery)
        await r.connect()
        await until(lambda: duplex(r, FIRST) and all_equal(r), 300)


async def test_the_middle_recovers_and_is_an_ordinary_primary(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up(to_a, to_b, r)
        refused = await order(to_b, FIRST, orders.establish_pair(B, A, FIRST, FIRST, action=1).encode())
        assert refused.sense is not None and refused.sense[8] == Reason.ALREADY_PRIMARY, "it cannot lead to two"
        assert (await order(to_b, FIRST, orders.recover_pair(A, B, FIRST, FIRST).encode())).completed
        await format_track(to_b, FIRST, 9, "at B")
        pair = core(r.b).primaries[FIRST]
        await until(lambda: not pair.out_of_sync.any())
        assert r.a.running.store.read(LAST, 9) == r.b.running.store.read(FIRST, 9)


async def test_what_is_refused(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b, saids=THERE)
        assert (await order(to_a, FIRST, operator.establish_pair(FIRST))).completed
        await until(lambda: duplex(r, FIRST))
        for parameters, pointer in (
            (cascade(pace=15), 1),
            (cascade(flags=CASCADE | CRIT), 1),
            (cascade(action=1), 1),
            (cascade(option=0), 41),
        ):
            result = await order(to_b, FIRST, parameters)
            assert result.sense is not None and (result.sense[7], result.sense[9]) == (4, pointer)
        result = await order(to_b, FIRST, cascade(flags=0))
        assert result.sense is not None and result.sense[8] == Reason.ALREADY_SECONDARY

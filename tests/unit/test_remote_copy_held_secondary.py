"""What an operator has suspended at the secondary stays suspended, whatever comes back by itself (code 04)."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
import trio

from ccw.bridge import RecordType
from controller.remote_copy.states import PairState
from host_emulator.session import HostSession
from tests.helpers import operator
from tests.helpers.copying import (
    RESYNC,
    HeldStatus,
    core,
    duplex,
    duplex_pair,
    equal,
    equal_images,
    format_track,
    try_to_format,
)
from tests.helpers.operator import order, set_up_bridge
from tests.helpers.two_systems import PEER_PORTS, Rig, Site, rig, until

LONG_S = 200.0  # beyond every wait between two attempts
HELD = PairState.SUSPENDED_SECONDARY_COMMAND


def cut(site: Site) -> None:
    """All links to the other box end."""
    adapters = site.running.adapters
    for said in PEER_PORTS[site.name]:
        adapters._end_links(adapters.by_said[said])


def states(r: Rig) -> tuple[PairState, PairState]:
    return core(r.a).primaries[0].state, core(r.b).secondaries[0].state


async def suspend_there(to_b: HostSession) -> None:
    assert (await order(to_b, 0, operator.suspend_pair(0))).completed


async def only_an_order_ends_it(r: Rig, to_a: HostSession, same: Callable[[Rig, int], bool] = equal) -> None:
    await until(lambda: states(r) == (HELD, HELD), LONG_S)
    await trio.sleep(LONG_S)
    assert states(r) == (HELD, HELD)
    assert (await order(to_a, 0, operator.establish_pair(0, RESYNC))).completed
    await until(lambda: duplex(r, 0), LONG_S)
    assert same(r, 0)


@pytest.mark.parametrize("conventional", [False, True])
async def test_while_the_links_were_cut(conventional: bool, autojump_clock: object) -> None:
    """The primary has an error of its own by then, and would go on by itself."""
    async with rig(conventional=conventional) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        cut(r.a)
        await suspend_there(to_b)
        assert (await try_to_format(to_a, 0, 3, "missed")).sense is not None
        assert states(r) == (PairState.SUSPENDED_INTERNAL, HELD)
        await r.connect()
        await only_an_order_ends_it(r, to_a, equal_images if conventional else equal)


async def test_while_the_primary_was_away(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.b) as to_b:
        async with r.host(r.a) as to_a:
            await duplex_pair(r, to_a, to_b, 0)
            await trio.sleep(0.1)
        await r.a.crash(Random(1))
        await suspend_there(to_b)
        await r.a.start(r.nursery)
        await r.connect()
        async with r.host(r.a) as to_a:
            await only_an_order_ends_it(r, to_a)


@pytest.mark.parametrize("restart", [False, True])
async def test_while_a_copy_was_interrupted(restart: bool, autojump_clock: object) -> None:
    """The pair is pending at the primary, and its copy would begin anew on the next bridge."""
    async with rig() as r, r.host(r.b) as to_b:
        async with r.host(r.a) as to_a:
            await set_up_bridge(to_a, to_b)
            HeldStatus(r)
            assert (await order(to_a, 0, operator.establish_pair(0))).completed
            await trio.sleep(0.5)
        if restart:
            await r.a.crash(Random(1))
            await suspend_there(to_b)
            await r.a.start(r.nursery)
        else:
            cut(r.a)
            await suspend_there(to_b)
        assert states(r) == (PairState.DUPLEX_PENDING, HELD)
        await r.connect()
        async with r.host(r.a) as to_a:
            await only_an_order_ends_it(r, to_a)


async def test_while_the_end_of_the_copy_was_on_its_way(autojump_clock: object) -> None:
    """Everything is there and confirmed; what would make the secondary duplex comes too late."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        held = HeldStatus(r, RecordType.END_OF_VOLUME)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: bool(held.held))
        await suspend_there(to_b)
        held.release()
        await only_an_order_ends_it(r, to_a)


async def test_an_error_that_the_primary_reports_does_not_take_its_place(autojump_clock: object) -> None:
    """The paths work, only the bridge has failed: the secondary hears of an error of the primary."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        await suspend_there(to_b)
        sender = core(r.a).sending[1].worker.sender
        assert sender is not None
        sender.fail("no status")
        failed = await try_to_format(to_a, 0, 3, "no bridge")
        assert failed.sense is not None
        await only_an_order_ends_it(r, to_a)


async def test_a_pair_that_is_suspended_by_an_error_goes_on_by_itself_as_ever(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        await format_track(to_a, 0, 2, "before")
        cut(r.a)
        assert (await try_to_format(to_a, 0, 3, "missed")).sense is not None
        await r.connect()
        await until(lambda: duplex(r, 0), LONG_S)
        assert equal(r, 0)


@pytest.mark.parametrize("conventional", [False, True])
async def test_a_fault_of_the_secondary_is_no_operators_wish(conventional: bool, autojump_clock: object) -> None:
    """Its array took a state that it could not store, say: the primary hears of an error, and goes on by itself."""
    async with rig(conventional=conventional) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        core(r.b).secondaries[0].state = PairState.SUSPENDED_INTERNAL
        assert (await try_to_format(to_a, 0, 3, "missed")).sense is not None
        assert core(r.a).primaries[0].state is not HELD
        await until(lambda: duplex(r, 0), LONG_S)
        assert (equal_images if conventional else equal)(r, 0)

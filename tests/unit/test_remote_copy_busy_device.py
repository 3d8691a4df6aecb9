"""Paths and bridges come up while the device that is asked for the other box's identity is busy with a host."""

from __future__ import annotations

import pytest
import trio

from host_emulator.session import HostSession
from tests.helpers import operator
from tests.helpers.copying import core, duplex, equal, format_track
from tests.helpers.operator import order
from tests.helpers.two_systems import rig, until

MESSAGE_REQUIRED = 0x20


@pytest.mark.parametrize("wan", [False, True])
async def test_an_order_that_waits_for_its_copy_does_not_keep_the_bridge_away(
    wan: bool, autojump_clock: object
) -> None:
    """The host that ordered the pair of device 00 holds it until the copy is complete, which needs the bridge."""
    ended: list[bool] = []

    async def establish_and_wait(session: HostSession) -> None:
        ended.append((await order(session, 0, operator.establish_pair(0, flags=MESSAGE_REQUIRED))).completed)

    async with rig(wan=wan) as r, r.host(r.a) as to_a, r.host(r.a) as waits, r.host(r.b) as to_b:
        await format_track(to_a, 0, 5, "in time")
        for session, site, volume, role in (
            (to_a, "A", 0xF0, 1), (to_a, "A", 0xF1, 4), (to_b, "B", 0xF0, 2), (to_b, "B", 0xF1, 3),
        ):  # fmt: skip
            assert (await order(session, volume, operator.define_bridge(site, volume, role))).completed
        assert (await order(to_a, 0, operator.establish_path())).completed
        r.nursery.start_soon(establish_and_wait, waits)
        await until(lambda: 0 in core(r.a).primaries)
        assert (await order(to_a, 0xF0, operator.establish_bridge())).completed
        await until(lambda: bool(ended))
        assert ended == [True]
        assert duplex(r, 0)
        assert equal(r, 0)


async def test_a_path_to_a_box_whose_first_device_is_busy(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a:
        device = r.b.running.subsystem.devices[0]
        assert r.b.running.subsystem.hold("a host", 0)
        assert (await order(to_a, 0, operator.establish_path())).completed
        assert device.active_chain is not None
        assert len(next(iter(core(r.a).paths)).good()) == 4


async def test_a_busy_device_is_asked_again_where_there_is_no_other(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a:
        subsystem = r.b.running.subsystem
        for address in subsystem.devices:
            assert subsystem.hold("a host", address)

        async def let_go() -> None:
            await trio.sleep(1)
            subsystem.let_go("a host", 3)

        r.nursery.start_soon(let_go)
        assert (await order(to_a, 0, operator.establish_path())).completed
        assert len(next(iter(core(r.a).paths)).good()) == 4

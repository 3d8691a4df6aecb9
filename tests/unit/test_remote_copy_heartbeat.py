"""An idle primary hears in time of a dead line, of a dead other box, and of what was done to its secondaries."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from controller.remote_copy.heartbeat import LIMIT_S, PAIR_EVERY_S, TICK_S
from controller.remote_copy.pair import BoxName, Pair
from controller.remote_copy.states import BridgeState, PairState
from tests.helpers import operator
from tests.helpers.copying import core, duplex, duplex_pair, format_track
from tests.helpers.dead_line import Line
from tests.helpers.operator import order, set_up_bridge
from tests.helpers.two_systems import BY_COMMAND, PEER_PORTS, Rig, rig, until

EVEN_LONGER_S = 100.0


def bridge_state(r: Rig) -> BridgeState:
    return core(r.a).sending[1].worker.state


@pytest.mark.parametrize("wan", [False, True])
async def test_a_line_that_carries_nothing_any_more_is_noticed_though_nobody_writes(
    wan: bool, autojump_clock: object
) -> None:
    line = Line()
    async with rig(line.join, copy=BY_COMMAND, wan=wan) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        await trio.sleep(EVEN_LONGER_S)
        assert bridge_state(r) is BridgeState.IDLE
        line.dead = True
        died = trio.current_time()
        await until(lambda: bridge_state(r) is BridgeState.FAILED, LIMIT_S + 2 * TICK_S)
        assert trio.current_time() - died > 1
        assert duplex(r, 0), "only a write takes it out of step"


@pytest.mark.parametrize("wan", [False, True])
async def test_a_dead_line_takes_no_bridge_that_has_another(wan: bool, autojump_clock: object) -> None:
    """An order or a question that is stuck on it keeps the turn, and the other bridge is not asked after meanwhile."""
    line = Line("peer0")
    async with rig(line.join, copy=BY_COMMAND, wan=wan) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0, 1)
        for session, site, volume, role in (
            (to_a, "A", 0xF4, 1), (to_a, "A", 0xF5, 4), (to_b, "B", 0xF4, 2), (to_b, "B", 0xF5, 3),
        ):  # fmt: skip
            assert (await order(session, volume, operator.define_bridge(site, volume, role, 2))).completed
        assert (await order(to_a, 0xF4, operator.establish_bridge(2, 0xF4))).completed
        first, second = core(r.a).sending[1], core(r.a).sending[2]
        assert first.data_path is not None and first.data_path.said == PEER_PORTS["A"][0]
        assert second.data_path is not None and second.data_path.said != PEER_PORTS["A"][0]
        sender = second.worker.sender
        line.dead = True
        await until(lambda: first.worker.state is BridgeState.FAILED, LIMIT_S + 2 * TICK_S)
        await trio.sleep(EVEN_LONGER_S)
        assert second.worker.sender is sender


async def test_a_pause_of_this_box_is_no_silence_of_the_other(autojump_clock: trio.testing.MockClock) -> None:
    """Nothing was asked while a whole box stood still, or was busy with something long."""
    async with rig(copy=BY_COMMAND) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        sender = core(r.a).sending[1].worker.sender
        for pause in (2 * LIMIT_S, 4 * LIMIT_S):
            await trio.sleep(EVEN_LONGER_S / 7)
            autojump_clock.jump(pause)
            await trio.sleep(EVEN_LONGER_S / 7)
            assert core(r.a).sending[1].worker.sender is sender


@pytest.mark.parametrize("conventional", [False, True])
@pytest.mark.parametrize(
    ("parameters", "learned"),
    [
        (operator.suspend_pair(0), PairState.SUSPENDED_SECONDARY_COMMAND),
        (operator.recover(0), PairState.SUSPENDED_SECONDARY_SIMPLEX),
    ],
)
async def test_what_was_done_to_the_secondary_is_heard_without_a_write(
    parameters: bytes, learned: PairState, conventional: bool, autojump_clock: object
) -> None:
    async with rig(conventional=conventional) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0, 1)
        assert (await order(to_b, 0, parameters)).completed
        assert duplex(r, 0)
        await until(lambda: core(r.a).primaries[0].state is learned, PAIR_EVERY_S + 2 * TICK_S)
        assert duplex(r, 1)


async def test_a_box_that_is_away_and_busy_devices_keep_no_turn_of_others(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0, 1)
        here = core(r.a)
        away = BoxName(b"another box.", 0x0300, 0)
        for number in range(100, 140):
            gone = Pair(number, True, here.name(number), away.volume(number), number, 30, 15, PairState.DUPLEX)
            here.primaries[number] = gone
        assert r.b.running.subsystem.hold("somebody", 1)
        await trio.sleep(EVEN_LONGER_S)
        assert (await order(to_b, 0, operator.suspend_pair(0))).completed
        learned = PairState.SUSPENDED_SECONDARY_COMMAND
        await until(lambda: here.primaries[0].state is learned, PAIR_EVERY_S + 2 * TICK_S)


async def test_hosts_of_a_consistency_group_are_held_as_by_a_write(autojump_clock: object) -> None:
    """Or the next write would be acknowledged, and a dependent one on another volume be mirrored."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b, consistency_group=True)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        assert (await order(to_b, 0, operator.suspend_pair(0))).completed
        await until(lambda: not duplex(r, 0), PAIR_EVERY_S + 2 * TICK_S)
        assert 0 in core(r.a).long_busy


async def test_a_bridge_that_the_other_box_does_not_know_any_more_is_set_up_again(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        before = core(r.a).sending[1].worker.sender
        core(r.b).receiving.pop(1).receiver.close()
        await until(lambda: core(r.a).sending[1].worker.sender not in (None, before), EVEN_LONGER_S)
        await format_track(to_a, 0, 3, "again")
        assert duplex(r, 0)


async def test_idle_systems_ask_now_and_then_and_change_nothing(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0, 1, 2)
        sender, told = core(r.a).sending[1].worker.sender, len(r.events)
        before = core(r.a).peer(core(r.b).own)._sent
        await trio.sleep(EVEN_LONGER_S)
        asked = core(r.a).peer(core(r.b).own)._sent - before
        assert 4 * EVEN_LONGER_S / (PAIR_EVERY_S + TICK_S) - 4 <= asked <= 4 * EVEN_LONGER_S / PAIR_EVERY_S
        assert core(r.a).sending[1].worker.sender is sender
        assert len(r.events) == told
        assert all(duplex(r, volume) for volume in (0, 1, 2))

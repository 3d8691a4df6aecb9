"""Orders to the other box while one of its devices is busy: who waits, who does not, and in what order they arrive."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio

from controller.remote_copy import pair_acts
from controller.remote_copy.consistency_group import GIVING_UP_S
from controller.remote_copy.orders import update_pair
from controller.remote_copy.procedure import Procedure, run
from controller.remote_copy.refusal import Refused
from controller.remote_copy.states import PairState, PathStatus, Reason
from tests.helpers import operator
from tests.helpers.copying import core, duplex, duplex_pair, in_step, state
from tests.helpers.dead_line import Line
from tests.helpers.operator import establish_path, freeze, order
from tests.helpers.two_systems import BY_COMMAND, Rig, rig, until

AT_ONCE_S = 0.05  # a busy device is tried again after twice as long
PENDING, STOPPED = PairState.DUPLEX_PENDING, PairState.SUSPENDED_BY_PRIMARY_CONTROL


def begun(procedure: Procedure[object]) -> Callable[[], bool]:
    """Run it; tells whether it is over. Refusals are not expected."""
    ends: list[object] = []
    run(procedure, ends.append)

    def over() -> bool:
        assert not any(isinstance(end, Refused) for end in ends), ends
        return bool(ends)

    return over


def secondary(r: Rig, volume: int) -> PairState:
    return core(r.b).secondaries[volume].state


async def test_an_order_does_not_wait_for_another_devices_being_free(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.a) as waits, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0, 1)
        assert r.b.running.subsystem.hold("somebody", 0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(order, waits, 0, operator.suspend_pair(0))
            await trio.sleep(1.03)
            with trio.fail_after(AT_ONCE_S):
                assert (await order(to_a, 1, operator.suspend_pair(1))).completed
            assert secondary(r, 1) is STOPPED
            assert secondary(r, 0) is PairState.DUPLEX
            r.b.running.subsystem.let_go("somebody", 0)
        assert secondary(r, 0) is STOPPED


async def test_a_freeze_does_not_wait_for_a_busy_device(autojump_clock: object) -> None:
    """It waits for what is on its way, so that nothing comes behind it; not for what is to be sent again."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.a) as waits, r.host(r.b) as to_b:
        await in_step(r, to_a, to_b, (0, 1), cgroup=True)
        assert r.b.running.subsystem.hold("somebody", 0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(order, waits, 0, operator.suspend_pair(0))
            await trio.sleep(1.03)
            with trio.fail_after(1):
                assert (await order(to_a, 1, freeze())).completed
            assert state(r, 1) is PairState.SUSPENDED_FREEZE
            r.b.running.subsystem.let_go("somebody", 0)
        assert secondary(r, 0) is PairState.DUPLEX, "there is no path any more"


async def test_a_freeze_does_not_wait_for_an_order_that_is_stuck_on_a_dead_line(autojump_clock: object) -> None:
    """Automation has other images to freeze before the long busy of this one is over. The paths go when the order does,
    and those that are established then are new ones."""
    line = Line("peer0")
    async with (
        rig(line.join, copy=BY_COMMAND, wan=True) as r,
        r.host(r.a) as to_a,
        r.host(r.a) as stuck,
        r.host(r.b) as to_b,
    ):
        await in_step(r, to_a, to_b, (0, 1), cgroup=True)
        entries = core(r.a).paths.need(core(r.b).own).entries
        async with trio.open_nursery() as nursery:
            line.dead = True
            nursery.start_soon(order, stuck, 0, operator.suspend_pair(0))
            await trio.sleep(1)
            with trio.fail_after(GIVING_UP_S + 1):
                assert (await order(to_a, 1, freeze())).completed
            assert state(r, 1) is PairState.SUSPENDED_FREEZE
            assert not any(entry.good for entry in entries)
            again = await order(to_a, 0, establish_path())
            assert again.sense is not None and again.sense[8] == Reason.STATE, "the old ones are going still"
            line.dead = False
            await trio.sleep(60)
        assert (await order(to_a, 0, operator.run())).completed
        assert (await order(to_a, 0, establish_path())).completed
        for _ in range(2):
            dead, *good = core(r.a).paths.need(core(r.b).own).entries
            assert dead.status is PathStatus.WAN_LINK_DOWN
            assert all(entry.good for entry in good), "nothing takes them away"
            await trio.sleep(60)


@pytest.mark.parametrize("head_start_s", [0.0, 0.05])
async def test_what_is_ordered_of_a_busy_device_arrives_in_the_order_of_its_orders(
    head_start_s: float, autojump_clock: object
) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        pair = core(r.a).primaries[0]
        for first, then in ((STOPPED, PENDING), (PENDING, STOPPED)):
            assert r.b.running.subsystem.hold("somebody", 0)
            ends = [begun(pair_acts.set_secondary(core(r.a), pair, first))]
            await trio.sleep(head_start_s)
            ends.append(begun(pair_acts.set_secondary(core(r.a), pair, then)))
            await trio.sleep(0.52 - head_start_s)  # the second would be sent again earlier than the first
            r.b.running.subsystem.let_go("somebody", 0)
            await until(lambda ends=ends: all(over() for over in ends))  # type: ignore[misc]
            assert secondary(r, 0) is then


async def test_an_answer_that_is_sent_again_is_not_too_old_by_then(autojump_clock: object) -> None:
    """Orders that answer one of the other box do not wait for the turn of others, which go ahead meanwhile."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0, 1)
        here = core(r.a)
        pair, other = here.primaries[0], here.primaries[1]
        assert r.b.running.subsystem.hold("somebody", 0)
        update = update_pair(pair, STOPPED, here.around.clock.tod(), 2, 0x3390)
        entry, box = here.control_path(pair.secondary.box), pair.secondary.box
        answered = begun(here.send_within(entry, pair.secondary.cca, update, box))
        await trio.sleep(0.5)
        await until(begun(pair_acts.set_secondary(here, other, STOPPED)))
        r.b.running.subsystem.let_go("somebody", 0)
        await until(answered)
        assert secondary(r, 0) is STOPPED


async def test_a_question_to_a_busy_secondary_is_asked_once(autojump_clock: object) -> None:
    """It changes nothing and has its turn again: whoever has an order for the device has not to wait behind it."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        peer = core(r.a).peer(core(r.b).own)
        assert r.b.running.subsystem.hold("somebody", 0)
        before = peer._sent
        await trio.sleep(60)
        assert peer._sent - before < 30
        assert duplex(r, 0)


async def test_a_thousand_orders_that_wait_for_a_path_which_goes_away_all_end(autojump_clock: object) -> None:
    """One after the other, not one within the other."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        here = core(r.a)
        peer = here.peer(core(r.b).own)
        peer.wait_turn(lambda _: None)
        ends: list[object] = []
        for _ in range(1024):
            run(pair_acts.set_secondary(here, here.primaries[0], STOPPED), ends.append)
        for paths in here.paths:
            for entry in paths.entries:
                entry.status = PathStatus.LINK_OFFLINE
        peer.end_turn()
        assert len(ends) == 1024
        assert all(isinstance(end, Refused) for end in ends)


async def test_what_holds_no_more_is_not_said_over_another_path(autojump_clock: object) -> None:
    """Or an old state of the secondary would come behind a newer one, which took the other path at once."""
    line = Line("peer0")
    async with rig(line.join, copy=BY_COMMAND, wan=True) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        here = core(r.a)
        pair = here.primaries[0]
        ends: list[object] = []
        line.dead = True
        run(pair_acts.set_secondary(here, pair, PairState.DUPLEX), ends.append)
        await order(to_a, 0, operator.suspend_pair(0))  # to the host it may take too long
        await until(lambda: bool(ends), 100)
        await trio.sleep(1)
        assert state(r, 0) is PairState.SUSPENDED_PRIMARY_COMMAND
        assert secondary(r, 0) is STOPPED

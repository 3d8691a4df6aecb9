"""FIG. 5 and 6 as a command sequence: steps 600-614 in the event log, and their undoing."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import trio
import trio.testing

from ccw.geometry import Cchh
from controller.channel import PathReply
from controller.remote_copy.states import BridgeState
from host_emulator import orders
from host_emulator.session import HostSession
from tests.helpers import operator
from tests.helpers.dead_line import Line
from tests.helpers.operator import order, query_volume, set_up_bridge
from tests.helpers.two_systems import BY_COMMAND, PEER_PORTS, rig, until

STEPS = [
    ("A", 600), ("A", 600), ("B", 600), ("B", 600), ("A", 602), ("B", 604), ("A", 604), ("A", 606), ("B", 606),
    ("A", 608), ("B", 608), ("A", 610), ("B", 610), ("B", 612), ("A", 612), ("A", 614),
]  # fmt: skip
DELETE_PATHS = orders.delete_path(operator.A, operator.B).encode()


async def test_steps_in_order(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        assert r.steps() == STEPS
        query = await query_volume(to_a, 0xF0)
        assert (query.state, query.bridge_role, query.bridge_number) == (2, 1, 1)
        assert (await query_volume(to_b, 0xF0)).state == 2
        attention = await to_a.attention()
        assert (attention.unit_address, attention.status) == (0xF0, 0x85)


async def test_a_bridge_needs_two_paths(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a:
        for volume, role in ((0xF0, 1), (0xF1, 4)):
            assert (await order(to_a, volume, operator.define_bridge("A", volume, role))).completed
        assert (await order(to_a, 0, operator.establish_path((0x10,)))).completed
        result = await order(to_a, 0xF0, operator.establish_bridge())
        assert result.sense is not None and result.sense[7:9] == b"\x0f\x4f"


async def test_what_the_peer_refuses_is_undone(autojump_clock: object) -> None:
    """B has no status bridge volume: its reason comes back, and both boxes are as before."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        for session, site, volume, role in ((to_a, "A", 0xF0, 1), (to_a, "A", 0xF1, 4), (to_b, "B", 0xF0, 2)):
            assert (await order(session, volume, operator.define_bridge(site, volume, role))).completed
        assert (await order(to_a, 0, operator.establish_path())).completed
        result = await order(to_a, 0xF0, operator.establish_bridge())
        assert result.sense is not None
        assert result.sense[7:9] == b"\x0f\x5b"
        assert result.sense[10:12] == b"\x0f\x50"  # the peer's bytes 7-8
        core = r.a.running.subsystem.remote_copy.core
        assert len(core.paths.sets[next(iter(core.paths.sets))].free()) == 4
        assert r.b.running.subsystem.remote_copy.core.receiving == {}
        assert (await order(to_b, 0xF1, operator.define_bridge("B", 0xF1, 3))).completed
        assert (await order(to_a, 0xF0, operator.establish_bridge())).completed


async def test_a_lost_link_fails_the_bridge_and_it_can_be_set_up_again(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        adapter = r.a.running.adapters.by_said[PEER_PORTS["A"][0]]
        link = adapter.link
        assert link is not None
        r.a.running.subsystem.link_lost(adapter.said)
        r.b.running.subsystem.link_lost(PEER_PORTS["B"][0])
        assert r.b.running.subsystem.remote_copy.core.receiving == {}
        await until(lambda: r.a.running.subsystem.remote_copy.core.sending[1].worker.sender is None)
        assert (await order(to_a, 0, operator.establish_path())).completed
        assert (await order(to_a, 0xF0, operator.establish_bridge())).completed


def delete_bridge(secondary: int = 0xF0, *, unconditional: bool = False) -> bytes:
    return orders.delete_pair(operator.A, operator.B, 0xF0, secondary, unconditional=unconditional).encode()


async def refused(session: HostSession, device: int, parameters: bytes) -> int:
    result = await order(session, device, parameters)
    assert result.sense is not None and result.sense[7] == 0x0F, result
    return result.sense[8]


async def test_a_bridge_is_ended_by_command_and_its_links_are_free(autojump_clock: object) -> None:
    """D3 for the data bridge: both boxes forget it, the turned link comes back, nobody sets it up again by himself."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        assert await refused(to_a, 0xF0, delete_bridge()) == 0x43, "not a bridge volume"
        assert (await order(to_a, 0xF0, operator.define_bridge("A", 0xF0, 1))).completed
        assert await refused(to_a, 0xF0, delete_bridge()) == 0x43, "no bridge yet"
        await set_up_bridge(to_a, to_b)
        assert await refused(to_a, 0xF0, delete_bridge(0xF1)) == 0x44
        assert await refused(to_a, 0xF1, delete_bridge()) == 0x44
        assert await refused(to_b, 0xF0, delete_bridge()) == 0x48
        assert (await order(to_a, 0, orders.delete_path(operator.A, operator.B).encode())).sense is not None
        assert (await order(to_a, 0xF0, delete_bridge())).completed
        core_a, core_b = (site.running.subsystem.remote_copy.core for site in (r.a, r.b))
        assert len(next(iter(core_a.paths)).free()) == 4 and core_b.receiving == {}
        assert (core_a.sending[1].wanted, core_a.sending[1].worker.state) == (False, BridgeState.DEFINED)
        assert await refused(to_a, 0xF0, delete_bridge()) == 0x43
        await trio.sleep(120)
        assert core_a.sending[1].worker.state is BridgeState.DEFINED, "it stays down"
        assert (await order(to_a, 0xF0, operator.establish_bridge())).completed
        assert (await order(to_a, 0xF0, delete_bridge())).completed
        assert (await order(to_a, 0, orders.delete_path(operator.A, operator.B).encode())).completed
        for session, site, volume in ((to_a, "A", 0xF0), (to_a, "A", 0xF1), (to_b, "B", 0xF0), (to_b, "B", 0xF1)):
            assert (await order(session, volume, operator.define_bridge(site, volume, 0))).completed


async def test_a_bridge_that_serves_pairs_is_ended_only_unconditionally(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0, flags=0x20))).completed
        assert await refused(to_a, 0xF0, delete_bridge()) == 0x5E
        assert (await query_volume(to_a, 0)).state == 2, "nothing has happened"
        assert (await order(to_a, 0xF0, delete_bridge(unconditional=True))).completed
        result = await to_a.run_program(0, orders.format_track(Cchh(0, 1), [orders.NewRecord(b"x")]))
        assert result.sense is not None and result.sense[7] == 0xFB, "suspended by its first write"
        await trio.sleep(120)
        assert (await query_volume(to_a, 0)).state == 6, "and nobody brings the bridge back"
        assert (await order(to_a, 0xF0, operator.establish_bridge())).completed
        await until(lambda: r.a.running.subsystem.remote_copy.core.primaries[0].state == 2)


async def test_a_bridge_whose_other_box_is_gone_is_ended_all_the_same(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        await r.b.crash(Random(1))
        await trio.testing.wait_all_tasks_blocked()
        assert (await order(to_a, 0xF0, delete_bridge())).completed
        assert r.a.running.subsystem.remote_copy.core.sending[1].worker.state is BridgeState.DEFINED


async def test_the_terms_of_paths_change_while_a_bridge_lives_on_them(autojump_clock: object) -> None:
    """The same links with another flag and time: nothing is taken down, and the new terms hold and are kept."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        core = r.a.running.subsystem.remote_copy.core
        paths = next(iter(core.paths))
        assert (paths.cgroup, paths.elb_seconds) == (False, 120)
        grouped = orders.establish_path(operator.A, operator.B, PEER_PORTS["A"], consistency_group=True, seconds=9)
        assert (await order(to_a, 0, grouped.encode())).completed
        assert (paths.cgroup, paths.elb_seconds) == (True, 9) and core.sending[1].worker.state is BridgeState.IDLE
        await r.a.crash(Random(1))
        await r.a.start(r.nursery)
        kept = next(iter(r.a.running.subsystem.remote_copy.core.paths))
        assert (kept.cgroup, kept.elb_seconds) == (True, 9)


async def test_two_boxes_set_up_bridges_towards_each_other_at_once(autojump_clock: object) -> None:
    """Each answers the other's status pair (608) while its own waits for just that answer; neither waits for long."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        for session, site, volume, role, number in (
            (to_a, "A", 0xF0, 1, 1), (to_a, "A", 0xF1, 4, 1), (to_b, "B", 0xF0, 2, 1), (to_b, "B", 0xF1, 3, 1),
            (to_b, "B", 0xF2, 1, 2), (to_b, "B", 0xF3, 4, 2), (to_a, "A", 0xF2, 2, 2), (to_a, "A", 0xF3, 3, 2),
        ):  # fmt: skip
            assert (await order(session, volume, operator.define_bridge(site, volume, role, number))).completed
        there, back = PEER_PORTS["A"][:2], PEER_PORTS["B"][2:]
        assert (await order(to_a, 0, operator.establish_path(there))).completed
        assert (await order(to_b, 0, orders.establish_path(operator.B, operator.A, back).encode())).completed
        begun = trio.current_time()

        async def establish(session: HostSession, volume: int, parameters: bytes) -> None:
            assert (await order(session, volume, parameters)).completed

        bridge = orders.establish_pair(
            operator.B, operator.A, 0xF2, 0xF2, mode=1, bridge_role=1, bridge_number=2, flags=0x20
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(establish, to_a, 0xF0, operator.establish_bridge())
            nursery.start_soon(establish, to_b, 0xF2, bridge.encode())
        assert trio.current_time() - begun < 5
        accepted = [event["box"] for event in r.events if event["step"] == 608]
        assert set(accepted[:2]) == {"A", "B"}  # they did meet


async def test_path_orders_for_one_box_are_carried_out_one_at_a_time(autojump_clock: object) -> None:
    """A host sends its order again, since its link was lost; the first is still asking a line that is dead."""
    line = Line()
    async with rig(line.join, copy=BY_COMMAND) as r, r.host(r.a) as first, r.host(r.a) as again:
        line.dead = True
        ended: list[bytes] = []

        async def establish() -> None:
            result = await order(first, 0, operator.establish_path((0x10,)))
            assert result.sense is not None
            ended.append(result.sense[7:9])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(establish)
            await trio.sleep(0.1)
            for parameters in (operator.establish_path((0x11,)), DELETE_PATHS):
                refused = await order(again, 1, parameters)
                assert refused.sense is not None and refused.sense[7:9] == b"\x0f\x45"
            assert not ended
        assert ended == [b"\x0f\x47"]
        missing = await order(again, 1, DELETE_PATHS)
        assert missing.sense is not None and missing.sense[7:9] == b"\x0f\x46"


async def test_a_link_whose_turning_was_not_answered_is_given_back(autojump_clock: object) -> None:
    """The primary box has the path all the same, and held the link as lent for ever."""
    async with rig(copy=BY_COMMAND) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0xF0, delete_bridge())).completed
        lent = r.a.running.adapters.by_said[0x11]
        await until(lambda: not lent.has_host_paths)
        turned = r.b.running.adapters.by_said[0x21].link
        assert turned is not None
        establish = turned.establish_path

        def unheard(image: int, header: bytes, reply: Callable[[PathReply], None], now: float) -> None:
            establish(image, header, lambda _: reply(PathReply(False, failure="timeout")), now)

        turned.establish_path = unheard  # type: ignore[method-assign]
        assert not (await order(to_a, 0xF0, operator.establish_bridge())).completed
        turned.establish_path = establish  # type: ignore[method-assign]
        await until(lambda: not lent.has_host_paths, 60)
        assert (await order(to_a, 0xF0, operator.establish_bridge())).completed

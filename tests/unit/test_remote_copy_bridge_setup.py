"""FIG. 5 and 6 as a command sequence: steps 600-614 in the event log, and their undoing."""

from __future__ import annotations

from tests.helpers import operator
from tests.helpers.operator import order, query_volume, set_up_bridge
from tests.helpers.two_systems import PEER_PORTS, rig, until

STEPS = [
    ("A", 600), ("A", 600), ("B", 600), ("B", 600), ("A", 602), ("B", 604), ("A", 604), ("A", 606), ("B", 606),
    ("A", 608), ("B", 608), ("A", 610), ("B", 610), ("B", 612), ("A", 612), ("A", 614),
]  # fmt: skip


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

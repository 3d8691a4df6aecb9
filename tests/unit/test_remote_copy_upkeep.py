"""What was established comes back by itself; what somebody has ended does not."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import pytest
import trio

from ccw.pprc import Order
from controller.remote_copy import bridge_setup
from controller.remote_copy.core import Core
from controller.remote_copy.procedure import run
from controller.remote_copy.refusal import Refused, reject
from controller.remote_copy.states import BridgeState, PairState, PathStatus, Reason
from tests.helpers import operator
from tests.helpers.copying import RESYNC, core, duplex, duplex_pair, equal, format_track
from tests.helpers.operator import order, set_up_bridge
from tests.helpers.two_systems import Rig, rig, until

LONG_S = 200.0  # beyond every wait between two attempts


def bridge_ready(r: Rig) -> bool:
    bridge = core(r.a).sending.get(1)
    return bridge is not None and bridge.worker.sender is not None


@pytest.mark.parametrize("wan", [False, True])
@pytest.mark.parametrize("who", ["A", "B", "both"])
async def test_after_a_restart_everything_comes_back_and_the_pair_is_reconciled(
    autojump_clock: object, who: str, wan: bool
) -> None:
    async with rig(wan=wan) as r:
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            await format_track(to_a, 0, 5, "before")
            await duplex_pair(r, to_a, to_b, 0, 1)
            pairs = sorted(pair.pair_id for pair in core(r.a).primaries.values())
            await trio.sleep(0.1)  # the states are durable
        for site in (r.a, r.b):
            if who in (site.name, "both"):
                await site.crash(Random(1))
        for site in (r.a, r.b):
            if site.system is None:
                await site.start(r.nursery)
        await r.connect()
        await until(lambda: bridge_ready(r) and duplex(r, 0) and duplex(r, 1), LONG_S)
        async with r.host(r.a) as to_a:
            while not await _write(to_a, 0, 6, "after"):  # over a wide area A learns by this that B has been away
                await trio.sleep(1)
        await until(lambda: bridge_ready(r) and duplex(r, 0), LONG_S)
        assert equal(r, 0)
        reconciled = [event for event in r.events if event["text"] == "reconciled with the secondary"]
        assert sorted(event["pair"] for event in reconciled) == (pairs if who != "B" else [])  # each once, by A alone


async def test_a_write_that_the_secondary_missed_is_copied_when_the_links_are_back(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        for adapter in r.a.running.adapters.by_said.values():
            if adapter.config.kind == "peer":
                r.a.running.adapters._end_links(adapter)
        program_ended = await _write(to_a, 0, 3, "missed")
        assert not program_ended  # format F message B
        assert core(r.a).primaries[0].state is PairState.SUSPENDED_INTERNAL
        await r.connect()
        await until(lambda: duplex(r, 0), LONG_S)
        assert equal(r, 0)


async def _write(session: object, volume: int, track: int, text: str) -> bool:
    try:
        await format_track(session, volume, track, text)  # type: ignore[arg-type]
    except AssertionError:
        return False
    return True


async def test_a_bridge_that_fails_on_living_links_is_set_up_again(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        sender = core(r.a).sending[1].worker.sender
        assert sender is not None
        sender.fail("no status")
        await until(lambda: bridge_ready(r), LONG_S)
        await format_track(to_a, 0, 3, "again")
        assert duplex(r, 0)
        assert equal(r, 0)


@pytest.mark.parametrize("unheard", [False, True])
async def test_a_bridge_is_set_up_by_one_at_a_time(autojump_clock: object, unheard: bool) -> None:
    """An order and the upkeep may both come to it; `unheard`: and both first have to tell that it was given up."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        bridge = core(r.a).sending[1]
        assert bridge.worker.sender is not None
        assert bridge.box is not None
        bridge.worker.sender.fail("no status")
        await trio.sleep(0.5)
        bridge.end_unheard = unheard
        ends: list[Refused | None] = []
        for _ in range(2):
            run(bridge_setup.set_up_bridge(core(r.a), bridge, bridge.box, bridge.secondary_volume), ends.append)
        await until(lambda: len(ends) == 2)
        refused = [end for end in ends if isinstance(end, Refused)]
        assert [end.refusal.reason for end in refused] == [Reason.STATE] * len(refused)
        assert refused
        await until(lambda: bridge_ready(r), LONG_S)


async def test_a_path_that_the_other_box_has_forgotten_is_noticed_and_established_again(autojump_clock: object) -> None:
    """The link lives, the bridge is idle, and the other box answers that there is no such path."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        data = core(r.a).sending[1].data_path
        assert data is not None
        link = r.a.running.adapters.by_said[data.said].link
        assert link is not None
        link._channel.images.discard(data.image)
        await order(to_a, 0, operator.establish_pair(0))
        await until(lambda: bridge_ready(r), LONG_S)
        assert data.status is PathStatus.ESTABLISHED
        assert (await order(to_a, 1, operator.establish_pair(1))).completed


async def test_a_pair_suspended_by_command_stays_suspended(autojump_clock: object) -> None:
    async with rig() as r:
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            await duplex_pair(r, to_a, to_b, 0, 1)
            assert (await order(to_a, 0, operator.suspend_pair(0))).completed
        await r.b.crash(Random(1))
        await r.b.start(r.nursery)
        await r.connect()
        await until(lambda: bridge_ready(r), LONG_S)
        await trio.sleep(LONG_S)
        assert core(r.a).primaries[0].state is PairState.SUSPENDED_PRIMARY_COMMAND
        assert duplex(r, 1)


async def test_a_recovered_secondary_is_not_overwritten(autojump_clock: object) -> None:
    """Hosts went on at B. The primary that comes back learns that it has no secondary any more, and copies nothing."""
    async with rig() as r:
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            await format_track(to_a, 0, 3, "from A")
            await duplex_pair(r, to_a, to_b, 0)
            await trio.sleep(0.1)
            await r.a.crash(Random(1))
            recovered = operator.orders.recover_pair(operator.A, operator.B, 0, 0).encode()
            assert (await order(to_b, 0, recovered)).completed
            await format_track(to_b, 0, 3, "newer, at B")
        newer = r.b.running.store.read(0, 3)
        await r.a.start(r.nursery)
        await r.connect()
        await until(lambda: core(r.a).primaries[0].state is PairState.SUSPENDED_SECONDARY_SIMPLEX, LONG_S)
        await trio.sleep(LONG_S)
        assert r.b.running.store.read(0, 3) == newer
        async with r.host(r.a) as to_a:
            assert not (await order(to_a, 0, operator.establish_pair(0, mode=RESYNC))).completed
        assert r.b.running.store.read(0, 3) == newer


async def test_a_consistency_group_waits_for_its_operator(autojump_clock: object) -> None:
    async with rig() as r:
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            await set_up_bridge(to_a, to_b, consistency_group=True)
            assert (await order(to_a, 0, operator.establish_pair(0))).completed
            await until(lambda: duplex(r, 0))
            await trio.sleep(0.1)
        await r.a.crash(Random(1))
        await r.a.start(r.nursery)
        await r.connect()
        await until(lambda: bridge_ready(r), LONG_S)
        await trio.sleep(LONG_S)
        assert core(r.a).primaries[0].state is PairState.SUSPENDED_POWER


async def test_what_a_freeze_has_removed_stays_away(autojump_clock: object) -> None:
    async with rig() as r:
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            await duplex_pair(r, to_a, to_b, 0)
            assert (await order(to_a, 0, operator.freeze())).completed
            await trio.sleep(LONG_S)
            assert core(r.a).sending[1].worker.state is BridgeState.FAILED
            assert not [entry for paths in core(r.a).paths for entry in paths.entries if entry.good]
        await r.a.crash(Random(1))
        await r.a.start(r.nursery)
        await r.connect()
        await trio.sleep(LONG_S)
        assert not list(core(r.a).paths)
        assert core(r.a).primaries[0].state is PairState.SUSPENDED_FREEZE


async def test_an_order_for_what_is_there_already_succeeds(autojump_clock: object) -> None:
    """An operator's script runs again after a restart: it meets paths and a bridge that have come back meanwhile."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        assert (await order(to_a, 0, operator.establish_path())).completed
        assert (await order(to_a, 0xF0, operator.establish_bridge())).completed
        assert duplex(r, 0)
        others = operator.establish_path(operator.PEER_PORTS["A"][:2])
        assert not (await order(to_a, 0, others)).completed  # another set, while a bridge lives on this one


async def test_a_link_that_was_lent_to_a_bridge_which_never_came_up_is_got_back(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two links only. B has turned one for status, then hears nothing: not step 608, nor that the bridge is over."""
    send = Core.send
    unheard = {Order.ESTABLISH_PAIR, Order.UPDATE_SECONDARY_DEVICE_STATUS}
    silent: list[int] = []

    def deaf(at: Core, entry: Any, device: int, sent: Any, to: Any) -> Any:
        if at is core(r.a) and (sent.header.order == Order.ESTABLISH_PAIR or silent) and len(silent) < 3:
            silent.append(sent.header.order)
            raise reject(Reason.PEER_TIME_OUT)
        return (yield from send(at, entry, device, sent, to))

    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        for session, site, volume, role in (
            (to_a, "A", 0xF0, 1), (to_a, "A", 0xF1, 4), (to_b, "B", 0xF0, 2), (to_b, "B", 0xF1, 3),
        ):  # fmt: skip
            assert (await order(session, volume, operator.define_bridge(site, volume, role))).completed
        assert (await order(to_a, 0, operator.establish_path(operator.PEER_PORTS["A"][:2]))).completed
        monkeypatch.setattr(Core, "send", deaf)
        assert not (await order(to_a, 0xF0, operator.establish_bridge())).completed
        assert set(silent) == unheard
        assert 1 in core(r.b).receiving
        await until(lambda: len(next(iter(core(r.a).paths)).free()) == 2, LONG_S)
        assert (await order(to_a, 0xF0, operator.establish_bridge())).completed


async def test_a_path_that_did_not_come_up_when_it_was_ordered_comes_up_with_its_link(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a:
        adapter = r.a.running.adapters.by_said[0x13]
        r.a.running.adapters._end_links(adapter)
        await trio.sleep(1)
        assert (await order(to_a, 0, operator.establish_path())).completed
        paths = next(iter(core(r.a).paths))
        assert paths.entries[3].status is PathStatus.LINK_OFFLINE
        await r.connect()
        await until(lambda: len(paths.good()) == 4, LONG_S)


async def test_what_fails_at_once_is_not_tried_all_the_time(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No bridge can be set up, and the refusal takes no time at all: attempts are 1, 2, 4 .. 30 s apart."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        tried: list[float] = []

        def refused(at: Core, *_: Any) -> Any:
            tried.append(trio.current_time())
            at.repair()
            raise reject(Reason.PEER_REFUSED)
            yield

        monkeypatch.setattr(bridge_setup, "_steps", refused)
        sender = core(r.a).sending[1].worker.sender
        assert sender is not None
        sender.fail("no status")
        await trio.sleep(LONG_S)
        gaps = [second - first for first, second in pairwise(tried)]
        assert 8 <= len(tried) <= 16
        assert min(gaps[2:]) > 0.9
        assert max(gaps) <= 31

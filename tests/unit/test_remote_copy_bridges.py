"""Several bridges: links of their own, links that they share; one fails, and its work moves to the others."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from controller.channel import PathReply
from controller.remote_copy.states import BridgeState, PairState
from host_emulator import orders
from host_emulator.session import HostSession
from tests.helpers import operator
from tests.helpers.copying import core, duplex, equal_images, format_track
from tests.helpers.operator import order
from tests.helpers.two_systems import BY_COMMAND, Rig, rig, until

BRIDGES = 8


async def define(to_a: HostSession, to_b: HostSession, number: int) -> None:
    """Step 600 of bridge `number`, whose volumes are F0 + 2 (number - 1) and the next."""
    data = 0xF0 + 2 * (number - 1)
    for session, site, volume, role in (
        (to_a, "A", data, 1), (to_a, "A", data + 1, 4), (to_b, "B", data, 2), (to_b, "B", data + 1, 3),
    ):  # fmt: skip
        assert (await order(session, volume, operator.define_bridge(site, volume, role, number))).completed


async def set_up(to_a: HostSession, to_b: HostSession, count: int) -> None:
    """Paths, and bridges 1 to `count`."""
    assert (await order(to_a, 0, operator.establish_path())).completed
    for number in range(1, count + 1):
        await define(to_a, to_b, number)
        assert (await order(to_a, 0xF0 + 2 * (number - 1), establish(number))).completed, number


def establish(number: int) -> bytes:
    return operator.establish_bridge(number, 0xF0 + 2 * (number - 1))


def links_of(r: Rig) -> list[tuple[int, int]]:
    """The ports of each bridge, data and status."""
    return [
        (bridge.data_path.said, bridge.status_path.said)
        for bridge in core(r.a).sending.values()
        if bridge.data_path is not None and bridge.status_path is not None
    ]


@pytest.mark.parametrize("wan", [False, True], ids=["escon", "wan"])
async def test_eight_bridges_on_two_pairs_of_links(autojump_clock: object, wan: bool) -> None:
    """The first two have links of their own, the others share them by turns; all of them copy and mirror."""
    async with rig(copy=BY_COMMAND, cylinders=8, wan=wan) as r, AsyncExitStack() as stack:
        to_a, io = [await stack.enter_async_context(r.host(r.a)) for _ in range(2)]
        to_b = await stack.enter_async_context(r.host(r.b))
        for volume in range(4):
            for track in (0, 9, 29):
                await format_track(io, volume, track, f"volume {volume} track {track}")
        await set_up(to_a, to_b, BRIDGES)
        assert links_of(r) == [(0x10, 0x11), (0x12, 0x13)] * 4
        assert len([e for e in r.events if e["step"] == 606 and e["box"] == "B"]) == 2
        for volume in range(4):
            assert (await order(to_a, volume, operator.establish_pair(volume))).completed
        await until(lambda: all(duplex(r, volume) for volume in range(4)))
        assert len({event["bridge"] for event in r.events if event["step"] == 702}) > 1
        for volume in range(4):
            await format_track(io, volume, 5, "duplex")
            assert equal_images(r, volume)


async def test_the_work_of_a_bridge_that_fails_moves_to_another(autojump_clock: object) -> None:
    """Its volume goes back to the head of the queue; duplex pairs with nothing under way go over another."""
    async with rig(copy=BY_COMMAND, cylinders=10) as r, r.host(r.a) as to_a, r.host(r.a) as io, r.host(r.b) as to_b:
        for track in range(0, 150, 9):
            await format_track(io, 0, track, f"track {track}")
        await set_up(to_a, to_b, 2)
        for volume in (2, 3):
            assert (await order(to_a, volume, operator.establish_pair(volume))).completed
        await until(lambda: duplex(r, 2) and duplex(r, 3))
        for volume in (0, 1):
            assert (await order(to_a, volume, operator.establish_pair(volume))).completed
        copying = {bridge.worker.pair.volume: bridge for bridge in core(r.a).sending.values() if bridge.worker.pair}
        failing = copying.get(0) or copying[1]
        assert failing.worker.sender is not None
        failing.worker.sender.fail("for a test")
        assert failing.worker.state is BridgeState.FAILED
        await until(lambda: duplex(r, 0) and duplex(r, 1))
        for volume in range(4):
            await format_track(io, volume, 5, "duplex")
            assert duplex(r, volume) and equal_images(r, volume)
        assert failing.worker.sender is None


@pytest.mark.parametrize("failing", [1, 2, 3])
async def test_a_bridge_that_shared_leaves_the_links_to_the_others(autojump_clock: object, failing: int) -> None:
    """1 and 3 share a pair, 2 has one alone. What is left of them goes on; the failed one can be set up again."""
    async with rig(copy=BY_COMMAND) as r, r.host(r.a) as to_a, r.host(r.a) as io, r.host(r.b) as to_b:
        await set_up(to_a, to_b, 3)
        assert links_of(r)[0] == links_of(r)[2]
        worker = core(r.a).sending[failing].worker
        assert worker.sender is not None
        worker.sender.fail("for a test")
        for volume in range(4):
            assert (await order(to_a, volume, operator.establish_pair(volume))).completed
        await until(lambda: all(duplex(r, volume) for volume in range(4)))
        assert (await order(to_a, 0xF0 + 2 * (failing - 1), establish(failing))).completed
        assert worker.state is BridgeState.IDLE
        for volume in range(4):
            await format_track(io, volume, 7, f"after {failing}")
            assert equal_images(r, volume)
        for number in (1, 2, 3):
            sender = core(r.a).sending[number].worker.sender
            assert sender is not None
            sender.fail("the end")
        await until(lambda: not core(r.b).receiving and not links_of(r))
        (paths,) = core(r.a).paths
        await until(lambda: len(paths.free()) == 4)


async def test_a_lost_link_takes_all_bridges_on_it(autojump_clock: object) -> None:
    async with rig(copy=BY_COMMAND) as r, r.host(r.a) as to_a, r.host(r.a) as io, r.host(r.b) as to_b:
        await set_up(to_a, to_b, 3)
        for volume in range(3):
            assert (await order(to_a, volume, operator.establish_pair(volume))).completed
        await until(lambda: all(duplex(r, volume) for volume in range(3)))
        for site, said in ((r.a, 0x10), (r.b, 0x20)):
            for scope in list(site.running.adapters.by_said[said].scopes.values()):
                scope.cancel()
        await until(lambda: set(core(r.b).receiving) == {2})
        assert [core(r.a).sending[number].worker.sender is None for number in (1, 2, 3)] == [True, False, True]
        for volume in range(3):
            await format_track(io, volume, 3, "over the other")
            assert core(r.a).primaries[volume].state is PairState.DUPLEX and equal_images(r, volume)


async def test_a_turned_link_is_given_back_even_if_that_is_not_heard_at_first(autojump_clock: object) -> None:
    """The link of the data is lost, and on the other one nothing comes through for a while either."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up(to_a, to_b, 1)
        turned = r.b.running.adapters.by_said[0x21].link
        assert turned is not None
        remove, lost = turned.remove_path, []

        def lose(image: int, reply: Callable[[PathReply], None], now: float) -> None:
            if len(lost) < 3:
                lost.append(now)
                reply(PathReply(False, failure="timeout"))
            else:
                remove(image, reply, now)

        turned.remove_path = lose  # type: ignore[method-assign]
        for site, said in ((r.a, 0x10), (r.b, 0x20)):
            for scope in list(site.running.adapters.by_said[said].scopes.values()):
                scope.cancel()
        (paths,) = core(r.a).paths
        await until(lambda: not core(r.b).receiving)
        await until(lambda: next(entry for entry in paths.entries if entry.said == 0x11).good, 120)
        assert len(lost) == 3


async def test_a_bridge_without_a_pair_of_links_is_refused(autojump_clock: object) -> None:
    """One path alone, and no bridge whose links it could share."""
    async with rig(copy=BY_COMMAND) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        path = orders.establish_path(operator.A, operator.B, (0x10,))
        assert (await to_a.run_program(0, orders.pprc(path))).completed
        await define(to_a, to_b, 1)
        result = await order(to_a, 0xF0, establish(1))
        assert result.sense is not None and result.sense[7:9] == b"\x0f\x4f"


async def test_a_bridge_that_others_can_do_without_is_ended_by_command(autojump_clock: object) -> None:
    """Delete Pair to one of two: refused while it copies; then the other goes on alone, and is needed."""
    async with rig(copy=BY_COMMAND) as r, r.host(r.a) as to_a, r.host(r.a) as io, r.host(r.b) as to_b:
        await set_up(to_a, to_b, 2)
        for volume in range(4):
            assert (await order(to_a, volume, operator.establish_pair(volume))).completed
        copying = next(bridge for bridge in core(r.a).sending.values() if bridge.worker.pair is not None)
        delete = {
            number: orders.delete_pair(operator.A, operator.B, *[0xF0 + 2 * (number - 1)] * 2).encode()
            for number in (1, 2)
        }
        refused = await order(to_a, copying.data_volume, delete[copying.number])
        assert refused.sense is not None and refused.sense[7:9] == b"\x0f\x5e"
        await until(lambda: all(duplex(r, volume) for volume in range(4)))
        assert (await order(to_a, 0xF0, delete[1])).completed
        assert core(r.a).sending[1].worker.state is BridgeState.DEFINED and all(duplex(r, v) for v in range(4))
        for volume in range(4):
            await format_track(io, volume, 5, "over the other")
            assert duplex(r, volume) and equal_images(r, volume)
        refused = await order(to_a, 0xF2, delete[2])
        assert refused.sense is not None and refused.sense[7:9] == b"\x0f\x5e", "the last one"

"""Bridges over wide-area links: streamed, cut in the window, resumed; damaged and repeated frames; the wrong box."""

from __future__ import annotations

from random import Random

import pytest
import trio
import trio.testing

from ccw.geometry import Cchh
from controller.config import ShapeConfig
from controller.links.shaping import shaped
from controller.remote_copy.link_changes import RESUME_LIMIT_S
from controller.remote_copy.states import PairState, PathStatus
from host_emulator import orders
from tests.helpers import operator
from tests.helpers.copying import RESYNC, core, duplex, equal_images, format_track, state
from tests.helpers.operator import order, query_volume, set_up_bridge
from tests.helpers.two_systems import BY_COMMAND, PEER_PORTS, Rig, Site, rig, until


def cut(r: Rig, index: int) -> None:
    """End a link at both sides."""
    for site, name in ((r.a, "A"), (r.b, "B")):
        if site.system is not None:
            for scope in list(site.running.adapters.by_said[PEER_PORTS[name][index]].scopes.values()):
                scope.cancel()


async def lay(r: Rig, index: int) -> None:
    """Lay a link anew."""
    await trio.testing.wait_all_tasks_blocked()
    left, right = trio.testing.memory_stream_pair()
    r._link(r.a, PEER_PORTS["A"][index], left, opened=True)
    r._link(r.b, PEER_PORTS["B"][index], right, opened=False)


def status(r: Rig, index: int) -> PathStatus:
    (paths,) = core(r.a).paths
    return paths.entries[index].status


async def test_a_bridge_is_set_up_and_copies(autojump_clock: object) -> None:
    async with rig(wan=True) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        for track in range(30):
            await format_track(to_a, 0, track, f"track {track}")
        await set_up_bridge(to_a, to_b)
        assert status(r, 0) is status(r, 2) is PathStatus.WAN_ESTABLISHED
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        assert equal_images(r, 0)
        await format_track(to_a, 0, 3, "duplex")
        assert equal_images(r, 0)
        resync = operator.establish_pair(0, mode=RESYNC, flags=0x20)
        for verb in (operator.suspend_pair(0), resync, operator.delete_pair(0)):
            assert (await order(to_a, 0, verb)).completed
        assert (await query_volume(to_b, 0)).role == 0


async def test_chains_follow_one_another_without_waiting(autojump_clock: object) -> None:
    """On a link of 100 ms a copy of 300 tracks takes a few round trips, not one for each chain."""
    async with trio.open_nursery() as nursery:

        async def long_way(
            stream: trio.abc.Stream, task_status: trio.TaskStatus[trio.abc.Stream] = trio.TASK_STATUS_IGNORED
        ) -> None:
            async with shaped(stream, ShapeConfig(rtt_ms=100), Random(1)) as near:
                task_status.started(near)
                await trio.sleep_forever()

        pairs = [trio.testing.memory_stream_pair() for _ in range(4)]
        near = [await nursery.start(long_way, left) for left, _ in pairs]

        def join(name: str) -> tuple[trio.abc.Stream, trio.abc.Stream]:
            if name.startswith("peer"):
                index = int(name[4:])
                return near[index], pairs[index][1]
            return trio.testing.memory_stream_pair()

        async with rig(join, cylinders=20, wan=True) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
            await set_up_bridge(to_a, to_b)
            assert (await order(to_a, 0, operator.establish_pair(0))).completed
            start = trio.current_time()
            await until(lambda: duplex(r, 0))
            assert trio.current_time() - start < 300 / 64 * 0.2 + 0.5
            start = trio.current_time()
            await format_track(to_a, 0, 3, "duplex")
            assert trio.current_time() - start == pytest.approx(0.1, abs=0.02)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("links", [(0,), (1,), (0, 1)])
async def test_a_bridge_goes_on_after_its_links_were_cut(autojump_clock: object, links: tuple[int, ...]) -> None:
    """Cut again and again in the middle of a copy, with hosts writing: nothing is lost, and nobody hears of it."""
    async with rig(wan=True, cylinders=20) as r, r.host(r.a) as to_a, r.host(r.a) as io, r.host(r.b) as to_b:
        for track in range(0, 300, 7):
            await format_track(io, 0, track, f"track {track}")
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await format_track(io, 0, 299, "before")
        cuts = 0
        while not duplex(r, 0) or cuts < 5:
            for index in links:
                cut(r, index)
            await trio.sleep(0.3)
            for index in links:
                await lay(r, index)
            cuts += 1
            await format_track(io, 0, cuts % 300, f"after {cuts}")
            await trio.sleep(0.01 * cuts)  # so that some cuts hit a link that has only just come back
        await until(lambda: duplex(r, 0))
        await format_track(io, 0, 1, "duplex")
        assert equal_images(r, 0)
        assert {"bridge goes on" if 0 in links else "status goes on"} <= {str(event["text"]) for event in r.events}
        assert not [event for event in r.events if event["text"] == "bridge has failed"]


async def test_a_link_that_is_cut_again_has_its_whole_time_to_come_back(autojump_clock: object) -> None:
    """The other box counts from the last cut, not from one that is over."""
    async with rig(wan=True, copy=BY_COMMAND) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        receiving = core(r.b).receiving[1]
        cut(r, 0)
        await trio.sleep(5)
        await lay(r, 0)
        await trio.sleep(RESUME_LIMIT_S - 10)
        cut(r, 0)
        await trio.sleep(8)
        assert core(r.b).receiving.get(1) is receiving
        await lay(r, 0)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        assert core(r.b).receiving.get(1) is receiving


async def test_a_write_waits_for_a_link_that_comes_back(autojump_clock: object) -> None:
    async with rig(wan=True) as r, r.host(r.a) as to_a, r.host(r.b) as to_b, trio.open_nursery() as nursery:
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        cut(r, 0)
        await trio.testing.wait_all_tasks_blocked()
        assert status(r, 0) is PathStatus.WAN_LINK_DOWN

        async def later() -> None:
            await trio.sleep(5)
            await lay(r, 0)

        nursery.start_soon(later)
        start = trio.current_time()
        await format_track(to_a, 0, 4, "patient")
        assert 5 <= trio.current_time() - start < 6
        assert duplex(r, 0) and equal_images(r, 0)


async def test_a_write_is_told_when_the_link_does_not_come_back(autojump_clock: object) -> None:
    """After 15 s without status the bridge has failed and the pair is suspended; the secondary forgets it too."""
    async with rig(copy=BY_COMMAND, wan=True) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        cut(r, 0)
        await trio.testing.wait_all_tasks_blocked()
        start = trio.current_time()
        result = await to_a.run_program(0, orders.format_track(Cchh(0, 4), [orders.NewRecord(b"lost?")]))
        assert result.sense is not None and result.sense[7:9] == b"\xfb\x03"
        assert 15 <= trio.current_time() - start < 20
        assert state(r, 0) is PairState.SUSPENDED_INTERNAL
        await trio.sleep(RESUME_LIMIT_S)
        assert not core(r.b).receiving


async def test_another_box_behind_the_link_is_found_out(autojump_clock: object) -> None:
    """The identity is read on every connection: one that leads to a wrong box takes nothing."""
    async with rig(wan=True) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        stranger = Site("A", r.events, wan=True)  # has another serial than B
        await stranger.start(r.nursery)
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        cut(r, 0)
        await trio.testing.wait_all_tasks_blocked()
        left, right = trio.testing.memory_stream_pair()
        r._link(r.a, PEER_PORTS["A"][0], left, opened=True)
        r._link(stranger, PEER_PORTS["A"][0], right, opened=False)
        await trio.sleep(1)
        assert status(r, 0) is PathStatus.SSID_MISMATCH
        result = await to_a.run_program(0, orders.format_track(Cchh(0, 4), [orders.NewRecord(b"not there")]))
        assert result.sense is not None and result.sense[7:9] == b"\xfb\x03"
        assert stranger.running.store.read(0, 4) is None


class Damaging(trio.abc.Stream):
    """Hurts what is sent through it, now and then: a bit is turned, or the connection ends within a record."""

    def __init__(self, inner: trio.abc.Stream, random: Random, often: float) -> None:
        self._inner, self._random, self.often = inner, random, often

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        data = bytearray(data)
        if self._random.random() < self.often:
            at = self._random.randrange(len(data))
            if self._random.random() < 0.3:
                await self._inner.send_all(data[:at])
                await self._inner.aclose()
                raise trio.BrokenResourceError
            data[at] ^= 1 << self._random.randrange(8)
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self._inner.receive_some(max_bytes))

    async def aclose(self) -> None:
        await self._inner.aclose()


@pytest.mark.parametrize("seed", range(6))
async def test_damage_breaks_the_connection_and_nothing_else(autojump_clock: object, seed: int) -> None:
    random = Random(seed)
    streams: list[Damaging] = []

    def join(name: str) -> tuple[trio.abc.Stream, trio.abc.Stream]:
        left, right = trio.testing.memory_stream_pair()
        if not name.startswith("peer"):
            return left, right
        hurt = Damaging(left, random, 0.0), Damaging(right, random, 0.0)
        streams.extend(hurt)
        return hurt

    async with rig(join, cylinders=20, wan=True) as r, r.host(r.a) as to_a, r.host(r.a) as io, r.host(r.b) as to_b:

        async def keep(index: int) -> None:
            while True:
                await trio.sleep(0.2)
                a = r.a.running.adapters.by_said[PEER_PORTS["A"][index]]
                b = r.b.running.adapters.by_said[PEER_PORTS["B"][index]]
                if not a.links or not b.links:
                    cut(r, index)
                    await trio.testing.wait_all_tasks_blocked()
                    left, right = join(f"peer{index}")
                    for stream in streams:
                        stream.often = often
                    r._link(r.a, PEER_PORTS["A"][index], left, opened=True)
                    r._link(r.b, PEER_PORTS["B"][index], right, opened=False)

        for track in range(0, 300, 11):
            await format_track(io, 0, track, f"track {track}")
        await set_up_bridge(to_a, to_b)
        often = 0.15
        for stream in streams:
            stream.often = often
        r.nursery.start_soon(keep, 0)
        r.nursery.start_soon(keep, 1)
        await order(to_a, 0, operator.establish_pair(0))
        for number in range(20):
            program = orders.format_track(Cchh(number, 3), [orders.NewRecord(f"write {number}".encode("cp037"))])
            await io.run_program(0, program)
            await trio.sleep(0.05)
        often = 0.0
        for stream in streams:
            stream.often = 0.0
        for _ in range(40):  # where an order was hit, or a length: an operator goes on
            await trio.sleep(2)
            bridge = core(r.a).sending[1].worker
            if bridge.sender is None:
                await order(to_a, 0, operator.establish_path())
                await order(to_a, 0xF0, operator.establish_bridge())
            elif state(r, 0) not in (PairState.DUPLEX, PairState.DUPLEX_PENDING):
                await order(to_a, 0, operator.establish_pair(0, mode=RESYNC if state(r, 0) else 0))
            elif duplex(r, 0):
                break
        await until(lambda: duplex(r, 0))
        assert equal_images(r, 0)
        assert [event for event in r.events if event["text"] == "link error"]

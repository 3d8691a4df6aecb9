"""Conventional remote copy: a path for each chain, status awaited; cut links, refused chains, crashes."""

from __future__ import annotations

from random import Random

import pytest
import trio

from ccw.geometry import Cchh
from controller.remote_copy.path_pool import PathPool
from controller.remote_copy.paths import PathEntry, PathSet, PathTable
from controller.remote_copy.states import PairState, PathStatus
from host_emulator import orders
from host_emulator.session import HostSession
from tests.helpers import operator
from tests.helpers.copying import RESYNC, duplex, equal_images, format_track, state
from tests.helpers.operator import order, query_volume
from tests.helpers.two_systems import PEER_PORTS, Rig, box, rig, until

EMPTY = bytes(8)


async def establish(session: HostSession, *volumes: int, mode: int = 0) -> None:
    for volume in volumes:
        assert (await order(session, volume, operator.establish_pair(volume, mode=mode))).completed


async def one_pair(r: Rig, to_a: HostSession) -> None:
    assert (await order(to_a, 0, operator.establish_path())).completed
    await establish(to_a, 0)
    await until(lambda: duplex(r, 0))


def test_paths_are_granted_first_come_first_served() -> None:
    table = PathTable()
    paths = PathSet(box("B"), [PathEntry(said, 0, 0, 0, PathStatus.ESTABLISHED) for said in (1, 2)])
    table.sets[paths.box] = paths
    pool = PathPool(table)
    granted: list[tuple[str, PathEntry | None]] = []
    for name in "abcd":
        pool.obtain(paths.box, lambda entry, name=name: granted.append((name, entry)))  # type: ignore[misc]
    assert [(name, entry.said) for name, entry in granted if entry] == [("a", 1), ("b", 2)]
    pool.release(paths.entries[1])
    assert [(name, entry.said) for name, entry in granted[2:] if entry] == [("c", 2)]
    for entry in paths.entries:
        entry.status = PathStatus.LINK_OFFLINE
    pool.release(paths.entries[0])
    assert granted[3:] == [("d", None)]
    pool.obtain(box("A"), lambda entry: granted.append(("e", entry)))
    assert granted[4:] == [("e", None)]


async def test_every_pair_copies_at_once_over_all_paths(autojump_clock: object) -> None:
    async with rig(conventional=True, cylinders=8) as r, r.host(r.a) as to_a:
        for volume in (0, 1, 2, 3):
            for track in (0, 7, 29):
                await format_track(to_a, volume, track, f"volume {volume} track {track}")
        assert (await order(to_a, 0, operator.establish_path())).completed
        await establish(to_a, 0, 1, 2, 3)
        await until(lambda: all(duplex(r, volume) for volume in range(4)))
        assert all(equal_images(r, volume) for volume in range(4))
        assert (await query_volume(to_a, 0)).state == 2
        assert not [event for event in r.events if event["step"] in (702, 704, 706)]
        chains = {said: adapter.link.counters.frames_out for said, adapter in r.a.running.adapters.by_said.items()
                  if said in PEER_PORTS["A"] and adapter.link is not None}  # fmt: skip
        assert min(chains.values()) > 20


async def test_a_write_waits_for_a_secondary_that_is_busy(autojump_clock: object) -> None:
    """Somebody asks the secondary something just then. It took the pair out of step once."""
    async with rig(conventional=True) as r, r.host(r.a) as to_a:
        await one_pair(r, to_a)
        other = r.b.running.subsystem
        assert other.hold("somebody", 0)
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(format_track, to_a, 0, 3, "behind the question")
            await trio.sleep(1)
            other.let_go("somebody", 0)
        assert trio.current_time() - begun < 1.5
        assert duplex(r, 0)
        assert equal_images(r, 0)


async def test_an_order_waits_for_a_secondary_that_is_busy(autojump_clock: object) -> None:
    async with rig(conventional=True) as r, r.host(r.a) as to_a:
        await one_pair(r, to_a)
        other = r.b.running.subsystem
        assert other.hold("somebody", 0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(order, to_a, 0, operator.suspend_pair(0))
            await trio.sleep(1)
            other.let_go("somebody", 0)
        assert state(r, 0) is PairState.SUSPENDED_PRIMARY_COMMAND
        assert r.b.running.subsystem.remote_copy.core.secondaries[0].state is PairState.SUSPENDED_BY_PRIMARY_CONTROL


async def test_a_secondary_that_stays_busy_takes_the_pair_out_of_step(autojump_clock: object) -> None:
    async with rig(conventional=True) as r, r.host(r.a) as to_a:
        await one_pair(r, to_a)
        assert r.b.running.subsystem.hold("somebody", 0)
        result = await to_a.run_program(0, orders.format_track(Cchh(0, 3), [orders.NewRecord(b"here only")]))
        assert (result.sense[7], state(r, 0).suspended) == (0xFB, True)


async def test_old_data_of_the_secondary_does_not_survive(autojump_clock: object) -> None:
    """A track that the primary never wrote becomes an empty one, whatever the secondary had there."""
    async with rig(conventional=True) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await format_track(to_b, 0, 3, "old")
        await one_pair(r, to_a)
        assert equal_images(r, 0)


async def test_hosts_write_while_the_volume_is_copied(autojump_clock: object) -> None:
    async with rig(conventional=True) as r, r.host(r.a) as to_a, r.host(r.a) as io:
        for track in range(30):
            await format_track(io, 0, track, "before")
        assert (await order(to_a, 0, operator.establish_path())).completed
        await establish(to_a, 0)
        rounds = 0
        while not duplex(r, 0):
            for track in (0, 15, 29):
                await format_track(io, 0, track, f"round {rounds}")
            rounds += 1
        assert rounds > 0
        assert equal_images(r, 0)


async def test_a_duplex_write_ends_only_when_both_have_it(autojump_clock: object) -> None:
    async with rig(conventional=True) as r, r.host(r.a) as to_a:
        await one_pair(r, to_a)
        for number in range(10):
            await format_track(to_a, 0, number, f"number {number}")
            store = r.b.running.store
            image = store.read(0, number)
            assert image is not None and f"number {number}".encode("cp037") in image
            assert store.durable >= store.sequence_of(0, number) > 0
        assert r.a.running.statistics()["tracks_updated"] == 10


async def test_suspend_then_resync_copies_only_what_changed(autojump_clock: object) -> None:
    async with rig(conventional=True) as r, r.host(r.a) as to_a:
        await one_pair(r, to_a)
        assert (await order(to_a, 0, operator.suspend_pair(0))).completed
        for track in (3, 4, 20):
            await format_track(to_a, 0, track, "after the suspension")
        copied = int(str(r.a.running.statistics()["tracks_copied"]))
        await establish(to_a, 0, mode=RESYNC)
        await until(lambda: duplex(r, 0))
        assert int(str(r.a.running.statistics()["tracks_copied"])) - copied == 3
        assert equal_images(r, 0)
        assert (await order(to_a, 0, operator.delete_pair(0))).completed
        assert (await query_volume(to_a, 0)).role == 0


async def test_a_cut_link_moves_the_work_to_the_others(autojump_clock: object) -> None:
    """Links fall one by one while a volume is copied and written; as long as one is left nobody notices."""
    async with rig(conventional=True) as r, r.host(r.a) as to_a, r.host(r.a) as io:
        for track in range(30):
            await format_track(io, 0, track, "before")
        assert (await order(to_a, 0, operator.establish_path())).completed
        await establish(to_a, 0, 1)
        for said in PEER_PORTS["A"][:3]:
            r.a.running.adapters.by_said[said].scopes[f"{said:04X}/1"].cancel()
            await format_track(io, 0, said, f"after {said}")
        await until(lambda: duplex(r, 0) and duplex(r, 1))
        await format_track(io, 0, 1, "duplex")
        assert equal_images(r, 0) and equal_images(r, 1)


async def test_no_path_left_suspends_the_pair_on_the_next_write(autojump_clock: object) -> None:
    async with rig(conventional=True) as r, r.host(r.a) as to_a:
        await one_pair(r, to_a)
        for said in PEER_PORTS["A"]:
            r.a.running.adapters.by_said[said].scopes[f"{said:04X}/1"].cancel()
        await trio.sleep(1)
        program = orders.format_track(Cchh(0, 5), [orders.NewRecord(b"lost?")])
        result = await to_a.run_program(0, program)
        assert result.sense is not None
        assert result.sense[7:9] == b"\xfb\x03"
        assert (await to_a.run_program(0, program)).completed
        assert (await query_volume(to_a, 0)).state == 6
        await r.connect()
        assert (await order(to_a, 0, operator.establish_path())).completed
        await establish(to_a, 0, mode=RESYNC)
        await until(lambda: duplex(r, 0))
        assert equal_images(r, 0)


async def test_a_pending_pair_goes_on_when_paths_are_back(autojump_clock: object) -> None:
    async with rig(conventional=True, cylinders=12) as r, r.host(r.a) as to_a:
        assert (await order(to_a, 0, operator.establish_path())).completed
        await establish(to_a, 0)
        for said in PEER_PORTS["A"]:
            r.a.running.adapters.by_said[said].scopes[f"{said:04X}/1"].cancel()
        await trio.sleep(1)
        assert state(r, 0) is PairState.DUPLEX_PENDING
        await format_track(to_a, 0, 5, "meanwhile")
        await r.connect()
        assert (await order(to_a, 0, operator.establish_path())).completed
        await until(lambda: duplex(r, 0))
        assert equal_images(r, 0)


async def test_a_secondary_that_was_recovered_refuses(autojump_clock: object) -> None:
    """The primary hears of it with its next chain, and shows 07."""
    async with rig(conventional=True) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await one_pair(r, to_a)
        recover = orders.recover_pair(operator.A, operator.B, 0, 0).encode()
        assert (await order(to_b, 0, recover)).completed
        await format_track(to_b, 0, 1, "theirs now")
        program = orders.format_track(Cchh(0, 1), [orders.NewRecord(b"too late")])
        result = await to_a.run_program(0, program)
        assert result.sense is not None and result.sense[7] == 0xFB
        assert (await query_volume(to_a, 0)).state == 7
        image = r.b.running.store.read(0, 1)
        assert image is not None and "theirs now".encode("cp037") in image


@pytest.mark.parametrize("side", ["A", "B"])
@pytest.mark.parametrize("when", ["copying", "duplex"])
@pytest.mark.parametrize("seed", range(2))
async def test_a_crash_loses_nothing(autojump_clock: object, side: str, when: str, seed: int) -> None:
    acknowledged: dict[int, str] = {}
    async with rig(conventional=True) as r:
        site = r.a if side == "A" else r.b
        async with r.host(r.a) as to_a:
            for track in range(30):
                await format_track(to_a, 0, track, "before")
            assert (await order(to_a, 0, operator.establish_path())).completed
            await establish(to_a, 0)
            if when == "duplex":
                await until(lambda: duplex(r, 0))
            for track in Random(seed).sample(range(30), 7):
                await format_track(to_a, 0, track, f"seed {seed}")
                acknowledged[track] = f"seed {seed}"
            await site.crash(Random(seed))
            if side == "B":
                other = PEER_PORTS["A"]
                for said in other:
                    for scope in list(r.a.running.adapters.by_said[said].scopes.values()):
                        scope.cancel()
                await trio.sleep(0.5)
                program = orders.format_track(Cchh(0, 0), [orders.NewRecord(b"during")])
                await to_a.run_program(0, program)  # a duplex pair hears of the loss now
        await site.start(r.nursery)
        await trio.sleep(1)
        await r.connect()
        for track, text in acknowledged.items():
            image = r.a.running.store.read(0, track)
            assert image is not None and (text.encode("cp037") in image or (track == 0 and b"during" in image))
        async with r.host(r.a) as to_a:
            assert (await order(to_a, 0, operator.establish_path())).completed
            if state(r, 0) is not PairState.DUPLEX_PENDING and not duplex(r, 0):
                await establish(to_a, 0, mode=RESYNC)
            await until(lambda: duplex(r, 0))
            assert equal_images(r, 0)


async def test_bridges_are_refused(autojump_clock: object) -> None:
    async with rig(conventional=True) as r, r.host(r.a) as to_a:
        assert (await order(to_a, 0, operator.establish_path())).completed
        assert (await order(to_a, 0xF0, operator.define_bridge("A", 0xF0, 1))).completed
        result = await order(to_a, 0xF0, operator.establish_bridge())
        assert result.sense is not None and result.sense[7:9] == b"\x0f\x40"

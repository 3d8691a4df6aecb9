"""Consistency groups: long busy after a failed write, FREEZE and RUN, and what their hosts see."""

from __future__ import annotations

from random import Random

import pytest
import trio

from ccw.geometry import Cchh
from ccw.pprc_query import PathReport
from ccw.shared_dasd import Request
from controller.remote_copy.states import PairState
from controller.sharing import ShareServer, ShareSettings
from host_emulator import orders
from host_emulator.session import HostSession
from tests.helpers import operator
from tests.helpers.copying import RESYNC, core, duplex, equal, format_track, in_step, state, try_to_format, waits
from tests.helpers.operator import A, B, freeze, order, query_volume, run
from tests.helpers.shared import RECORD_AT, CoreClient, record_one
from tests.helpers.two_systems import rig, until

ATTENTION = 0x85


async def reason(session: HostSession, device: int, parameters: bytes) -> int:
    result = await order(session, device, parameters)
    assert result.sense is not None and result.sense[7] == 0x0F, result
    return result.sense[8]


async def path_report(session: HostSession) -> PathReport:
    result = await session.run_program(0, orders.query(orders.SCOPE_PATHS))
    return PathReport.decode(result.data)


async def test_freeze_suspends_removes_the_paths_and_holds_hosts_off_until_run(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await in_step(r, to_a, to_b, (0, 1), cgroup=True)
        await format_track(to_a, 0, 3, "in step")
        secondary = core(r.b).secondaries[0].state
        assert (await order(to_a, 0, freeze())).completed
        for volume in (0, 1):
            query = await query_volume(to_a, volume)
            assert (query.state, query.flags & 0x20, query.path_count) == (0x0A, 0x20, 0)
        report = (await path_report(to_a)).secondaries[0]
        assert report.flags & 0xE0 == 0xE0 and 110 <= report.elb_seconds <= 120
        assert {path.status for path in report.paths} == {0}
        assert core(r.b).secondaries[0].state is secondary, "the secondary is not told"
        assert waits(await try_to_format(to_a, 0, 4, "held"))
        assert waits(await to_a.run_program(1, orders.read_track(Cchh(0, 3))))
        assert (await to_a.run_program(0, orders.sense_id())).completed, "no data command"
        to_a.attentions()
        assert (await order(to_a, 0, run())).completed
        await until(lambda: (0, ATTENTION) in [(came.unit_address, came.status) for came in to_a.attentions()])
        await format_track(to_a, 0, 4, "after run")
        assert (await query_volume(to_a, 0)).state == 0x0A, "run leaves the pair suspended"
        assert r.b.running.store.read(0, 4) is None
        texts = [str(event["text"]) for event in r.events if event["box"] == "A"]
        assert any("PPRC SUSPENDED" in text and "EXTENDED LONG BUSY STATE" in text for text in texts)


async def test_resynchronisation_after_run_copies_what_changed(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await in_step(r, to_a, to_b, cgroup=True)
        assert (await order(to_a, 0, freeze())).completed
        assert await reason(to_a, 0, operator.establish_pair(0, RESYNC)) == 0x53
        assert (await order(to_a, 0, operator.establish_path())).completed
        assert await reason(to_a, 0, operator.establish_pair(0, RESYNC)) == 0x53
        assert await reason(to_a, 0xF0, operator.establish_bridge()) == 0x53
        assert (await order(to_a, 0, run())).completed
        await format_track(to_a, 0, 5, "while suspended")
        assert (await order(to_a, 0xF0, operator.establish_bridge())).completed
        assert (await order(to_a, 0, operator.establish_pair(0, RESYNC))).completed
        await until(lambda: duplex(r, 0))
        assert equal(r, 0)


async def test_the_timer_ends_the_long_busy_but_not_the_freeze(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await in_step(r, to_a, to_b, cgroup=True)
        assert (await order(to_a, 0, freeze(seconds=7))).completed
        assert waits(await try_to_format(to_a, 0, 4, "held"))
        await trio.sleep(5)
        assert waits(await try_to_format(to_a, 0, 4, "held"))
        await trio.sleep(3)
        await format_track(to_a, 0, 4, "later")
        assert (await path_report(to_a)).secondaries[0].flags & 0xE0 == 0xC0
        assert (await order(to_a, 0, run())).completed
        assert await reason(to_a, 0, run()) == 0x54


async def test_without_cgroup_there_is_no_long_busy(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await in_step(r, to_a, to_b, cgroup=False)
        assert (await order(to_a, 0, freeze())).completed
        assert (await query_volume(to_a, 0)).state == 0x0A
        await format_track(to_a, 0, 4, "goes on")


async def test_a_freeze_of_no_primaries_does_nothing(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        assert (await order(to_a, 0, freeze())).completed
        assert await reason(to_a, 0, run()) == 0x54
        await in_step(r, to_a, to_b, cgroup=True)
        assert (await order(to_b, 0, orders.consistency_group(B, A).encode())).completed
        assert duplex(r, 0)
        assert await reason(to_b, 0, freeze()) == 0x48
        bad = bytearray(freeze())
        bad[11] = 1
        assert await reason(to_a, 0, bytes(bad)) == 0x44
        result = await order(to_a, 0, freeze(601))
        assert result.sense is not None and (result.sense[7], result.sense[9]) == (4, 40)


async def test_a_pending_pair_is_frozen_and_a_suspended_one_keeps_its_code(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await in_step(r, to_a, to_b, cgroup=True)
        assert (await order(to_a, 0, operator.suspend_pair(0))).completed
        for volume in (1, 2):
            assert (await order(to_a, volume, operator.establish_pair(volume))).completed
        assert core(r.a).primaries[2].state is PairState.DUPLEX_PENDING
        assert (await order(to_a, 0, freeze())).completed
        assert [core(r.a).primaries[volume].state for volume in (0, 1, 2)] == [3, 0x0A, 0x0A]
        assert not core(r.a).queue.pairs()


async def test_a_failing_write_begins_the_long_busy_of_its_pair(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a:
        async with r.host(r.b) as to_b:
            await in_step(r, to_a, to_b, (0, 1), cgroup=True)
        await r.b.crash(Random(1))
        failed = await try_to_format(to_a, 0, 4, "not at the secondary")
        assert failed.sense is not None and failed.sense[7] == 0xFB
        assert (await query_volume(to_a, 0)).flags & 0x20
        assert waits(await try_to_format(to_a, 0, 4, "again"))
        assert not (await query_volume(to_a, 1)).flags & 0x20, "the other pair has had no failure"
        await trio.sleep(121)
        await format_track(to_a, 0, 4, "again")
        assert (await query_volume(to_a, 0)).state == 6


@pytest.mark.parametrize("seed", range(6))
async def test_a_freeze_survives_a_crash_of_the_primary(seed: int, autojump_clock: object) -> None:
    """The order has ended: whatever the disk loses afterwards, hosts still wait, the pair is 0A and run is needed."""
    async with rig() as r:
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            await in_step(r, to_a, to_b, cgroup=True)
            assert (await order(to_a, 0, freeze(seconds=300))).completed
        await r.a.crash(Random(seed))
        await r.a.start(r.nursery)
        async with r.host(r.a) as again:
            assert waits(await try_to_format(again, 0, 4, "held"))
            assert (await query_volume(again, 0)).state == 0x0A
            assert (await order(again, 0, run())).completed
            await format_track(again, 0, 4, "goes on")


@pytest.mark.parametrize("cgroup", [True, False])
async def test_a_copy_whose_end_is_lost_in_a_crash_of_the_primary(cgroup: bool, autojump_clock: object) -> None:
    """Its secondary is in step with the group by then. Were it copied to while other pairs are suspended, it would have
    writes that depend on others which are not there: only a command takes it up. Without a group it goes on."""
    async with rig() as r:
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            await in_step(r, to_a, to_b, (0, 1), cgroup=cgroup)
            pair = core(r.a).primaries[1]
            pair.state = PairState.DUPLEX_PENDING  # what the disk has: the record of duplex never reaches it
            core(r.a).store(pair)
            pair.state = PairState.DUPLEX
            await format_track(to_a, 0, 4, "durable, and so is what came before")
        await r.a.crash(Random(1))
        await r.a.start(r.nursery)
        assert state(r, 1) is PairState.DUPLEX_PENDING
        await r.connect()
        if cgroup:
            await until(lambda: state(r, 1) is PairState.SUSPENDED_INTERNAL)
            assert state(r, 0) is PairState.SUSPENDED_POWER
            async with r.host(r.a) as again:
                for volume in (0, 1):
                    assert (await order(again, volume, operator.establish_pair(volume, RESYNC))).completed
        await until(lambda: duplex(r, 0) and duplex(r, 1))
        assert equal(r, 1)


async def test_a_shared_device_waits_without_an_error(autojump_clock: object) -> None:
    """A start waits, and the end of a write that the secondary lacks is not answered, while the long busy lasts."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await in_step(r, to_a, to_b, cgroup=True)
        server = ShareServer(r.a.running.subsystem, ShareSettings({0x0120: 0}))
        one, two = (CoreClient(server, 0x0120, peer).connect() for peer in ("127.0.0.1", "127.0.0.2"))
        one.good(Request.START)
        one.write(4, RECORD_AT, record_one(4, b"began before"))
        assert (await order(to_a, 2, freeze())).completed
        assert one.ask(Request.END) is None
        assert two.ask(Request.START) is None
        await trio.sleep(30)
        before = len(one.replies), len(two.replies)
        assert (await order(to_a, 2, run())).completed
        await until(lambda: (len(one.replies), len(two.replies)) == (before[0] + 1, before[1] + 1))
        assert b"began before" in two.read(4)
        assert all(not reply.code & 0xC0 for reply in (one.replies[-1], two.replies[-1]))

"""What a restart of either box must find out again, and what must not get lost before it does."""

from __future__ import annotations

from random import Random

import pytest
import trio

from controller.remote_copy import bridge_receiver, pair_acts, queries
from controller.remote_copy.states import PairState
from tests.helpers import operator
from tests.helpers.copying import COPY, RESYNC, core, duplex, duplex_pair, equal, format_track
from tests.helpers.operator import order, set_up_bridge
from tests.helpers.two_systems import BY_COMMAND, rig, until


@pytest.mark.parametrize(("crash_of_b", "bitmap_tracks_max"), [(False, 1_000), (True, 1_000), (False, 149)])
async def test_what_b_holds_beyond_a_is_found_after_other_volumes_were_copied(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch, crash_of_b: bool, bitmap_tracks_max: int
) -> None:
    """A lost a write that B has. The bridge carries much of another pair before this one is resynchronised. Where the
    150 tracks of a volume are too many for a bitmap, B refuses to tell and A copies them all."""
    monkeypatch.setattr(bridge_receiver, "MARK_EVERY_RECORDS", 1)
    monkeypatch.setattr(queries, "BITMAP_TRACKS_MAX", bitmap_tracks_max)
    monkeypatch.setattr(pair_acts, "BITMAP_TRACKS_MAX", bitmap_tracks_max)
    async with rig(cylinders=10, copy=BY_COMMAND) as r:
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            await format_track(to_a, 0, 5, "both have it")
            await duplex_pair(r, to_a, to_b, 0, 1)
            await trio.sleep(0.1)  # the states are durable
        await r.a.crash(Random(1))
        lost = r.b.running.store.read(0, 5)
        assert lost is not None
        r.b.running.store.write(0, 5, lost.replace("both".encode("cp037"), "only".encode("cp037")))
        r.b.running.store.sync()
        if crash_of_b:
            await r.b.crash(Random(2))
            await r.b.start(r.nursery)
        await r.a.start(r.nursery)
        await r.connect()
        async with r.host(r.a) as to_a:
            assert (await order(to_a, 0, operator.establish_path())).completed
            assert (await order(to_a, 0xF0, operator.establish_bridge())).completed
            assert (await order(to_a, 1, operator.establish_pair(1, mode=COPY))).completed
            await until(lambda: duplex(r, 1))
            assert core(r.a).primaries[0].state is PairState.SUSPENDED_POWER
            await trio.sleep(0.1)
            assert (await order(to_a, 0, operator.establish_pair(0, mode=RESYNC))).completed
            await until(lambda: duplex(r, 0))
            assert equal(r, 0)


async def test_a_bridge_that_brought_little_has_a_mark_too(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is uncertain behind one bridge is not hidden by the mark of a busier one."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        at_b = core(r.b)
        assert set(at_b.marks) == {1}
        at_b.mark(2, at_b.around.array.appended + 1000)
        assert min(at_b.marks.values()) == at_b.marks[1]

"""`auto_establish`: a host's write to a configured pair begins link, queueing and copying (claims 9, 12, 13)."""

from __future__ import annotations

from random import Random

import trio

from controller.remote_copy.states import PairState
from tests.helpers import operator
from tests.helpers.copying import configured, core, duplex, equal, format_track
from tests.helpers.operator import order
from tests.helpers.two_systems import rig, until


async def test_a_write_begins_link_queueing_and_copying(autojump_clock: object) -> None:
    async with rig(copy=configured()) as r, r.host(r.a) as to_a:
        assert not list(core(r.a).paths)
        await format_track(to_a, 0, 3, "first")
        await until(lambda: duplex(r, 0))
        assert equal(r, 0)
        steps = [step for name, step in r.steps() if name == "A" and step != 600]
        assert steps[:2] == [602, 604]
        assert steps.index(614) < steps.index(700) < steps.index(702) < steps.index(704) < steps.index(706)
        assert 1 not in core(r.a).primaries  # nobody has written to it
        await format_track(to_a, 1, 3, "second")
        await until(lambda: duplex(r, 1))
        assert steps.count(602) == 1


async def test_a_write_to_a_volume_that_is_not_configured_begins_nothing(autojump_clock: object) -> None:
    async with rig(copy=configured()) as r, r.host(r.a) as to_a:
        await format_track(to_a, 3, 3, "alone")
        await trio.sleep(100)
        assert not core(r.a).primaries
        assert not list(core(r.a).paths)


async def test_without_the_setting_a_write_begins_nothing(autojump_clock: object) -> None:
    async with rig(copy=configured(auto=False)) as r, r.host(r.a) as to_a:
        await format_track(to_a, 0, 3, "alone")
        await trio.sleep(100)
        assert not core(r.a).primaries


async def test_the_links_may_come_later(autojump_clock: object) -> None:
    """B is down when the host writes; the write ends well, and the mirroring begins when B is there."""
    async with rig(copy=configured()) as r:
        await r.b.crash(Random(1))
        async with r.host(r.a) as to_a:
            await format_track(to_a, 0, 3, "early")
            await trio.sleep(100)
            assert not duplex(r, 0)
            await r.b.start(r.nursery)
            await r.connect()
            await until(lambda: duplex(r, 0), 100)
            assert equal(r, 0)


async def test_a_pair_that_a_command_has_deleted_is_left_alone(autojump_clock: object) -> None:
    async with rig(copy=configured()) as r:
        async with r.host(r.a) as to_a:
            await format_track(to_a, 0, 3, "first")
            await until(lambda: duplex(r, 0))
            assert (await order(to_a, 0, operator.delete_pair(0))).completed
            await format_track(to_a, 0, 3, "second")
            await trio.sleep(100)
            assert 0 not in core(r.a).primaries
            await trio.sleep(0.1)
        await r.a.crash(Random(1))
        await r.a.start(r.nursery)
        await r.connect()
        async with r.host(r.a) as to_a:
            await format_track(to_a, 0, 3, "third")
            await trio.sleep(100)
            assert 0 not in core(r.a).primaries
            assert (await order(to_a, 0, operator.establish_pair(0))).completed
            await until(lambda: duplex(r, 0))


async def test_a_crash_in_the_middle_is_made_good_by_the_next_write(autojump_clock: object) -> None:
    async with rig(copy=configured()) as r:
        async with r.host(r.a) as to_a:
            await format_track(to_a, 0, 3, "first")
        await r.a.crash(Random(1))
        await r.a.start(r.nursery)
        await r.connect()
        async with r.host(r.a) as to_a:
            await format_track(to_a, 0, 4, "second")
            await until(lambda: duplex(r, 0))
        assert core(r.a).primaries[0].state is PairState.DUPLEX
        assert equal(r, 0)

"""The array takes nothing more, or a link is replaced while the old one lingers: the box lives on, claiming nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
import trio.testing

from ccw import pprc
from ccw.tracks import null_track
from controller.array import FencedError
from controller.commands.outcome import Command, Outcome, TrackWrite
from controller.remote_copy import orders
from controller.remote_copy.ports import ArrayFault
from controller.remote_copy.states import PairState, PathStatus
from tests.helpers import operator
from tests.helpers.copying import core, duplex, duplex_pair, format_track
from tests.helpers.operator import order, query_volume
from tests.helpers.two_systems import HEADS, PEER_PORTS, Rig, join, rig, until


def take_nothing_more(r: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> int:
        raise FencedError

    for name in ("put", "write", "write_stored", "move", "snapshot", "release_space"):
        monkeypatch.setattr(r.a.running.store, name, refuse)


async def test_a_fenced_box_survives_the_loss_of_its_links(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads go on, queries are answered; pairs are suspended though that cannot be written down."""
    streams: list[trio.abc.Stream] = []

    def join_and_keep(name: str) -> tuple[trio.abc.Stream, trio.abc.Stream]:
        pair = join(name)
        if name.startswith("peer"):
            streams.append(pair[0])
        return pair

    async with rig(join_and_keep) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        assert (await order(to_a, 1, operator.establish_pair(1))).completed
        take_nothing_more(r, monkeypatch)
        for stream in streams:
            await stream.aclose()
        await trio.sleep(30)
        assert (await query_volume(to_a, 0)).state == PairState.DUPLEX
        assert (await query_volume(to_a, 1)).state in (PairState.DUPLEX_PENDING, PairState.SUSPENDED_INTERNAL)


async def test_an_order_meets_a_fenced_array_after_an_exchange(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        await trio.sleep(0.1)
        take_nothing_more(r, monkeypatch)
        result = await order(to_a, 0, operator.delete_pair(0))
        assert not result.completed
        assert result.sense is not None
        assert result.sense[0] == 0x10
        assert (await query_volume(to_a, 1)).state == PairState.SIMPLEX


async def test_tracks_appended_before_the_array_refused_are_out_of_sync(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        assert (await order(to_a, 0, operator.suspend_pair(0))).completed
        subsystem, array = r.a.running.subsystem, r.a.running.array
        write = array.write

        def refuse_the_second(volume: int, track: int, image: bytes) -> int:
            if track == 5:
                raise ArrayFault("full")
            return write(volume, track, image)

        monkeypatch.setattr(array, "write", refuse_the_second)
        writes = tuple(TrackWrite(0, track, null_track(*divmod(track, HEADS))) for track in (4, 5, 6))
        device = subsystem.devices[0]
        path = next(iter(r.a.running.adapters.host_paths()))
        with pytest.raises(ArrayFault):
            subsystem.writes.complete(device, path, Command(0x95, 0, 0), Outcome(0x0C, writes=writes), lambda _: None)
        assert list(core(r.a).primaries[0].out_of_sync.search(1)) == [4]
        subsystem.writes.store(writes)  # nobody waits for these; a link that is going down must not raise
        assert list(core(r.a).primaries[0].out_of_sync.search(1)) == [4]


async def test_a_new_connection_ends_the_link_it_replaces(autojump_clock: object) -> None:
    """The other box came back before its old connection was seen to be dead: no path outlives its link."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        said = PEER_PORTS["A"][0]
        adapters = r.a.running.adapters
        old = adapters.by_said[said].link
        left, right = trio.testing.memory_stream_pair()

        async def serve() -> None:
            await adapters.serve_stream(said, left, opened=True)

        r.a.links.start_soon(serve)
        await trio.sleep(0.1)
        assert adapters.by_said[said].link is not old
        entry = next(e for paths in core(r.a).paths for e in paths.entries if e.said == said)
        assert entry.status is PathStatus.LINK_OFFLINE
        assert core(r.a).sending[1].worker.sender is None
        assert core(r.b).receiving == {}
        await right.aclose()


async def test_an_order_that_comes_again_ends_as_it_did(autojump_clock: object) -> None:
    """Its status was lost on the link: the peer must not take a refusal, or what is not done yet, for done."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        pair, at_b = core(r.a).primaries[0], r.b.running.subsystem.remote_copy
        ends: list[int] = []
        for number, pair_id, expected in ((1000, pair.pair_id + 1, [0x0E, 0x0E]), (1001, pair.pair_id, [0x0C, 0x0C])):
            update = orders.update_pair(pair, PairState.DUPLEX, 0, 2, 0x3390)
            update = replace(update, pair_id=pair_id, header=replace(update.header, request_sequence=number))
            for _ in range(2):
                at_b.order(0, update.encode(), core(r.a).own, 0x20, lambda outcome: ends.append(outcome.status))
            durable = len(ends)
            await trio.sleep(0.1)
            assert ends == expected
            assert durable == (2 if expected[0] == 0x0E else 0)
            ends.clear()


async def test_a_pair_that_starts_over_may_have_another_size(autojump_clock: object) -> None:
    """Its primary has become smaller: the marks of the tracks that are left stay, and nothing breaks."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        pair, at_b = core(r.a).primaries[0], r.b.running.subsystem.remote_copy
        core(r.b).secondaries[0].mark([3, 20])
        update = orders.update_pair(pair, PairState.DUPLEX_PENDING, 0, 1, 0x3390)
        update = replace(update, pair_id=pair.pair_id + 1, header=replace(update.header, request_sequence=1000))
        ends: list[int] = []
        at_b.order(0, update.encode(), core(r.a).own, 0x20, lambda outcome: ends.append(outcome.status))
        await trio.sleep(0.1)
        assert ends == [0x0C]
        secondary = core(r.b).secondaries[0]
        assert (secondary.pair_id, secondary.tracks) == (pair.pair_id + 1, HEADS)
        assert list(secondary.dirty.search(1)) == [3]


async def test_a_write_prefix_answers_for_no_other_order(autojump_clock: object) -> None:
    """DA has an update sequence of its own: refused under the number of a D7 that is not done, it ends that one not."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        pair, at_b = core(r.a).primaries[0], r.b.running.subsystem.remote_copy
        update = orders.update_pair(pair, PairState.DUPLEX, 0, 2, 0x3390)
        update = replace(update, header=replace(update.header, request_sequence=1000))
        head = orders.header(pprc.Order.REMOTE_WRITE_PREFIX, 64, pair.primary, pair.secondary)
        prefix = pprc.RemoteWritePrefix(replace(head, request_sequence=1000), pair.pair_id + 1, 1, 0, 1)
        ends: list[tuple[str, int]] = []
        for name, sent in (("update", update), ("prefix", prefix), ("update again", update)):
            at_b.order(0, sent.encode(), core(r.a).own, 0x20, lambda end, name=name: ends.append((name, end.status)))
        assert ends == [("prefix", 0x0E)]
        await trio.sleep(0.1)
        assert sorted(ends) == [("prefix", 0x0E), ("update", 0x0C), ("update again", 0x0C)]


async def test_links_that_come_and_go_leave_nothing_behind(autojump_clock: object) -> None:
    async with rig() as r:
        adapters = r.a.running.adapters
        before = len(adapters._said_of)
        for _ in range(20):
            left, right = trio.testing.memory_stream_pair()
            await right.aclose()
            await adapters.serve_stream(0x0001, left, opened=False)
        assert len(adapters._said_of) == before


async def test_the_rig_of_these_tests_works(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await duplex_pair(r, to_a, to_b, 0)
        await format_track(to_a, 0, 3, "mirrored")
        await until(lambda: duplex(r, 0))

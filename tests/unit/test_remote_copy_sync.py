"""FIG. 7 in operation: queue, select, snap, transfer, redirect; hosts writing meanwhile; resync, delete, restart."""

from __future__ import annotations

from random import Random

import pytest
import trio

from ccw.geometry import Cchh
from host_emulator import orders
from tests.helpers import operator
from tests.helpers.copying import RESYNC, core, duplex, equal, format_track
from tests.helpers.operator import order, query_volume, set_up_bridge
from tests.helpers.two_systems import BY_COMMAND, PEER_PORTS, rig, until


async def test_claims_1_2_3_queue_select_snap_remove(autojump_clock: object) -> None:
    """Volumes are copied one after the other over one bridge; each leaves the queue when it is snapped."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        for volume in (0, 1, 2):
            for track in (0, 7, 29):
                await format_track(to_a, volume, track, f"volume {volume} track {track}")
        await set_up_bridge(to_a, to_b)
        for volume in (0, 1, 2):
            assert (await order(to_a, volume, operator.establish_pair(volume))).completed
        await until(lambda: all(duplex(r, volume) for volume in (0, 1, 2)))
        assert all(equal(r, volume) for volume in (0, 1, 2))
        steps = [
            (step, str(event.get("volume")))
            for event in r.events
            if event["box"] == "A" and (step := event["step"]) in (700, 702, 704, 706)
        ]
        for volume in ("00", "01", "02"):
            assert [step for step, name in steps if name == volume] == [700, 702, 704, 706]
        selected = [name for step, name in steps if step == 702]
        assert selected == ["00", "01", "02"]
        finished = [event["t"] for event in r.events if event.get("state") == "DUPLEX" and event["box"] == "A"]
        starts = [event["t"] for event in r.events if event["step"] == 702]
        assert all(done <= start for done, start in zip(finished, starts[1:], strict=False))
        queued = next(e for e in r.events if e["step"] == 704 and e["volume"] == "00")
        assert queued["queued"] in (0, 1, 2)
        assert {event["volume"] for event in r.events if event["step"] == 708} == {"00", "01", "02"}


async def test_hosts_write_while_the_volume_is_copied(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.a) as io, r.host(r.b) as to_b:
        for track in range(30):
            await format_track(io, 0, track, "before")
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        round_number = 0
        while not duplex(r, 0):
            for track in (0, 15, 29):
                await format_track(io, 0, track, f"round {round_number}")
            round_number += 1
        assert round_number > 0
        await until(lambda: duplex(r, 0))
        assert equal(r, 0)


async def test_a_duplex_write_ends_only_when_both_have_it(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        for number in range(10):
            await format_track(to_a, 0, number, f"number {number}")
            store = r.b.running.store
            image = store.read(0, number)
            assert image is not None and f"number {number}".encode("cp037") in image
            assert store.durable >= store.sequence_of(0, number) > 0


async def test_suspend_then_resync_copies_only_what_changed(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        assert (await order(to_a, 0, operator.suspend_pair(0))).completed
        assert (await query_volume(to_a, 0)).state == 3
        assert (await query_volume(to_b, 0)).state == 5
        for track in (3, 4, 20):
            await format_track(to_a, 0, track, "after the suspension")
        query = await query_volume(to_a, 0)
        assert (query.out_of_sync_tracks, query.first_cylinder, query.last_cylinder) == (3, 0, 1)
        copied = core(r.a).sending[1].worker.tracks_copied
        assert (await order(to_a, 0, operator.establish_pair(0, mode=RESYNC))).completed
        await until(lambda: duplex(r, 0))
        assert core(r.a).sending[1].worker.tracks_copied - copied == 3
        assert equal(r, 0)


async def test_an_attention_is_never_taken_for_the_device_end_of_the_next_order(autojump_clock: object) -> None:
    """Suspend, resync, suspend ... without a pause: each order ends with its own status."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        for _ in range(3):
            for parameters in (operator.suspend_pair(0), operator.establish_pair(0, mode=RESYNC, flags=0x20)):
                result = await order(to_a, 0, parameters)
                assert result.unit_status == 0x0C, result
            assert duplex(r, 0)


async def test_delete_frees_both_sides(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        assert (await order(to_a, 0, operator.delete_pair(0))).completed
        assert (await query_volume(to_a, 0)).role == (await query_volume(to_b, 0)).role == 0
        await format_track(to_b, 0, 1, "free again")


async def test_message_required_ends_when_duplex(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0, flags=0x20))).completed
        assert duplex(r, 0)


async def test_linux_extended_query_at_both_ends(autojump_clock: object) -> None:
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        for session, flags in ((to_a, 0x00), (to_b, 0x80)):
            data = (await session.run_program(0, orders.query(4, 648))).data
            assert len(data) == 648
            assert data[:4] == b"\x01\x00\x00\x80"
            assert data[8:16] == bytes([2, flags, 0, 0, 0, 0, 0, 0])
            assert (data[8 + 22 : 8 + 24], data[8 + 36 : 8 + 38]) == (b"\x01\x00", b"\x02\x00")


async def test_cut_paths_suspend_on_the_next_write(autojump_clock: object) -> None:
    """The write that meets the dead bridge gets format F message B, once; the next is recorded."""
    async with rig() as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        await set_up_bridge(to_a, to_b)
        assert (await order(to_a, 0, operator.establish_pair(0))).completed
        await until(lambda: duplex(r, 0))
        r.a.running.subsystem.link_lost(PEER_PORTS["A"][0])
        program = orders.format_track(Cchh(0, 5), [orders.NewRecord(b"lost?")])
        result = await to_a.run_program(0, program)
        assert result.sense is not None
        assert result.sense[:3] == b"\x00\x00\x10"
        assert result.sense[7:9] == b"\xfb\x03"
        assert (await to_a.run_program(0, program)).completed
        assert (await query_volume(to_a, 0)).state == 6
        assert (await query_volume(to_a, 0)).out_of_sync_tracks == 1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("when", ["copying", "duplex"])
async def test_primary_crashes_and_resynchronises_from_its_bitmap(autojump_clock: object, when: str, seed: int) -> None:
    acknowledged: dict[int, str] = {}
    async with rig(copy=BY_COMMAND) as r:
        async with r.host(r.a) as to_a, r.host(r.b) as to_b:
            for track in range(30):
                await format_track(to_a, 0, track, "before")
            await set_up_bridge(to_a, to_b)
            assert (await order(to_a, 0, operator.establish_pair(0))).completed
            if when == "duplex":
                await until(lambda: duplex(r, 0))
            for track in Random(seed).sample(range(30), 7):
                await format_track(to_a, 0, track, f"seed {seed}")
                acknowledged[track] = f"seed {seed}"
            await r.a.crash(Random(seed))
        await r.a.start(r.nursery)
        await trio.sleep(1)
        await r.connect()
        for track, text in acknowledged.items():
            image = r.a.running.store.read(0, track)
            assert image is not None and text.encode("cp037") in image
        async with r.host(r.a) as to_a:
            query = await query_volume(to_a, 0)
            assert query.state == (1 if when == "copying" else 9)
            assert 0 < query.out_of_sync_tracks <= 30
            assert (await order(to_a, 0, operator.establish_path())).completed
            assert (await order(to_a, 0xF0, operator.establish_bridge())).completed
            if when == "duplex":
                assert (await order(to_a, 0, operator.establish_pair(0, mode=RESYNC))).completed
            await until(lambda: duplex(r, 0))
            assert equal(r, 0)

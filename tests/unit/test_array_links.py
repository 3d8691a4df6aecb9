"""The array behind a whole box: what a host and the operator hear when it has no room."""

from __future__ import annotations

from random import Random

import pytest
import trio

from ccw.geometry import Cchh
from host_emulator import orders
from tests.helpers.two_systems import HEADS, rig

TRACK_BYTES = 40_000


async def test_a_full_array_asks_for_intervention_and_goes_on_when_it_has_room(autojump_clock: object) -> None:
    """Refused writes are not acknowledged, what was is read, the operator is told once each way, nothing is fenced."""
    async with rig() as r, r.host(r.a) as host:
        medium = r.a.medium
        medium.capacity_bytes = sum(medium.segments().values()) + (5 << 18)
        refused = 0
        written: list[tuple[int, int]] = []
        for turn in range(4):
            for track in range(2 * HEADS):
                data = Random(f"{turn}/{track}").randbytes(TRACK_BYTES)
                program = orders.format_track(Cchh(*divmod(track, HEADS)), [orders.NewRecord(data)])
                result = await host.run_program(0, program)
                if result.completed:
                    assert not refused
                    written.append((turn, track))
                else:
                    refused += 1
                    assert result.sense is not None
                    assert (result.sense[0], result.sense[7]) == (0x40, 0x19)
        assert refused > 10
        assert written
        newest = {track: turn for turn, track in written}
        for track, turn in newest.items():
            image = r.a.running.store.read(0, track)
            assert image is not None
            assert Random(f"{turn}/{track}").randbytes(TRACK_BYTES) in image
        told = [event["text"] for event in r.events if "full" in str(event["text"]) or "again" in str(event["text"])]
        assert told == ["the array is full: writes are refused, reads go on"]
        assert not r.a.running.store.fenced
        medium.capacity_bytes = None
        program = orders.format_track(Cchh(0, 0), [orders.NewRecord(b"room")])
        assert (await host.run_program(0, program)).completed
        assert r.events[-1]["text"] == "the array takes writes again"


async def test_a_write_waits_for_room_that_collection_finds(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Collection has fallen behind, and there is no room though most of the array is not in use any more."""
    async with rig() as r, r.host(r.a) as host:
        store, medium = r.a.running.store, r.a.medium
        medium.capacity_bytes = sum(medium.segments().values()) + (9 << 18)
        with monkeypatch.context() as patch:
            patch.setattr(store, "housekeep", lambda limit: 0)
            turn = 0
            ended: list[bool] = []

            async def write(track: int) -> None:
                data = Random(turn).randbytes(TRACK_BYTES)
                program = orders.format_track(Cchh(*divmod(track, HEADS)), [orders.NewRecord(data)])
                ended.append((await host.run_program(0, program)).completed)

            async with trio.open_nursery() as nursery:
                while len(ended) == turn:
                    turn += 1
                    assert turn < 200
                    nursery.start_soon(write, turn % 4)
                    await trio.sleep(1)
                assert all(ended)
                assert store.short_of_room
                patch.undo()
        assert ended == [True] * turn
        for track in range(turn - 3, turn + 1):
            image = store.read(0, track % 4)
            assert image is not None
            assert Random(track).randbytes(TRACK_BYTES) in image
        assert not [event for event in r.events if "full" in str(event["text"])]


async def test_a_write_whose_chain_is_over_before_there_is_room_is_dropped(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host's link is lost while its write waits; what another host writes to the track afterwards stays."""
    async with rig() as r:
        store, medium = r.a.running.store, r.a.medium
        medium.capacity_bytes = sum(medium.segments().values()) + (9 << 18)
        turn = 0
        with monkeypatch.context() as patch:
            patch.setattr(store, "housekeep", lambda limit: 0)
            async with r.host(r.a) as host:
                with trio.CancelScope() as scope:
                    while True:
                        turn += 1
                        assert turn < 200
                        data = Random(turn).randbytes(TRACK_BYTES)
                        scope.deadline = trio.current_time() + 1
                        await host.run_program(0, orders.format_track(Cchh(0, 0), [orders.NewRecord(data)]))
                assert scope.cancelled_caught
        async with r.host(r.a) as host:
            program = orders.format_track(Cchh(0, 0), [orders.NewRecord(b"written by another host" * 100)])
            assert (await host.run_program(0, program)).completed
            await trio.sleep(20)
        image = store.read(0, 0)
        assert image is not None
        assert b"written by another host" in image
        assert Random(turn).randbytes(TRACK_BYTES) not in image

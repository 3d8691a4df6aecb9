"""The array behind a whole box: what a host and the operator hear when it has no room."""

from __future__ import annotations

from random import Random

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

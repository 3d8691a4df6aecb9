"""What `trackbridge top` shows: real systems in memory, looked at twice; and what a person sees of many pairs."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from host_emulator.words.desk import Desk
from tests.helpers.copying import duplex
from tests.helpers.two_systems import rig, until
from tests.helpers.words import PATHS, TO_B, say, set_up_bridge_by_words
from tools.top import look
from tools.top_view import PAIRS_SHOWN, Sample, panel


def shown(sample: Sample | None, before: Sample | None = None, problem: str = "") -> str:
    console = Console(width=140, color_system=None, force_terminal=False, record=True)
    with console.capture() as capture:
        console.print(panel("tcp://a:1", sample, before, problem))
    return capture.get()


async def test_two_looks_tell_the_rate(autojump_clock: object) -> None:
    async with rig(cylinders=40) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
        assert "no pairs; 0 tracks to copy" in shown(await look(Desk(to_a)))
        await say(to_a, f"mkpprcpath {TO_B} {PATHS}")
        await say(to_a, "mkpprc 00:00 01:01")
        before = await look(Desk(to_a))
        assert "2 copy pending; 1,200 tracks to copy; 0 tracks/s; 2 waiting" in shown(before)
        assert "waiting for a bridge: none is defined" in shown(before) and "paths: 4 of 4 work" in shown(before)
        await set_up_bridge_by_words(to_a, to_b)
        await until(lambda: duplex(r, 0) and duplex(r, 1))
        now = await look(Desk(to_a))
        rates = now.rates(before)
        assert set(rates) == {row["pair"] for row in now.pairs} and all(rate > 0 for rate in rates.values())
        assert "2 full duplex; 0 tracks to copy" in shown(now, before)
        plain = now.plain(before)
        assert plain["system"] == "0100:00:000000012345" and plain["pairs"][0]["tracks_per_s"] > 0
        await say(to_a, "freezepprc")
        frozen = shown(await look(Desk(to_a)))
        assert "paths: 0 of 4 work; frozen; 0010 Failed (no path)" in frozen and "2 suspended" in frozen


def row(pair: int, to_copy: int, position: int = 0) -> dict[str, Any]:
    why = {"code": "waiting-turn", "text": "queued at position 1; and so on", "remedy": ""} if to_copy else None
    return {"pair": pair, "id": f"{pair:04X}", "state_name": "Copy Pending" if to_copy else "Full Duplex",
            "percent_in_sync": 0 if to_copy else 100, "out_of_sync_tracks": to_copy, "queue_position": position,
            "why": why}  # fmt: skip


def sample(seconds: float, pairs: list[dict[str, Any]], queue: tuple[int, ...] = ()) -> Sample:
    bridges = [{"bridge": 1, "state": "copying", "pair": 1, "source": "0001", "target": "0001", "tracks_left": 5,
                "next_sequence": 1, "acknowledged_sequence": 0}]  # fmt: skip
    return Sample(seconds, "2026-01-01T10:11:12.000+00:00", "0100:00:1", pairs, bridges, queue, [])


def test_many_pairs() -> None:
    """What is behind comes first, in the order of the queue; a long list is cut, and says so."""
    pairs = [row(pair, 0) for pair in range(1, PAIRS_SHOWN + 1)] + [row(900, 100, 2), row(901, 3600, 1)]
    queue = tuple(range(900, 940))
    text = shown(sample(10, pairs, queue), sample(8, [row(901, 3700)]))
    lines = [line for line in text.splitlines() if "queued," in line]
    assert ["0385" in lines[0], "0384" in lines[1]] == [True, True]
    assert "50" in lines[0] and "0:01:12" in lines[0], "3,600 tracks at 50 a second"
    assert "and 2 more" in text and "queue, next first: 0384, 0385" in text and "and 28 more" in text
    assert "10:11:12" in text


def test_a_look_back_that_tells_nothing() -> None:
    now = sample(10, [row(1, 100)])
    assert now.rates(None) == now.rates(sample(10, [row(1, 200)])) == now.rates(sample(9, [row(2, 200)])) == {}
    assert now.rates(sample(8, [row(1, 50)])) == {1: -25.0}, "hosts write faster than it is copied"
    assert "0 tracks/s" in shown(now, sample(8, [row(1, 50)]))


@pytest.mark.parametrize("problem", ["connecting", "Connection refused"])
def test_a_system_that_is_not_there(problem: str) -> None:
    assert problem in shown(None, None, problem)

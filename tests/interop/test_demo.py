"""The demonstration itself, as `make demo` runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

STEPS = {600, 602, 604, 606, 608, 610, 612, 614, 700, 702, 704, 706, 708}


def test_demo(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    command = [sys.executable, "-m", "tools", "demo", "--json", "--keep", str(kept)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert figures["programs_replayed"] == 266
    assert figures["differences"] == figures["tracks_different"] == figures["trace_tracks_different"] == 0
    assert figures["pairs_duplex"] == 4
    assert figures["tracks_compared"] == 750 + 3 * 300
    assert figures["tracks_copied"] >= figures["tracks_compared"]
    assert figures["updates_in_duplex"] == 120
    assert figures["bytes_raw"] > figures["bytes_wire"] > 0
    steps = set()
    for site in "AB":
        for line in (kept / f"store-{site}" / "events.jsonl").read_text().splitlines():
            steps.add(json.loads(line).get("step"))
    assert steps >= STEPS
    assert (kept / "A.toml").exists() and (kept / "store-B" / "segment-00000001").exists()

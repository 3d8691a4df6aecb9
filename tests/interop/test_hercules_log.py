"""A log that Hercules wrote, of a small program of ours that boots and writes: it replays with nothing left over."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from ccw.geometry import geometry_for
from ccw.plain_images import plain_header
from ccw.tracks import null_track
from tests.helpers.patience import PATIENCE_S
from tools.cli import main
from tools.guest import Task, boot_track, writer_program
from tools.hercules import PRINTER, PROGRAM, Hercules

pytestmark = pytest.mark.skipif(shutil.which(PROGRAM) is None, reason=f"{PROGRAM} is not installed")
DEVICE, RECORDS = 0x120, 8
GEOMETRY = geometry_for("3390", 5)


def volume(path: Path) -> None:
    """A volume that boots the writer and is empty otherwise."""
    task = Task(DEVICE, PRINTER, first_track=15, tracks=RECORDS, count=RECORDS, heads=GEOMETRY.heads)
    header = plain_header(GEOMETRY.heads, GEOMETRY.track_size, GEOMETRY.device_type)
    tracks = [null_track(*divmod(track, GEOMETRY.heads)) for track in range(GEOMETRY.tracks)]
    tracks[0] = boot_track(writer_program(task))
    path.write_bytes(header + b"".join(track.ljust(GEOMETRY.track_size, b"\0") for track in tracks))


def test_a_log_of_the_real_thing(tmp_path: Path) -> None:
    volume(tmp_path / "before.ckd")
    shutil.copy(tmp_path / "before.ckd", tmp_path / "disk.ckd")
    commands = [f"t+{DEVICE:04X}", f"ipl {DEVICE:04X}"]
    with Hercules(tmp_path, [f"{DEVICE:04X} 3390 disk.ckd"], commands) as guest:
        guest.wait_state(PATIENCE_S)
        log = guest.log
    (tmp_path / "hercules.log").write_text("\n".join(log), "latin-1")
    device = f"{DEVICE:04X}=3390:5:{tmp_path / 'before.ckd'}"
    result = CliRunner().invoke(main, ["replay", str(tmp_path / "hercules.log"), "--device", device, "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert (figures["differences"], figures["explained"]) == (0, 0)
    counts = {row["code"]: row["count"] for row in figures["commands_by_code"]}
    assert counts == {"02": 1, "06": 1, "07": RECORDS, "1F": RECORDS, "31": RECORDS, "1D": RECORDS}
    assert any(f"{RECORDS} writes beyond what the trace shows" in text for text in figures["not_compared"])

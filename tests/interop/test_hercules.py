"""A real, unmodified Hercules on shared volumes: boots from them, writes and reads by channel programs, shares them.

Skipped with the reason where Hercules is not installed (Debian package hercules).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from ccw.geometry import geometry_for
from ccw.plain_images import plain_header
from ccw.tracks import null_track, parse_track
from host_emulator.shared_client import SharedClient
from tests.helpers.configurations import free_port
from tests.helpers.patience import PATIENCE_S
from tests.helpers.served import serve
from tests.helpers.shared import RECORD_AT, record_one
from tests.helpers.utilities import utility
from tools.guest import (
    DONE_ADDRESS,
    MISSING,
    RECORD_BYTES,
    Task,
    boot_track,
    counter_program,
    reader_program,
    writer_program,
)
from tools.hercules import PRINTER, PROGRAM, Hercules, shared_device
from tools.system_client import SystemClient

pytestmark = pytest.mark.skipif(shutil.which(PROGRAM) is None, reason="hercules is not installed")

WRITER, READER, OTHER = 0x0123, 0x0124, 0x0125
CYLINDERS = 20
BOOTED_S = 1.0  # long after a guest whose disks are attached has begun its first channel program


def boot_image(path: Path, program: bytes, device_type: str = "3390") -> Path:
    """A plain image of CYLINDERS cylinders that boots `program`."""
    geometry = geometry_for(device_type, CYLINDERS)
    with path.open("wb") as file:
        file.write(plain_header(geometry.heads, geometry.track_size, geometry.device_type))
        for track in range(geometry.tracks):
            image = boot_track(program) if track == 0 else null_track(*divmod(track, geometry.heads))
            file.write(image.ljust(geometry.track_size, b"\0"))
    return path


def run(folder: Path, devices: Sequence[str], ipl: int) -> list[str]:
    """Boot from `ipl` and run to the end: what the guest printed."""
    with Hercules(folder, devices, [f"ipl {ipl:04X}"]) as guest:
        assert guest.wait_state(PATIENCE_S) == DONE_ADDRESS, guest.log[-12:]
        return guest.printed()


@pytest.mark.parametrize("device_type", ["3390", "3380", "3350"])
def test_a_guest_boots_writes_and_another_reads(device_type: str, tmp_path: Path) -> None:
    heads = geometry_for(device_type, CYLINDERS).heads
    task = Task(WRITER, PRINTER, first_track=heads, tracks=40, count=60, heads=heads)
    writer = boot_image(tmp_path / "writer.ckd", writer_program(task), device_type)
    reader = boot_image(tmp_path / "reader.ckd", reader_program(replace(task, count=41)), device_type)
    imports = (f"--import={WRITER:04X}={writer}", f"--import={READER:04X}={reader}")
    with serve(tmp_path / "store", *imports) as served:
        devices = [shared_device(number, device_type, served.address) for number in (WRITER, READER)]
        assert run(tmp_path / "first", devices, WRITER) == [f"{number:08d}" for number in range(1, 61)]
    with serve(tmp_path / "store", *imports) as served:
        local = ("localhost", served.address[1])  # the local socket, for the volume that is read again
        devices = [shared_device(WRITER, device_type, local), shared_device(READER, device_type, served.address)]
        found = run(tmp_path / "second", devices, READER)
        assert found == [f"{number:08d}" for number in (*range(41, 61), *range(21, 41), 41)]
        with SharedClient(served.address, WRITER) as client, client.program():
            records = parse_track(client.read(heads))
        assert records[1].data == "00000041".encode("cp037") * (RECORD_BYTES // 8)


def test_two_guests_share_a_volume_under_reserve_and_release(tmp_path: Path) -> None:
    """Each adds to the same record, reading and writing in channel programs of their own: no addition is lost.

    Both find the volume busy at first, and wait in line for it; so from then on they take turns.
    """
    additions = 40
    task = Task(OTHER, PRINTER, first_track=16, tracks=1, count=additions)
    boots = {}
    for device in (WRITER, READER):
        boots[device] = boot_image(tmp_path / f"{device:04X}.ckd", counter_program(task))
    shared = boot_image(tmp_path / "shared.ckd", b"")
    imports = [f"--import={device:04X}={path}" for device, path in {**boots, OTHER: shared}.items()]
    with serve(tmp_path / "store", *imports) as served:
        system = SystemClient(served.url, served.token_file)
        guests = []
        with ExitStack() as stack:
            with SharedClient(served.address, OTHER) as client, client.program():
                client.write(16, RECORD_AT, record_one(16, bytes(RECORD_BYTES)))
                for device in boots:
                    lines = [shared_device(number, "3390", served.address) for number in (device, OTHER)]
                    guest = Hercules(tmp_path / f"guest-{device:04X}", lines, [f"ipl {device:04X}"])
                    guests.append(stack.enter_context(guest))
                deadline = time.monotonic() + PATIENCE_S
                while system.get(f"/v1/volumes/{OTHER:04X}")["clients"] < 3:
                    assert time.monotonic() < deadline and all(guest.running for guest in guests)
                    time.sleep(0.05)
                time.sleep(BOOTED_S)
            assert [guest.wait_state(PATIENCE_S) for guest in guests] == [DONE_ADDRESS] * 2
        with SharedClient(served.address, OTHER) as client, client.program():
            total = int.from_bytes(parse_track(client.read(16))[1].data[:4], "big")
        assert total == 2 * additions


@pytest.mark.parametrize(("kind", "model"), [("3390", "3390-1"), ("3380", "3380"), ("3350", "3350")])
@pytest.mark.parametrize("compression", ["", "-z", "-bz2"])
def test_volumes_made_by_its_own_tools_are_served_unchanged(
    kind: str, model: str, compression: str, tmp_path: Path
) -> None:
    """dasdinit's volume through our server, track by track, is the volume that its own server gives."""
    image = tmp_path / "made.ckd"
    options = [compression] if compression else []
    utility("dasdinit", *options, image, model, "ABC123", 10, makes=image)
    tracks = [0, 1, 2, geometry_for(kind, 10).tracks - 1]
    with serve(tmp_path / "store", f"--import={WRITER:04X}={image}") as served, SharedClient(
        served.address, WRITER
    ) as client, client.program():
        ours = [client.read(track) for track in tracks]
    port = free_port()
    with Hercules(tmp_path / "theirs", [f"SHRDPORT {port}", f"{WRITER:04X} {kind} {image}"]) as hercules:
        hercules.wait_for("shared device requests", PATIENCE_S)
        with SharedClient(("127.0.0.1", port), WRITER) as client, client.program():
            theirs = [client.read(track) for track in tracks]
    assert ours == theirs
    assert "VOL1ABC123".encode("cp037") in ours[0]


def test_a_snapshot_while_a_guest_writes_is_the_volume_at_one_instant(tmp_path: Path) -> None:
    """The last record in it is n, none before it is missing, and it is served as a volume while the guest goes on."""
    tracks = 270
    task = Task(WRITER, PRINTER, first_track=15, tracks=tracks, count=1_000_000)  # it never comes to the end
    writer = boot_image(tmp_path / "writer.ckd", writer_program(task))
    reader = boot_image(tmp_path / "reader.ckd", reader_program(replace(task, disk=OTHER, count=tracks)))
    with serve(tmp_path / "store", f"--import={WRITER:04X}={writer}", f"--import={READER:04X}={reader}") as served:
        client = SystemClient(served.url, served.token_file)
        line = shared_device(WRITER, "3390", served.address)
        with Hercules(tmp_path / "writing", [line], [f"ipl {WRITER:04X}"]) as guest:
            while len(guest.printed()) < 20:
                assert guest.running
                time.sleep(0.01)
            seen = len(guest.printed())
            client.post(f"/v1/volumes/{WRITER:04X}/snapshots", {"name": "live"})
            after = len(guest.printed())
            client.post(f"/v1/volumes/{WRITER:04X}/snapshots/live/clone", {"target": f"{OTHER:04X}"})
            while len(written := guest.printed()) < after + 20:
                assert guest.running
                time.sleep(0.01)
            assert written == [f"{number:08d}" for number in range(1, len(written) + 1)]
        lines = [shared_device(number, "3390", served.address) for number in (READER, OTHER)]
        found = run(tmp_path / "reading", lines, READER)
        newest = max(int(text) for text in found if text != MISSING)
        assert found == records_of(newest, tracks)
        assert seen <= newest <= after + 1
        client.post(f"/v1/volumes/{WRITER:04X}/snapshots/live/restore")
        with SharedClient(served.address, WRITER) as shared, shared.program():
            for track, text in enumerate(found, start=15):
                records = parse_track(shared.read(track))[1:]
                assert [record.data[:8].decode("cp037") for record in records] == [text] * (text != MISSING)


def records_of(newest: int, tracks: int) -> list[str]:
    """What lies on each track when a writer has written the records up to `newest`, one a track, over and over."""
    found = [MISSING] * tracks
    for number in range(1, newest + 1):
        found[(number - 1) % tracks] = f"{number:08d}"
    return found


def test_the_race_against_its_own_server_gives_figures_for_both() -> None:
    options = ["--rounds", "1", "--seconds", "0.2", "--only", "random, 1 on 1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "tools", "bench", "shared", *options], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert [row["race"] for row in found["races"]] == [
        f"{verb} random, 1 on 1{durable}" for durable in ("", ", not durable") for verb in ("read", "write")
    ]
    assert found["sync_ms"] > 0
    for row in found["races"]:
        for side in ("ours", "theirs"):
            assert row[side]["rate"] > 0 and 0 < row[side]["p50"] <= row[side]["p99"] <= row[side]["worst"]

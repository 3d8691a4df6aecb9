"""`trackbridge volume` and `snap`: the whole way on a store in files, exit statuses, one line for what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from controller.app import open_store
from controller.array import FileDisk, VirtualArrayStore
from controller.array.snapshots import SnapshotCatalog
from controller.array.volumes import host_volumes, volume_of
from controller.config import load_config
from controller.remote_copy.pair import Pair, VolumeName
from controller.remote_copy.records import Records
from controller.remote_copy.states import BridgeRole, PairState
from tests.helpers.image_files import (
    Compressed,
    null_image,
    plain,
    read_compressed,
    some_images,
    stored,
    track_image,
)
from tests.helpers.patience import PATIENCE_S
from tools.cli import main

CONFIG = """
name = "A"
serial = "A1"
ssid = "0001"
store = "store"
[[volume]]
address = "0A"
type = "3390"
cylinders = 20
"""


class Shell:
    """Runs commands on the store of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"

    def run(self, *arguments: str, status: int = 0) -> str:
        """What a command said, on stdout when it did its work and on stderr otherwise."""
        done = CliRunner().invoke(main, [*arguments, "--store", str(self.store)])
        assert done.exit_code == status, (arguments, done.output, done.exception)
        assert status != 2 or (done.stderr.count("\n") == 1 and done.stdout == "")
        return done.stderr if status == 2 else done.stdout

    def json(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", status=status))

    def open(self) -> VirtualArrayStore:
        return VirtualArrayStore.open(FileDisk(self.store))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def an_image(folder: Path) -> tuple[Path, dict[int, bytes]]:
    images = some_images("3390", (0, 3, 17, 299), seed=15)
    path = folder / "volume.cckd"
    path.write_bytes(Compressed("3390", 20, {t: stored(i, 1) for t, i in images.items()}).bytes())
    return path, images


def test_the_whole_way(shell: Shell) -> None:
    path, images = an_image(shell.folder)
    made = shell.json("volume", "create", "0A", "--model", "3390-3", "--volser", "TST001", "--owner", "ME")
    assert made == {"device": "0A", "model": "3390-3", "cylinders": 3339, "heads": 15, "tracks": 50085, "written": 15,
                    "snapshots": 0}  # fmt: skip
    report = shell.json("volume", "import", "0b", str(path))
    assert (report["device"], report["written"], report["tracks"], report["cylinders"]) == ("0B", 4, 300, 20)
    assert shell.json("snap", "create", "0B", "first")["name"] == "first"
    assert [row["snapshots"] for row in shell.json("volume", "list")["volumes"]] == [0, 1]
    with shell.open() as store:
        store.write(0x0B, 3, track_image("3390", 3, [b"changed"]))
    assert shell.json("volume", "check") == {"volumes": 2, "snapshots": 1, "tracks": 15 + 4 + 4, "damaged": []}
    shell.run("snap", "restore", "0B", "first")
    shell.run("snap", "clone", "0B", "first", "0C")
    with shell.open() as store:
        assert all(store.read(volume, t) == image for volume in (0x0B, 0x0C) for t, image in images.items())
        store.write(0x0B, 3, track_image("3390", 3, [b"changed"]))
    for form in ("ckd", "cckd", "cckd-bzip2", "cckd-none", "cckd64"):
        out = shell.folder / form
        shell.run("volume", "export", "0B", str(out), "--format", form, "--snapshot", "first")
        shell.run("volume", "import", "0D", str(out))
        with shell.open() as store:
            assert all(store.read(0x0D, t) == image for t, image in images.items()) and store.allocated(0x0D) == 4
        shell.run("volume", "delete", "0D")
    assert [row["name"] for row in shell.json("snap", "list", "0B")["snapshots"]] == ["first"]
    shell.run("snap", "delete", "0B", "first")
    assert shell.json("snap", "list") == {"snapshots": []}
    assert [row["device"] for row in shell.json("volume", "list")["volumes"]] == ["0A", "0B", "0C"]
    assert "0A" in shell.run("volume", "list") and "first" not in shell.run("snap", "list")


@pytest.mark.parametrize(("arguments", "text"), [
    (("volume", "create", "0A", "--model", "3390-3", "--volser", "X"), "volume 0A exists already"),
    (("volume", "create", "0B", "--model", "3390-4", "--volser", "X"), "--model: no device model '3390-4' (models: "),
    (("volume", "create", "0B", "--model", "3390", "--cylinders", "2000000", "--volser", "X"), "--model: 2000000 cyl"),
    (("volume", "create", "0B", "--model", "3390-3"), "--volser: a serial is needed"),
    (("volume", "create", "0B", "--model", "3390-3", "--volser", "abc"), "'abc' is no volume serial"),
    (("volume", "create", "0B", "--model", "3390-3", "--volser", "X", "--raw"), "--raw: a volume without a label"),
    (("volume", "create", "0B", "--model", "3390-3", "--volser", "X", "--vtoc-tracks", "99999"), "a VTOC of 99999"),
    (("volume", "create", "0B", "--model", "3390-A", "--volser", "X"), "a volume of more than 65,520 cylinders is not"),
    (("volume", "create", "XY", "--model", "3390-3", "--volser", "X"), "DEVICE: 'XY' is not in 0-FFFF"),
    (("volume", "create", "80000000", "--model", "3390-3", "--volser", "X"), "DEVICE: '80000000' is not in 0-FFFF"),
    (("volume", "import", "0A", "nowhere.ckd"), "image nowhere.ckd: No such file or directory"),
    (("volume", "export", "0F", "out.ckd"), "volume 000F is not defined"),
    (("volume", "export", "0A", "out.ckd", "--snapshot", "s"), "volume 0A has no snapshot 's'"),
    (("volume", "export", "0A", "out.ckd", "--format", "cckd", "--single-file"), "--single-file: only with --format"),
    (("volume", "delete", "0F"), "volume 000F is not defined"),
    (("volume", "check", "0F"), "volume 000F is not defined"),
    (("snap", "create", "0F", "s"), "volume 000F is not defined"),
    (("snap", "create", "0A", "a b"), "'a b' cannot name a snapshot"),
    (("snap", "restore", "0A", "s"), "volume 0A has no snapshot 's'"),
])  # fmt: skip
def test_bad_input_is_one_line_and_changes_nothing(shell: Shell, arguments: tuple[str, ...], text: str) -> None:
    shell.run("volume", "create", "0A", "--model", "3390", "--cylinders", "20", "--raw")
    before = shell.json("volume", "list")
    assert shell.run(*arguments, status=2).startswith(f"trackbridge: {text}")
    assert shell.json("volume", "list") == before


def test_a_store_that_is_in_use_or_missing(shell: Shell) -> None:
    assert shell.run("volume", "list", status=2) == f"trackbridge: there is no track store {shell.store}\n"
    assert not shell.store.exists()
    shell.run("volume", "create", "0A", "--model", "3390-3", "--raw")
    with shell.open():
        for command in (("volume", "list"), ("volume", "check"), ("snap", "create", "0A", "s")):
            said = shell.run(*command, status=2)
            assert said.startswith(f"trackbridge: the track store {shell.store} is already open: a running system or")
    for arguments in ([], ["--store", "a", "--config", "b"]):
        done = CliRunner().invoke(main, ["volume", "list", *arguments])
        assert done.exit_code == 2 and "either --store DIR or --config CONFIG.toml is needed" in done.stderr


def test_the_store_of_a_configuration(tmp_path: Path) -> None:
    path, images = an_image(tmp_path)
    config = tmp_path / "system.toml"
    config.write_text(CONFIG)
    done = CliRunner().invoke(main, ["volume", "import", "0A", str(path), "--config", str(config)])
    assert done.exit_code == 0, done.output
    with VirtualArrayStore.open(FileDisk(tmp_path / "store")) as store:
        assert all(store.read(0x0A, track) == image for track, image in images.items())
    config.write_text("name = 3")
    done = CliRunner().invoke(main, ["volume", "list", "--config", str(config)])
    assert done.exit_code == 2 and str(config) in done.stderr


def test_volumes_of_pairs_and_bridges_are_not_replaced(shell: Shell) -> None:
    for device in ("0A", "0B", "0C"):
        shell.run("volume", "create", device, "--model", "3390-1", "--raw")
        shell.run("snap", "create", device, "s")
    with shell.open() as store:
        here, there = VolumeName(bytes(12), 1, 0, 0x0A), VolumeName(bytes(12), 2, 0, 0x0A)
        records = Records(store)
        records.store(
            Pair(pair_id=7, is_primary=True, primary=here, secondary=there, volume=0x0A, tracks=16695, heads=15,
                 state=PairState.DUPLEX)
        )  # fmt: skip
        records.store_bridge(0x0B, next(role for role in BridgeRole if role), 3)
    for device, why in (("0A", "it is the primary of pair 7 (duplex)"), ("0B", "it is a volume of bridge 3")):
        for verb, done in ((("snap", "restore"), "restored"), (("volume", "delete"), "deleted")):
            arguments = (*verb, device, *(("s",) if verb[0] == "snap" else ()))
            said = shell.run(*arguments, status=2)
            assert said == f"trackbridge: volume {device} cannot be {done}: {why}\n"
    shell.run("snap", "restore", "0C", "s")


def test_check_finds_every_damaged_track(shell: Shell) -> None:
    path, images = an_image(shell.folder)
    shell.run("volume", "import", "0A", str(path))
    shell.run("snap", "create", "0A", "s")
    with shell.open() as store:
        store.write(0x0A, 3, track_image("3390", 3, [b"changed"]))
        store.write(0x0A, 5, track_image("3390", 6, [b"of another track"]))
    segment = shell.store / "segment-00000001"
    data = bytearray(segment.read_bytes())
    at = data.index(stored(images[17], 1)[1:]) + 40
    data[at] ^= 1
    segment.write_bytes(data)
    report = shell.json("volume", "check", status=1)
    found = {(row["device"], row["snapshot"], row["track"]) for row in report["damaged"]}
    assert found == {("0A", "", 17), ("0A", "s", 17), ("0A", "", 5)}
    assert all("segment 1, offset" in row["reason"] for row in report["damaged"] if row["track"] == 17)
    text = shell.run("volume", "check", "0A", status=1)
    assert "volume 0A snapshot s track 17: segment 1, offset" in text and "3 damaged" in text
    assert "track 5: track image: home address 00000006, not 00000005" in text


def test_damage_is_told_with_the_store_that_has_it(shell: Shell) -> None:
    path, images = an_image(shell.folder)
    shell.run("volume", "import", "0A", str(path))
    segment = shell.store / "segment-00000001"
    data = bytearray(segment.read_bytes())
    data[data.index(stored(images[17], 1)[1:]) + 40] ^= 1
    segment.write_bytes(data)
    said = shell.run("volume", "export", "0A", str(shell.folder / "out.ckd"), status=2)
    assert said.startswith(f"trackbridge: {shell.store}: segment 1, offset ")
    assert not (shell.folder / "out.ckd").exists()


def test_an_import_that_is_killed_leaves_no_volume(shell: Shell) -> None:
    images = {track: stored(track_image("3390", track, [bytes((track % 251,)) * 20000]), 1) for track in range(1500)}
    path = shell.folder / "volume.cckd"
    path.write_bytes(Compressed("3390", 100, images).bytes())
    command = [sys.executable, "-m", "tools", "volume", "import", "0A", str(path), "--store", str(shell.store)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_S
    segment = shell.store / "segment-00000001"
    while not segment.exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(PATIENCE_S)
    with shell.open() as store:
        there = [info.number for info in host_volumes(store)]
        if there:  # it had finished: all of it is there
            assert store.allocated(0x0A) == 1500
            return
    assert shell.json("volume", "list")["volumes"] == []
    shell.run("volume", "import", "0A", str(path))
    with shell.open() as store:
        assert store.allocated(0x0A) == 1500 and volume_of(store, 0x0A).geometry.cylinders == 100
        assert SnapshotCatalog(store).all() == []


def test_the_store_on_a_parity_array(tmp_path: Path) -> None:
    path, images = an_image(tmp_path)
    config = tmp_path / "system.toml"
    array = '[store]\ndirectory = "store"\ndevices = ["a", "b", "c"]\n'
    config.write_text(CONFIG.replace('store = "store"\n', "") + array)
    done = CliRunner().invoke(main, ["volume", "list", "--config", str(config)])
    assert done.exit_code == 2 and "there is no track store" in done.stderr
    for command in (["volume", "import", "0A", str(path)], ["snap", "create", "0A", "s"], ["volume", "check"]):
        done = CliRunner().invoke(main, [*command, "--config", str(config)])
        assert done.exit_code == 0, done.output
    assert "1 volumes, 1 snapshots, 8 tracks read: 0 damaged" in done.stdout
    out = tmp_path / "out.cckd"
    done = CliRunner().invoke(main, ["volume", "export", "0A", str(out), "--format", "cckd", "--config", str(config)])
    assert done.exit_code == 0, done.output
    assert all(stored(image, 1)[5:] in out.read_bytes() for image in images.values())


def test_physical_volumes_are_read_from_their_images(tmp_path: Path) -> None:
    images = some_images("3390", (0, 3, 17), seed=16)
    tracks = [images.get(track) or null_image("3390", track, 1) for track in range(300)]
    (tmp_path / "volume.ckd").write_bytes(plain("3390", tracks))
    config = tmp_path / "system.toml"
    config.write_text(CONFIG + 'image_in_place = "volume.ckd"\n')
    open_store(load_config(config)).close()

    def run(*arguments: str, status: int = 0) -> str:
        done = CliRunner().invoke(main, [*arguments, "--config", str(config)])
        assert done.exit_code == status, done.output
        return done.stderr if status else done.stdout

    assert json.loads(run("volume", "list", "--json"))["unfinished"] == []
    run("snap", "create", "0A", "s")
    assert "0 damaged" in run("volume", "check")
    run("volume", "export", "0A", str(tmp_path / "out.cckd"), "--format", "cckd", "--snapshot", "s")
    assert read_compressed(tmp_path / "out.cckd") == tracks
    assert "it is a physical volume, its tracks lie in an image" in run("volume", "delete", "0A", status=2)
    done = CliRunner().invoke(main, ["volume", "export", "0A", str(tmp_path / "x"), "--store", str(tmp_path / "store")])
    assert done.exit_code == 2 and "lies in an image file that is not in use" in done.stderr
    open_store(load_config(config)).close()

"""Real processes killed under load, again and again on one store: what was acknowledged is there, nothing is torn."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from ccw.geometry import geometry_for
from controller.array import FileDisk, VirtualArrayStore
from controller.array.snapshots import SnapshotCatalog
from controller.array.volumes import create_volume
from host_emulator.shared_client import SharedClient, SharedError
from tests.helpers.crash_script import check_contents
from tests.helpers.load_writer import operate
from tests.helpers.oracle import DictStore
from tests.helpers.patience import PATIENCE_S
from tests.helpers.shared import RECORD_AT, image_with, record_one

DEVICE, TRACKS = 0x0124, 60


def kill_writer(folder: Path, first: int, chance: Random) -> tuple[list[tuple[int, int]], int]:
    """Start the writer and kill it after some acknowledgements: what it did, and the last sequence it called safe."""
    command = [sys.executable, "-m", "tests.helpers.load_writer", str(folder), str(first)]
    done: list[tuple[int, int]] = []
    safe = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        wanted, killed = chance.randrange(1, 60), False
        for line in writer.stdout:  # what the pipe still holds after the kill is read too
            if not line.endswith("\n"):
                break
            word, *numbers = line.split()
            if word == "did":
                done.append((int(numbers[0]), int(numbers[1])))
            else:
                safe = int(numbers[0])
                wanted -= 1
            if wanted <= 0 and not killed:
                time.sleep(chance.random() / 200)
                writer.kill()
                killed = True
        assert killed, "the writer ended by itself"
    return done, safe


def kill_often(folder: Path, kills: int) -> None:
    oracle = DictStore()
    chance = Random(kills)
    first = acknowledged = 0
    for _ in range(kills):
        done, safe = kill_writer(folder, first, chance)
        acknowledged = max(acknowledged, safe)
        store = VirtualArrayStore.open(FileDisk(folder, read_only=True))  # changes nothing: the next writer recovers
        assert store.recovered >= acknowledged
        for number, sequence in done:
            if sequence <= store.recovered:
                oracle.appended = sequence - 1
                assert operate(oracle, number) == sequence
                first = number + 1
        check_contents(store, oracle)
        store.close()
    assert first > 10 * kills


def test_ten_kills_of_a_writer(tmp_path: Path) -> None:  # I1, I2, I5, I11
    kill_often(tmp_path / "store", 10)


@pytest.mark.soak
def test_two_hundred_kills_of_a_writer(tmp_path: Path) -> None:  # I1, I2, I5, I11
    kill_often(tmp_path / "store", 200)


def data_of(number: int) -> bytes:
    return b"%08d" % number * (20 + number % 300)


def write_until_killed(server: subprocess.Popen[str], address: str, written: dict[int, list[int]], writes: int) -> None:
    """Write whole records; the server is killed in the next one when `writes` have been acknowledged.

    `written`: per track the last acknowledged number, and then those under way. Raises what a client raises when
    anything fails before the kill.
    """
    host, _, port = address.rpartition(":")
    number = max((numbers[-1] for numbers in written.values()), default=0)
    killed = False
    try:
        with SharedClient((host, int(port)), DEVICE, timeout_s=PATIENCE_S) as client:
            while True:
                number += 1
                track = number % TRACKS
                under_way = written.setdefault(track, [0])
                under_way.append(number)
                client.start()
                client.write(track, RECORD_AT, record_one(track, data_of(number)))
                if writes == 0:
                    server.kill()  # between the write and its hardening, or in it
                    killed = True
                writes -= 1
                client.end()
                written[track] = [number]
    except (OSError, SharedError):
        if not killed:
            server.kill()
            raise


def kill_servers(folder: Path, kills: int) -> None:
    store = VirtualArrayStore.open(FileDisk(folder))
    create_volume(store, DEVICE, geometry_for("3390", TRACKS // 15), {})
    store.close()
    program = str(Path(sys.executable).with_name("trackbridge"))
    command = [program, "serve", "--store", str(folder), "--json", "--shared-dasd", "127.0.0.1:0"]
    chance = Random(kills)
    written: dict[int, list[int]] = {}
    kept: dict[str, dict[int, bytes | None]] = {}
    for turn in range(kills):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            address = json.loads(server.stdout.readline())["listening"]["shared-dasd"]
            write_until_killed(server, address, written, chance.randrange(5, 150))
        with VirtualArrayStore.open(FileDisk(folder)) as store:
            catalog = SnapshotCatalog(store)
            for track, numbers in written.items():
                images = [image_with(track, data_of(number)) if number else None for number in numbers]
                found = store.read(DEVICE, track)
                assert found in images, f"track {track}: none of the writes {numbers}"
                written[track] = [numbers[images.index(found)]]
            for name, images_then in kept.items():
                number = catalog.find(DEVICE, name).number
                assert {track: store.read(number, track) for track in images_then} == images_then  # I2
            catalog.create(DEVICE, f"turn-{turn}", float(turn))
            kept[f"turn-{turn}"] = {track: store.read(DEVICE, track) for track in range(TRACKS)}
            store.tidy()
    assert len(written) == TRACKS or kills < 5


def test_a_server_is_killed_under_load(tmp_path: Path) -> None:  # I1, I2, I11
    kill_servers(tmp_path / "store", 3)


@pytest.mark.soak
def test_fifty_servers_are_killed_under_load(tmp_path: Path) -> None:  # I1, I2, I11
    kill_servers(tmp_path / "store", 50)

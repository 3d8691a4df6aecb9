"""`trackbridge array` and the parity array of a configuration: set up, looked at, replaced, rebuilt, scrubbed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
from click.testing import CliRunner

from controller.app import open_store
from controller.array import FileDisk, VirtualArrayStore
from controller.array.parity import ParityDisk, Rebuild, attach, open_directories
from controller.config import ConfigError, SystemConfig, check_config, load_config
from controller.links.array_care import ORDER_FILE, STATUS_FILE, ArrayCare
from tests.helpers.contracts import image
from tools.cli import main

CONFIG = """
name = "A"
serial = "12345"
ssid = "0100"

[store]
directory = "a"
devices = ["a/one", "a/two", "a/three", "a/four"]
parity = 1

[[volume]]
address = "00"
cylinders = 20
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "a.toml"
    path.write_text(CONFIG)
    with open_store(load_config(path)) as store:
        fill(store)
    return path


def fill(store: VirtualArrayStore) -> None:
    for track in range(60):
        store.write(0, track, track_image(track))
    store.sync()


def track_image(track: int) -> bytes:
    return Random(track).randbytes(20_000)


def check_filled(settings: SystemConfig) -> None:
    with open_store(settings) as store:
        assert [store.read(0, track) for track in range(60)] == [track_image(track) for track in range(60)]


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["array", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def run_json(*arguments: object) -> tuple[int, Any]:
    code, text, _ = run(*arguments, "--json")
    return code, json.loads(text)


def test_a_device_is_lost_replaced_and_rebuilt(config: Path, tmp_path: Path) -> None:
    assert run_json("status", config)[0] == 0
    shutil.rmtree(tmp_path / "a" / "three")
    check_filled(load_config(config))
    code, found = run_json("status", config)
    assert (code, found["degraded"], found["spare"]) == (1, True, 0)
    assert [device["state"] for device in found["devices"]] == ["in", "in", "out", "in"]
    code, text, _ = run("status", config)
    assert "there is no such directory" in text
    code, found = run_json("replace", config, 3)
    assert (code, found["degraded"]) == (0, False)
    shutil.rmtree(tmp_path / "a" / "one")
    check_filled(load_config(config))
    assert run("replace", config, tmp_path / "a" / "one")[0] == 0
    assert run_json("scrub", config)[1]["damaged_stripes"] == 0


def test_a_scrub_names_and_repairs_what_is_wrong(config: Path, tmp_path: Path) -> None:
    with (tmp_path / "a" / "two" / "segment-00000001").open("r+b") as file:
        file.seek(50_000)
        file.write(b"not what was written")
    code, found = run_json("scrub", config, "--check")
    assert (code, found["damaged_stripes"], found["repaired_stripes"]) == (1, 1, 0)
    code, found = run_json("scrub", config)
    assert (code, found["damaged_stripes"], found["repaired_stripes"]) == (1, 1, 1)
    assert found["damage"][0]["devices"] == [str(tmp_path / "a" / "two")]
    code, text, _ = run("scrub", config)
    assert code == 0
    assert "0 stripes damaged" in text


def test_bad_input_is_one_line(config: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.toml"
    plain.write_text(CONFIG[: CONFIG.index("[store]")] + 'store = "plain"\n' + CONFIG[CONFIG.index("[[volume") :])
    new = tmp_path / "new.toml"
    new.write_text(CONFIG.replace('"a/', '"b/'))
    for arguments, text in (
        (("status", plain), "not a parity array"),
        (("status", tmp_path / "none.toml"), "cannot be read"),
        (("status", new), "there is no array yet"),
        (("replace", config, "9"), "none of the 4 devices"),
        (("replace", config, "2"), "is in use: only a device that is out can be replaced"),
    ):
        code, _, errors = run(*arguments)
        assert (code, len(errors.strip().splitlines())) == (2, 1), errors
        assert text in errors
    (tmp_path / "a" / "one").rename(tmp_path / "x")
    (tmp_path / "a" / "two").rename(tmp_path / "a" / "one")
    (tmp_path / "x").rename(tmp_path / "a" / "two")
    code, _, errors = run("status", config)
    assert code == 2
    assert "the devices are in another order" in errors


@pytest.mark.parametrize(
    ("store", "error"),
    [
        ({"devices": ["a", "b"]}, "store.devices: parity 1 needs 3 to 32 devices, here are 2"),
        ({"devices": ["a", "b", "c", "d"], "parity": 2}, "parity 2 needs 5 to 32 devices, here are 4"),
        ({"devices": ["a", "b", "c"], "parity": 3}, "store.parity: 1 or 2 is needed"),
        ({"devices": ["a", "b", "b"]}, r"store.devices\[2\]: b is used twice"),
        ({"devices": "a"}, "store.devices: a list of directories is needed"),
        ({"devices": ["a", "b", "c"], "spare": 1}, "store.spare: no such setting"),
    ],
)
def test_a_store_that_cannot_be_is_refused(store: dict[str, object], error: str, tmp_path: Path) -> None:
    table = {"name": "A", "serial": "1", "ssid": "1", "volume": [{"address": "00", "cylinders": 1}], "store": store}
    with pytest.raises(ConfigError, match=error):
        check_config(table, tmp_path)


async def test_a_running_system_replaces_and_scrubs_by_order(config: Path, tmp_path: Path) -> None:
    settings = load_config(config)
    events: list[tuple[str, dict[str, Any]]] = []
    shutil.rmtree(tmp_path / "a" / "two")
    store = open_store(settings)
    assert isinstance(store.disk, ParityDisk)
    care = ArrayCare(store.disk, settings.store, lambda step, text, fields: events.append((text, dict(fields))))
    await care.look()
    assert run_json("status", config)[1] == json.loads((settings.store / STATUS_FILE).read_text())
    code, found = run_json("replace", config, 2)
    assert (code, found) == (0, {"ordered": {"do": "replace", "device": 1}})
    code, _, errors = run("scrub", config)
    assert "an earlier order has not been taken yet" in errors
    async with trio.open_nursery() as nursery:
        nursery.start_soon(care.look)
        for track in range(60, 90):
            store.write(0, track, image(b"meanwhile", 30_000))
            await trio.to_thread.run_sync(store.sync)
    assert run_json("status", config)[0] == 0
    assert run("scrub", config)[0] == 0
    await care.look()
    assert not (settings.store / ORDER_FILE).exists()
    (settings.store / ORDER_FILE).write_text("garbage")
    await care.look()
    (settings.store / ORDER_FILE).write_text('{"do": "replace", "device": 99}')
    await care.look()
    texts = [text for text, _ in events]
    assert "array scrubbed" in texts
    assert "an order for the array cannot be read" in texts
    assert "an order for the array failed" in texts
    notices = [fields["notice"] for text, fields in events if text == "array"]
    two = tmp_path / "a" / "two"
    assert notices == [
        f"{two} is out: there is no such directory",
        f"{two} is replaced and will be rebuilt",
        f"{two} is rebuilt",
    ]
    store.close()
    shutil.rmtree(tmp_path / "a" / "four")
    check_filled(settings)


WRITER = """
import sys, random
from pathlib import Path
from controller.array import VirtualArrayStore
from controller.array.parity import open_directories
where = [Path(sys.argv[1], name) for name in ("1", "2", "3", "4", "5")]
disk = open_directories(where, parity=2, journal_bytes=1 << 19)
store = VirtualArrayStore.open(disk, segment_bytes=1 << 20)
chance = random.Random(int(sys.argv[2]))
if not store.volumes():
    store.define_volume(1, {})
number = int(store.get("number") or b"0")
while True:
    for _ in range(chance.randrange(1, 9)):
        number += 1
        store.write(1, number % 300, chance.randbytes(chance.randrange(100, 30_000)) + b"%d" % number)
    store.put("number", b"%d" % number)
    store.sync()
    print(number, flush=True)
"""


@pytest.mark.parametrize("turns", [3, pytest.param(40, marks=pytest.mark.soak)])
def test_sigkill_under_load_and_devices_lost_with_it(tmp_path: Path, turns: int) -> None:  # P1, P6, P7
    """A real process is killed; two devices of five are taken away, the array opened, the devices rebuilt."""
    where = [tmp_path / name for name in ("1", "2", "3", "4", "5")]
    for turn in range(turns):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(turn)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        last = [int(writer.stdout.readline()) for _ in range(15)][-1]
        os.kill(writer.pid, signal.SIGKILL)
        for line in writer.stdout:
            if line.endswith("\n"):
                last = int(line)
        writer.wait()
        writer.stdout.close()
        lost = Random(turn).sample(range(5), 2)
        for index in lost:
            shutil.rmtree(where[index])
        disk = open_directories(where, parity=2)
        with VirtualArrayStore.open(disk) as store:
            found = int(store.get("number") or b"0")
            assert found >= last
            for number in range(max(1, found - 290), found + 1):
                data = store.read(1, number % 300)
                assert data is not None
                assert data.endswith((b"%d" % number, b"%d" % (number + 300)))
            for index in lost:
                attach(disk, index, FileDisk(where[index]))
            work = Rebuild(disk)
            while work.step():
                pass
            assert not disk.degraded

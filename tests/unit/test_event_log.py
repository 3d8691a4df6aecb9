"""A system goes on when its event log cannot be written; the log tells how many events it lacks."""

from __future__ import annotations

import json
from io import FileIO
from pathlib import Path

import pytest
import trio

from controller import app
from controller.app import EVENT_LOG, EventLog
from controller.config import load_config
from controller.links.operations import Operations
from controller.links.system import StorageSystem
from tests.helpers.configurations import CONFIG


async def test_a_full_disk_under_the_event_log_ends_no_system(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "one.toml"
    config.write_text(CONFIG)
    app.open_store(load_config(config)).close()
    (tmp_path / "store" / EVENT_LOG).symlink_to("/dev/full")
    async with trio.open_nursery() as nursery:
        system: StorageSystem = await nursery.start(app.serve, load_config(config))
        verbs = Operations(system, "one")
        assert verbs.set_ready(0x10, False)["online"] is False
        await verbs.create_snapshot(0x10, "made")
        await verbs.restore(0x10, "made")
        nursery.cancel_scope.cancel()
    assert capfd.readouterr().err == "the event log cannot be written: [Errno 28] No space left on device\n"


class SmallDisk(FileIO):
    """A file on a disk with room for `room` more bytes."""

    room = 0

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if not self.room:
            raise OSError(28, "No space left on device")
        done = super().write(data[: self.room])
        self.room -= done
        return done


async def test_a_line_is_written_whole_or_not_and_what_is_missing_is_counted(tmp_path: Path) -> None:
    with SmallDisk(tmp_path / EVENT_LOG, "a") as file:
        log = EventLog(file)
        for room, text in ((100, "kept"), (10, "cut"), (0, "refused"), (500, "kept too"), (500, "the last")):
            file.room = room
            log(trio.current_time(), None, text, {})
    lines = [json.loads(line) for line in (tmp_path / EVENT_LOG).read_text().splitlines()]
    assert [(line["text"], line.get("events")) for line in lines] == [
        ("kept", None), ("events were lost: the log could not be written", 2), ("kept too", None), ("the last", None)
    ]  # fmt: skip

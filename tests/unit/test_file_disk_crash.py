"""Power lost at every call that changes the files of a FileDisk, with every subset of the names not yet synced.

The script of the other crash tests, on real files: segments are made of spares, given back and used again by renames,
and a name is durable only when its directory was synced (tests/helpers/crash_directory.py). I1, I5, I7 of
controller/array/format.py.
"""

from pathlib import Path
from random import Random

import pytest

from controller.array import FileDisk, StoreError, VirtualArrayStore, file_disk
from tests.helpers.crash_directory import CrashDirectory
from tests.helpers.crash_script import Player, check_contents, make_script, open_store

PARTS = 8


class Looker:
    """Opens what a loss of power can leave at every `every`-th boundary, those that leave `part`."""

    def __init__(self, folder: Path, every: int, part: int, seed: int) -> None:
        self.player: Player | None = None
        self.boundaries = self.states = 0
        self._directory = CrashDirectory(folder / "store")
        self._scratch = folder / "left"
        self._every, self._part = every, part
        self._random = Random(seed)

    def play(self, length: int, seed: int) -> None:
        self._directory.watch = self._look
        self._directory.path.mkdir()
        with self._directory.recording():
            self.player = Player(FileDisk(self._directory.path), lambda disk: open_store(self._reopened()))
            for step in make_script(seed, length, early=False):
                self.player.play(step)

    def _reopened(self) -> FileDisk:
        assert self.player is not None
        disk = self.player.disk
        if self.player.started:
            disk = self.player.disk = FileDisk(self._directory.path)
        assert isinstance(disk, FileDisk)
        return disk

    def _look(self, operation: str) -> None:
        self.boundaries += 1
        if self.boundaries % self._every == self._part:
            for files in self._directory.left(self._random):
                self.states += 1
                self._judge(files)

    def _judge(self, files: dict[str, bytes]) -> None:
        folder = self._scratch / str(self.states)
        folder.mkdir(parents=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        player = self.player
        with open_store(FileDisk(folder)) as store:
            if player is not None:
                assert store.recovered >= player.acknowledged
                check_contents(store, player.history.at(store.recovered))
            store.define_volume(1, {})
            store.write(1, 3, b"after the loss of power")
            store.sync()
        with VirtualArrayStore.open(FileDisk(folder, read_only=True)) as store:
            assert store.read(1, 3) == b"after the loss of power"
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def test_power_lost_at_a_call_that_changes_files_loses_nothing(tmp_path: Path) -> None:  # I1, I5, I7
    looker = Looker(tmp_path, 9, 4, 1)
    looker.play(70, 67)
    assert looker.states > 100


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("seed", [67, 68])
def test_power_lost_at_every_call_that_changes_files(tmp_path: Path, seed: int, part: int) -> None:  # I1, I5, I7
    looker = Looker(tmp_path, PARTS, part, seed)
    looker.play(320, seed)
    print(f"seed {seed}, part {part}: {looker.boundaries} boundaries, {looker.states} states")
    assert looker.states > 300


def test_a_name_that_is_never_synced_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model can tell: a FileDisk that syncs no names loses what was acknowledged."""
    monkeypatch.setattr(file_disk, "_sync_directory", lambda directory: None)
    with pytest.raises((AssertionError, StoreError)):
        Looker(tmp_path, 1, 0, 1).play(70, 67)

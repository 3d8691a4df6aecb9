"""The system refuses a call of FileDisk: the k-th write, sync or rename of a script, for many k, on real files.

No room: a clean refusal, or the array is fenced where the system broke a promise (a file that is there already needs no
room). Any other error: fenced, or the opening fails. Never is something lost that was acknowledged; with the fault
gone the store opens and goes on. I1, I10, I14 of controller/array/format.py.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.array import DiskError, FencedError, FileDisk
from tests.helpers.crash_script import Player, check_contents, make_script, open_store

CALLS = ("pwrite", "pwritev", "fdatasync", "fsync", "rename")
SCRIPT = [step for step in make_script(length=110, early=False) if step[0] != "reopen"]


class Refusal:
    """Counts the calls that change files; refuses the `at`-th."""

    def __init__(self, at: int, number: int) -> None:
        self.count = 0
        self.at = at
        self._number = number

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **more: Any) -> Any:
            self.count += 1
            if self.count - 1 == self.at:
                raise OSError(self._number, os.strerror(self._number))
            return call(*arguments, **more)

        return wrapped


def play(folder: Path, at: int, number: int) -> int:
    """The script with one call refused; how many calls were made."""
    refusal = Refusal(at, number)
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, refusal.wrap(getattr(os, name)))
        try:
            disk = FileDisk(folder)
        except DiskError:
            return refusal.count
        player = Player(disk)
        for step in SCRIPT:
            try:
                player.play(step)
            except (DiskError, FencedError) as error:
                assert "\n" not in str(error)
                break
        acknowledged = player.acknowledged
        if player.started and not player.closed:
            check_contents(player.twin.store, player.twin.oracle)  # reads go on
            assert player.twin.store.durable == acknowledged
    disk.close()
    with open_store(FileDisk(folder)) as store:
        assert store.recovered >= acknowledged
        check_contents(store, player.history.at(store.recovered))
        store.define_volume(1, {})
        assert store.sync() == store.appended
    return refusal.count


def every(folder: Path, number: int, stride: int) -> None:
    total = play(folder / "whole", -1, number)
    assert total > 100
    for at in range(number % stride, total, stride):
        play(folder / str(at), at, number)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_call_that_the_system_refuses_loses_nothing(tmp_path: Path, number: int) -> None:  # I1, I10, I14
    every(tmp_path, number, 29)


@pytest.mark.soak
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_each_call_that_the_system_refuses_loses_nothing(tmp_path: Path, number: int) -> None:  # I1, I10, I14
    every(tmp_path, number, 1)

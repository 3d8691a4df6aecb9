"""The drill: a site is killed while a Hercules guest writes; everything that the guest saw complete is at the other.

With --failback a host of its own goes on at the other site, the lost one comes back, and all goes home again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.drill import lost_numbers
from tools.guest import MISSING, TORN
from tools.hercules import PROGRAM

needs_hercules = pytest.mark.skipif(shutil.which(PROGRAM) is None, reason="hercules is not installed")


def drill(folder: Path, rounds: int, seed: int) -> None:
    command = [sys.executable, "-m", "tools", "drill", "--json", "--rounds", str(rounds), "--seed", str(seed)]
    done = subprocess.run([*command, "--keep", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    found = json.loads(done.stdout)["rounds"]
    assert len(found) == rounds
    assert all(one["printed"] > 0 and one["newest_at_b"] >= one["printed"] for one in found)


@needs_hercules
def test_two_rounds(tmp_path: Path) -> None:
    drill(tmp_path, 2, 20261)


@needs_hercules
@pytest.mark.soak
def test_twenty_rounds(tmp_path: Path) -> None:
    drill(tmp_path, 20, 4711)


def there_and_home(folder: Path, rounds: int, seed: int) -> None:
    command = [sys.executable, "-m", "tools", "drill", "--failback", "--json", "--rounds", str(rounds)]
    done = subprocess.run(
        [*command, "--seed", str(seed), "--keep", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    found = json.loads(done.stdout)["rounds"]
    assert len(found) == rounds
    for one in found:
        assert min(one["before"], one["at_b_alone"], one["at_b_duplex"], one["home"]) > 0
        assert one["different"] == 0
        assert one["lost"] == []


def test_there_and_home_again(tmp_path: Path) -> None:
    there_and_home(tmp_path, 1, 7)


@pytest.mark.soak
def test_there_and_home_again_twenty_times(tmp_path: Path) -> None:
    there_and_home(tmp_path, 20, 4711)


@pytest.mark.parametrize(
    ("printed", "found", "lost"),
    [
        (3, ["00000001", "00000002", "00000003", MISSING], ()),
        (3, ["00000001", "00000002", "00000003", "00000004"], ()),
        (3, ["00000001", "00000002", MISSING, MISSING], (3,)),
        (3, ["00000001", TORN, "00000003", MISSING], (2,)),
        (6, ["00000005", "00000006", "00000003", "00000004"], ()),
        (6, ["00000005", "00000002", "00000003", "00000004"], (6,)),
        (6, ["00000009", "00000010", "00000007", "00000008"], ()),
    ],
)
def test_the_checker_sees_what_is_missing(printed: int, found: list[str], lost: tuple[int, ...]) -> None:
    assert lost_numbers(printed, found, 4) == lost

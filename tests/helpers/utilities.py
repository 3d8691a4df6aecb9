"""The disk utilities that come with Hercules, run as processes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.helpers.patience import PATIENCE_S

TRIES = 5


def utility(*arguments: object, folder: Path | None = None, makes: Path | None = None) -> str:
    """Run a utility to its end; what it said. AssertionError when it failed.

    `makes`: the file it makes. Observed: dasdload and dasdcopy of 3.13 sometimes die of a double free in their own end;
    only such a death, by a signal, is tried again.
    """
    for _ in range(TRIES):
        if makes is not None:
            makes.unlink(missing_ok=True)
        done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, cwd=folder, timeout=PATIENCE_S)
        if done.returncode >= 0:
            break
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout + done.stderr

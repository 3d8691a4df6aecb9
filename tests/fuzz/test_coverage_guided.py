"""Coverage-guided campaigns, each in a process of its own; they need atheris, which `make soak` installs."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

TARGETS = ("frames", "parameters", "captures")
SECONDS = 120

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed (extra: soak)"),
]


def campaign(target: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"tests.fuzz.atheris_{target}", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 300, env={**os.environ})


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found(target: str) -> None:
    done = campaign(target, "--runs", "10000000", "--seconds", str(SECONDS))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "stat::number_of_executed_units" in done.stderr + done.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_a_canary_is_found(target: str) -> None:
    """That a failure inside a campaign is reported: one length in 64 fails."""
    done = campaign(target, "--runs", "100000", "--seconds", str(SECONDS), "--canary")
    assert done.returncode != 0
    assert "the canary" in done.stdout + done.stderr

"""A real `trackbridge serve` process over a store without a configuration file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from controller.app import TOKEN_FILE
from tests.helpers.patience import PATIENCE_S


class Served(NamedTuple):
    """The process; where it shares its volumes, where operators reach it, what a change needs."""

    process: subprocess.Popen[str]
    address: tuple[str, int]
    url: str
    token_file: Path


@contextmanager
def serve(store: Path, *options: str) -> Iterator[Served]:
    """Run it until the block ends; a process that was not killed meanwhile then ends in order."""
    ports = ("--shared-dasd", "127.0.0.1:0", "--management", "127.0.0.1:0", "--json")
    process = subprocess.Popen(
        [sys.executable, "-m", "tools", "serve", "--store", str(store), *ports, *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        listening = json.loads(process.stdout.readline())["listening"]
        host, _, port = listening["shared-dasd"].rpartition(":")
        yield Served(process, (host, int(port)), listening["management"], store / TOKEN_FILE)
    finally:
        process.terminate()
        status = process.wait(PATIENCE_S)
        assert process.stdout is not None
        process.stdout.close()
    assert status in (0, -signal.SIGKILL)

"""Configurations that tests start systems from: one small system, and those of docs/examples on ports that are free."""

from __future__ import annotations

import re
import socket
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
CONFIG = """
name = "one"
serial = "000000012345"
ssid = "0100"
profile = "2107"
store = "store"
[[volume]]
address = "10"
type = "3390"
cylinders = 5
[[port]]
said = "0001"
kind = "host"
listen = "127.0.0.1:0"
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def copy_examples(folder: Path) -> dict[str, int]:
    """The example files with ports that are free; where each of the example's ports went."""
    ports: dict[str, int] = {}
    for path in EXAMPLES.iterdir():
        text = re.sub(
            r"127\.0\.0\.1:(\d+)",
            lambda found: f"127.0.0.1:{ports.setdefault(found[1], free_port())}",
            path.read_text(encoding="utf-8"),
        )
        (folder / path.name).write_text(text, encoding="utf-8")
    return ports

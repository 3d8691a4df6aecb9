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


_HELD: list[socket.socket] = []  # as long as this process lives


def free_port() -> int:
    """A port of this process's own, for a server that sets SO_REUSEADDR: nobody else is given it any more.

    A socket that is bound and never listens keeps it, from other binds to any port and from outgoing connections.
    """
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    _HELD.append(keeper)
    return int(keeper.getsockname()[1])


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

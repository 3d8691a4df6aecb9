"""`tcp://HOST:PORT` as the commands take it."""

from __future__ import annotations

from tools.bad_input import BadInput


def tcp_address(text: str) -> tuple[str, int]:
    """Host and port. Raises BadInput."""
    scheme, _, rest = text.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise BadInput(f"{text!r} is not tcp://host:port")
    return host.strip("[]"), int(port)

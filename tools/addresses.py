"""`tcp://HOST:PORT` as the commands take it, and `tcp://HOST:PORT/LINK` where a director may lie between."""

from __future__ import annotations

from typing import NamedTuple

from ccw.escon import LINK_ADDRESS_FIRST, LINK_ADDRESS_LAST
from tools.bad_input import BadInput


class Target(NamedTuple):
    """A control unit. `link_address`: its port of the director that listens at `host`, `port`; None: no director."""

    host: str
    port: int
    link_address: int | None

    def __str__(self) -> str:
        suffix = "" if self.link_address is None else f"/{self.link_address:02X}"
        return f"tcp://{self.host}:{self.port}{suffix}"


def tcp_address(text: str) -> tuple[str, int]:
    """Host and port. Raises BadInput."""
    scheme, _, rest = text.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise BadInput(f"{text!r} is not tcp://host:port")
    return host.strip("[]"), int(port)


def tcp_target(text: str) -> Target:
    """Host and port, with a link address or not. Raises BadInput."""
    scheme, _, rest = text.partition("://")
    where, slash, link = rest.partition("/")
    host, port = tcp_address(f"{scheme}://{where}" if slash else text)
    if not slash:
        return Target(host, port, None)
    try:
        address = int(link, 16)
    except ValueError:
        address = 0
    if not LINK_ADDRESS_FIRST <= address <= LINK_ADDRESS_LAST:
        raise BadInput(f"{text!r}: the link address is not in {LINK_ADDRESS_FIRST:02X}-{LINK_ADDRESS_LAST:02X}")
    return Target(host, port, address)

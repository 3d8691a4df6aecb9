"""The settings of one port: where its links come from or go to, and what they are like.

Part of `config`, which reads the file.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller import toml_fields as fields
from controller.toml_fields import Address, ConfigError

DIRECTOR_PORTS = 0x01, 0xFD  # link addresses, from and to
LINKS = ("escon", "wan")
PORT_KEYS = {"said", "kind", "listen", "connect", "director", "peer_address", "shape", "link", "tls"}
TLS_KEYS = {"certificate", "authority", "peer"}
PEER = re.compile(r"([0-9A-Fa-f]{4}):(?:[0-9A-Fa-f]{2}:)?([0-9A-Z]{12})")
SHAPE_KEYS = {"rate_mbit", "rtt_ms", "loss_percent"}
MAX_RATE_MBIT, MAX_RTT_MS, MAX_LOSS_PERCENT = 400_000.0, 10_000.0, 50.0


@dataclass(frozen=True, slots=True)
class ShapeConfig:
    """How a link is made slower than it is, in both directions. 0: not limited."""

    rate_mbit: float = 0.0  # 10**6 bit/s, each direction
    rtt_ms: float = 0.0
    loss_percent: float = 0.0  # of TCP segments; each holds its direction up for one round trip


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """TLS on a port. `certificate`: this system's, with its key; `authority`: who issues those of both sides."""

    certificate: Path
    authority: Path
    peer_ssid: int
    peer_serial: str  # 12 characters


@dataclass(frozen=True, slots=True)
class PortConfig:
    """One adapter: a host port takes any number of links, a peer port is one link to the other system.

    `director`: it connects to a port of a director, which then tells it its link address; a host port has one link
    then too. `peer_address`: the link address of the other system's port at that director, for a peer port. `wan`: the
    link has the wide-area form.
    """

    said: int
    kind: str  # "host" or "peer"
    listen: Address | None = None
    connect: Address | None = None
    shape: ShapeConfig | None = None
    director: bool = False
    peer_address: int | None = None
    wan: bool = False
    tls: TlsConfig | None = None


def read_port(table: dict[str, Any], where: str, base: Path) -> PortConfig:
    """One [[port]] table; files are relative to `base`. Raises ConfigError."""
    fields.only(table, PORT_KEYS, where)
    kind = fields.one_of(fields.text(table, "kind", where), ("host", "peer"), f"{where}.kind")
    listen = fields.address(table, "listen", where)
    connect = fields.address(table, "connect", where)
    if (listen is None) == (connect is None):
        raise ConfigError(f"{where}: either listen or connect is needed")
    director = fields.flag(table, "director", where, default=False)
    if director and connect is None:
        raise ConfigError(f"{where}.director: the port connects to a director's, so connect is needed")
    if kind == "host" and listen is None and not director:
        raise ConfigError(f"{where}.listen: a host port listens, or connects to a director")
    if connect is not None and connect.port == 0:
        raise ConfigError(f"{where}.connect: port 0 cannot be connected to")
    said = fields.hexadecimal(table, "said", where, 0, 0xFFFF)
    shape = _shape(table["shape"], f"{where}.shape") if "shape" in table else None
    peer = _peer_address(table, where, kind, director)
    wan = fields.one_of(fields.text(table, "link", where, default="escon"), LINKS, f"{where}.link") == "wan"
    if wan and (kind != "peer" or director):
        raise ConfigError(f"{where}.link: wan only for a peer port that leads to the other system itself")
    tls = _tls(table["tls"], f"{where}.tls", base) if "tls" in table else None
    if tls is not None and (kind != "peer" or director):
        raise ConfigError(f"{where}.tls: only for a peer port that leads to the other system itself")
    return PortConfig(said, kind, listen, connect, shape, director, peer, wan, tls)


def _tls(table: Any, where: str, base: Path) -> TlsConfig:
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: written as a table, {{ certificate, authority, peer }}")
    fields.only(table, TLS_KEYS, where)
    peer = PEER.fullmatch(fields.text(table, "peer", where))
    if peer is None:
        raise ConfigError(f'{where}.peer: SSID:serial is needed, "0200:000000067890"')
    certificate, authority = fields.text(table, "certificate", where), fields.text(table, "authority", where)
    return TlsConfig(base / certificate, base / authority, int(peer[1], 16), peer[2])


def _peer_address(table: dict[str, Any], where: str, kind: str, director: bool) -> int | None:
    """The link address of the other system's port, which a peer port at a director needs, and no other."""
    needed = director and kind == "peer"
    if needed != ("peer_address" in table):
        raise ConfigError(f"{where}.peer_address: {'needed' if needed else 'only'} for a peer port at a director")
    if not needed:
        return None
    return fields.hexadecimal(table, "peer_address", where, *DIRECTOR_PORTS)


def _shape(table: Any, where: str) -> ShapeConfig:
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: written as a table, {{ rate_mbit = 1000, rtt_ms = 10 }}")
    fields.only(table, SHAPE_KEYS, where)
    return ShapeConfig(
        fields.quantity(table, "rate_mbit", where, MAX_RATE_MBIT),
        fields.quantity(table, "rtt_ms", where, MAX_RTT_MS),
        fields.quantity(table, "loss_percent", where, MAX_LOSS_PERCENT),
    )

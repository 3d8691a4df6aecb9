"""Settings of a director: a TOML file.

    name = "D1"
    prohibited = [["40", "41"]]                         # pairs of ports that may not communicate
    static = [["42", "62"]]                             # pairs of ports that are dedicated to each other
    blocked = ["43"]                                    # ports that are offline

    [[port]]
    address = "40"                                      # link address of whoever connects here, 01-FD
    listen = "127.0.0.1:4040"
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ccw import escon
from controller import toml_fields as fields
from controller.toml_fields import Address, ConfigError

KEYS = {"name", "serial", "port", "prohibited", "static", "blocked"}
PORT_KEYS = {"address", "listen"}
LAST_PORT = escon.DIRECTOR_LINK_ADDRESS - 1

PortPair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class DirectorConfig:
    """One director. `ports`: where each listens, by link address."""

    name: str
    serial: str  # 12 characters, of its node descriptor
    ports: dict[int, Address]
    prohibited: tuple[PortPair, ...] = ()
    static: tuple[PortPair, ...] = ()
    blocked: tuple[int, ...] = ()


def load_director_config(path: Path) -> DirectorConfig:
    """Read and check a file. Raises ConfigError: what is wrong, and where."""
    return fields.load(path, check_director_config)


def check_director_config(table: dict[str, Any]) -> DirectorConfig:
    """The settings of a parsed file. Raises ConfigError."""
    fields.only(table, KEYS, "")
    ports: dict[int, Address] = {}
    addresses = []
    for index, entry in fields.tables(table, "port"):
        where = f"port[{index}]"
        fields.only(entry, PORT_KEYS, where)
        listen = fields.address(entry, "listen", where)
        if listen is None:
            raise ConfigError(f"{where}.listen: host:port is needed")
        addresses.append(fields.hexadecimal(entry, "address", where, escon.LINK_ADDRESS_FIRST, LAST_PORT))
        ports[addresses[-1]] = listen
    fields.unique(addresses, "port", "address")
    if len(ports) < 2:
        raise ConfigError("port: at least two are needed")
    static = _pairs(table, "static", ports)
    blocked = _ports(table, "blocked", ports)
    dedicated = [port for pair in static for port in pair]
    for port in dedicated:
        if dedicated.count(port) > 1 or port in blocked:
            raise ConfigError(f"static: port {port:02X} is {'blocked' if port in blocked else 'dedicated twice'}")
    return DirectorConfig(
        name=fields.text(table, "name", ""),
        serial=fields.serial(table),
        ports=ports,
        prohibited=_pairs(table, "prohibited", ports),
        static=static,
        blocked=blocked,
    )


def _pairs(table: dict[str, Any], key: str, ports: dict[int, Address]) -> tuple[PortPair, ...]:
    entries = table.get(key, [])
    if not isinstance(entries, list):
        raise ConfigError(f'{key}: a list of pairs of ports is needed, [["40", "41"]]')
    pairs = []
    for index, entry in enumerate(entries):
        if not isinstance(entry, list) or len(entry) != 2:
            raise ConfigError(f'{key}[{index}]: two ports are needed, ["40", "41"]')
        one, other = (_port(text, f"{key}[{index}]", ports) for text in entry)
        if one == other:
            raise ConfigError(f"{key}[{index}]: two different ports are needed")
        pairs.append((one, other))
    return tuple(pairs)


def _ports(table: dict[str, Any], key: str, ports: dict[int, Address]) -> tuple[int, ...]:
    entries = table.get(key, [])
    if not isinstance(entries, list):
        raise ConfigError(f'{key}: a list of ports is needed, ["40"]')
    return tuple(_port(text, f"{key}[{index}]", ports) for index, text in enumerate(entries))


def _port(text: object, where: str, ports: dict[int, Address]) -> int:
    known = {f"{port:02X}": port for port in ports}
    if not isinstance(text, str) or text.upper() not in known:
        raise ConfigError(f"{where}: {text!r} is none of the ports {', '.join(known)}")
    return known[text.upper()]

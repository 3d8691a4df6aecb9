"""The part of a configuration that says how volumes are mirrored, checked whole like the rest.

reestablish = true                     # paths, bridges and pairs come back by themselves
bridge_window = 64                     # records under way on a bridge, 1 to 4096
critical = "paths"                     # CRIT(YES) refuses writes while no path is left; "all": after any error

[[bridge]]                             # bridge volumes, as Define Bridge Volume would name them
number = 1
role = "primary"                       # this box sends on it; or "secondary"
data = "F0"
status = "F1"

[[mirror]]                             # pairs with one other box; there data and status of a bridge are "secondary"
system = "0200:00:000000067890"        # SSID, LSS, serial
links = ["0010", "0011"]
pairs = ["00:00", "05:15"]             # primary:secondary
bridges = ["1:F0"]                     # number:data volume of the other box
auto_establish = true                  # a host's write to one of the pairs begins it
consistency_group = false
"""

import re
from typing import Any

from controller import toml_fields as fields
from controller.remote_copy.pair import BoxName
from controller.remote_copy.paths import MAX_PATHS, MAX_SECONDARIES
from controller.remote_copy.settings import WINDOW_RECORDS, WINDOW_RECORDS_MAX, BridgeVolume, CopySettings, Mirror
from controller.remote_copy.states import MAX_BRIDGES, BridgeRole
from controller.toml_fields import ConfigError, at

COPY_KEYS = {"reestablish", "bridge_window", "critical", "bridge", "mirror"}
BRIDGE_KEYS = {"number", "role", "data", "status"}
MIRROR_KEYS = {"system", "links", "pairs", "bridges", "auto_establish", "consistency_group"}
ROLES = {  # of a bridge: of its data and its status volume here
    "primary": (BridgeRole.PRIMARY_DATA, BridgeRole.SECONDARY_STATUS),
    "secondary": (BridgeRole.SECONDARY_DATA, BridgeRole.PRIMARY_STATUS),
}
SYSTEM = re.compile(r"([0-9A-Fa-f]{4}):([0-9A-Fa-f]{2}):([0-9A-Z]{12})")
TWO = re.compile(r"([0-9A-Fa-f]{1,2}):([0-9A-Fa-f]{1,2})")


def copy_settings(table: dict[str, Any], volumes: set[int], peer_ports: set[int]) -> CopySettings:
    """The settings in a parsed file. volumes: unit addresses; peer_ports: SAIDs. Raises ConfigError."""
    bridges = [
        volume
        for index, entry in fields.tables(table, "bridge")
        for volume in _bridge(entry, f"bridge[{index}]", volumes)
    ]
    fields.unique([bridge.volume for bridge in bridges], "bridge", "data")
    if len({(bridge.role, bridge.number) for bridge in bridges}) < len(bridges):
        raise ConfigError("bridge.number: used twice with the same role")
    taken = {bridge.volume for bridge in bridges}
    mirrors = tuple(
        _mirror(entry, f"mirror[{index}]", volumes - taken, peer_ports)
        for index, entry in fields.tables(table, "mirror")
    )
    if len(mirrors) > MAX_SECONDARIES:
        raise ConfigError(f"mirror: at most {MAX_SECONDARIES} other systems")
    fields.unique([volume for mirror in mirrors for volume in mirror.pairs], "mirror", "pairs")
    critical = fields.one_of(table.get("critical", "paths"), ("paths", "all"), "critical")
    return CopySettings(
        reestablish=fields.flag(table, "reestablish", "", default=True),
        window=fields.count(table, "bridge_window", "", WINDOW_RECORDS, 1, WINDOW_RECORDS_MAX),
        critical_all=critical == "all",
        bridge_volumes=tuple(bridges),
        mirrors=mirrors,
    )


def _bridge(table: dict[str, Any], where: str, volumes: set[int]) -> list[BridgeVolume]:
    fields.only(table, BRIDGE_KEYS, where)
    role = fields.one_of(fields.text(table, "role", where), tuple(ROLES), at(where, "role"))
    number = fields.count(table, "number", where, 1, 1, MAX_BRIDGES)
    found = []
    for key, part in zip(("data", "status"), ROLES[role], strict=True):
        volume = fields.hexadecimal(table, key, where, 0, 0xFF)
        if volume not in volumes:
            raise ConfigError(f"{at(where, key)}: there is no volume {volume:02X}")
        found.append(BridgeVolume(volume, part, number))
    return found


def _mirror(table: dict[str, Any], where: str, volumes: set[int], peer_ports: set[int]) -> Mirror:
    fields.only(table, MIRROR_KEYS, where)
    system = SYSTEM.fullmatch(fields.text(table, "system", where))
    if system is None:
        raise ConfigError(f'{at(where, "system")}: SSID:LSS:serial is needed, "0200:00:000000067890"')
    pairs = _numbers(table, "pairs", where)
    for volume in pairs:
        if volume not in volumes:
            raise ConfigError(f"{at(where, 'pairs')}: there is no volume {volume:02X} that can be mirrored")
    bridges = _numbers(table, "bridges", where) if "bridges" in table else {}
    if not all(1 <= number <= MAX_BRIDGES for number in bridges):
        raise ConfigError(f"{at(where, 'bridges')}: bridges have numbers from 1 to {MAX_BRIDGES}")
    return Mirror(
        box=BoxName(system[3].encode("cp037"), int(system[1], 16), int(system[2], 16)),
        links=_links(table, where, peer_ports),
        pairs=pairs,
        bridges=bridges,
        consistency_group=fields.flag(table, "consistency_group", where, default=False),
        auto_establish=fields.flag(table, "auto_establish", where, default=False),
    )


def _links(table: dict[str, Any], where: str, peer_ports: set[int]) -> tuple[int, ...]:
    """SAIDs of peer ports."""
    links = table.get("links")
    if not isinstance(links, list) or not 1 <= len(links) <= MAX_PATHS:
        raise ConfigError(f'{at(where, "links")}: a list of 1 to {MAX_PATHS} ports is needed, ["0010", "0011"]')
    known = {f"{said:04X}": said for said in peer_ports}
    for link in links:
        if not isinstance(link, str) or link.upper().rjust(4, "0") not in known:
            raise ConfigError(f"{at(where, 'links')}: {link!r} is no peer port")
    return tuple(known[link.upper().rjust(4, "0")] for link in links)


def _numbers(table: dict[str, Any], key: str, where: str) -> dict[int, int]:
    """A list of "XX:YY", hexadecimal; no XX twice."""
    entries = table.get(key)
    found: dict[int, int] = {}
    for entry in entries if isinstance(entries, list) and entries else [None]:
        match = TWO.fullmatch(entry) if isinstance(entry, str) else None
        if match is None:
            raise ConfigError(f'{at(where, key)}: a list of two numbers each is needed, ["05:15"]')
        if int(match[1], 16) in found:
            raise ConfigError(f"{at(where, key)}: {match[1]} is there twice")
        found[int(match[1], 16)] = int(match[2], 16)
    return found

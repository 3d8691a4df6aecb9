"""What the suite needs of a target: the devices, written as the configuration that has them.

The suite formats `scratch` and `spare` and defines `bridge` and `status` as bridge volumes; it never touches a device
that is not listed here. Over TCP it refuses a scratch volume that holds something other than its own label.
"""

from __future__ import annotations

from typing import NamedTuple

from ccw.geometry import Cchh

SMALL, LARGE = 3, 65_667  # cylinders; above 65,520 addresses are the extended ones
HOST_PORT = 0x0001
PEER_PORTS = {"A": (0x10, 0x11, 0x12, 0x13), "B": (0x20, 0x21, 0x22, 0x23)}
LABEL = "VOL1TBCONF"
LABEL_TRACK = Cchh(0, 0)


class Required(NamedTuple):
    """One device."""

    name: str
    address: int  # unless --device says otherwise
    device_type: str
    cylinders: int
    read_only: bool = False
    second: bool = False  # the second system needs it too
    thin: bool = False  # its space can be asked for and given back
    base: int | None = None  # of an alias: the address of the device whose tracks are its own


REQUIRED = (
    Required("scratch", 0xE0, "3390", SMALL, second=True),
    Required("spare", 0xE1, "3390", SMALL, second=True, thin=True),
    Required("inhibited", 0xE2, "3390", SMALL, read_only=True, thin=True),
    Required("old", 0xE3, "3380", SMALL),
    Required("large", 0xE4, "3390", LARGE),
    Required("bridge", 0xE8, "3390", SMALL, second=True),
    Required("status", 0xE9, "3390", SMALL, second=True),
    Required("alias", 0xEA, "3390", SMALL, base=0xE0),
    Required("first", 0x00, "3390", SMALL, second=True),  # by it a system that establishes a path finds out whom it met
)

ABSENT, ABSENT_ADDRESS = "absent", 0xEF  # there must be no such device

ALIAS_PROFILES = ("2105", "2107")  # elsewhere there is none, and its cases are not run

SYSTEMS = {"A": ("000000012345", 0x0100), "B": ("000000067890", 0x0200)}


def configuration(name: str, profile: str = "2107", listen: str = "127.0.0.1:0", peers: str = "127.0.0.1") -> str:
    """A configuration file for `trackbridge serve`: system A is the one under test, B its partner.

    `peers`: the address at which B's four peer ports listen, one behind the other from port 4101; port 0 where
    `peers` is empty (the system chooses).
    """
    serial, ssid = SYSTEMS[name]
    lines = [
        f"# The {'system under test' if name == 'A' else 'second system'} of `trackbridge conform`.",
        f'name = "conform-{name}"',
        f'serial = "{serial}"',
        f'ssid = "{ssid:04X}"',
        f'profile = "{profile}"',
        f'store = "store-{name}"',
    ]
    for device in REQUIRED:
        if (name == "A" or device.second) and device.base is None:
            lines += ["", "[[volume]]", f'address = "{device.address:02X}"', f'type = "{device.device_type}"']
            lines.append(f"cylinders = {device.cylinders}")
            lines += ["read_only = true"] if device.read_only else []
            lines += ["thin = true"] if device.thin else []
            aliases = [f'"{other.address:02X}"' for other in REQUIRED if other.base == device.address]
            if aliases and name == "A" and profile in ALIAS_PROFILES:
                lines.append(f"aliases = [{', '.join(aliases)}]")
    lines += ["", "[[port]]", f'said = "{HOST_PORT:04X}"', 'kind = "host"', f'listen = "{listen}"']
    for index, said in enumerate(PEER_PORTS[name]):
        where = f"{peers}:{4101 + index}" if peers else "127.0.0.1:0"
        key = "connect" if name == "A" else "listen"
        lines += ["", "[[port]]", f'said = "{said:04X}"', 'kind = "peer"', f'{key} = "{where}"']
    return "\n".join(lines) + "\n"

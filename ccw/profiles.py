"""Control unit models and device identities: the tables behind what a device says about itself (identity.py).

Source: eckd-commands 2.10: Hercules device tables, IBM SA22-1025, Linux; those before the 3880-3: older-ckd-devices 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ccw.ccws import CommandCode

CONFIGURATION_LENGTH = 256
SUBSYSTEM_STATUS_LENGTH = 40
SUBSYSTEM_STATUS_LONG_LENGTH = 44


class Ciw(NamedTuple):
    """A command information word: `kind` 0 read configuration data, 1 set interface identifier, 2 read node identifier,
    3 a further command."""

    kind: int
    command: int
    count: int      # type: ignore[assignment]  # hides tuple.count, which nothing needs

    def encode(self) -> bytes:
        """4 bytes."""
        return bytes((0x40 | self.kind, self.command)) + self.count.to_bytes(2, "big")


_CONFIGURATION_CIW = Ciw(0, CommandCode.READ_CONFIGURATION_DATA, CONFIGURATION_LENGTH)
_INTERFACE_CIW = Ciw(1, CommandCode.PERFORM_SUBSYSTEM_FUNCTION, 4)


def _node_ciws(*counts: int) -> tuple[Ciw, ...]:
    nodes = tuple(Ciw(kind, CommandCode.READ_SUBSYSTEM_DATA, count) for kind, count in enumerate(counts, 2))
    return (_CONFIGURATION_CIW, _INTERFACE_CIW, *nodes)


@dataclass(frozen=True, slots=True)
class ControlUnitProfile:
    """How a control unit model presents itself."""

    name: str
    control_unit_type: int          # packed digits, 0x3990
    model: int                      # Sense ID byte 3
    type_code: int                  # characteristics byte 42, native sense byte 2
    functions: int                  # characteristics byte 54
    features: int                   # characteristics bytes 6-9
    ciws: tuple[Ciw, ...]
    buffer_range: tuple[int, int] = (0, 0)      # characteristics bytes 51 and 52-53
    subsystem_status_length: int = SUBSYSTEM_STATUS_LENGTH


PROFILES = {profile.name: profile for profile in (
    ControlUnitProfile("2841", 0x2841, 0x00, 0x00, 0x00, 0, ()),
    ControlUnitProfile("2314", 0x2314, 0x00, 0x00, 0x00, 0, ()),
    ControlUnitProfile("2835", 0x2835, 0x00, 0x00, 0x00, 0, ()),
    ControlUnitProfile("3830", 0x3830, 0x02, 0x00, 0x00, 0, ()),
    ControlUnitProfile("3880", 0x3880, 0x05, 0x09, 0x00, 0x80000000, ()),
    ControlUnitProfile("3880-3", 0x3880, 0xC3, 0x09, 0x00, 0x80000000, ()),
    ControlUnitProfile("3990-2", 0x3990, 0xC2, 0x05, 0x00, 0xD0000000, (_CONFIGURATION_CIW,)),
    ControlUnitProfile("3990-3", 0x3990, 0xEC, 0x06, 0x00, 0xD0801094, _node_ciws(0x40), (0x0F, 0x003F)),
    ControlUnitProfile("3990-6", 0x3990, 0xE9, 0x15, 0x40, 0x50001096, _node_ciws(0x60), (0x0F, 0x007F),
                       SUBSYSTEM_STATUS_LONG_LENGTH),
    ControlUnitProfile("9343", 0x9343, 0xE0, 0x11, 0x00, 0x52801003, _node_ciws(0x40)),
    ControlUnitProfile("2105", 0x2105, 0xE8, 0x1B, 0x48, 0x528070B7, _node_ciws(0x1A0, 8),
                       subsystem_status_length=SUBSYSTEM_STATUS_LONG_LENGTH),
    ControlUnitProfile("2107", 0x2107, 0xE8, 0x1F, 0x48, 0x528010B7, _node_ciws(0x1A0, 8),
                       subsystem_status_length=SUBSYSTEM_STATUS_LONG_LENGTH),
)}


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """What tells one device from another. Texts are plain strings, EBCDIC (code page 037) on the wire."""

    unit_address: int
    ssid: int
    serial: str                         # at most 12 characters, filled with zeros on the left
    lss: int = 0
    manufacturer: str = "HRC"           # 3 characters
    plant: str = "ZZ"                   # 2 characters
    interface_id: int = 0
    link_protocol: int = 0x40           # 80 parallel, 40 ESCON, 10 FICON
    cluster_id: int = 0x80
    link_address: int = 0               # 16 bits
    missing_interrupt_interval: int = 0x1E      # bits 0-1 power of ten, bits 2-7 number: 30 seconds
    address_type: int = 0               # where the subsystem has aliases: 1 base, 2 alias
    base_address: int = 0               # then, that of the base

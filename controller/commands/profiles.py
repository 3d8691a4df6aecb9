"""Which control unit a device stands behind, and what that unit can do.

Source: eckd-commands 0.4 (profiles), 2.10 (control unit codes), 3.2 (which command exists where).
"""

from __future__ import annotations

from dataclasses import dataclass

from ccw.profiles import PROFILES as PRESENTATIONS
from ccw.profiles import ControlUnitProfile


@dataclass(frozen=True, slots=True)
class Profile:
    """The abilities of one control unit model.

    `restricted_authority`: file-mask authority 10 is refused and 11 means 01. `status_chainable`: commands may be
    chained behind Sense Subsystem Status. `sense_bytes`: 6, 24 or 32. `starts_positioned`: a chain may read where the
    arm stands. `diagnostic_authority`: the values of file-mask bits 5-6 that mean it. `absent`: commands of the table
    that the unit does not know. `short_locate`: Locate Record has neither Read Tracks nor Read (characteristics byte 6,
    bits 1 and 3).
    """

    presentation: ControlUnitProfile
    cached: bool = True
    locate_extended: bool = False
    prefix: bool = False
    subsystem_operations: bool = False
    recalibrate: bool = False
    restricted_authority: bool = False
    status_chainable: bool = False
    sense_bytes: int = 32
    starts_positioned: bool = False
    diagnostic_authority: frozenset[int] = frozenset({0x04})
    absent: frozenset[int] = frozenset()
    short_locate: bool = False

    @property
    def name(self) -> str:
        """The name that configuration uses."""
        return self.presentation.name


# What came with ECKD or later: no control unit up to the 3880 knows it. Source: older-ckd-devices 2.
_LATER = frozenset(
    bytes.fromhex("09 27 34 3E 44 47 4B 4E 53 54 5B 63 73 85 87 8D 95 9D A4 A5 A6 AF B5 B6 C4 DE E7 F3 F7 F9 FA")
)
# From the 3880 on: Read Special HA, Unconditional Reserve, Read Device Characteristics.
_BEFORE_3880 = _LATER | {0x0A, 0x14, 0x64}
_READ_MULTIPLE = 0x5E
_BIT_5 = frozenset({0x04, 0x06})  # diagnostic authority on a 3880, whatever bit 6 says
# What later control units have besides. Source: observed, Hercules 4.9, which has neither that nor Recalibrate here.
_AFTER_9343 = frozenset({0x0A})
# A 3880 model 3 has Define Extent and Locate Record (bits 0-1 of its model byte) and path groups (dynamic path
# selection), but neither whole tracks nor what came with the 3990. Source: model byte 2.10; the rest assumed.
_AFTER_3880_3 = _LATER - frozenset(bytes.fromhex("34 47 5B 63 85 8D 9D AF"))


def _before_3830(name: str) -> Profile:
    return Profile(
        PRESENTATIONS[name],
        cached=False,
        recalibrate=True,
        sense_bytes=6,
        starts_positioned=True,
        absent=_BEFORE_3880 | {_READ_MULTIPLE},
    )


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        _before_3830("2841"),
        _before_3830("2314"),
        _before_3830("2835"),
        Profile(
            PRESENTATIONS["3830"],
            cached=False,
            recalibrate=True,
            sense_bytes=24,
            starts_positioned=True,
            absent=_BEFORE_3880,
        ),
        Profile(
            PRESENTATIONS["3880"],
            cached=False,
            recalibrate=True,
            sense_bytes=24,
            diagnostic_authority=_BIT_5,
            absent=_LATER,
        ),
        Profile(
            PRESENTATIONS["3880-3"],
            cached=False,
            recalibrate=True,
            diagnostic_authority=_BIT_5,
            absent=_AFTER_3880_3,
            short_locate=True,
        ),
        # Has no cache, but subsystem functions and Sense Subsystem Status. Source: IBM SA22-1025, a unit of this class.
        Profile(PRESENTATIONS["3990-2"], cached=False, recalibrate=True),
        Profile(PRESENTATIONS["3990-3"], recalibrate=True),
        Profile(PRESENTATIONS["3990-6"], locate_extended=True),
        # Characteristics byte 6 says that it has Prefix.
        Profile(PRESENTATIONS["9343"], cached=False, locate_extended=True, prefix=True, absent=_AFTER_9343),
        Profile(PRESENTATIONS["2105"], locate_extended=True, prefix=True, restricted_authority=True),
        Profile(
            PRESENTATIONS["2107"],
            locate_extended=True,
            prefix=True,
            subsystem_operations=True,
            restricted_authority=True,
            status_chainable=True,
        ),
    )
}


def profile_for(name: str) -> Profile:
    """Return the profile of that name, `3990-6` for one. Raises KeyError."""
    return PROFILES[name]

"""What a device type adds to its control unit: one row each. A new type is a row here and one in `ccw.device_models`.

Source: older-ckd-devices: 1 (control units), 1.2 (Sense ID), 2 (which commands exist), 2.2, 2.3, 3.1, 3.2, 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from ccw.ccws import CommandCode
from ccw.older_sense import DriveCode

MASK_RESERVED = 0x20  # bit 2 of the file mask
SENSE_ID = CommandCode.SENSE_ID


class Alternates(Enum):
    """What happens at a track whose home address is flagged defective."""

    NOT_FOLLOWED = "the track is used as if it were good"
    FOLLOWED = "the control unit goes to the alternate track that R0 names"
    REPORTED = "track condition check: the program seeks the alternate track itself"


@dataclass(frozen=True, slots=True)
class DeviceType:
    """The abilities of one device type.

    `control_units`: profiles it can be attached to, the usual one first; empty: every profile with ECKD commands.
    `absent`: commands that do not exist for it although its control unit has them. `before_eckd`: the commands of
    older-ckd-devices 2 take the place of the main ones. `home_address_skip`: bytes of skip displacement in front of
    what Write Home Address brings, `special_home_address_bytes`: what Read Special Home Address sends. `drive` and
    `model_in_sense`: bytes 4 and 2 of 24 sense bytes, `state`: byte 3 of the six.
    """

    control_units: tuple[str, ...] = ()
    absent: frozenset[int] = frozenset()
    before_eckd: bool = False
    track_overflow: bool = False
    vary_sensing: bool = False
    alternates: Alternates = Alternates.NOT_FOLLOWED
    mask_reserved: int = MASK_RESERVED
    home_address_skip: int = 0
    special_home_address_bytes: int = 28
    drive: DriveCode = DriveCode.NUMBER
    model_in_sense: bool = False
    state: int = 0x40


def _before_eckd(
    *control_units: str,
    absent: Iterable[int] = (),
    overflow: bool = True,
    vary_sensing: bool = False,
    alternates: Alternates = Alternates.FOLLOWED,
    mask_reserved: int = MASK_RESERVED,
    home_address_skip: int = 0,
    special_home_address_bytes: int = 28,
    drive: DriveCode = DriveCode.NUMBER,
    model_in_sense: bool = False,
    state: int = 0x40,
) -> DeviceType:
    return DeviceType(
        control_units, frozenset(map(int, absent)), True, overflow, vary_sensing, alternates, mask_reserved,
        home_address_skip, special_home_address_bytes, drive, model_in_sense, state,
    )  # fmt: skip


# Bit 2 and bits 5-7 of the file mask.
_2311_MASK_RESERVED = MASK_RESERVED | 0x07
_SPECIAL_HOME_ADDRESS = CommandCode.READ_SPECIAL_HOME_ADDRESS

DEVICE_TYPES: dict[int, DeviceType] = {
    0x2305: _before_eckd("2835", vary_sensing=True),
    0x2311: _before_eckd(
        "2841", absent=(SENSE_ID,), alternates=Alternates.REPORTED, mask_reserved=_2311_MASK_RESERVED, state=0xC8
    ),
    0x2314: _before_eckd(
        "2314", absent=(SENSE_ID,), alternates=Alternates.REPORTED, mask_reserved=_2311_MASK_RESERVED
    ),
    0x3330: _before_eckd("3830", drive=DriveCode.COMPLEMENTED),
    0x3340: _before_eckd("3830", drive=DriveCode.ONE_BIT, model_in_sense=True, home_address_skip=2),
    0x3350: _before_eckd("3830", "3880", absent=(_SPECIAL_HOME_ADDRESS,), drive=DriveCode.ONE_BIT, home_address_skip=6),
    0x3375: _before_eckd(
        "3880",
        absent=(CommandCode.READ_DEVICE_CHARACTERISTICS,),
        overflow=False,
        special_home_address_bytes=27,
    ),
    0x3380: DeviceType(drive=DriveCode.LOW_NIBBLE),
    0x3390: DeviceType(),
    0x9345: DeviceType(),
}

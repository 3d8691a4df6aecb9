"""Writes whole tracks over a host session, whatever stands on them: home address, R0, then every record.

Seek, Set File Mask, Write Home Address, Write R0, and a Write Count, Key and Data for each record, of a segment Write
Special: commands that every control unit here knows, the first and the last of them alike.
"""

from __future__ import annotations

from collections.abc import Generator

from ccw.ccws import CommandCode
from ccw.geometry import Geometry
from ccw.tracks import HOME_ADDRESS_LENGTH, parse_track
from host_emulator.channel import InterfaceControlCheck, Response, Start

CHAIN = 0x40
NORMAL_END = 0x0C
WRITE_ALL = 0xC0  # file mask
SEGMENT_FLAG, NEVER_A_FLAG = 0x80, 0xFF


def write_track(
    geometry: Geometry, track: int, image: bytes, *, skip: int = 0, segments: bool = False
) -> Generator[Start, Response, bool]:
    """Put `image` on a track; did every command end normally?

    `skip`: bytes of skip displacement that the device type has in front of a home address; `segments`: a count area
    with its first bit on is that of a segment.
    """
    commands: list[tuple[int, bytes]] = [
        (CommandCode.SEEK, b"\0\0" + geometry.address_of(track).pack()),
        (CommandCode.SET_FILE_MASK, bytes((WRITE_ALL,))),
        (CommandCode.WRITE_HOME_ADDRESS, bytes(skip) + image[:HOME_ADDRESS_LENGTH]),
    ]
    for index, (count, key, data) in enumerate(parse_track(image)):
        code = int(CommandCode.WRITE_COUNT_KEY_AND_DATA if index else CommandCode.WRITE_RECORD_ZERO)
        if segments and count[0] & SEGMENT_FLAG and count[0] != NEVER_A_FLAG:
            code, count = int(CommandCode.WRITE_SPECIAL_CKD), bytes((count[0] & ~SEGMENT_FLAG,)) + count[1:]
        commands.append((code, count + key + data))
    last = len(commands) - 1
    for index, (code, data) in enumerate(commands):
        try:
            response = yield Start(code, CHAIN if index < last else 0, len(data), data, index > 0)
        except InterfaceControlCheck:
            return False
        if response.status != NORMAL_END:
            return False
    return True

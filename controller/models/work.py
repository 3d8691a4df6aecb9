"""What a channel program asks of the hardware, command by command.

Only what the models need is kept: bytes in each direction, and which track was touched how. How the cache is to be
used comes from the global attributes of Define Extent (or of the extent inside Prefix).
"""

from __future__ import annotations

from typing import NamedTuple

from ccw.ccws import MULTITRACK, CommandCode
from controller.models.cache import CacheMode

_BOTH = (0, MULTITRACK)
_READ = frozenset(
    code | bit
    for code in (0x06, 0x0E, 0x12, 0x16, 0x1A, 0x1E, 0x29, 0x31, 0x39, 0x49, 0x51, 0x69, 0x71)
    for bit in _BOTH
) | frozenset({0x02, 0x0A, 0x5E, 0xA6, 0xDE})
_UPDATE = frozenset({0x05, 0x0D, 0x85, 0x8D, 0xA5, 0xB5})
_FORMAT = frozenset({0x01, 0x09, 0x11, 0x15, 0x19, 0x1D, 0x95, 0x9D})
_TOUCHES_TRACK = _READ | _UPDATE | _FORMAT
PREFIX_BYTES = 12
EXTENT_BYTES = 16
INHIBIT_FAST_WRITE = 0x01


class CommandWork(NamedTuple):
    """One command as it was executed. `track` is where the device stood at its end; `data` what it was sent."""

    code: int
    data: bytes
    received: int  # bytes that the device sent
    immediate: bool = False
    track: int = 0

    @property
    def touches_track(self) -> bool:
        """Whether it needs the contents of a track."""
        return self.code in _TOUCHES_TRACK

    @property
    def writes(self) -> bool:
        """Whether it changes a track."""
        return self.code in _UPDATE or self.code in _FORMAT

    @property
    def formats(self) -> bool:
        """Whether what was behind on the track is gone, so that nothing of it is needed."""
        return self.code in _FORMAT


class ExtentUse(NamedTuple):
    """What Define Extent says about the cache. `last_track` is None without one: nothing is staged ahead then."""

    mode: CacheMode = CacheMode.NORMAL
    last_track: int | None = None
    fast_write: bool = True


def extent_use(command: CommandWork, heads: int) -> ExtentUse | None:
    """What a Define Extent or Prefix says, None when the command is neither or too short for one."""
    if command.code == CommandCode.DEFINE_EXTENT:
        extent = command.data
    elif command.code == CommandCode.PREFIX:
        extent = command.data[PREFIX_BYTES:]
    else:
        return None
    if len(extent) < EXTENT_BYTES:
        return None
    attributes = extent[1]
    mode = attributes >> 2 & 7
    cylinder, head = int.from_bytes(extent[12:14], "big"), int.from_bytes(extent[14:16], "big")
    cylinder |= (head & 0xFFF0) << 12  # extended addresses: the high part stands left of the head
    return ExtentUse(
        CacheMode(mode) if mode <= CacheMode.RECORD else CacheMode.NORMAL,
        cylinder * heads + (head & 0x0F if heads <= 16 else head),
        not attributes & INHIBIT_FAST_WRITE,
    )

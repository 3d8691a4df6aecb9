"""Lays a channel program out in storage: CCWs from one address on, data areas from another."""

from __future__ import annotations

from ccw.ccws import Ccw, CcwFlag, CommandCode, encode_ccw
from host_emulator.channel import CCW_BYTES, ChannelProgram
from host_emulator.storage import FORMAT_0_BYTES, MainStorage

PROGRAM_ORIGIN = 0x1000
DATA_ORIGIN = 0x10_0000


class ProgramBuilder:
    """Collects commands; every one but the last is command-chained, unless it chains data.

    Each method returns the address of its CCW, which `transfer` may jump to.
    """

    def __init__(self, ccw_format: int = 1, origin: int = PROGRAM_ORIGIN, data_origin: int = DATA_ORIGIN) -> None:
        self._format = ccw_format
        self._origin = origin
        self._storage = MainStorage(FORMAT_0_BYTES)
        self._ccws: list[Ccw] = []
        self._next_area = data_origin

    def write(self, code: int, data: bytes, flags: int = 0) -> int:
        """A command that takes `data`: write, search, control."""
        area = self._area(len(data))
        self._storage.store(area, data)
        return self._add(code, flags, len(data), area)

    def read(self, code: int, count: int, flags: int = 0) -> int:
        """A command that gives up to `count` bytes: read, sense."""
        return self._add(code, flags, count, self._area(count))

    def immediate(self, code: int, count: int = 1, flags: int = CcwFlag.SLI) -> int:
        """A command that moves nothing; format 0 wants a count all the same."""
        return self._add(code, flags, count, self._origin)

    def transfer(self, target: int) -> int:
        """Transfer in channel to the CCW at `target`."""
        return self._add(CommandCode.TRANSFER_IN_CHANNEL, 0, 0, target)

    def build(self) -> ChannelProgram:
        """The program, stored. At least one command."""
        assert self._ccws
        for index, ccw in enumerate(self._ccws):
            last = index == len(self._ccws) - 1
            chains = not last and not ccw.flags & CcwFlag.CD and ccw.command != CommandCode.TRANSFER_IN_CHANNEL
            flags = int(ccw.flags | (CcwFlag.CC if chains else 0))
            stored = Ccw(ccw.command, flags, ccw.count, ccw.address)
            self._storage.store(self._origin + index * CCW_BYTES, encode_ccw(stored, self._format))
        return ChannelProgram(self._storage, self._origin, self._format)

    def _add(self, code: int, flags: int, count: int, address: int) -> int:
        self._ccws.append(Ccw(int(code), int(flags), count, address))
        return self._origin + (len(self._ccws) - 1) * CCW_BYTES

    def _area(self, length_bytes: int) -> int:
        area = self._next_area
        self._next_area += (length_bytes + 7) // 8 * 8
        return area

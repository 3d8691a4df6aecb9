"""What Define Extent and Locate Record permit: the extent, and the domain of data commands that follows a locate.

Source: eckd-commands 3.8 (Define Extent), 3.9 and 3.10 (operations, counting), 4.5.3 (incomplete domain).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Operation(IntEnum):
    """The operation of a locate: its code, or 100 + the extended code where the code is 3F."""

    ORIENT = 0x00
    WRITE_DATA = 0x01
    FORMAT_WRITE = 0x03
    READ_DATA = 0x06
    WRITE_TRACK = 0x0B
    READ_TRACKS = 0x0C
    READ = 0x16
    WRITE_ANY = 0x109
    READ_ANY = 0x10A
    READ_TRACKSET = 0x10E
    PRESTAGE_TRACKSET = 0x110
    WRITE_TRACKSET = 0x111
    UPDATE_WRITE_TRACKSET = 0x113

    @property
    def bit(self) -> int:
        """A bit of its own, for sets of operations."""
        return 1 << _PLACES[self.name]


class LocateOrientation(IntEnum):
    """Bits 0-1 of the operation byte: where on the track the locate stops."""

    COUNT = 0
    HOME_ADDRESS = 1
    DATA = 2
    INDEX = 3


_PLACES = {operation.name: place for place, operation in enumerate(Operation)}
WRITE_OPERATIONS = frozenset(
    {
        Operation.WRITE_DATA,
        Operation.FORMAT_WRITE,
        Operation.WRITE_TRACK,
        Operation.WRITE_ANY,
        Operation.WRITE_TRACKSET,
        Operation.UPDATE_WRITE_TRACKSET,
    }
)
TRACKSET_OPERATIONS = frozenset(
    {
        Operation.READ_TRACKSET,
        Operation.PRESTAGE_TRACKSET,
        Operation.WRITE_TRACKSET,
        Operation.UPDATE_WRITE_TRACKSET,
    }
)
ONE_TRACK_OPERATIONS = frozenset({Operation.READ_ANY, Operation.WRITE_ANY})


@dataclass(slots=True)
class Domain:
    """The run of data commands that a locate opened.

    `bit` is the operation's. `count` is what remains (records, or tracks), `total` what it began with,
    `transfer_length` the length in bytes each record must have (`length_valid`: the locate gave it), `parameters` the
    16 bytes of the locate (for sense), `tracks` the track numbers of a trackset. `update_command` remembers whether 85
    or 8D was used: they may not be mixed.
    """

    operation: Operation
    bit: int
    orientation: LocateOrientation
    count: int
    total: int
    transfer_length: int
    suffix: bool
    extended: bool
    parameters: bytes
    length_valid: bool = False
    tracks: tuple[int, ...] = ()
    stays_on_track: bool = False
    update_command: int = 0

    @property
    def writes(self) -> bool:
        """True for the operations that change tracks."""
        return self.operation in WRITE_OPERATIONS

    def is_last_record(self) -> bool:
        """True when exactly one record is left to write, the suffix not counted."""
        return self.count == (2 if self.suffix else 1)

    def is_suffix(self) -> bool:
        """True when only the Read Count suffix is left."""
        return self.suffix and self.count == 1

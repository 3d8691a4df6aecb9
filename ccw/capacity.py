"""How much of a track a record takes: one formula for each way in which device types count.

A formula answers in the unit of its track: cells of 32 or 34 bytes (3380, 3390, 9345), or bytes (all devices before).
`used` is what a record takes when another one follows, `last` what it takes as the last record of the track; record
zero in its standard form is already deducted from the track. A record fits if the `used` of the records before it and
its own `last` come to no more than the track has.

Source: eckd-commands 2.8, 2.9; older-ckd-devices 1.1: Hercules capacity arithmetic, IBM-MAIN on 3390 cells.
"""

from typing import NamedTuple, Protocol


class CapacityFormula(Protocol):
    """What every formula answers. Lengths of key (0: no key area) and data in bytes."""

    def used(self, key_length: int, data_length: int) -> int:
        """What a record takes when another one follows."""

    def last(self, key_length: int, data_length: int) -> int:
        """What a record takes as the last one of its track."""


class CellFormula(NamedTuple):
    """How a record becomes cells: header + key area + data area, each in cells."""

    cell_length: int            # bytes
    record: int                 # cells of the count area and its gaps
    data: int                   # cells a data area costs besides its bytes
    key: int                    # cells a key area costs besides its bytes
    tail: int                   # bytes added to an area
    segment: int                # bytes a segment overhead costs; 0: no segments
    segment_length: int         # bytes of an area per segment

    def used(self, key_length: int, data_length: int) -> int:
        """Cells of one record with a key of `key_length` and data of `data_length` bytes."""
        return (self.record + self.data + self._area(data_length)
                + (self.key + self._area(key_length) if key_length else 0))

    def last(self, key_length: int, data_length: int) -> int:
        """The last record takes no less than the others."""
        return self.used(key_length, data_length)

    def _area(self, length: int) -> int:
        segments = -(-(length + self.tail) // self.segment_length) if self.segment else 0
        return -(-(length + self.segment * segments + self.tail) // self.cell_length)


class GapFormula(NamedTuple):
    """Bytes: key and data, a gap in front of a key, and the count area with its gaps (2305, 3330, 3340, 3350)."""

    key: int                    # C: bytes a key area costs besides its own
    record: int                 # X: bytes of the count area and its gaps

    def used(self, key_length: int, data_length: int) -> int:
        """Bytes of one record."""
        return key_length + data_length + (self.key if key_length else 0) + self.record

    def last(self, key_length: int, data_length: int) -> int:
        """The last record takes no less than the others."""
        return self.used(key_length, data_length)


class ToleranceFormula(NamedTuple):
    """Bytes, stretched for the tolerance of the drive's speed; the last record needs neither that nor its gaps
    (2311, 2314)."""

    key: int                    # C: bytes a key area costs besides its own
    record: int                 # X: bytes of the count area and its gaps
    numerator: int              # N and M: a record's bytes are counted N / M times
    denominator: int

    def used(self, key_length: int, data_length: int) -> int:
        """Bytes of one record that another one follows."""
        stretched = (key_length + data_length) * self.numerator // self.denominator
        return stretched + (self.key if key_length else 0) + self.record

    def last(self, key_length: int, data_length: int) -> int:
        """Bytes of the last record of a track."""
        return key_length + data_length + (self.key if key_length else 0)


class BlockFormula(NamedTuple):
    """Bytes, each area rounded up to whole blocks (3375)."""

    block: int                  # bytes
    data: int                   # bytes a data area costs besides its own
    key: int                    # bytes a key area costs besides its own

    def used(self, key_length: int, data_length: int) -> int:
        """Bytes of one record."""
        block = self.block
        key = -(-(key_length + self.key) // block) * block if key_length else 0
        return -(-(data_length + self.data) // block) * block + key

    def last(self, key_length: int, data_length: int) -> int:
        """The last record takes no less than the others."""
        return self.used(key_length, data_length)


class SectorFormula(NamedTuple):
    """Sector of a record = (first + cells before it) // cells_per_sector; record zero is at sector 0."""

    first: int
    cells_per_sector: int

"""The volume label and the volume table of contents: data set control blocks (DSCB), formats 1, 3, 4 and 5.

Label: record 3 of track 0,0, key and data beginning with VOL1; data 4-9 volume serial, 11-15 CCHHR of the VTOC.
A DSCB has a key of 44 bytes and 96 bytes of data; offsets here count in the data:

    0     format as a character: 1 data set, 3 more extents, 4 the VTOC itself, 5 free space
    format 1: key = name; 15 number of extents, 38-39 organisation, 40 record format, 42-43 block length,
              44-45 record length, 61.. three extents of 10 bytes: type, number, first CCHH, last CCHH
    format 3: key 4-43 four extents, data 1.. nine extents
    format 4: 61-70 the extent of the VTOC

Source: DFSMS DSCB layouts as the Linux dasd tools and Hercules' utilities write them (facts only).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ccw.errors import FormatError
from ccw.geometry import Cchh
from ccw.tracks import Record

VOL1 = "VOL1".encode("cp037")
KEY_BYTES, DATA_BYTES, EXTENT_BYTES = 44, 96, 10
FORMATS = {0xF1: 1, 0xF3: 3, 0xF4: 4, 0xF5: 5}
ORGANISATIONS = {0x40: "PS", 0x02: "PO", 0x20: "DA", 0x80: "IS"}
RECORD_FORMATS = {0x80: "F", 0x40: "V", 0xC0: "U"}


class Label(NamedTuple):
    """The volume serial, and where the VTOC begins."""

    serial: str
    vtoc: Cchh


class DataSet(NamedTuple):
    """One line of the contents."""

    name: str
    organisation: str
    record_format: str
    block_length: int
    record_length: int
    extents: tuple[tuple[Cchh, Cchh], ...]


def label_of(records: Iterable[Record]) -> Label:
    """The label among the records of track 0,0. Raises FormatError when there is none."""
    for record in records:
        if record.data[:4] == VOL1 and len(record.data) >= 16:
            return Label(record.data[4:10].decode("cp037").rstrip(), Cchh.unpack(record.data[11:15]))
    raise FormatError("volume", "no VOL1 label on track 0,0", b"")


def vtoc_extent(records: Iterable[Record]) -> tuple[Cchh, Cchh]:
    """First and last track of the VTOC, from its format-4 DSCB. Raises FormatError."""
    for record in records:
        if _format(record) == 4:
            extent = next(_extents(record.data[61:71]), None)
            if extent is None:
                raise FormatError("VTOC", "its format-4 DSCB names no extent", record.data, 61)
            return extent
    raise FormatError("VTOC", "no format-4 DSCB on its first track", b"")


def data_sets(records: Iterable[Record]) -> list[DataSet]:
    """The data sets that format-1 DSCBs describe, by name."""
    found = []
    for record in records:
        if _format(record) == 1:
            data = record.data
            found.append(
                DataSet(
                    record.key.decode("cp037").rstrip(),
                    ORGANISATIONS.get(data[38] & 0xFE, f"{data[38]:02X}"),
                    RECORD_FORMATS.get(data[40] & 0xC0, "?") + ("B" if data[40] & 0x10 else ""),
                    int.from_bytes(data[42:44], "big"),
                    int.from_bytes(data[44:46], "big"),
                    tuple(_extents(data[61:91])),
                )
            )
    return sorted(found)


def contents_lines(label: Label, extent: tuple[Cchh, Cchh], records: Iterable[Record]) -> Iterator[str]:
    """Label, VTOC and data sets for people; how many DSCBs there are of each format."""
    kept = list(records)
    yield f"volume {label.serial}, VTOC {_shown(extent)}"
    for entry in data_sets(kept):
        where = " ".join(_shown(piece) for piece in entry.extents) or "no extent"
        shape = f"{entry.organisation} {entry.record_format} {entry.record_length}/{entry.block_length}"
        yield f"  {entry.name:44} {shape:18} {where}"
    counts = [(number, sum(_format(record) == number for record in kept)) for number in (1, 3, 4, 5)]
    yield "  " + ", ".join(f"format {number}: {count}" for number, count in counts)


def _format(record: Record) -> int:
    if len(record.key) != KEY_BYTES or len(record.data) != DATA_BYTES:
        return 0
    return FORMATS.get(record.data[0], 0)


def _extents(data: bytes) -> Iterator[tuple[Cchh, Cchh]]:
    for start in range(0, len(data) - EXTENT_BYTES + 1, EXTENT_BYTES):
        piece = data[start : start + EXTENT_BYTES]
        if piece[0]:
            yield Cchh.unpack(piece[2:6]), Cchh.unpack(piece[6:10])


def _shown(extent: tuple[Cchh, Cchh]) -> str:
    first, last = extent
    return f"{first.cylinder},{first.head}-{last.cylinder},{last.head}"

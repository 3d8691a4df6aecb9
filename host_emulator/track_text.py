"""A track as a list of records, hex and EBCDIC side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ccw.geometry import Cchh
from ccw.tracks import Record, parse_track

LINE_BYTES = 16
LINES_SHOWN = 16  # of one field; the rest is counted


def records_of(address: Cchh, data: bytes) -> list[Record]:
    """The records in what Read Track gave (R0 to the end mark). Raises FormatError."""
    return parse_track(b"\0" + address.pack() + data)


def track_lines(address: Cchh, records: Sequence[Record]) -> Iterator[str]:
    """The records for people."""
    count = f"{len(records)} record{'' if len(records) == 1 else 's'}"
    yield f"track {address.cylinder},{address.head}: {count} with R0"
    for record in records:
        identifier = Cchh.unpack(record.count[:4])
        end = "  end of file" if not record.data else ""
        yield (
            f"R{record.count[4]:<3} at {identifier.cylinder},{identifier.head}  "
            f"key {len(record.key)}, data {len(record.data)} bytes{end}"
        )
        yield from dump_lines("key", record.key)
        yield from dump_lines("data", record.data)


def dump_lines(name: str, data: bytes) -> Iterator[str]:
    """Offset, hex in words of four bytes, EBCDIC."""
    for offset in range(0, min(len(data), LINE_BYTES * LINES_SHOWN), LINE_BYTES):
        piece = data[offset : offset + LINE_BYTES]
        yield f"  {name:4} {offset:04X}  {piece.hex(' ', 4).upper():35}  |{ebcdic(piece):16}|"
    left = len(data) - LINE_BYTES * LINES_SHOWN
    if left > 0:
        yield f"  {name:4} ... {left} bytes more"


def ebcdic(data: bytes) -> str:
    """The bytes as EBCDIC characters (code page 037), a dot where there is none."""
    return "".join(character if character.isprintable() else "." for character in data.decode("cp037"))

"""The extended query, the one PPRC query that hosts are known to use: order 18, suborder 50, scope 04.

    8 bytes head, then always five entries of 128 bytes, of which the head counts those that are filled

Source: Linux DASD driver (the bytes it tests); the rest assumed, defined by this project (pprc-commands 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from construct import Byte, Bytes, Const, Int16ub, Struct

from ccw.errors import FormatError
from ccw.layout import Bits, Layout, wrong_length
from ccw.pprc_flags import RelationFlag as RelationFlag

EXTENDED_ENTRIES = 5
EXTENDED_ENTRY_LENGTH = 128
EXTENDED_QUERY_LENGTH = 8 + EXTENDED_ENTRIES * EXTENDED_ENTRY_LENGTH


@dataclass(frozen=True, slots=True)
class ExtendedEntry:
    """One relation of the queried device, 128 bytes. State 0: in no relation."""

    state: int = 0
    flags: int = 0                  # RelationFlag
    reserved_02: bytes = bytes(2)
    primary_lss: int = 0
    primary_cca: int = 0
    secondary_lss: int = 0
    secondary_cca: int = 0
    pprc_id: int = 0
    reserved_10: bytes = bytes(12)
    primary_ssid: int = 0
    reserved_24: bytes = bytes(12)
    secondary_ssid: int = 0
    reserved_38: bytes = bytes(90)


EXTENDED_ENTRY = Layout("extended query entry", ExtendedEntry, Struct(
    "state" / Byte,                                      # 0
    "flags" / Bits(RelationFlag),                        # 1
    "reserved_02" / Bytes(2),                            # 2-3
    "primary_lss" / Byte,                                # 4
    "primary_cca" / Byte,                                # 5
    "secondary_lss" / Byte,                              # 6
    "secondary_cca" / Byte,                              # 7
    "pprc_id" / Int16ub * "low 16 bits of the pair id",  # 8-9
    "reserved_10" / Bytes(12),                           # 10-21
    "primary_ssid" / Int16ub,                            # 22-23
    "reserved_24" / Bytes(12),                           # 24-35
    "secondary_ssid" / Int16ub,                          # 36-37
    "reserved_38" / Bytes(90),                           # 38-127
), EXTENDED_ENTRY_LENGTH)


@dataclass(frozen=True, slots=True)
class ExtendedQuery:
    """Scope 04, 648 bytes: always five entries, of which `entry_count` are filled."""

    entry_count: int
    unused_01: int
    unused_04: bytes                # 4
    entries: tuple[ExtendedEntry, ...]

    @classmethod
    def of(cls, entries: tuple[ExtendedEntry, ...]) -> ExtendedQuery:
        """The reply for at most five relations. FormatError for more."""
        if len(entries) > EXTENDED_ENTRIES:
            raise FormatError("extended query", f"{len(entries)} entries, at most {EXTENDED_ENTRIES}", b"")
        return cls(len(entries), 0, bytes(4), entries + (ExtendedEntry(),) * (EXTENDED_ENTRIES - len(entries)))

    def encode(self) -> bytes:
        """648 bytes. FormatError when a field does not fit or there are not five entries."""
        if len(self.entries) != EXTENDED_ENTRIES:
            raise FormatError("extended query", f"{len(self.entries)} entries instead of {EXTENDED_ENTRIES}", b"")
        head = EXTENDED_HEAD.encode((self.entry_count, self.unused_01, self.unused_04))
        return head + b"".join(map(EXTENDED_ENTRY.encode, self.entries))

    @classmethod
    def decode(cls, data: bytes) -> ExtendedQuery:
        """FormatError unless 648 bytes with entries of 128."""
        if len(data) != EXTENDED_QUERY_LENGTH:
            raise wrong_length("extended query", data, EXTENDED_QUERY_LENGTH)
        starts = range(8, EXTENDED_QUERY_LENGTH, EXTENDED_ENTRY_LENGTH)
        entries = tuple(EXTENDED_ENTRY.decode(data[start : start + EXTENDED_ENTRY_LENGTH]) for start in starts)
        return cls(*(*EXTENDED_HEAD.decode(data[:8]), entries))


EXTENDED_HEAD: Layout[Any] = Layout("extended query", lambda *fields: fields, Struct(
    "entry_count" / Byte,                                    # 0
    "unused_01" / Byte,                                      # 1
    "entry_length" / Const(EXTENDED_ENTRY_LENGTH, Int16ub),  # 2-3
    "unused_04" / Bytes(4),                                  # 4-7
), 8, tuple, describes=ExtendedQuery)

"""Replies of Read Subsystem Data 3E: what a subsystem tells about itself. Volumes and hosts: volume_data.py; PPRC:
pprc_query.py.

    order 18, suborder 00   PathStatus                  16, or 24 on a 3990-6
              suborder 01   Statistics                  96, or two of them
              suborder 03   AttentionMessage, CuirMessage
              suborder 0E   UnitAddressConfiguration    512
              suborder 41   FeatureCodes                256
    order B0                NodeRecords                 32n: descriptors and qualifiers (configuration.py)

Source: eckd-commands 3.12: Hercules, Linux DASD driver. Bytes that neither names are kept as `reserved` or `unused`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any

from construct import Byte, Bytes, Const, Int16ub, Int32ub, Struct

from ccw.configuration import NODE_ELEMENT_LENGTH, ElementFlag, NodeElement, NodeQualifier
from ccw.errors import FormatError
from ccw.layout import Bits, FixedFormat, Layout, wrong_length

PATH_STATUS_LENGTH = 16
PATH_STATUS_LONG_LENGTH = 24
ADDRESSES = 256


class StoragePathFlag(IntFlag):
    """Byte 0 of the storage path status."""

    PATH_VALID = 0x80
    ATTACHED = 0x40
    RESERVED_2 = 0x20
    RESERVED_3 = 0x10
    RESERVED_4 = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


@dataclass(frozen=True, slots=True)
class PathStatus:
    """Suborder 00: storage path status."""

    flags: int
    configured: int
    enabled: int
    fenced: int
    reserved_04: bytes = bytes(12)
    logical_paths: bytes = b""          # bytes 16-23 of the long form, else empty; the first is their number

    def encode(self) -> bytes:
        """16 or 24 bytes. FormatError when a field does not fit."""
        if len(self.logical_paths) not in (0, PATH_STATUS_LONG_LENGTH - PATH_STATUS_LENGTH):
            raise FormatError("storage path status", "logical paths are not 8 bytes", self.logical_paths)
        return PATH_STATUS.encode(self) + self.logical_paths

    @classmethod
    def decode(cls, data: bytes) -> PathStatus:
        """FormatError unless 16 or 24 bytes."""
        if len(data) not in (PATH_STATUS_LENGTH, PATH_STATUS_LONG_LENGTH):
            raise wrong_length("storage path status", data, PATH_STATUS_LENGTH)
        head = PATH_STATUS.decode(data[:PATH_STATUS_LENGTH])
        return cls(head.flags, head.configured, head.enabled, head.fenced, head.reserved_04, data[PATH_STATUS_LENGTH:])


PATH_STATUS = Layout("storage path status", PathStatus, Struct(
    "flags" / Bits(StoragePathFlag) * "C0: path valid and attached",            # 0
    "configured" / Byte * "80: logical paths are configured",                   # 1
    "enabled" / Byte * "one bit a path",                                        # 2
    "fenced" / Byte * "one bit a path",                                         # 3
    "reserved_04" / Bytes(12),                                                  # 4-15; long form: 8 more
), PATH_STATUS_LENGTH)


class StatisticsFlag(IntFlag):
    """Byte 0 of a statistics record: invalid, format (3 bits), data format (4)."""

    INVALID = 0x80
    FORMAT_4 = 0x40
    FORMAT_2 = 0x20
    FORMAT_1 = 0x10
    DATA_FORMAT_8 = 0x08
    DATA_FORMAT_4 = 0x04
    DATA_FORMAT_2 = 0x02
    DATA_FORMAT_1 = 0x01


@dataclass(frozen=True, slots=True)
class Statistics(FixedFormat):
    """Suborder 01: what a device did since its counters began; they wrap at 2 ** 32."""

    flags: int
    unit_address: int
    device_status: int
    read_requests: int = 0
    read_hits: int = 0
    write_requests: int = 0
    fast_write_hits: int = 0
    sequential_read_requests: int = 0
    sequential_read_hits: int = 0
    sequential_write_requests: int = 0
    sequential_fast_write_hits: int = 0
    cache_fast_write_reads: int = 0
    cache_fast_write_read_hits: int = 0
    cache_fast_write_writes: int = 0
    cache_fast_write_write_hits: int = 0
    inhibit_cache_loading_requests: int = 0
    bypass_cache_requests: int = 0
    sequential_stages: int = 0
    stages: int = 0
    destages: int = 0
    fast_write_delays: int = 0
    fast_writes: int = 0
    sequential_fast_writes: int = 0
    cache_misses: int = 0
    status_2: int = 0
    quick_write_promotes: int = 0
    reserved_93: int = 0
    ssid: int = 0


Statistics.LAYOUT = Layout("statistics record", Statistics, Struct(
    "flags" / Bits(StatisticsFlag),                                     # 0
    "unit_address" / Byte,                                              # 1
    "device_status" / Int16ub,                                          # 2-3
    "read_requests" / Int32ub * "normal reads",                         # 4-7
    "read_hits" / Int32ub,                                              # 8-11
    "write_requests" / Int32ub * "normal writes",                       # 12-15
    "fast_write_hits" / Int32ub,                                        # 16-19
    "sequential_read_requests" / Int32ub,                               # 20-23
    "sequential_read_hits" / Int32ub,                                   # 24-27
    "sequential_write_requests" / Int32ub,                              # 28-31
    "sequential_fast_write_hits" / Int32ub,                             # 32-35
    "cache_fast_write_reads" / Int32ub,                                 # 36-39
    "cache_fast_write_read_hits" / Int32ub,                             # 40-43
    "cache_fast_write_writes" / Int32ub,                                # 44-47
    "cache_fast_write_write_hits" / Int32ub,                            # 48-51
    "inhibit_cache_loading_requests" / Int32ub,                         # 52-55
    "bypass_cache_requests" / Int32ub,                                  # 56-59
    "sequential_stages" / Int32ub * "sequential disk-to-cache transfers",   # 60-63
    "stages" / Int32ub * "disk-to-cache transfers",                     # 64-67
    "destages" / Int32ub * "cache-to-disk transfers",                   # 68-71
    "fast_write_delays" / Int32ub * "DASD fast write had to wait",      # 72-75
    "fast_writes" / Int32ub * "normal fast writes",                     # 76-79
    "sequential_fast_writes" / Int32ub,                                 # 80-83
    "cache_misses" / Int32ub,                                           # 84-87
    "status_2" / Byte,                                                  # 88
    "quick_write_promotes" / Int32ub * "not aligned",                   # 89-92
    "reserved_93" / Byte,                                               # 93
    "ssid" / Int16ub,                                                   # 94-95
), 96)


@dataclass(frozen=True, slots=True)
class AttentionMessage:
    """Suborder 03. Nothing to tell: format and code 00, the identifier asked for, and one byte of flags, 00."""

    format: int
    code: int
    message_id: int
    content: bytes = b"\0"              # flags, then what the format has

    @property
    def length(self) -> int:
        """Bytes 0-1."""
        return ATTENTION_MESSAGE.size + len(self.content)

    def encode(self) -> bytes:
        """8 bytes and the content. FormatError when a field does not fit or there is no content."""
        if not self.content:
            raise FormatError("attention message", "no flags", b"")
        return ATTENTION_MESSAGE.encode(self) + self.content

    @classmethod
    def decode(cls, data: bytes) -> AttentionMessage:
        """FormatError: below 9 bytes, or another length than bytes 0-1 say."""
        expected = max(9, data[0] << 8 | data[1]) if len(data) >= 9 else 9
        if len(data) != expected:
            raise wrong_length("attention message", data, expected)
        if data[0] << 8 | data[1] != expected:
            raise FormatError("attention message", "length", data, 0)
        _, kind, code, message_id = ATTENTION_MESSAGE.decode(data[:8])
        return cls(kind, code, message_id, data[8:])


ATTENTION_MESSAGE: Layout[Any] = Layout("attention message", lambda *fields: fields, Struct(
    "length" / Int16ub * "of all this: 9 when there is no message",             # 0-1
    "format" / Byte * "00 no message, 01 CUIR",                                 # 2
    "code" / Byte * "by format",                                                # 3
    "message_id" / Int32ub * "without a message that of the order",             # 4-7; then the content
), 8, lambda value: (value.length, value.format, value.code, value.message_id), describes=AttentionMessage)


class CuirCode(IntEnum):
    """Code of a CUIR message."""

    QUIESCE = 0x01
    RESUME = 0x02


@dataclass(frozen=True, slots=True)
class CuirMessage(FixedFormat):
    """Suborder 03, format 01: the control unit asks for paths to be varied (control-unit-initiated reconfiguration)."""

    code: int
    message_id: int
    flags: int
    qualifier_map: bytes
    descriptor_map: int
    record_selector: int


CuirMessage.LAYOUT = Layout("CUIR message", CuirMessage, Struct(
    "length" / Const(14, Int16ub),                                                                  # 0-1
    "format" / Const(1, Byte),                                                                      # 2
    "code" / Byte * "a CuirCode",                                                                   # 3
    "message_id" / Int32ub,                                                                         # 4-7
    "flags" / Byte,                                                                                 # 8
    "qualifier_map" / Bytes(3) * "which bytes of the qualifier select paths; length assumed",       # 9-11
    "descriptor_map" / Byte * "which descriptors select paths",                                     # 12
    "record_selector" / Byte * "record of the configuration data",                                  # 13
), 14)


class AddressType(IntEnum):
    """What a unit address is."""

    NONE = 0
    BASE = 1
    ALIAS = 2
    HYPER_ALIAS = 3


@dataclass(frozen=True, slots=True)
class AddressEntry(FixedFormat):
    """One unit address."""

    type: int
    base_address: int


AddressEntry.LAYOUT = Layout("unit address", AddressEntry, Struct(
    "type" / Byte * "an AddressType",                       # 0
    "base_address" / Byte * "of an alias: its base",        # 1
), 2)


@dataclass(frozen=True, slots=True)
class UnitAddressConfiguration:
    """Suborder 0E: an entry of 2 bytes for each of the 256 unit addresses, in their order."""

    entries: tuple[AddressEntry, ...]

    def encode(self) -> bytes:
        """512 bytes. FormatError unless there are 256 entries that fit."""
        if len(self.entries) != ADDRESSES:
            raise FormatError("unit address configuration", f"{len(self.entries)} entries instead of 256", b"")
        return b"".join(entry.encode() for entry in self.entries)

    @classmethod
    def decode(cls, data: bytes) -> UnitAddressConfiguration:
        """FormatError unless 512 bytes."""
        if len(data) != 2 * ADDRESSES:
            raise wrong_length("unit address configuration", data, 2 * ADDRESSES)
        return cls(tuple(AddressEntry.decode(data[at : at + 2]) for at in range(0, len(data), 2)))


@dataclass(frozen=True, slots=True)
class FeatureCodes(FixedFormat):
    """Suborder 41. Only the bytes that hosts test have names."""

    codes_00: bytes
    codes_08: int
    codes_09: bytes
    codes_40: int
    codes_41: bytes
    codes_56: int
    codes_57: bytes

    @property
    def prefix(self) -> bool:
        """Is the Prefix command offered?"""
        return self.codes_08 & 0x01 != 0

    @property
    def transport_mode(self) -> bool:
        """Are both bits on by which hosts recognise transport mode?"""
        return self.codes_40 & 0x84 == 0x84

    @property
    def space_efficient_formatting(self) -> bool:
        """May thin volumes be formatted by releasing their space?"""
        return self.codes_56 & 0x01 != 0


FeatureCodes.LAYOUT = Layout("feature codes", FeatureCodes, Struct(
    "codes_00" / Bytes(8),                                                      # 0-7
    "codes_08" / Byte * "01 Prefix",                                            # 8
    "codes_09" / Bytes(31),                                                     # 9-39
    "codes_40" / Byte * "80 and 04 transport mode",                             # 40
    "codes_41" / Bytes(15),                                                     # 41-55
    "codes_56" / Byte * "01 space-efficient formatting",                        # 56
    "codes_57" / Bytes(199),                                                    # 57-255
), 256)


@dataclass(frozen=True, slots=True)
class NodeRecords:
    """Order B0, Read Node Identifier, Read Configuration Data: records of 32 bytes, by the kind in bits 0-1 of byte 0.

    Kind 3 is a descriptor, 2 the general qualifier, 1 a specific qualifier; 0 is unused. The last two stay bytes.
    """

    records: tuple[NodeElement | NodeQualifier | bytes, ...]

    def encode(self) -> bytes:
        """32 bytes a record. FormatError when a field does not fit, or a record is not of its kind."""
        data = b"".join(record if isinstance(record, bytes) else record.encode() for record in self.records)
        if len(data) != NODE_ELEMENT_LENGTH * len(self.records) or NodeRecords.decode(data) != self:
            raise FormatError("node records", "a record that is not of its kind", data)
        return data

    @classmethod
    def decode(cls, data: bytes) -> NodeRecords:
        """FormatError unless 32n bytes, n at least 1."""
        if not data or len(data) % NODE_ELEMENT_LENGTH:
            raise wrong_length("node records", data, max(32, len(data) // 32 * 32))
        starts = range(0, len(data), NODE_ELEMENT_LENGTH)
        return cls(tuple(_node_record(data[at : at + NODE_ELEMENT_LENGTH]) for at in starts))


def _node_record(record: bytes) -> NodeElement | NodeQualifier | bytes:
    kind = record[0] & (ElementFlag.KIND_2 | ElementFlag.KIND_1)
    if kind == ElementFlag.KIND_2 | ElementFlag.KIND_1:
        return NodeElement.decode(record)
    return NodeQualifier.decode(record) if kind == ElementFlag.KIND_2 else record

"""Replies of Read Subsystem Data 3E about volumes, extent pools and hosts.

    order 18, suborder 1C   HostAccess              20 + 32n
              suborder 52   VolumeStorage           28
              suborder 53   LogicalConfiguration    32 + 8n

Source: eckd-commands 3.12.2: Linux DASD driver; that capacities are in cylinders: assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import Any

from construct import Byte, Bytes, Int16ub, Int32ub, Struct

from ccw.errors import FormatError
from ccw.layout import Bits, FixedFormat, Layout, wrong_length

POOLS_MAX = 448
_HOSTS_START, _POOLS_START, _HOST_LENGTH, _POOL_LENGTH = 20, 32, 32, 8


@dataclass(frozen=True, slots=True)
class HostEntry(FixedFormat):
    """One path group that uses the volume."""

    status: int
    path_group_id: bytes
    sysplex: bytes
    timestamp: int
    cylinders_max: int
    reserved_28: bytes = bytes(4)


HostEntry.LAYOUT = Layout("host", HostEntry, Struct(
    "status" / Byte,                                                        # 0
    "path_group_id" / Bytes(11),                                            # 1-11
    "sysplex" / Bytes(8) * "name, EBCDIC",                                  # 12-19
    "timestamp" / Int32ub,                                                  # 20-23
    "cylinders_max" / Int32ub * "most cylinders that the host supports",    # 24-27
    "reserved_28" / Bytes(4),                                               # 28-31
), _HOST_LENGTH)


@dataclass(frozen=True, slots=True)
class HostAccess:
    """Suborder 1C: which hosts use the volume."""

    access_flag: int
    version: int
    ckd_length: int
    scsi_length: int
    unused_06: bytes
    access_flags: int
    hosts: tuple[HostEntry, ...] = ()

    @property
    def entry_length(self) -> int:
        """Byte 17."""
        return _HOST_LENGTH

    @property
    def entry_count(self) -> int:
        """Bytes 18-19."""
        return len(self.hosts)

    def encode(self) -> bytes:
        """20 + 32n bytes. FormatError when a field does not fit."""
        return HOST_ACCESS.encode(self) + b"".join(host.encode() for host in self.hosts)

    @classmethod
    def decode(cls, data: bytes) -> HostAccess:
        """FormatError: entries not of 32 bytes, or not 20 + 32n bytes, n being bytes 18-19."""
        if len(data) < _HOSTS_START:
            raise wrong_length("host access", data, _HOSTS_START)
        *head, entry_length, count = HOST_ACCESS.decode(data[:_HOSTS_START])
        if entry_length != _HOST_LENGTH:
            raise FormatError("host access", "entry length", data, 17)
        expected = _HOSTS_START + _HOST_LENGTH * count
        if len(data) != expected:
            raise wrong_length("host access", data, expected)
        starts = range(_HOSTS_START, expected, _HOST_LENGTH)
        return cls(*(*head, tuple(HostEntry.decode(data[at : at + _HOST_LENGTH]) for at in starts)))


HOST_ACCESS: Layout[Any] = Layout("host access", lambda *fields: fields, Struct(
    "access_flag" / Byte,                                   # 0
    "version" / Byte,                                       # 1
    "ckd_length" / Int16ub * "bytes about CKD hosts",       # 2-3
    "scsi_length" / Int16ub * "bytes about SCSI hosts",     # 4-5
    "unused_06" / Bytes(10),                                # 6-15
    "access_flags" / Byte,                                  # 16
    "entry_length" / Byte * "32",                           # 17
    "entry_count" / Int16ub * "n",                          # 18-19; then n hosts of 32 bytes
), _HOSTS_START, lambda value: (value.access_flag, value.version, value.ckd_length, value.scsi_length, value.unused_06,
                                value.access_flags, value.entry_length, value.entry_count), describes=HostAccess)


class StorageFlag(IntFlag):
    """Byte 0 of the volume storage query."""

    TRACK_SPACE_EFFICIENT = 0x80
    NO_SPACE = 0x40
    EXTENT_SPACE_EFFICIENT = 0x20
    RESERVED_3 = 0x10
    RESERVED_4 = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


@dataclass(frozen=True, slots=True)
class VolumeStorage(FixedFormat):
    """Suborder 52: the space behind a volume. Capacities in cylinders, warning levels in percent."""

    flags: int
    unused_01: int
    extent_pool: int
    limit_warning: int
    guarantee_warning: int
    unused_06: bytes
    capacity_limit: int
    capacity_guaranteed: int
    space_allocated: int
    space_configured: int
    capacity_logical: int


VolumeStorage.LAYOUT = Layout("volume storage query", VolumeStorage, Struct(
    "flags" / Bits(StorageFlag),                                        # 0
    "unused_01" / Byte,                                                 # 1
    "extent_pool" / Int16ub * "pool identifier",                        # 2-3
    "limit_warning" / Byte * "warning level of the capacity limit",     # 4
    "guarantee_warning" / Byte * "warning level of the guaranteed capacity",    # 5
    "unused_06" / Bytes(2),                                             # 6-7
    "capacity_limit" / Int32ub,                                         # 8-11
    "capacity_guaranteed" / Int32ub,                                    # 12-15
    "space_allocated" / Int32ub,                                        # 16-19
    "space_configured" / Int32ub,                                       # 20-23
    "capacity_logical" / Int32ub,                                       # 24-27
), 28)


class PoolFlag(IntFlag):
    """Byte 4 of an extent pool."""

    FIXED_BLOCK = 0x80
    TRACK_SPACE_EFFICIENT = 0x40
    EXTENT_SPACE_EFFICIENT = 0x20
    STANDARD_VOLUMES = 0x10
    EXTENT_SIZE_VALID = 0x08
    AT_WARNING_LEVEL = 0x04
    OUT_OF_SPACE = 0x02
    RESERVED_7 = 0x01


@dataclass(frozen=True, slots=True)
class ExtentPool(FixedFormat):
    """One extent pool."""

    pool: int
    repository_threshold: int
    pool_threshold: int
    flags: int
    unused_05: int
    extent_size: int
    unused_07: int


ExtentPool.LAYOUT = Layout("extent pool", ExtentPool, Struct(
    "pool" / Int16ub * "pool identifier",                                                   # 0-1
    "repository_threshold" / Byte * "warning level, percent",                               # 2
    "pool_threshold" / Byte * "warning level, percent",                                     # 3
    "flags" / Bits(PoolFlag),                                                               # 4
    "unused_05" / Byte,                                                                     # 5
    "extent_size" / Byte * "40: 1 GB, 1,113 cylinders; 01: 16 MB, 21 cylinders",            # 6
    "unused_07" / Byte,                                                                     # 7
), _POOL_LENGTH)


class ConfigurationFlag(IntFlag):
    """Byte 4 of the logical configuration query."""

    POOLS_VALID = 0x80
    VOLUME_POOL = 0x40
    CEC_POOL = 0x20
    RESERVED_3 = 0x10
    RESERVED_4 = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


@dataclass(frozen=True, slots=True)
class LogicalConfiguration:
    """Suborder 53: the storage system and its extent pools. Texts are EBCDIC."""

    flags: int
    unused_05: int
    system_type: bytes
    model: bytes
    sequence_number: bytes
    reserved_25: bytes = bytes(7)
    pools: tuple[ExtentPool, ...] = ()

    @property
    def length(self) -> int:
        """Bytes 0-1."""
        return _POOLS_START + _POOL_LENGTH * len(self.pools)

    @property
    def pool_count(self) -> int:
        """Bytes 2-3."""
        return len(self.pools)

    def encode(self) -> bytes:
        """32 + 8n bytes. FormatError when a field does not fit or n is above 448."""
        if len(self.pools) > POOLS_MAX:
            raise FormatError("logical configuration", f"{len(self.pools)} pools, at most {POOLS_MAX}", b"")
        return LOGICAL_CONFIGURATION.encode(self) + b"".join(pool.encode() for pool in self.pools)

    @classmethod
    def decode(cls, data: bytes) -> LogicalConfiguration:
        """FormatError: more than 448 pools, or not 32 + 8n bytes with that length in bytes 0-1 and n in 2-3."""
        if len(data) < _POOLS_START:
            raise wrong_length("logical configuration", data, _POOLS_START)
        length, count, *head = LOGICAL_CONFIGURATION.decode(data[:_POOLS_START])
        if count > POOLS_MAX:
            raise FormatError("logical configuration", "pools", data, 2)
        expected = _POOLS_START + _POOL_LENGTH * count
        if len(data) != expected:
            raise wrong_length("logical configuration", data, expected)
        if length != expected:
            raise FormatError("logical configuration", "length", data, 0)
        starts = range(_POOLS_START, expected, _POOL_LENGTH)
        return cls(*(*head, tuple(ExtentPool.decode(data[at : at + _POOL_LENGTH]) for at in starts)))


LOGICAL_CONFIGURATION: Layout[Any] = Layout("logical configuration", lambda *fields: fields, Struct(
    "length" / Int16ub * "of all this",                     # 0-1
    "pool_count" / Int16ub * "n, at most 448",              # 2-3
    "flags" / Bits(ConfigurationFlag),                      # 4
    "unused_05" / Byte,                                     # 5
    "system_type" / Bytes(6) * "EBCDIC",                    # 6-11
    "model" / Bytes(3) * "EBCDIC",                          # 12-14
    "sequence_number" / Bytes(10) * "EBCDIC",               # 15-24
    "reserved_25" / Bytes(7),                               # 25-31; then n pools of 8 bytes
), _POOLS_START, lambda value: (value.length, value.pool_count, value.flags, value.unused_05, value.system_type,
                                value.model, value.sequence_number, value.reserved_25), describes=LogicalConfiguration)

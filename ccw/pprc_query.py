"""Replies to the PPRC queries: Read Subsystem Data after order 18, suborder 50.

    scope 01   paths of the addressed control-unit image    PathReport: 32 + 112 for each secondary
    scope 02   one volume                                   VolumeQuery: 128
    scope 03   queue and bridges                            QueueReport: 16 + 32 for each bridge + 4 for each entry
    scope 04   the extended query hosts use                 ccw/pprc_extended_query.py
    scope 05   change bitmap                                ChangeBitmap: 8 + one bit for each track

Only lengths, and the counts that lengths follow from, are judged; all other values are kept.

Source: assumed, defined by this project (pprc-commands 4.13, 7.3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from construct import Byte, Bytes, Const, Int16ub, Int32ub, Int64ub, Struct

from ccw.errors import FormatError
from ccw.layout import Bits, Layout, wrong_length
from ccw.pprc_flags import SecondaryFlag as SecondaryFlag
from ccw.pprc_flags import VolumeFlag as VolumeFlag

PATHS_PER_SECONDARY = 8
NO_CYLINDER = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class PathEntry:
    """One path, 10 bytes."""

    said: int = 0
    link_address: int = 0
    cu_image: int = 0
    secondary_port: int = 0
    status: int = 0
    purpose: int = 0
    bridge_number: int = 0
    reserved_09: int = 0


PATH_ENTRY = Layout("path entry", PathEntry, Struct(
    "said" / Int16ub,                                                # 0-1
    "link_address" / Byte,                                           # 2
    "cu_image" / Byte,                                               # 3
    "secondary_port" / Int16ub,                                      # 4-5
    "status" / Byte * "00 no path, 01 ESCON path established, ...",  # 6
    "purpose" / Byte,                                                # 7
    "bridge_number" / Byte,                                          # 8
    "reserved_09" / Byte,                                            # 9
), 10)


@dataclass(frozen=True, slots=True)
class SecondaryPaths:
    """One secondary control-unit image and its eight path entries, 112 bytes."""

    ssid: int
    lss: int
    path_count: int
    serial: bytes                   # 12
    wwnn: bytes                     # 8
    flags: int                      # SecondaryFlag
    link_type: int
    elb_seconds: int
    reserved_28: bytes = bytes(4)
    paths: tuple[PathEntry, ...] = (PathEntry(),) * PATHS_PER_SECONDARY


_SECONDARY_LENGTH = 32 + PATHS_PER_SECONDARY * PATH_ENTRY.size
SECONDARY_HEAD = Layout("path report, secondary", SecondaryPaths, Struct(
    "ssid" / Int16ub,                    # 0-1
    "lss" / Byte,                        # 2
    "path_count" / Byte * "good paths",  # 3
    "serial" / Bytes(12),                # 4-15
    "wwnn" / Bytes(8),                   # 16-23
    "flags" / Bits(SecondaryFlag),       # 24
    "link_type" / Byte,                  # 25
    "elb_seconds" / Int16ub,             # 26-27
    "reserved_28" / Bytes(4),            # 28-31
), 32)


@dataclass(frozen=True, slots=True)
class PathReport:
    """Scope 01."""

    ssid: int
    lss: int
    control_unit_type: int
    serial: bytes                   # 12
    wwnn: bytes                     # 8
    reserved_28: bytes = bytes(4)
    secondaries: tuple[SecondaryPaths, ...] = ()

    def encode(self) -> bytes:
        """32 + 112n bytes. FormatError when a field does not fit or a secondary has not eight path entries."""
        parts = [PATH_REPORT_HEAD.encode(self)]
        for secondary in self.secondaries:
            if len(secondary.paths) != PATHS_PER_SECONDARY:
                raise FormatError("path report", f"{len(secondary.paths)} path entries instead of 8", b"")
            parts.append(SECONDARY_HEAD.encode(secondary))
            parts += map(PATH_ENTRY.encode, secondary.paths)
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> PathReport:
        """FormatError unless 32 + 112n bytes with that length in bytes 0-1, format 01 and n in byte 3."""
        _, count, *head = PATH_REPORT_HEAD.decode(data[:32])
        _check_total("path report", data, 32 + _SECONDARY_LENGTH * count)
        blocks = (data[start : start + _SECONDARY_LENGTH] for start in range(32, len(data), _SECONDARY_LENGTH))
        return cls(*(*head, tuple(map(_secondary, blocks))))


def _secondary(block: bytes) -> SecondaryPaths:
    size = PATH_ENTRY.size
    paths = tuple(PATH_ENTRY.decode(block[start : start + size]) for start in range(32, len(block), size))
    return replace(SECONDARY_HEAD.decode(block[:32]), paths=paths)


def _check_total(what: str, data: bytes, expected: int) -> None:
    """Both the length of `data` and its first two bytes must be `expected`."""
    if len(data) != expected:
        raise wrong_length(what, data, expected)
    if data[0] << 8 | data[1] != expected:
        raise FormatError(what, "total length", data, 0)


def _path_report_fields(report: PathReport) -> tuple[Any, ...]:
    total = 32 + _SECONDARY_LENGTH * len(report.secondaries)
    return (total, len(report.secondaries), report.ssid, report.lss, report.control_unit_type, report.serial,
            report.wwnn, report.reserved_28)


PATH_REPORT_HEAD: Layout[Any] = Layout("path report", lambda *fields: fields, Struct(
    "length" / Int16ub,                                     # 0-1
    "format" / Const(1, Byte),                              # 2
    "count" / Byte,                                         # 3
    "ssid" / Int16ub,                                       # 4-5
    "lss" / Byte,                                           # 6
    "control_unit_type" / Byte * "0 3990 and RVA, 1 2105",  # 7
    "serial" / Bytes(12),                                   # 8-19
    "wwnn" / Bytes(8),                                      # 20-27
    "reserved_28" / Bytes(4),                               # 28-31
), 32, _path_report_fields, describes=PathReport)


@dataclass(frozen=True, slots=True)
class VolumeQuery:
    """Scope 02, 128 bytes."""

    role: int
    state: int
    flags: int = 0                  # VolumeFlag
    bridge_role: int = 0
    bridge_number: int = 0
    primary_ssid: int = 0
    primary_lss: int = 0
    primary_cca: int = 0
    secondary_ssid: int = 0
    secondary_lss: int = 0
    secondary_cca: int = 0
    primary_identity: bytes = bytes(12)
    secondary_identity: bytes = bytes(12)
    pair_id: int = 0
    total_tracks: int = 0
    out_of_sync_tracks: int = 0
    percent_in_sync: int = 0
    path_status: int = 0
    path_count: int = 0
    pace: int = 0
    first_cylinder: int = NO_CYLINDER
    last_cylinder: int = NO_CYLINDER
    suspend_tod: int = 0
    queue_position: int = 0
    next_sequence: int = 0
    acknowledged_sequence: int = 0
    reserved_84: bytes = bytes(44)

    def encode(self) -> bytes:
        """128 bytes. FormatError when a field does not fit."""
        return VOLUME_QUERY.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> VolumeQuery:
        """FormatError unless 128 bytes, with that length in bytes 0-1 and format 01."""
        return VOLUME_QUERY.decode(data)


VOLUME_QUERY = Layout("volume query", VolumeQuery, Struct(
    "length" / Const(128, Int16ub),                           # 0-1
    "format" / Const(1, Byte),                                # 2
    "role" / Byte * "0 simplex, 1 primary, 2 secondary",      # 3
    "state" / Byte,                                           # 4
    "flags" / Bits(VolumeFlag),                               # 5
    "bridge_role" / Byte,                                     # 6
    "bridge_number" / Byte,                                   # 7
    "primary_ssid" / Int16ub,                                 # 8-9
    "primary_lss" / Byte,                                     # 10
    "primary_cca" / Byte,                                     # 11
    "secondary_ssid" / Int16ub,                               # 12-13
    "secondary_lss" / Byte,                                   # 14
    "secondary_cca" / Byte,                                   # 15
    "primary_identity" / Bytes(12),                           # 16-27
    "secondary_identity" / Bytes(12),                         # 28-39
    "pair_id" / Int32ub,                                      # 40-43
    "total_tracks" / Int32ub,                                 # 44-47
    "out_of_sync_tracks" / Int32ub,                           # 48-51
    "percent_in_sync" / Byte,                                 # 52
    "path_status" / Byte * "0 inactive, 1 active",            # 53
    "path_count" / Byte,                                      # 54
    "pace" / Byte,                                            # 55
    "first_cylinder" / Int32ub * "out of sync",               # 56-59
    "last_cylinder" / Int32ub,                                # 60-63
    "suspend_tod" / Int64ub,                                  # 64-71
    "queue_position" / Int32ub * "1 = next, 0 = not queued",  # 72-75
    "next_sequence" / Int32ub,                                # 76-79
    "acknowledged_sequence" / Int32ub,                        # 80-83
    "reserved_84" / Bytes(44),                                # 84-127
), 128)


@dataclass(frozen=True, slots=True)
class BridgeEntry:
    """One bridge, 32 bytes."""

    bridge_number: int
    bridge_state: int
    reserved_02: bytes = bytes(2)
    pair_id: int = 0
    source_ssid: int = 0
    source_lss: int = 0
    source_cca: int = 0
    destination_ssid: int = 0
    destination_lss: int = 0
    destination_cca: int = 0
    next_sequence: int = 0
    acknowledged_sequence: int = 0
    tracks_left: int = 0
    reserved_28: bytes = bytes(4)


BRIDGE_ENTRY = Layout("bridge entry", BridgeEntry, Struct(
    "bridge_number" / Byte,                                                                   # 0
    "bridge_state" / Byte                                                                     # 1
    * "0 undefined, 1 defined, 2 establishing, 3 idle, 4 snapping, 5 copying, 6 draining, 7 failed",
    "reserved_02" / Bytes(2),                                                                 # 2-3
    "pair_id" / Int32ub,                                                                      # 4-7
    "source_ssid" / Int16ub,                                                                  # 8-9
    "source_lss" / Byte,                                                                      # 10
    "source_cca" / Byte,                                                                      # 11
    "destination_ssid" / Int16ub,                                                             # 12-13
    "destination_lss" / Byte,                                                                 # 14
    "destination_cca" / Byte,                                                                 # 15
    "next_sequence" / Int32ub,                                                                # 16-19
    "acknowledged_sequence" / Int32ub,                                                        # 20-23
    "tracks_left" / Int32ub,                                                                  # 24-27
    "reserved_28" / Bytes(4),                                                                 # 28-31
), 32)


@dataclass(frozen=True, slots=True)
class QueueReport:
    """Scope 03: bridges, and the pair ids that wait in the synchronisation queue, next first."""

    bridges: tuple[BridgeEntry, ...] = ()
    queue: tuple[int, ...] = ()
    max_depth: int = 1024
    reserved_08: bytes = bytes(8)

    def encode(self) -> bytes:
        """16 + 32 for each bridge + 4 for each queue entry. FormatError when a field does not fit."""
        ids = (_PAIR_ID.encode(pair_id) for pair_id in self.queue)
        return b"".join((QUEUE_HEAD.encode(self), *map(BRIDGE_ENTRY.encode, self.bridges), *ids))

    @classmethod
    def decode(cls, data: bytes) -> QueueReport:
        """FormatError unless exactly that length, also in bytes 0-1, and format 01."""
        _, bridge_count, depth, max_depth, reserved = QUEUE_HEAD.decode(data[:16])
        queue_start = 16 + BRIDGE_ENTRY.size * bridge_count
        _check_total("queue report", data, queue_start + _PAIR_ID.size * depth)
        bridges = tuple(BRIDGE_ENTRY.decode(data[start : start + 32]) for start in range(16, queue_start, 32))
        queue = tuple(_PAIR_ID.decode(data[start : start + 4]) for start in range(queue_start, len(data), 4))
        return cls(bridges, queue, max_depth, reserved)


def _queue_report_fields(report: QueueReport) -> tuple[Any, ...]:
    total = 16 + BRIDGE_ENTRY.size * len(report.bridges) + _PAIR_ID.size * len(report.queue)
    return total, len(report.bridges), len(report.queue), report.max_depth, report.reserved_08


_PAIR_ID: Layout[int] = Layout("queue entry", int, Struct("pair_id" / Int32ub), 4, lambda pair_id: (pair_id,))
QUEUE_HEAD: Layout[Any] = Layout("queue report", lambda *fields: fields, Struct(
    "length" / Int16ub,         # 0-1
    "format" / Const(1, Byte),  # 2
    "bridge_count" / Byte,      # 3
    "depth" / Int16ub,          # 4-5
    "max_depth" / Int16ub,      # 6-7
    "reserved_08" / Bytes(8),   # 8-15
), 16, _queue_report_fields, describes=QueueReport)


@dataclass(frozen=True, slots=True)
class ChangeBitmap:
    """Scope 05: one bit for each track, the first bit of the first byte is track 0. Spare bits at the end are kept.

    Its two bytes of length allow 524,216 tracks (34,947 cylinders of 15); there is no such reply for a larger volume.
    """

    track_count: int
    bitmap: bytes
    reserved_03: int = 0

    def encode(self) -> bytes:
        """8 bytes and the bitmap. FormatError when the bitmap has not one bit a track (rounded up to a byte), or
        there are more than BITMAP_TRACKS_MAX."""
        if len(self.bitmap) != -(-self.track_count // 8):
            raise FormatError("change bitmap", f"{len(self.bitmap)} bytes for {self.track_count} tracks", self.bitmap)
        return BITMAP_HEAD.encode((8 + len(self.bitmap), self.reserved_03, self.track_count)) + self.bitmap

    @classmethod
    def decode(cls, data: bytes) -> ChangeBitmap:
        """FormatError unless 8 bytes and one bit a track, with that length in bytes 0-1 and format 01."""
        _, reserved, track_count = BITMAP_HEAD.decode(data[:8])
        _check_total("change bitmap", data, 8 + -(-track_count // 8))
        return cls(track_count, data[8:], reserved)


BITMAP_TRACKS_MAX = 8 * (0xFFFF - 8)
BITMAP_HEAD: Layout[Any] = Layout("change bitmap", lambda *fields: fields, Struct(
    "length" / Int16ub,         # 0-1
    "format" / Const(1, Byte),  # 2
    "reserved_03" / Byte,       # 3
    "track_count" / Int32ub,    # 4-7
), 8, tuple, describes=ChangeBitmap)

"""What a device says about itself: Sense ID and Sense Subsystem Status here, and by import its characteristics
(Read Device Characteristics) and configuration data (Read Configuration Data).

Sense ID, 7 bytes, or 8 and a command information word (CIW, 4 bytes) for each further command of interest:

    offset length  field
         0      1  FF
         1      2  control unit type, packed digits
         3      1  control unit model
         4      2  device type, packed digits
         6      1  device model
         7      1  zero, not there when no CIW follows
         8      4  CIWs: 40 + type, command, byte count (2)

Sense Subsystem Status: 40 bytes, 44 on enhanced control units; offsets beside the fields of SUBSYSTEM_STATUS.

Source: eckd-commands 2.10 and 2.13: Hercules device tables, IBM SA22-1025, SMF manuals. Byte 0 (format) of the
subsystem status: assumed, as Hercules has it; the sources differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntFlag

from construct import Byte, Bytes, Const, Int16ub, Int32ub, Struct

from ccw.characteristics import DeviceCharacteristics, device_characteristics
from ccw.configuration import configuration_data
from ccw.errors import FormatError
from ccw.geometry import Geometry
from ccw.layout import Bits, Layout, wrong_length
from ccw.profiles import (
    PROFILES,
    SUBSYSTEM_STATUS_LENGTH,
    SUBSYSTEM_STATUS_LONG_LENGTH,
    Ciw,
    ControlUnitProfile,
    DeviceIdentity,
)

__all__ = [
    "PROFILES",
    "Ciw",
    "ControlUnitProfile",
    "DeviceCharacteristics",
    "DeviceIdentity",
    "SenseId",
    "SubsystemStatus",
    "configuration_data",
    "device_characteristics",
    "sense_id",
    "subsystem_status",
]

STATISTICS_LENGTH = 0xC0            # a statistics record


@dataclass(frozen=True, slots=True)
class SenseId:
    """Sense ID. `reserved_07` is empty on control units that offer no CIW."""

    control_unit_type: int
    control_unit_model: int
    device_type: int
    device_model: int
    reserved_07: bytes = b"\0"
    ciws: tuple[Ciw, ...] = ()

    def encode(self) -> bytes:
        """7 bytes, or 8 and 4 for each CIW. FormatError when a field does not fit."""
        if len(self.reserved_07) > 1 or (self.ciws and not self.reserved_07):
            raise FormatError("sense ID", "byte 7", self.reserved_07)
        return SENSE_ID.encode(self) + self.reserved_07 + b"".join(ciw.encode() for ciw in self.ciws)

    @classmethod
    def decode(cls, data: bytes) -> SenseId:
        """FormatError: byte 0 not FF, not 7 or 8 + 4n bytes, a CIW that does not begin with 01 00 bits."""
        if len(data) < 7 or (len(data) != 7 and len(data) % 4):
            raise wrong_length("sense ID", data, 7 if len(data) < 7 else len(data) // 4 * 4)
        head = SENSE_ID.decode(data[:7])
        ciws = []
        for start in range(8, len(data), 4):
            if data[start] & 0xF0 != 0x40:
                raise FormatError("sense ID", "command information word", data, start)
            ciws.append(Ciw(data[start] & 0x0F, data[start + 1], data[start + 2] << 8 | data[start + 3]))
        return cls(head.control_unit_type, head.control_unit_model, head.device_type, head.device_model, data[7:8],
                   tuple(ciws))


SENSE_ID = Layout("sense ID", SenseId, Struct(
    "reserved_00" / Const(0xFF, Byte),  # 0
    "control_unit_type" / Int16ub,      # 1-2
    "control_unit_model" / Byte,        # 3
    "device_type" / Int16ub,            # 4-5
    "device_model" / Byte,              # 6
), 7)


def sense_id(profile: ControlUnitProfile, geometry: Geometry) -> bytes:
    """The bytes of Sense ID: 7, or 8 and 4 for each CIW."""
    return SenseId(profile.control_unit_type, profile.model, geometry.device_type, geometry.model,
                   b"\0" if profile.ciws else b"", profile.ciws).encode()


class CachingStatus(IntFlag):
    """Byte 4 of the subsystem status. Bits 0-2: 0 active, 1 pending active, 2 off (error), 4 off (request),
    5 suspended, 6 pending off, 7 pending-off failed."""

    CACHING_4 = 0x80
    CACHING_2 = 0x40
    CACHING_1 = 0x20
    DISABLED_FOR_MAINTENANCE = 0x10
    RESERVED_4 = 0x08
    RESERVED_5 = 0x04
    IML_DEVICE_NOT_AVAILABLE = 0x02
    CACHE_FAST_WRITE_OFF = 0x01


class NvsStatus(IntFlag):
    """Byte 5 of the subsystem status: nonvolatile storage."""

    TERMINATED_BY_HOST = 0x80
    PROBLEM = 0x40
    RESERVED_2 = 0x20
    DISABLED_FOR_MAINTENANCE = 0x10
    PENDING_BECAUSE_OF_PROBLEM = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


class DeviceStatus1(IntFlag):
    """Byte 26: caching (2 bits), DASD fast write (2), duplex primary, duplex secondary, pair state (2: 0 available,
    1 pending, 2 failed by command, 3 failed by subsystem). Source: the 3990 form; the 2105 has other bits 4-5."""

    CACHING_2 = 0x80
    CACHING_1 = 0x40
    FAST_WRITE_2 = 0x20
    FAST_WRITE_1 = 0x10
    DUPLEX_PRIMARY = 0x08
    DUPLEX_SECONDARY = 0x04
    PAIR_2 = 0x02
    PAIR_1 = 0x01


class DeviceStatus2(IntFlag):
    """Byte 27: pinned data (2 bits: 1 present, 3 present and fast write suspended), other device of the pair (6)."""

    PINNED_2 = 0x80
    PINNED_1 = 0x40
    OTHER_20 = 0x20
    OTHER_10 = 0x10
    OTHER_08 = 0x08
    OTHER_04 = 0x04
    OTHER_02 = 0x02
    OTHER_01 = 0x01


@dataclass(frozen=True, slots=True)
class SubsystemStatus:
    """Sense Subsystem Status. Sizes of cache and nonvolatile storage (NVS) in bytes."""

    format: int
    unit_address: int
    devices_less_one: int
    statistics_sets: int = 1
    caching_status: int = 0             # CachingStatus
    nvs_status: int = 0                 # NvsStatus
    statistics_length: int = STATISTICS_LENGTH
    reserved_08: bytes = bytes(2)
    cache_configured: int = 0
    cache_available: int = 0
    cache_pinned: int = 0
    cache_offline: int = 0
    device_status_1: int = 0            # DeviceStatus1
    device_status_2: int = 0            # DeviceStatus2
    nvs_configured: int = 0
    nvs_pinned: int = 0
    device_status_group_2: int = 0
    reserved_37: int = 0
    ssid: int = 0
    storage_status: bytes = b""         # 4 bytes in the long form, else empty

    def encode(self) -> bytes:
        """40 or 44 bytes. FormatError when a field does not fit."""
        if len(self.storage_status) not in (0, SUBSYSTEM_STATUS_LONG_LENGTH - SUBSYSTEM_STATUS_LENGTH):
            raise FormatError("subsystem status", "storage status is not 4 bytes", self.storage_status)
        return SUBSYSTEM_STATUS.encode(self) + self.storage_status

    @classmethod
    def decode(cls, data: bytes) -> SubsystemStatus:
        """FormatError unless 40 or 44 bytes."""
        if len(data) == SUBSYSTEM_STATUS_LONG_LENGTH:
            return replace(SUBSYSTEM_STATUS.decode(data[:SUBSYSTEM_STATUS_LENGTH]),
                           storage_status=data[SUBSYSTEM_STATUS_LENGTH:])
        return SUBSYSTEM_STATUS.decode(data)


SUBSYSTEM_STATUS = Layout("subsystem status", SubsystemStatus, Struct(
    "format" / Byte,                          # 0
    "unit_address" / Byte,                    # 1
    "devices_less_one" / Byte,                # 2
    "statistics_sets" / Byte,                 # 3
    "caching_status" / Bits(CachingStatus),   # 4
    "nvs_status" / Bits(NvsStatus),           # 5
    "statistics_length" / Int16ub,            # 6-7
    "reserved_08" / Bytes(2),                 # 8-9
    "cache_configured" / Int32ub,             # 10-13
    "cache_available" / Int32ub,              # 14-17
    "cache_pinned" / Int32ub,                 # 18-21
    "cache_offline" / Int32ub,                # 22-25
    "device_status_1" / Bits(DeviceStatus1),  # 26
    "device_status_2" / Bits(DeviceStatus2),  # 27
    "nvs_configured" / Int32ub,               # 28-31
    "nvs_pinned" / Int32ub,                   # 32-35
    "device_status_group_2" / Byte,           # 36
    "reserved_37" / Byte,                     # 37
    "ssid" / Int16ub,                         # 38-39
), SUBSYSTEM_STATUS_LENGTH)


def subsystem_status(profile: ControlUnitProfile, identity: DeviceIdentity, devices: int = 1, *, cache_bytes: int = 0,
                     nvs_bytes: int = 0, device_status_1: int = 0, device_status_2: int = 0) -> bytes:
    """The bytes of Sense Subsystem Status for one of `devices` (1..256) devices; 40 or 44 by the profile."""
    long = profile.subsystem_status_length == SUBSYSTEM_STATUS_LONG_LENGTH
    return SubsystemStatus(
        1 if long else 0, identity.unit_address, devices - 1, cache_configured=cache_bytes, cache_available=cache_bytes,
        nvs_configured=nvs_bytes, device_status_1=device_status_1, device_status_2=device_status_2, ssid=identity.ssid,
        storage_status=bytes(4) if long else b"").encode()

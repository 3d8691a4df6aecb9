"""Read Device Characteristics, 64 bytes, big-endian; the offsets stand beside the fields of DEVICE_CHARACTERISTICS.

Source: eckd-commands 2.11: Hercules device tables, IBM SA22-1025, z/VM CP data areas, Linux. Byte 56 is zero, as
recorded machines send it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

from construct import Byte, Bytes, Int16ub, Int32ub, Struct

from ccw.geometry import CYLINDERS_BEFORE_EXTENDED, Geometry
from ccw.layout import Bits, Layout
from ccw.profiles import ControlUnitProfile

CHARACTERISTICS_LENGTH = 64
CYLINDERS_TOO_MANY_FOR_16_BITS = 0xFFFE
CLASS_DASD = 0x20
REAL_DEVICE_ARRAY = 0xFF            # an array: no alternate tracks


class Facility(IntFlag):
    """Byte 6 of the characteristics."""

    MULTIPLE_BURST_ECC = 0x80
    LOCATE_READ_TRACKS = 0x40
    RESERVED_2 = 0x20
    LOCATE_READ = 0x10
    SET_SYSTEM_CHARACTERISTICS = 0x08
    SYSTEM_CHARACTERISTICS_RECEIVED = 0x04
    PREFIX = 0x02
    VM_MINIDISKS = 0x01


class Feature(IntFlag):
    """Byte 8 of the characteristics."""

    DEFECTIVE_ON_SECONDARY = 0x80
    XRC = 0x40
    PPRC = 0x20
    STRIPING = 0x10
    READ_TRACK_DATA = 0x08
    UPDATE_WRITE_TRACKSET = 0x04
    WRITE_TRACKSET = 0x02
    RESERVED_7 = 0x01


class VisibleFacility(IntFlag):
    """Byte 9 of the characteristics."""

    CACHE_FAST_WRITE = 0x80
    LOCK_FACILITY = 0x40
    RECORD_CACHE = 0x20
    TRACK_CACHE = 0x10
    DUAL_COPY = 0x08
    DASD_FAST_WRITE = 0x04
    RESET_ALLEGIANCE = 0x02
    COMPATIBLE_SENSE = 0x01


@dataclass(frozen=True, slots=True)
class DeviceCharacteristics:
    """Read Device Characteristics, 64 bytes."""

    control_unit_type: int
    control_unit_model: int
    device_type: int
    device_model: int
    facilities: int                     # Facility
    facilities_07: int
    features: int                       # Feature
    visible_facilities: int             # VisibleFacility
    device_class: int
    device_type_code: int
    primary_cylinders: int
    tracks_per_cylinder: int
    sectors: int
    track_length: bytes
    home_and_record_zero_length: int
    capacity_formula: int
    capacity_factors: bytes
    alternate_cylinder: int
    alternate_tracks: int
    diagnostic_cylinder: int
    diagnostic_tracks: int
    device_support_cylinder: int
    device_support_tracks: int
    mdr_record_id: int
    obr_record_id: int
    control_unit_type_code: int
    extended_parameter_length_max: int
    record_zero_length_max: int
    reserved_46: int
    track_set_size: int
    factor_6: int
    factors_7_8: int
    buffer_lower_limit: int
    buffer_upper_limit: int
    functions: int
    reserved_55: int
    real_control_unit_code: int
    real_device_code: int
    reserved_58: bytes
    cylinders: int

    def encode(self) -> bytes:
        """64 bytes. FormatError when a field does not fit."""
        return DEVICE_CHARACTERISTICS.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> DeviceCharacteristics:
        """FormatError unless 64 bytes."""
        return DEVICE_CHARACTERISTICS.decode(data)


DEVICE_CHARACTERISTICS = Layout("device characteristics", DeviceCharacteristics, Struct(
    "control_unit_type" / Int16ub,                                           # 0-1
    "control_unit_model" / Byte,                                             # 2
    "device_type" / Int16ub,                                                 # 3-4
    "device_model" / Byte,                                                   # 5
    "facilities" / Bits(Facility),                                           # 6
    "facilities_07" / Byte,                                                  # 7
    "features" / Bits(Feature),                                              # 8
    "visible_facilities" / Bits(VisibleFacility),                            # 9
    "device_class" / Byte,                                                   # 10
    "device_type_code" / Byte,                                               # 11
    "primary_cylinders" / Int16ub * "FFFE when there are more than 65,520",  # 12-13
    "tracks_per_cylinder" / Int16ub,                                         # 14-15
    "sectors" / Byte,                                                        # 16
    "track_length" / Bytes(3) * "3, a number",                               # 17-19
    "home_and_record_zero_length" / Int16ub,                                 # 20-21
    "capacity_formula" / Byte,                                               # 22
    "capacity_factors" / Bytes(5),                                           # 23-27
    "alternate_cylinder" / Int16ub,                                          # 28-29
    "alternate_tracks" / Int16ub,                                            # 30-31
    "diagnostic_cylinder" / Int16ub,                                         # 32-33
    "diagnostic_tracks" / Int16ub,                                           # 34-35
    "device_support_cylinder" / Int16ub,                                     # 36-37
    "device_support_tracks" / Int16ub,                                       # 38-39
    "mdr_record_id" / Byte,                                                  # 40
    "obr_record_id" / Byte,                                                  # 41
    "control_unit_type_code" / Byte,                                         # 42
    "extended_parameter_length_max" / Byte,                                  # 43
    "record_zero_length_max" / Int16ub,                                      # 44-45
    "reserved_46" / Byte,                                                    # 46
    "track_set_size" / Byte,                                                 # 47
    "factor_6" / Byte,                                                       # 48
    "factors_7_8" / Int16ub,                                                 # 49-50
    "buffer_lower_limit" / Byte,                                             # 51
    "buffer_upper_limit" / Int16ub,                                          # 52-53
    "functions" / Byte,                                                      # 54
    "reserved_55" / Byte,                                                    # 55
    "real_control_unit_code" / Byte,                                         # 56
    "real_device_code" / Byte,                                               # 57
    "reserved_58" / Bytes(2),                                                # 58-59
    "cylinders" / Int32ub,                                                   # 60-63
), CHARACTERISTICS_LENGTH)


def device_characteristics(profile: ControlUnitProfile, geometry: Geometry, *, prefix: bool = False,
                           system_characteristics_received: bool = False, pprc: bool | None = None) -> bytes:
    """The 64 bytes for a device of `geometry` behind `profile`.

    `prefix`: the Prefix command is offered; `pprc`: None leaves the PPRC bit as the profile has it.
    """
    family = geometry.family
    features = bytearray(profile.features.to_bytes(4, "big"))
    if prefix:
        features[0] |= Facility.PREFIX
    if system_characteristics_received:
        features[0] |= Facility.SYSTEM_CHARACTERISTICS_RECEIVED
    if geometry.device_type == 0x3380 and profile.control_unit_type == 0x3990:
        features[3] |= VisibleFacility.COMPATIBLE_SENSE
    if pprc is not None:
        features[2] = features[2] & ~Feature.PPRC & 0xFF | (Feature.PPRC if pprc else 0)
    primary = geometry.primary_cylinders
    extended = primary > CYLINDERS_BEFORE_EXTENDED
    alternates = geometry.alternate_cylinders
    return DeviceCharacteristics(
        control_unit_type=profile.control_unit_type, control_unit_model=profile.model,
        device_type=geometry.device_type, device_model=geometry.model,
        facilities=features[0], facilities_07=features[1], features=features[2], visible_facilities=features[3],
        device_class=CLASS_DASD, device_type_code=geometry.type_code,
        primary_cylinders=CYLINDERS_TOO_MANY_FOR_16_BITS if extended else primary,
        tracks_per_cylinder=geometry.heads, sectors=family.sectors,
        track_length=family.track_length.to_bytes(3, "big"),
        home_and_record_zero_length=family.home_and_record_zero_length,
        capacity_formula=family.capacity_formula, capacity_factors=family.capacity_factors,
        alternate_cylinder=primary if alternates else 0, alternate_tracks=alternates * geometry.heads,
        diagnostic_cylinder=0, diagnostic_tracks=0, device_support_cylinder=0, device_support_tracks=0,
        mdr_record_id=geometry.type_code, obr_record_id=geometry.type_code, control_unit_type_code=profile.type_code,
        extended_parameter_length_max=2, record_zero_length_max=family.record_zero_length_max, reserved_46=0,
        track_set_size=1, factor_6=family.factor_6, factors_7_8=family.factors_7_8,
        buffer_lower_limit=profile.buffer_range[0], buffer_upper_limit=profile.buffer_range[1],
        functions=profile.functions, reserved_55=0, real_control_unit_code=0, real_device_code=REAL_DEVICE_ARRAY,
        reserved_58=bytes(2), cylinders=primary).encode()

"""Read Configuration Data: 256 bytes, eight records of 32.

    record 0   NED of the device             DC 01 01 00
    record 1   NED of the string or array    D4 02 00 00
    record 2   NED of the storage director   D0 00 00 00
    record 3   token NED                     F0 00 00 01
    record 4-5 zero
    record 6   specific NEQ, where the subsystem has aliases: base or alias; else zero
    record 7   general NEQ

NED: node element descriptor; NEQ: node element qualifier. The data differs from path to path only in interface id,
cluster id and link address.

Source: eckd-commands 2.12: Hercules device tables, IBM SA22-1025, Linux; recorded machines answer so, byte by byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

from construct import Byte, Bytes, Int16ub, Struct

from ccw.errors import FormatError
from ccw.geometry import Geometry
from ccw.layout import Bits, FixedFormat, Layout
from ccw.profiles import CONFIGURATION_LENGTH, ControlUnitProfile, DeviceIdentity

NODE_ELEMENT_LENGTH = 32
UNIT_ADDRESS_FORMAT = 1             # of a specific NEQ


class ElementFlag(IntFlag):
    """Byte 0 of a descriptor: record kind (2 bits: 3 NED, 2 general NEQ, 1 specific NEQ, 0 unused), token,
    validity of the serial number (2 bits), reserved, record NED, emulated node, reserved."""

    KIND_2 = 0x80
    KIND_1 = 0x40
    TOKEN = 0x20
    SERIAL_2 = 0x10
    SERIAL_1 = 0x08
    RECORD_NED = 0x04
    EMULATED = 0x02
    RESERVED_7 = 0x01


class QualifierFormat(IntFlag):
    """Byte 18 of the general NEQ; bits 5-7: kind of access by this path, 2 non-preferred, 3 preferred."""

    FORMAT = 0x80
    RESERVED_1 = 0x40
    RESERVED_2 = 0x20
    RESERVED_3 = 0x10
    RESERVED_4 = 0x08
    ACCESS_4 = 0x04
    ACCESS_2 = 0x02
    ACCESS_1 = 0x01


class LinkProtocol(IntFlag):
    """Byte 17 of the general NEQ."""

    PARALLEL = 0x80
    ESCON = 0x40
    RESERVED_2 = 0x20
    FICON = 0x10
    RESERVED_4 = 0x08
    TRANSPORT_MODE = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


@dataclass(frozen=True, slots=True)
class NodeElement:
    """A NED. Texts are EBCDIC."""

    flags: int
    node_type: int
    node_class: int
    level: int
    element_type: bytes             # 6
    model: bytes                    # 3
    manufacturer: bytes             # 3
    plant: bytes                    # 2
    serial: bytes                   # 12
    tag_high: int
    tag_low: int

    def encode(self) -> bytes:
        """32 bytes. FormatError when a field does not fit."""
        return NODE_ELEMENT.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> NodeElement:
        """FormatError unless 32 bytes."""
        return NODE_ELEMENT.decode(data)


NODE_ELEMENT = Layout("node element descriptor", NodeElement, Struct(
    "flags" / Bits(ElementFlag),              # 0
    "node_type" / Byte,                       # 1
    "node_class" / Byte,                      # 2
    "level" / Byte,                           # 3
    "element_type" / Bytes(6),                # 4-9
    "model" / Bytes(3),                       # 10-12
    "manufacturer" / Bytes(3),                # 13-15
    "plant" / Bytes(2),                       # 16-17
    "serial" / Bytes(12),                     # 18-29
    "tag_high" / Byte * "logical subsystem",  # 30
    "tag_low" / Byte * "unit address",        # 31
), NODE_ELEMENT_LENGTH)


@dataclass(frozen=True, slots=True)
class NodeQualifier:
    """The general NEQ."""

    flags: int
    selector: int
    interface_id: int
    reserved_04: bytes              # 2
    primary_interval: int
    secondary_interval: int
    ssid: int
    cluster_id: int
    unit_address: int
    physical_device_id: int
    physical_device_address: int
    system_adapter_id: int
    link_address: int
    link_protocol: int              # LinkProtocol
    format_flags: int               # QualifierFormat
    logical_device_address: int
    reserved_20: bytes              # 12

    def encode(self) -> bytes:
        """32 bytes. FormatError when a field does not fit."""
        return NODE_QUALIFIER.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> NodeQualifier:
        """FormatError unless 32 bytes."""
        return NODE_QUALIFIER.decode(data)


NODE_QUALIFIER = Layout("node element qualifier", NodeQualifier, Struct(
    "flags" / Bits(ElementFlag),                                                      # 0
    "selector" / Byte,                                                                # 1
    "interface_id" / Int16ub,                                                         # 2-3
    "reserved_04" / Bytes(2),                                                         # 4-5
    "primary_interval" / Byte * "bits 0-1 power of ten, bits 2-7 number of seconds",  # 6
    "secondary_interval" / Byte,                                                      # 7
    "ssid" / Int16ub,                                                                 # 8-9
    "cluster_id" / Byte,                                                              # 10
    "unit_address" / Byte,                                                            # 11
    "physical_device_id" / Byte,                                                      # 12
    "physical_device_address" / Byte,                                                 # 13
    "system_adapter_id" / Byte,                                                       # 14
    "link_address" / Int16ub,                                                         # 15-16
    "link_protocol" / Bits(LinkProtocol),                                             # 17
    "format_flags" / Bits(QualifierFormat),                                           # 18
    "logical_device_address" / Byte,                                                  # 19
    "reserved_20" / Bytes(12),                                                        # 20-31
), NODE_ELEMENT_LENGTH)


@dataclass(frozen=True, slots=True)
class SpecificQualifier(FixedFormat):
    """A specific NEQ of Read Configuration Data, 2105 and later, when parallel access volumes are offered."""

    flags: int
    selector: int
    format: int
    reserved_04: bytes
    content_08: int
    content_09: int
    content_10: bytes
    reserved_24: bytes


SpecificQualifier.LAYOUT = Layout("specific node element qualifier", SpecificQualifier, Struct(
    "flags" / Bits(ElementFlag) * "kind 1",                                                             # 0
    "selector" / Byte,                                                                                  # 1
    "format" / Int16ub * "0001 unit address, 0004 unit token",                                          # 2-3
    "reserved_04" / Bytes(4),                                                                           # 4-7
    "content_08" / Byte * "format 1: 0 not configured, 1 base, 2 PAV alias, 3 HyperPAV alias; 4: token",    # 8
    "content_09" / Byte * "format 1: base unit address; format 4: token",                               # 9
    "content_10" / Bytes(14) * "format 4: token",                                                       # 10-23
    "reserved_24" / Bytes(8),                                                                           # 24-31
), 32)


def _ebcdic(text: str, length: int, what: str) -> bytes:
    try:
        data = text.encode("cp037")
    except UnicodeEncodeError:
        data = b""
    if len(data) != length:
        raise FormatError("configuration data", f"{what} {text!r} is not {length} EBCDIC characters", data)
    return data


def configuration_data(profile: ControlUnitProfile, geometry: Geometry, identity: DeviceIdentity) -> bytes:
    """The 256 bytes for one path. FormatError when a text of `identity` does not fit."""
    manufacturer = _ebcdic(identity.manufacturer, 3, "manufacturer")
    plant = _ebcdic(identity.plant, 2, "plant")
    device_type, device_model = f"{geometry.device_type:04X}", f"{geometry.model:03X}"
    control_unit = f"  {profile.control_unit_type:04X}"

    def element(first: str, element_type: str, model: str, serial: str, high: int = 0, low: int = 0) -> bytes:
        flags, node_type, node_class, level = bytes.fromhex(first)
        return NodeElement(flags, node_type, node_class, level, _ebcdic(element_type, 6, "type"),
                           _ebcdic(model, 3, "model"), manufacturer, plant,
                           _ebcdic(serial.rjust(12, "0"), 12, "serial"), high, low).encode()

    elements = (
        element("DC010100", "00" + device_type, device_model, identity.serial, identity.lss, identity.unit_address),
        element("D4020000", "  " + device_type, device_model, "3"),
        element("D0000000", control_unit, f"{profile.model:03X}", "2", 0, identity.lss),
        element("F0000001", control_unit, "   ", "1"),
    )
    unit = identity.unit_address
    qualifier = NodeQualifier(
        flags=ElementFlag.KIND_2, selector=0, interface_id=identity.interface_id, reserved_04=bytes(2),
        primary_interval=identity.missing_interrupt_interval, secondary_interval=0, ssid=identity.ssid,
        cluster_id=identity.cluster_id, unit_address=unit, physical_device_id=unit, physical_device_address=unit,
        system_adapter_id=identity.interface_id & 0xFF, link_address=identity.link_address,
        link_protocol=identity.link_protocol, format_flags=QualifierFormat.FORMAT, logical_device_address=unit,
        reserved_20=bytes(12)).encode()
    used = b"".join(elements)
    last = _specific(identity) + qualifier
    return used + bytes(CONFIGURATION_LENGTH - len(used) - len(last)) + last


def _specific(identity: DeviceIdentity) -> bytes:
    if not identity.address_type:
        return b""
    return SpecificQualifier(ElementFlag.KIND_1, 0, UNIT_ADDRESS_FORMAT, bytes(4), identity.address_type,
                             identity.base_address, bytes(14), bytes(8)).encode()

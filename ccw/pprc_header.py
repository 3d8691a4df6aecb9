"""What PPRC orders are made of: the common header, and the path descriptors of D0 and D1.

Common header, 40 bytes, big-endian:

    offset length  field
         0      1  order
         1      1  flags, bit 0 zero
         2      2  parameter length of the whole list
         4      1  format, 01
         5      1  selector
         6      2  request sequence, zero from a host
         8      2  primary SSID
        10      1  primary LSS
        11      1  primary CCA
        12      2  secondary SSID
        14      1  secondary LSS
        15      1  secondary CCA
        16     12  primary identity: EBCDIC serial, or WWNN and four zero bytes
        28     12  secondary identity

Source: pprc-commands 4.2 and 4.3; assumed, defined by this project.
"""

from __future__ import annotations

from dataclasses import dataclass

from construct import Byte, Bytes, Int16ub, Struct

from ccw.layout import Bits, Layout
from ccw.pprc_flags import OrderFlag, PathDescriptorFlag

HEADER_LENGTH = 40
PATHS_OFFSET = 48
PATH_DESCRIPTOR_LENGTH = 8
FORMAT = 0x01


@dataclass(frozen=True, slots=True)
class PprcHeader:
    """The header that every order begins with."""

    order: int
    flags: int
    length: int
    format: int
    selector: int
    request_sequence: int
    primary_ssid: int
    primary_lss: int
    primary_cca: int
    secondary_ssid: int
    secondary_lss: int
    secondary_cca: int
    primary_identity: bytes         # 12
    secondary_identity: bytes       # 12

    def encode(self) -> bytes:
        """40 bytes. FormatError when a field does not fit."""
        return PPRC_HEADER.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> PprcHeader:
        """FormatError unless 40 bytes."""
        return PPRC_HEADER.decode(data)


PPRC_HEADER = Layout("PPRC header", PprcHeader, Struct(
    "order" / Byte,                    # 0
    "flags" / Bits(OrderFlag),         # 1
    "length" / Int16ub,                # 2-3
    "format" / Byte,                   # 4
    "selector" / Byte,                 # 5
    "request_sequence" / Int16ub,      # 6-7
    "primary_ssid" / Int16ub,          # 8-9
    "primary_lss" / Byte,              # 10
    "primary_cca" / Byte,              # 11
    "secondary_ssid" / Int16ub,        # 12-13
    "secondary_lss" / Byte,            # 14
    "secondary_cca" / Byte,            # 15
    "primary_identity" / Bytes(12),    # 16-27
    "secondary_identity" / Bytes(12),  # 28-39
), HEADER_LENGTH)


@dataclass(frozen=True, slots=True)
class PathDescriptor:
    """One link of D0 and D1."""

    said: int
    link_address: int
    cu_image: int
    secondary_port: int = 0
    flags: int = 0
    reserved_07: int = 0

    def encode(self) -> bytes:
        """8 bytes. FormatError when a field does not fit."""
        return PATH_DESCRIPTOR.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> PathDescriptor:
        """FormatError unless 8 bytes."""
        return PATH_DESCRIPTOR.decode(data)


PATH_DESCRIPTOR = Layout("path descriptor", PathDescriptor, Struct(
    "said" / Int16ub * "system adapter id of the outgoing port",    # 0-1
    "link_address" / Byte * "0: point to point",                    # 2
    "cu_image" / Byte,                                              # 3
    "secondary_port" / Int16ub * "FCP adapter number or TCP port",  # 4-5
    "flags" / Bits(PathDescriptorFlag),                             # 6, zero
    "reserved_07" / Byte,                                           # 7
), PATH_DESCRIPTOR_LENGTH)

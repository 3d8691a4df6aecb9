"""The shared-device protocol of Hercules: one message header, and what stands in it. Everything is big-endian.

A client runs channel programs itself and asks for whole track images. One TCP connection for each client and device:
the client sends a request, the server answers it; nothing else is ever sent. Request and answer have the same header
of 8 bytes, and `length` bytes of data behind it:

    request    code              flag                             data
    E0         connect           version << 4 | release           -
    E1         disconnect        0                                -
    E2, E4     start, resume     80: do not wait                  -
    E3, E5     end, suspend      0                                -
    E6, E7     reserve, release  0                                -
    E8         read              0                                track (4)
    E9         write             0                                offset in the image (2), track (4), bytes of the image
    F9         write, packed     algorithm << 4 | plain bytes     as write, but behind the plain bytes one stream
    EA         sense             0                                -
    EB         query             what (Query)                     -
    EC         compress          algorithms << 4 | zlib level     -

Source: hercules-interop.md section 1, observed on releases 3.13 and 4.9 (header order: length before id, whatever the
comments of either say).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from construct import Byte, Int16ub, Int32ub, Struct

from ccw.layout import FixedFormat, Layout

HEADER_BYTES: Final = 8
DATA_BYTES_MAX: Final = 0xFFFF
ERROR_TEXT_MAX: Final = 254     # and a zero byte
PURGE_TRACKS_MAX: Final = 16
PACK_BYTES_MIN: Final = 512     # what is shorter is not compressed on the way
DEFAULT_PORT: Final = 3990
VERSION: Final = 0
NO_WAIT: Final = 0x80           # flag of start and resume
PACKED: Final = 0x10            # added to the code of a write


class Request(IntEnum):
    """What a client asks."""

    CONNECT = 0xE0
    DISCONNECT = 0xE1
    START = 0xE2
    END = 0xE3
    RESUME = 0xE4
    SUSPEND = 0xE5
    RESERVE = 0xE6
    RELEASE = 0xE7
    READ = 0xE8
    WRITE = 0xE9
    SENSE = 0xEA
    QUERY = 0xEB
    COMPRESS = 0xEC
    WRITE_PACKED = 0xF9


class Query(IntEnum):
    """Flag of a query: what it is about, and the length of the answer in bytes."""

    CHARACTERISTICS = 0x41      # 64
    SENSE_ID = 0x42             # 7 to 256
    CYLINDERS_USED = 0x43       # 4
    SERIAL = 0x44               # 12, ASCII
    CONTROL_UNIT = 0x45         # 4: type (little-endian), model, 0
    CYLINDERS = 0x48            # 4
    BLOCK_ORIGIN = 0x4C         # 4; fixed-block devices, as the next two: zero for a CKD device
    BLOCK_COUNT = 0x4D          # 4
    BLOCK_SIZE = 0x4E           # 4


class Answer(IntFlag):
    """Bits of an answer's code; 00 is good."""

    ERROR = 0x80                # data: text, ended by a zero byte; status: the request's code
    IO_ERROR = 0x40             # status: unit status; sense is to be fetched
    BUSY = 0x20
    PACKED = 0x10               # status: algorithm << 4 | plain bytes
    PURGE = 0x08                # data: tracks to forget (4 bytes each); none: all of them
    RESERVED_2 = 0x04
    RESERVED_1 = 0x02
    RESERVED_0 = 0x01


class Fault(IntEnum):
    """Codes of error answers."""

    INVALID = 0xF0
    VERSION = 0xF1
    NOT_INITIALISED = 0xF2
    NOT_CONNECT = 0xF3
    NO_SLOT = 0xF4
    NO_MEMORY = 0xF5
    NOT_ACTIVE = 0xF6
    NO_DEVICE = 0xF7


class Algorithm(IntEnum):
    """How an image is packed; also bits of what a client can unpack."""

    ZLIB = 1
    BZIP2 = 2


@dataclass(frozen=True, slots=True)
class SharedMessage(FixedFormat):
    """Header of a request or an answer."""

    code: int
    flag: int
    device: int
    length: int
    identifier: int


SharedMessage.LAYOUT = Layout("shared-device header", SharedMessage, Struct(
    "code" / Byte * "request (E0-EC, F9), or code of the answer",
    "flag" / Byte * "flag of a request, status of an answer",
    "device" / Int16ub * "device number at the server; 0 in an error before a device was found",
    "length" / Int16ub * "bytes of data behind the header",
    "identifier" / Int16ub * "the client, 0 before it has one",
), HEADER_BYTES)


@dataclass(frozen=True, slots=True)
class SharedWrite(FixedFormat):
    """What stands before the bytes of a write."""

    offset: int
    track: int


SharedWrite.LAYOUT = Layout("shared-device write", SharedWrite, Struct(
    "offset" / Int16ub * "first byte of the track image that is written; the home address is at 0",
    "track" / Int32ub * "cylinder * heads + head",
), 6)

HEADER = struct.Struct(">BBHHH")
"""The fast form of `SharedMessage`: the same five numbers."""
WRITE_HEAD = struct.Struct(">HI")
"""The fast form of `SharedWrite`."""
TRACK = struct.Struct(">I")
CONTROL_UNIT = struct.Struct("<HBx")
"""Type and model of the control unit in the answer to `Query.CONTROL_UNIT`."""

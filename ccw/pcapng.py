"""The pcapng container: what is written block by block, and a reader that is fed bytes and holds one block at most.

A file is a row of blocks; every number has the byte order of the section it stands in (ours: low byte first):

    offset length  block
         0      4  type
         4      4  total length in bytes, a multiple of 4: n
         8   n-12  body
       n-4      4  total length again

    section header 0A0D0D0A: 0 4 byte-order magic 1A2B3C4D, 4 2 major version 1, 6 2 minor version 0,
                             8 8 section length (-1 unknown), 16 options. Interfaces are numbered anew from 0
    interface      00000001: 0 2 link type, 2 2 zero, 4 4 longest packet (0 any), 8 options:
                             2 name, 3 description, 9 time resolution (1 byte: 10**-n s, with 80 on 2**-n; default 6),
                             14 time offset (8 bytes, seconds)
    packet         00000006: 0 4 interface, 4 8 time (high word first), 12 4 captured length, 16 4 original length,
                             20 data filled to 4, then options: 1 comment, 2 flags (bits 30-31: 1 received, 2 sent)
    simple packet  00000003: 0 4 original length, 4 data filled to 4; interface 0, no time
    old packet     00000002: 0 2 interface, 2 2 drops, then as a packet from 4

    option: 0 2 code, 2 2 length, 4 value filled to 4. Code 0 ends them

Other blocks are passed over. Nothing is ever changed that was written, so a file that a crash cut short is right up to
its last whole block. No library does this: python-pcapng (pure Python, last release 2022) reads blocks of any length
into memory and no classic pcap; dpkt (2022 too) gives a packet's time and bytes, not its interface and direction.

Source: draft-ietf-opsawg-pcapng, sections 3 and 4.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from ccw.errors import FormatError

LINKTYPE_USER0 = 147                # packets are the records of records.py
LINKTYPE_FC_2 = 224                 # Fibre Channel frames without delimiters and CRC

SECTION_HEADER = 0x0A0D0D0A         # reads the same in both byte orders
INTERFACE_DESCRIPTION = 1
OLD_PACKET = 2
SIMPLE_PACKET = 3
ENHANCED_PACKET = 6
BYTE_ORDER_MAGIC = 0x1A2B3C4D

OPTION_END, OPTION_COMMENT = 0, 1
OPTION_APPLICATION = 4              # of a section header
OPTION_NAME, OPTION_DESCRIPTION, OPTION_RESOLUTION, OPTION_TIME_OFFSET = 2, 3, 9, 14    # of an interface
OPTION_FLAGS = 2                    # of a packet
NANOSECONDS = 9                     # as a time resolution

BLOCK_OVERHEAD = 12
BLOCK_LENGTH_MAX = 16 << 20         # longer ones are taken for damage
INTERFACES_MAX = 65_536             # of one section


class Direction(IntEnum):
    """Where a packet went, as seen by who captured it."""

    UNKNOWN = 0
    RECEIVED = 1
    SENT = 2


@dataclass(frozen=True, slots=True)
class Interface:
    """What packets were captured on."""

    number: int                     # in its section, from 0
    link_type: int
    name: str = ""
    description: str = ""
    resolution: int = 6             # as the option has it
    time_offset_s: int = 0


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet. `number` counts all of the file from 1; `offset` is the first byte of `data` in the file."""

    number: int
    interface: Interface
    time_ns: int | None             # since 1970; None: not told
    direction: Direction
    data: bytes
    offset: int
    comment: str = ""


class CaptureError(FormatError):
    """A capture file that is damaged, cut short or none: which container, what, at which byte, after which packet."""

    def __init__(self, what: str, where: str, offset: int, packets: int) -> None:
        super().__init__(what, where, b"", offset)
        self.args = (f"{what}: {where} at byte {offset}, after packet {packets}",)


# --- writing ----------------------------------------------------------------------------------------------------------


def _block(kind: int, body: bytes) -> bytes:
    length = BLOCK_OVERHEAD + len(body)
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def _filled(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _options(*options: tuple[int, bytes]) -> bytes:
    """Those with a value, and the end."""
    given = [struct.pack("<HH", code, len(value)) + _filled(value) for code, value in options if value]
    return b"".join((*given, bytes(4))) if given else b""


def encode_section(application: str = "") -> bytes:
    """The header that begins a section (and a file)."""
    fixed = struct.pack("<IHHq", BYTE_ORDER_MAGIC, 1, 0, -1)
    return _block(SECTION_HEADER, fixed + _options((OPTION_APPLICATION, application.encode())))


def encode_interface(link_type: int, name: str = "", description: str = "") -> bytes:
    """The next interface of the section; its packets' times are in nanoseconds."""
    options = _options((OPTION_NAME, name.encode()), (OPTION_DESCRIPTION, description.encode()),
                       (OPTION_RESOLUTION, bytes((NANOSECONDS,))))
    return _block(INTERFACE_DESCRIPTION, struct.pack("<HHI", link_type, 0, 0) + options)


_PACKET_START = struct.Struct("<IIIIIII")
_PACKET_END = struct.Struct("<HHIHHI")      # the flags option, the end of options, the length again


def encode_packet(interface: int, time_ns: int, data: bytes, direction: int = Direction.UNKNOWN,
                  comment: str = "") -> bytes:
    """A packet of the interface with that number; `time_ns` since 1970, 0 to 2**64 - 1."""
    length = len(data)
    if comment:
        fixed = struct.pack("<IIIII", interface, time_ns >> 32, time_ns & 0xFFFFFFFF, length, length)
        flags = direction.to_bytes(4, "little") if direction else b""
        options = _options((OPTION_COMMENT, comment.encode()), (OPTION_FLAGS, flags))
        return _block(ENHANCED_PACKET, fixed + _filled(data) + options)
    fill = -length % 4
    total = _PACKET_START.size + length + fill + _PACKET_END.size
    return b"".join((
        _PACKET_START.pack(ENHANCED_PACKET, total, interface, time_ns >> 32, time_ns & 0xFFFFFFFF, length, length),
        data, bytes(fill), _PACKET_END.pack(OPTION_FLAGS, 4, direction, OPTION_END, 0, total),
    ))


# --- reading ----------------------------------------------------------------------------------------------------------


class PcapngReader:
    """Cuts a pcapng file into packets. Holds one unfinished block at most.

    FormatError offsets count from the beginning of the file. Blocks that precede a bad one are not lost: `feed` yields
    their packets before it raises.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._order = ""                            # "<" or ">", once a section has begun
        self._interfaces: list[Interface] = []
        self._parsers: dict[int, Callable[[bytes], Packet | None]] = {
            INTERFACE_DESCRIPTION: self._interface, ENHANCED_PACKET: self._packet, SIMPLE_PACKET: self._simple,
            OLD_PACKET: self._old,
        }
        self.offset = 0                             # in the file, of the first byte that belongs to no whole block
        self.packets = 0                            # so far

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that `data` completes. Use up one call's before the next call."""
        self._buffer += data
        position = 0
        try:
            while (length := self._whole(position)) is not None:
                packet = self._block(bytes(self._buffer[position : position + length]))
                position += length
                self.offset += length
                if packet is not None:
                    yield packet
        finally:
            del self._buffer[:position]

    def finish(self) -> None:
        """The file has ended. FormatError when it ended inside a block, or has no section."""
        if self._buffer or not self._order:
            raise self._wrong("cut short", len(self._buffer))

    def _wrong(self, where: str, at: int) -> CaptureError:
        return CaptureError("pcapng", where, self.offset + at, self.packets)

    def _whole(self, position: int) -> int | None:
        """Length of the block that begins there; None when it has not come whole yet. FormatError: it is none."""
        buffer = self._buffer
        available = len(buffer) - position
        if available < BLOCK_OVERHEAD:
            return None
        (kind,) = struct.unpack_from("<I", buffer, position)
        if kind == SECTION_HEADER:
            self._begin_section(struct.unpack_from("<I", buffer, position + 8)[0])
        elif not self._order:
            raise self._wrong("no section header", 0)
        (length,) = struct.unpack_from(self._order + "I", buffer, position + 4)
        if length % 4 or not BLOCK_OVERHEAD <= length <= BLOCK_LENGTH_MAX:
            raise self._wrong(f"block length {length}", 4)
        if length > available:
            return None
        if struct.unpack_from(self._order + "I", buffer, position + length - 4)[0] != length:
            raise self._wrong("block length at its end", length - 4)
        return int(length)

    def _begin_section(self, magic: int) -> None:
        order = {BYTE_ORDER_MAGIC: "<", 0x4D3C2B1A: ">"}.get(magic)
        if order is None:
            raise self._wrong("byte-order magic", 8)
        self._order = order

    def _block(self, block: bytes) -> Packet | None:
        (kind,) = struct.unpack_from(self._order + "I", block)
        if kind == SECTION_HEADER:
            self._unpack("HH", block, 12)
            if block[12:14] != struct.pack(self._order + "H", 1):
                raise self._wrong("version", 12)
            self._interfaces = []
            return None
        parser = self._parsers.get(kind)
        return parser(block) if parser else None

    def _unpack(self, form: str, block: bytes, at: int) -> tuple[int, ...]:
        codec = struct.Struct(self._order + form)
        if at + codec.size > len(block) - 4:
            raise self._wrong("block too short", 4)
        return codec.unpack_from(block, at)

    def _options(self, block: bytes, at: int) -> dict[int, bytes]:
        """Of each code the first value."""
        found: dict[int, bytes] = {}
        stop = len(block) - 4
        while at < stop:
            code, length = self._unpack("HH", block, at)
            if code == OPTION_END:
                break
            if at + 4 + length > stop:
                raise self._wrong("option length", at + 2)
            found.setdefault(code, block[at + 4 : at + 4 + length])
            at += 4 + length + -length % 4
        return found

    def _interface(self, block: bytes) -> None:
        (link_type,) = self._unpack("H6x", block, 8)
        options = self._options(block, 16)
        if len(self._interfaces) == INTERFACES_MAX:
            raise self._wrong(f"more than {INTERFACES_MAX} interfaces", 0)
        resolution, time_offset = options.get(OPTION_RESOLUTION, b"\6"), options.get(OPTION_TIME_OFFSET, bytes(8))
        if len(resolution) != 1 or len(time_offset) != 8:
            raise self._wrong("length of a time option", 16)
        self._interfaces.append(Interface(
            len(self._interfaces), link_type, _text(options.get(OPTION_NAME, b"")),
            _text(options.get(OPTION_DESCRIPTION, b"")), resolution[0],
            struct.unpack(self._order + "q", time_offset)[0],
        ))

    def _packet(self, block: bytes) -> Packet:
        interface, high, low, length, _ = self._unpack("IIIII", block, 8)
        return self._found(block, interface, high << 32 | low, 28, length)

    def _old(self, block: bytes) -> Packet:
        interface, _, high, low, length, _ = self._unpack("HHIIII", block, 8)
        return self._found(block, interface, high << 32 | low, 28, length)

    def _simple(self, block: bytes) -> Packet:
        (length,) = self._unpack("I", block, 8)
        return self._found(block, 0, None, 12, min(length, len(block) - 16))

    def _found(self, block: bytes, number: int, time: int | None, at: int, length: int) -> Packet:
        if number >= len(self._interfaces):
            raise self._wrong(f"packet {self.packets + 1} of unknown interface {number}", 8)
        if at + length > len(block) - 4:
            raise self._wrong(f"length of packet {self.packets + 1}", at - 8)
        interface = self._interfaces[number]
        options = {} if time is None else self._options(block, at + length + -length % 4)
        flags = int.from_bytes(options.get(OPTION_FLAGS, b""), "little" if self._order == "<" else "big") & 3
        self.packets += 1
        return Packet(
            self.packets, interface, None if time is None else _nanoseconds(time, interface),
            Direction(flags) if flags < 3 else Direction.UNKNOWN, block[at : at + length], self.offset + at,
            _text(options.get(OPTION_COMMENT, b"")),
        )


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").rstrip("\0")


def _nanoseconds(time: int, interface: Interface) -> int:
    exponent = interface.resolution & 0x7F
    divisor: int = 2**exponent if interface.resolution & 0x80 else 10**exponent
    return time * 1_000_000_000 // divisor + interface.time_offset_s * 1_000_000_000

"""The classic pcap container, read only. Every number has the byte order of the magic.

    file header (24): 0 4 magic A1B2C3D4 (times in microseconds) or A1B23C4D (nanoseconds), 4 2 major version 2,
                      6 2 minor version 4, 8 8 zero, 16 4 longest packet, 20 4 link type in the low 16 bits
    packet (16 + n):  0 4 seconds, 4 4 fraction, 8 4 captured length n, 12 4 original length, 16 n data

Source: draft-ietf-opsawg-pcap.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ccw.pcapng import BLOCK_LENGTH_MAX, SECTION_HEADER, CaptureError, Direction, Interface, Packet, PcapngReader

_MAGICS = {                         # first four bytes: byte order, nanoseconds of one fraction
    bytes.fromhex("A1B2C3D4"): (">", 1000), bytes.fromhex("D4C3B2A1"): ("<", 1000),
    bytes.fromhex("A1B23C4D"): (">", 1), bytes.fromhex("4D3CB2A1"): ("<", 1),
}
MAGIC_LENGTH = 4
FILE_HEADER_LENGTH = 24
PACKET_HEADER_LENGTH = 16


class PcapReader:
    """Cuts a pcap file into packets; as PcapngReader, with one interface and no directions."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._order = ""
        self._fraction_ns = 1000
        self._interface = Interface(0, 0)
        self.offset = 0
        self.packets = 0

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that `data` completes. Use up one call's before the next call."""
        self._buffer += data
        if not self._order and len(self._buffer) >= FILE_HEADER_LENGTH:
            self._begin()
        position = 0
        try:
            while self._order and len(self._buffer) - position >= PACKET_HEADER_LENGTH:
                seconds, fraction, length = struct.unpack_from(self._order + "III", self._buffer, position)
                if length > BLOCK_LENGTH_MAX:
                    raise self._wrong(f"length {length} of packet {self.packets + 1}", 8)
                start, stop = position + PACKET_HEADER_LENGTH, position + PACKET_HEADER_LENGTH + length
                if stop > len(self._buffer):
                    break
                content, offset = bytes(self._buffer[start:stop]), self.offset + PACKET_HEADER_LENGTH
                self.packets += 1
                self.offset += stop - position
                position = stop
                time_ns = seconds * 1_000_000_000 + fraction * self._fraction_ns
                yield Packet(self.packets, self._interface, time_ns, Direction.UNKNOWN, content, offset)
        finally:
            del self._buffer[:position]

    def finish(self) -> None:
        """The file has ended. FormatError when it ended inside a packet or its header."""
        if self._buffer or not self._order:
            raise self._wrong("cut short", len(self._buffer))

    def _begin(self) -> None:
        known = _MAGICS.get(bytes(self._buffer[:MAGIC_LENGTH]))
        if known is None:
            raise self._wrong("magic", 0)
        self._order, self._fraction_ns = known
        link_type = struct.unpack_from(self._order + "I", self._buffer, 20)[0] & 0xFFFF
        self._interface = Interface(0, link_type)
        del self._buffer[:FILE_HEADER_LENGTH]
        self.offset = FILE_HEADER_LENGTH

    def _wrong(self, where: str, at: int) -> CaptureError:
        return CaptureError("pcap", where, self.offset + at, self.packets)


def reader_for(start: bytes) -> PcapngReader | PcapReader | None:
    """A reader for a file that begins with these bytes (4 suffice), None when it is no capture."""
    magic = start[:MAGIC_LENGTH]
    if magic == SECTION_HEADER.to_bytes(4, "big"):
        return PcapngReader()
    return PcapReader() if magic in _MAGICS else None

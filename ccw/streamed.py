"""Data frames of wide-area links without copies: as parts to be sent, as views of what was received.

The bytes are those of `records` and `frames`, and property tests hold the two equal:

    offset length  field
         0      4  record: 01, 00, length of what follows (2)
         4      5  link header: destination (2), source (2), link control 00
         9      4  device header: IFI 11, device address (2), DHF
        13    1..  data, at most 32,768
      last      2  CRC over link header, device header and data

A receiver of `StreamedReader` gets every other record as `RecordReader` would give it.
Source: escon-frames 1.4-1.7, pprc-commands 8.4.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from ccw.crc import crc16
from ccw.errors import FormatError
from ccw.escon import RECORD_FRAME, RECORD_HEADER_LENGTH, WAN_INFORMATION_LENGTH_MAX, Dhf, RecordFlag
from ccw.frames import DATA_IFI, REPEATING_LENGTH_MAX, CommandFrame, Frame, StatusFrame, encode_device
from ccw.records import RawFrame, RecordReader, SequenceRecord, encode_record

_HEAD = struct.Struct(">BBHHHBBHB")
_TRAILER = struct.Struct(">H")
_HEAD_LENGTH, _TRAILER_LENGTH = _HEAD.size, _TRAILER.size
_COVERED_HEAD = _HEAD_LENGTH - RECORD_HEADER_LENGTH
_END = int(Dhf.END)
_CONNECT = int(RecordFlag.CONNECT)
_IFI_AT = 9
_JOINED_LENGTH_MAX = 64  # of a first part that is copied to the header: cheaper than one part more
_RESERVED_BITS = 0xF0
_LENGTH_MAX = _COVERED_HEAD + 32_768 + _TRAILER_LENGTH
assert _HEAD_LENGTH == 13 and _LENGTH_MAX <= WAN_INFORMATION_LENGTH_MAX + 7

Buffer = bytes | memoryview


class EncodedRecord(NamedTuple):
    """A whole record, ready to be sent part by part; `length`: bytes of the frame, link header to CRC."""

    parts: tuple[Buffer, ...]
    length: int


class ReceivedData(NamedTuple):
    """A good data frame. `data` is a view of what was received."""

    destination: int
    source: int
    unit_address: int
    data: memoryview
    end: bool  # the last data of its command
    length: int  # bytes of the frame, link header to CRC

    def encode(self) -> bytes:
        """The record as it came."""
        record = encode_data(self.destination, self.source, self.unit_address, [self.data], self.end)
        return b"".join(record.parts)


Received = ReceivedData | RawFrame | SequenceRecord


def encode_data(destination: int, source: int, unit_address: int, data: Sequence[Buffer], end: bool) -> EncodedRecord:
    """The record of a data frame that carries the parts `data` (at least one byte, at most 32,768)."""
    length = _COVERED_HEAD + sum(map(len, data)) + _TRAILER_LENGTH
    if not _COVERED_HEAD + _TRAILER_LENGTH < length <= _LENGTH_MAX or (destination | source) & _RESERVED_BITS:
        raise FormatError("data frame", "length or address", b"")
    head = _HEAD.pack(
        RECORD_FRAME, 0, length, destination, source, 0, DATA_IFI, unit_address, _END if end else 0
    )
    if len(data[0]) <= _JOINED_LENGTH_MAX:
        head += data[0]
        data = data[1:]
    crc = crc16(head[RECORD_HEADER_LENGTH:])
    for part in data:
        crc = crc16(part, crc)
    return EncodedRecord((head, *data, _TRAILER.pack(crc)), length)


@lru_cache(1024)
def encode_repeating(
    destination: int, source: int, frame: CommandFrame | StatusFrame, connect: bool, disconnect: bool
) -> EncodedRecord:
    """The record of a device frame of a kind of which few differ: those sent lately are kept. FormatError."""
    whole = Frame(destination, source, 0, encode_device(frame), connect, disconnect)
    record = encode_record(whole)
    return EncodedRecord((record,), len(record) - RECORD_HEADER_LENGTH)


class StreamedReader:
    """As `RecordReader`, but good data frames come as `ReceivedData`, whose views keep what was fed alive."""

    def __init__(self) -> None:
        self._others = RecordReader(WAN_INFORMATION_LENGTH_MAX)
        self._rest = b""
        self.failed: FormatError | None = None

    def feed(self, data: bytes) -> list[Received]:
        """The records that `data` completes. A bad record: as `RecordReader.feed`.

        Of what came before, only what completes its record is copied.
        """
        if self.failed is not None:
            raise self.failed
        records: list[Received] = []
        start = 0
        while self._rest and start < len(data):
            missing = max(RECORD_HEADER_LENGTH, _stop_of(self._rest, 0)) - len(self._rest)
            buffer = self._rest + data[start : start + missing]
            start += missing
            if not self._cut(buffer, 0, records):
                return records
        if not self._rest:
            self._cut(data, start, records)
        return records

    def _cut(self, buffer: bytes, position: int, records: list[Received]) -> bool:
        """Cut the buffer into records; what is left waits. False when there is what is none."""
        view = memoryview(buffer)
        available = len(buffer)
        self._rest = b""
        while available - position >= RECORD_HEADER_LENGTH:
            stop = _stop_of(buffer, position)
            if stop <= available and (
                received := _short_frame(buffer, position, stop) or _data_frame(view, position, stop)
            ):
                records.append(received)
                self._others.skip(stop - position)
            elif not self._other(buffer[position : min(stop, available)], records):
                break
            position = stop
        self._rest = buffer[position:]
        return self.failed is None

    def _other(self, data: bytes, records: list[Received]) -> bool:
        """Take another record, or the beginning of any; False when that is not complete, or none."""
        try:
            found = self._others.feed(data)
        except FormatError as error:
            self.failed = error
            if not records:
                raise
            return False
        if not found:
            self._others = RecordReader(WAN_INFORMATION_LENGTH_MAX, self._others.stream_offset)
        records += found
        return bool(found)

    def finish(self) -> None:
        """As `RecordReader.finish`."""
        if self.failed is not None:
            raise self.failed
        if self._rest:
            raise FormatError("record", "cut short", self._rest, len(self._rest))


def _stop_of(buffer: bytes, position: int) -> int:
    """Where the record at `position` ends, as its header says; `position` when that is not all there."""
    if len(buffer) - position < RECORD_HEADER_LENGTH:
        return position
    return position + RECORD_HEADER_LENGTH + (buffer[position + 2] << 8 | buffer[position + 3])


def _short_frame(buffer: bytes, position: int, stop: int) -> RawFrame | None:
    """The short frame that lies there, unless it carries data or its delimiters are not the usual ones."""
    if (
        not _HEAD_LENGTH < stop - position <= REPEATING_LENGTH_MAX
        or buffer[position] != RECORD_FRAME
        or buffer[position + 1] > _CONNECT
        or buffer[position + _IFI_AT] == DATA_IFI
    ):
        return None
    return RawFrame(buffer[position + RECORD_HEADER_LENGTH : stop], buffer[position + 1] == _CONNECT)


def _data_frame(view: memoryview, position: int, stop: int) -> ReceivedData | None:
    """The data frame that lies there, None when it is another record or a damaged one."""
    if stop - position <= _HEAD_LENGTH + _TRAILER_LENGTH:
        return None
    kind, flags, length, destination, source, control, ifi, address, device_flags = _HEAD.unpack_from(view, position)
    if (
        ifi != DATA_IFI or control or kind != RECORD_FRAME or flags or device_flags & ~_END or address > 0xFF
        or (destination | source) & _RESERVED_BITS
    ):  # fmt: skip
        return None
    trailer = stop - _TRAILER_LENGTH
    if crc16(view[position + RECORD_HEADER_LENGTH : trailer]) != view[trailer] << 8 | view[trailer + 1]:
        return None
    data = view[position + _HEAD_LENGTH : trailer]
    return ReceivedData(destination, source, address, data, device_flags != 0, length)

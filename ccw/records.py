"""Frames and sequences as records of a byte stream.

    offset length  field
         0      1  type: 01 frame, 02 sequence
         1      1  flags. Frame: 01 connect-SOF, 02 disconnect-EOF, 04 abort (in place of the EOF), others zero.
                   Sequence: 1 idle, 2 OLS, 3 NOS, 4 UD, 5 UDR
         2      2  length of the payload in bytes; 0 for a sequence
         4    0..  payload of a frame: link header .. CRC

A record is right or wrong by its four bytes alone. What its payload holds is not looked at here: a damaged frame is
the link's business (it discards and counts), a damaged record ends the connection, because nothing tells where the next
one begins.

Source: assumed, this form is defined by this project.
"""

from typing import NamedTuple

from construct import Byte, GreedyBytes, Int16ub, Prefixed, Struct

from ccw.errors import FormatError
from ccw.escon import (
    FRAME_LENGTH_MIN,
    INFORMATION_LENGTH_MAX,
    RECORD_FRAME,
    RECORD_HEADER_LENGTH,
    RECORD_SEQUENCE,
    WAN_INFORMATION_LENGTH_MAX,
    RecordFlag,
    Sequence,
)
from ccw.frames import Frame, encode_frame
from ccw.layout import Bits

FRAME_RECORD = Struct(
    "type" / Byte,                                  # 0: 01
    "flags" / Bits(RecordFlag),                     # 1
    "payload" / Prefixed(Int16ub, GreedyBytes),     # 2-3 length, 4..
)
SEQUENCE_RECORD = Struct(
    "type" / Byte,                                  # 0: 02
    "kind" / Byte,                                  # 1: escon.Sequence
    "length" / Int16ub,                             # 2-3: 0
)
assert SEQUENCE_RECORD.sizeof() == RECORD_HEADER_LENGTH

_MAX_FRAME_FLAGS = int(RecordFlag.CONNECT | RecordFlag.ABORT)  # above it: reserved bits, or disconnect beside abort
_CONNECT, _DISCONNECT, _ABORT = int(RecordFlag.CONNECT), int(RecordFlag.DISCONNECT), int(RecordFlag.ABORT)


class SequenceRecord(NamedTuple):
    """A sequence; `kind` is an escon.Sequence."""

    kind: int


class RawFrame(NamedTuple):
    """A frame as it came: nothing of `payload` (link header .. CRC) is checked yet."""

    payload: bytes
    connect: bool = False
    disconnect: bool = False
    abort: bool = False


class RecordReader:
    """Cuts a byte stream into records. Holds at most one unfinished record."""

    def __init__(self, information_limit: int = INFORMATION_LENGTH_MAX, stream_offset: int = 0) -> None:
        """`information_limit`: longest information field in bytes; a longer frame record is a bad record.

        `stream_offset`: of what is fed first.
        """
        self._payload_limit = FRAME_LENGTH_MIN + information_limit
        self._buffer = bytearray()
        self._stream_offset = stream_offset
        self.failed: FormatError | None = None

    def feed(self, data: bytes) -> list[RawFrame | SequenceRecord]:
        """The records that `data` completes.

        A bad record is a FormatError whose offset counts from the beginning of the stream. When good records precede it
        in the same call they are returned, `failed` is set, and every later call raises it.
        """
        if self.failed is not None:
            raise self.failed
        held = self._buffer
        held += data if held else b""
        buffer = held or data  # nearly always a call begins with a record: nothing is copied then but payloads
        records: list[RawFrame | SequenceRecord] = []
        position, available, limit = 0, len(buffer), self._payload_limit
        try:
            while available - position >= RECORD_HEADER_LENGTH:
                kind, flags = buffer[position], buffer[position + 1]
                length = buffer[position + 2] << 8 | buffer[position + 3]
                if kind != RECORD_FRAME or flags > _MAX_FRAME_FLAGS or length > limit:
                    self._check(buffer, position)
                stop = position + RECORD_HEADER_LENGTH + length
                if stop > available:
                    break
                if kind == RECORD_FRAME:
                    payload = bytes(buffer[position + RECORD_HEADER_LENGTH : stop])
                    connect, disconnect, abort = flags & _CONNECT, flags & _DISCONNECT, flags & _ABORT
                    records.append(RawFrame(payload, connect != 0, disconnect != 0, abort != 0))
                else:
                    records.append(SequenceRecord(flags))
                position = stop
        except FormatError as error:
            self.failed = error
            if not records:
                raise
        if held:
            del held[:position]
        else:
            held += data[position:]
        self._stream_offset += position
        return records

    def finish(self) -> None:
        """The stream has ended. FormatError when it ended inside a record or had failed before."""
        if self.failed is not None:
            raise self.failed
        if self._buffer:
            raise FormatError("record", "cut short", bytes(self._buffer), self._stream_offset + len(self._buffer))

    @property
    def stream_offset(self) -> int:
        """Where in the stream the next record begins."""
        return self._stream_offset

    def skip(self, length: int) -> None:
        """So many bytes of the stream were read otherwise. Only between records."""
        self._stream_offset += length

    def _check(self, buffer: bytes | bytearray, position: int) -> None:
        """FormatError when the header at `position` is none."""
        header = bytes(buffer[position : position + RECORD_HEADER_LENGTH])
        kind, flags, length = header[0], header[1], header[2] << 8 | header[3]
        if kind == RECORD_FRAME:
            if flags & ~0x07 or flags & (_DISCONNECT | _ABORT) == _DISCONNECT | _ABORT:
                where, at = "flags", 1
            elif length > self._payload_limit:
                where, at = "length", 2
            else:
                return
        elif kind == RECORD_SEQUENCE:
            if not Sequence.IDLE <= flags <= Sequence.UDR:
                where, at = "sequence", 1
            elif length:
                where, at = "length", 2
            else:
                return
        else:
            where, at = "type", 0
        raise FormatError("record", where, header, self._stream_offset + position + at)


def encode_raw(record: RawFrame | SequenceRecord) -> bytes:
    """The bytes that RecordReader made this record of."""
    if isinstance(record, SequenceRecord):
        return encode_sequence(record.kind)
    payload, connect, disconnect, abort = record
    flags = (_CONNECT if connect else 0) | (_DISCONNECT if disconnect else 0) | (_ABORT if abort else 0)
    return bytes((RECORD_FRAME, flags, len(payload) >> 8, len(payload) & 0xFF)) + payload


def decode_record(data: bytes) -> RawFrame | SequenceRecord:
    """The one record that `data` is, with an information field of up to 32,772 bytes. FormatError: it is not one."""
    reader = RecordReader(WAN_INFORMATION_LENGTH_MAX)
    try:
        records = reader.feed(data)
        reader.finish()
    except FormatError as error:        # of which the reader shows four bytes, or what it holds
        raise FormatError(error.what, error.where, data, error.offset) from error
    if len(records) != 1:
        at = len(encode_raw(records[0])) if records else 0
        raise FormatError("record", "more than one" if records else "cut short", data, at)
    return records[0]


def encode_record(frame: Frame, information_limit: int = INFORMATION_LENGTH_MAX) -> bytes:
    """The record of a frame. FormatError as encode_frame, or when the frame has both disconnect and abort."""
    if frame.disconnect and frame.abort:
        raise FormatError("record", "both disconnect and abort", frame.information)
    payload = encode_frame(frame, information_limit)
    ending = _ABORT if frame.abort else _DISCONNECT if frame.disconnect else 0
    flags = ending | (_CONNECT if frame.connect else 0)
    return bytes((RECORD_FRAME, flags, len(payload) >> 8, len(payload) & 0xFF)) + payload


def encode_sequence(kind: int) -> bytes:
    """The record of a sequence. FormatError when `kind` is none."""
    if not Sequence.IDLE <= kind <= Sequence.UDR:
        raise FormatError("record", f"sequence {kind}", b"")
    return bytes((RECORD_SEQUENCE, kind, 0, 0))

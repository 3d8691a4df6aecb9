"""Many frames at once: columns of headers and masks of validity from a whole capture, by numpy.

    scan_records   a byte stream of records (records.py): where each begins, its kind, flags, payload
    decode_frames  frames in a buffer (frames.py): link header, information field, and what is wrong with the frame
    decode_devices information fields of device frames: device header, DIB, and whether frames.decode_device takes them

What is accepted here is accepted there, and the other way round: property tests hold the two together, down to the
field that an error names. `FRAME_HEADER` and the dtypes below are the layouts of frames_spec.py; a test compares them.

Source: as frames.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ccw.crc import crc16
from ccw.errors import FormatError
from ccw.escon import (
    CRC,
    FRAME_LENGTH_MIN,
    INFORMATION_LENGTH_MAX,
    LINK_HEADER_LENGTH,
    LINK_TRAILER_LENGTH,
    LOGICAL_ADDRESS_RESERVED,
    RECORD_FRAME,
    RECORD_HEADER_LENGTH,
    RECORD_SEQUENCE,
    SENSE_LENGTH_MAX,
    Dhf,
    FrameType,
    Ifi,
    Sequence,
)

Array = NDArray[Any]

RECORD_HEADER = np.dtype([("kind", "u1"), ("flags", "u1"), ("length", ">u2")])
FRAME_HEADER = np.dtype([("destination", ">u2"), ("source", ">u2"), ("link_control", "u1")])
COMMAND = np.dtype([
    ("ifi", "u1"), ("address", ">u2"), ("dhf", "u1"), ("command", "u1"), ("flags", "u1"), ("count", ">u2"),
    ("dib_code", "u1"), ("data_requests", "u1"), ("reserved_10", "u1"), ("command_flags", "u1"),
])
STATUS = np.dtype([
    ("ifi", "u1"), ("address", ">u2"), ("dhf", "u1"), ("flags", "u1"), ("unit_status", "u1"), ("residual", ">u2"),
    ("queue", ">u2"), ("defer", ">u2"),
])
DATA_REQUEST = np.dtype([
    ("ifi", "u1"), ("address", ">u2"), ("dhf", "u1"), ("count", ">u2"), ("pacing", "u1"), ("reserved_07", "u1"),
])
CONTROL = np.dtype([("ifi", "u1"), ("address", ">u2"), ("dhf", "u1"), ("function", "u1"), ("parameters", "u1", 3)])

# What is wrong with a frame: the number in `Frames.error`, and the words of frames.decode_frame.
GOOD, CUT_SHORT, TOO_LONG, BAD_CRC, RESERVED_BITS = range(5)
FRAME_ERRORS = ("", "cut short", "information field too long", "CRC", "reserved bits of a logical address")

CRC_BY_COLUMN_MAX = 64              # bytes; longer frames go to the library one by one, which is faster from there on
_DEVICE_LENGTH = 12                 # device header and the longest fixed DIB


class Records(NamedTuple):
    """Records of a stream, one entry each. `failed`: the first bad record; `consumed`: bytes of whole records."""

    kind: Array                     # u1
    flags: Array                    # u1
    start: Array                    # int64, of the payload
    length: Array                   # int64, of the payload
    consumed: int
    failed: FormatError | None


class Frames(NamedTuple):
    """Frames, one entry each. Where `error` is not GOOD the other columns say nothing."""

    destination: Array              # link address * 256 + logical address
    source: Array
    link_control: Array             # u1
    start: Array                    # int64, of the information field in the buffer
    length: Array                   # int64, of the information field
    error: Array                    # u1

    @property
    def valid(self) -> Array:
        """Mask of the frames that frames.decode_frame takes."""
        mask: Array = self.error == GOOD
        return mask


class Devices(NamedTuple):
    """Device headers, one entry for each information field. Where `valid` is off the others say nothing."""

    ifi: Array                      # u1
    unit_address: Array             # u1
    dhf: Array                      # u1
    valid: Array                    # mask of what frames.decode_device takes


def scan_records(stream: bytes, information_limit: int = INFORMATION_LENGTH_MAX) -> Records:
    """Every whole record of a stream, up to the first bad one, as RecordReader reads it."""
    starts: list[int] = []
    position, stop = 0, len(stream) - RECORD_HEADER_LENGTH
    append = starts.append
    while position <= stop:         # each record says where the next one begins: nothing here can run in parallel
        append(position)
        position += RECORD_HEADER_LENGTH + (stream[position + 2] << 8 | stream[position + 3])
    begin = np.array(starts, dtype=np.int64)
    header = _rows(np.frombuffer(stream, np.uint8), begin, RECORD_HEADER)
    kind, flags, lengths = header["kind"], header["flags"], header["length"].astype(np.int64)
    bad = np.flatnonzero(_record_errors(kind, flags, lengths, information_limit))
    failed, count = None, len(starts)
    if len(bad):
        count = int(bad[0])
        failed = _record_failure(stream, starts[count], information_limit)
    elif count and position > len(stream):
        count -= 1                  # the last one is not whole yet
    consumed = int(begin[count - 1] + RECORD_HEADER_LENGTH + lengths[count - 1]) if count else 0
    return Records(kind[:count], flags[:count], begin[:count] + RECORD_HEADER_LENGTH, lengths[:count], consumed, failed)


def _record_errors(kind: Array, flags: Array, length: Array, information_limit: int) -> Array:
    frame = (kind == RECORD_FRAME) & (flags <= 0x07) & (flags & 0x06 != 0x06)
    frame &= length <= FRAME_LENGTH_MIN + information_limit
    sequence = (kind == RECORD_SEQUENCE) & (flags >= Sequence.IDLE) & (flags <= Sequence.UDR) & (length == 0)
    bad: Array = ~(frame | sequence)
    return bad


def _record_failure(stream: bytes, position: int, information_limit: int) -> FormatError:
    kind, flags = stream[position], stream[position + 1]
    where, at = "type", 0
    if kind == RECORD_FRAME:
        where, at = ("flags", 1) if flags & ~0x07 or flags & 0x06 == 0x06 else ("length", 2)
    elif kind == RECORD_SEQUENCE:
        where, at = ("length", 2) if Sequence.IDLE <= flags <= Sequence.UDR else ("sequence", 1)
    return FormatError("record", where, stream[position : position + RECORD_HEADER_LENGTH], position + at)


def decode_frames(buffer: bytes, start: Array, length: Array, *, check_crc: bool = True,
                  information_limit: int = INFORMATION_LENGTH_MAX) -> Frames:
    """The frames (link header .. CRC) of `length` bytes that begin at `start` in `buffer`.

    Nothing is raised for a bad frame: its `error` says what decode_frame would. `check_crc=False` leaves the CRC alone.
    ValueError when a frame does not lie in the buffer.
    """
    start, length = np.asarray(start, np.int64), np.asarray(length, np.int64)
    if len(start) and (int(start.min()) < 0 or int(length.min()) < 0 or int((start + length).max()) > len(buffer)):
        raise ValueError("a frame outside the buffer")
    data = _padded(buffer, LINK_HEADER_LENGTH)
    header = _rows(data, start, FRAME_HEADER)
    destination, source = header["destination"].astype(np.uint16), header["source"].astype(np.uint16)
    error = np.where((destination | source) & LOGICAL_ADDRESS_RESERVED, RESERVED_BITS, GOOD).astype(np.uint8)
    if check_crc:
        error[~_crc_matches(buffer, data, start, length)] = BAD_CRC
    error[length - FRAME_LENGTH_MIN > information_limit] = TOO_LONG
    error[length < FRAME_LENGTH_MIN] = CUT_SHORT
    return Frames(destination, source, header["link_control"], start + LINK_HEADER_LENGTH, length - FRAME_LENGTH_MIN,
                  error)


def decode_devices(buffer: bytes, start: Array, length: Array) -> Devices:
    """The device headers of information fields of `length` bytes that begin at `start` in `buffer`."""
    start, length = np.asarray(start, np.int64), np.asarray(length, np.int64)
    row = _rows(_padded(buffer, _DEVICE_LENGTH), start, COMMAND)
    ifi, dhf = row["ifi"], row["dhf"]
    kind = ifi & ~np.uint8(Ifi.ADDRESS_SPECIFIC | Ifi.SUPPLEMENTARY_STATUS)
    specific, with_sense = ifi & Ifi.ADDRESS_SPECIFIC != 0, ifi & Ifi.SUPPLEMENTARY_STATUS != 0
    request = dhf & Dhf.DATA_REQUEST != 0
    plain = specific & ~with_sense
    data = plain & (kind == FrameType.DATA) & np.where(
        request, (dhf == Dhf.DATA_REQUEST) & (length == DATA_REQUEST.itemsize) & (row["count"] & 0xFF == 0),
        (dhf == 0) | (dhf == Dhf.END) | (dhf == Dhf.END | Dhf.EARLY_END))
    command = (plain & (kind == FrameType.COMMAND) & (dhf & ~np.uint8(Dhf.CHAINING) == 0)
               & (length == COMMAND.itemsize) & (row["reserved_10"] == 0))
    status = specific & (kind == FrameType.STATUS) & (dhf & ~np.uint8(Dhf.END) == 0) & np.where(
        with_sense, (length > STATUS.itemsize) & (length <= STATUS.itemsize + SENSE_LENGTH_MAX),
        length == STATUS.itemsize)
    control = (~with_sense & (kind == FrameType.CONTROL) & (dhf & ~np.uint8(Dhf.END | Dhf.READY) == 0)
               & (length == CONTROL.itemsize))
    valid = (data | command | status | control) & (length >= 5) & (row["address"] <= 0xFF)
    return Devices(ifi, row["address"].astype(np.uint8), dhf, valid)


def rows(buffer: bytes, start: Array, layout: np.dtype[Any]) -> Array:
    """Structured rows of a layout (COMMAND, STATUS, ...) that begin at `start`; behind the buffer all is zero."""
    return _rows(_padded(buffer, layout.itemsize), np.asarray(start, np.int64), layout)


def _padded(buffer: bytes, length: int) -> Array:
    data = np.zeros(len(buffer) + length, np.uint8)
    data[: len(buffer)] = np.frombuffer(buffer, np.uint8)
    return data


def _rows(data: Array, start: Array, layout: np.dtype[Any]) -> Array:
    if not len(start):
        return np.empty(0, layout)
    return np.ascontiguousarray(sliding_window_view(data, layout.itemsize)[start]).view(layout).reshape(-1)


def _word_table() -> Array:
    """CRC register after 16 bits: table[register ^ word]."""
    register: Array = np.arange(0x10000, dtype=np.uint32)
    for _ in range(16):
        register = np.where(register & 0x8000, register << 1 ^ CRC.polynomial, register << 1) & 0xFFFF
    return register.astype(np.uint16)


_TABLE = _word_table()
_BYTE_TABLE = _TABLE[:256].copy()   # the first eight steps only move the byte up, the other eight divide


def _crc_matches(buffer: bytes, data: Array, start: Array, length: Array) -> Array:
    """Mask of the frames whose last two bytes are their CRC; frames too short to have one are off."""
    matches = np.zeros(len(start), bool)
    order = np.argsort(length.astype(np.uint16), kind="stable")
    ordered = length[order]
    stops = np.flatnonzero(np.diff(ordered)) + 1
    for group in np.split(order, stops) if len(order) else []:
        size = int(length[group[0]])
        if size < FRAME_LENGTH_MIN:
            continue
        if size <= CRC_BY_COLUMN_MAX:
            matches[group] = _crc_by_column(np.ascontiguousarray(sliding_window_view(data, size)[start[group]].T))
            continue
        body = size - LINK_TRAILER_LENGTH
        view = memoryview(buffer)
        matches[group] = [
            crc16(bytes(view[at : at + body])) == view[at + body] << 8 | view[at + body + 1]
            for at in start[group].tolist()
        ]
    return matches


def _crc_by_column(columns: Array) -> Array:
    """Mask for frames of one length: `columns[k]` is byte k of every frame."""
    body = len(columns) - LINK_TRAILER_LENGTH
    register = np.full(columns.shape[1], CRC.initial, np.uint16)
    words = columns.astype(np.uint16)
    for at in range(0, body - 1, 2):
        register = _TABLE[register ^ (words[at] << 8 | words[at + 1])]
    if body % 2:
        register = register << 8 ^ _BYTE_TABLE[register >> 8 ^ words[body - 1]]
    result: Array = register ^ np.uint16(CRC.final_xor) == words[body] << 8 | words[body + 1]
    return result

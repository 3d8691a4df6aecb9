"""Reads the log back: finds its end, tells a torn tail from damage, and hands on what was recovered, in order.

The rules are those of "Reading back" in format.py; `R1` ... `R4` below are its steps.
"""

from collections import deque
from collections.abc import Callable

from controller.array.disk import Disk
from controller.array.errors import CorruptionError
from controller.array.format import (
    ALIGNMENT_BYTES,
    RECORD_HEADER_BYTES,
    RECORD_MAGIC,
    SEGMENT_HEADER_BYTES,
    Kind,
    RecordHeader,
    SegmentHeader,
    decode_record_header,
    decode_segment_header,
    digest,
    pack_location,
    place,
    record_bytes,
)
from controller.array.log import Tail

Apply = Callable[[RecordHeader, int, bytes], None]
_READ_BYTES = 4096
_SEARCH_BYTES = 1 << 20


class Found:
    """What recovery found: the end of the log, its segments' lengths, whether the last epoch ended in order."""

    def __init__(self, tail: Tail) -> None:
        self.tail = tail
        self.segments: dict[int, int] = {}
        self.closed = True


class _Segment:
    """One segment, read forward. Small reads: headers are looked at, payloads skipped."""

    def __init__(self, disk: Disk, header: SegmentHeader) -> None:
        self._disk = disk
        self._seed = header.identity
        self.number = header.number
        self.length = header.length
        self._start = 0
        self._window = b""

    def header_at(self, offset: int) -> RecordHeader | None:
        """The record header at `offset`, if one is there and its record ends inside the segment."""
        at = offset - self._start
        if not 0 <= at <= len(self._window) - RECORD_HEADER_BYTES:
            self._window = self._disk.read(self.number, offset, _READ_BYTES)
            self._start = offset
            at = 0
        header = decode_record_header(
            memoryview(self._window)[at : at + RECORD_HEADER_BYTES], self._seed ^ place(self.number, offset)
        )
        if header is None or offset + record_bytes(header.payload_length) > self.length:
            return None
        return header

    def payload(self, offset: int, header: RecordHeader) -> bytes | None:
        """The payload of the record at `offset`, None if it does not match its checksum."""
        data = self._disk.read(self.number, offset + RECORD_HEADER_BYTES, header.payload_length)
        return data if digest(data) == header.payload_digest else None

    def durable_behind(self, offset: int) -> int:
        """The greatest `durable` of any record of this place at or after `offset`, whatever lies between (R3)."""
        durable = 0
        overlap = RECORD_HEADER_BYTES - 1
        for start in range(offset, self.length, _SEARCH_BYTES):
            data = self._disk.read(self.number, start, _SEARCH_BYTES + overlap)
            at = data.find(RECORD_MAGIC)
            while at >= 0:
                if (start + at) % ALIGNMENT_BYTES == 0 and (header := self.header_at(start + at)) is not None:
                    durable = max(durable, header.durable)
                at = data.find(RECORD_MAGIC, at + 1)
        return durable


class Recovery:
    """One reading of a log. Records go to `apply` in order, each only when it is certain to belong to the log."""

    def __init__(self, disk: Disk, apply: Apply) -> None:
        self._disk = disk
        self._apply = apply
        self._waiting: deque[tuple[_Segment, int, RecordHeader]] = deque()
        self._durable = 0

    def run(self) -> Found:
        """Read the whole log. Raises CorruptionError, FormatError, DiskError; nothing on the disk is changed (I5)."""
        lengths = self._disk.segments()
        if not lengths:
            return Found(Tail(self._disk.new_identity()))
        found: Found | None = None
        for number in range(1, max(lengths) + 1):
            header = self._segment_header(number, lengths)
            if found is None:
                found = Found(Tail(header.identity))
            tail = found.tail
            if header.identity != tail.identity:
                raise CorruptionError(number, 16, "the segment is one of another store")
            if (header.previous_sequence, header.previous_epoch) != (tail.sequence, tail.epoch):
                raise CorruptionError(
                    number - 1 or 1,
                    tail.offset,
                    f"no valid record where sequence {tail.sequence + 1} is due;"
                    f" segment {number} follows sequence {header.previous_sequence}",
                )
            self._apply_until(tail.sequence)  # R2: a successor proves all of its predecessor
            found.segments[number] = header.length
            self._read_segment(_Segment(self._disk, header), found)
        assert found is not None
        self._end(found)
        return found

    def _segment_header(self, number: int, lengths: dict[int, int]) -> SegmentHeader:
        if number not in lengths:
            raise CorruptionError(number, 0, "the segment is missing")
        data = self._disk.read(number, 0, SEGMENT_HEADER_BYTES)
        if len(data) < SEGMENT_HEADER_BYTES:
            raise CorruptionError(number, lengths[number], "the segment is cut short")
        header = decode_segment_header(data, number)
        if header.length != lengths[number]:
            raise CorruptionError(number, lengths[number], f"the segment should have {header.length} bytes")
        return header

    def _read_segment(self, segment: _Segment, found: Found) -> None:
        """R1: follow the record headers as far as they are next to each other."""
        tail = found.tail
        tail.segment, tail.segment_length, tail.offset = segment.number, segment.length, SEGMENT_HEADER_BYTES
        while (header := segment.header_at(tail.offset)) is not None:
            opened = header.kind == Kind.OPEN and header.epoch == tail.epoch + 1 and header.sequence > tail.sequence
            if not opened and (header.epoch, header.sequence) != (tail.epoch, tail.sequence + 1):
                break
            self._waiting.append((segment, tail.offset, header))
            tail.epoch, tail.sequence = header.epoch, header.sequence
            tail.offset += record_bytes(header.payload_length)
            found.closed = header.kind == Kind.CLOSE
            if header.durable > self._durable:
                self._apply_until(header.durable)

    def _apply_until(self, durable: int) -> None:
        """R2: hand on what is known to have been durable up to this sequence."""
        self._durable = max(self._durable, durable)
        waiting = self._waiting
        while waiting and waiting[0][2].sequence <= durable:
            segment, offset, header = waiting.popleft()
            self._hand_on(segment, offset, header, proven=True)

    def _hand_on(self, segment: _Segment, offset: int, header: RecordHeader, *, proven: bool) -> bool:
        """Apply one record; False if it is not proven and its payload is not what it should be."""
        payload: bytes | None = b""
        if header.payload_length and not (proven and header.kind == Kind.TRACK):
            payload = segment.payload(offset, header)
        if payload is None:
            if proven:
                raise CorruptionError(segment.number, offset, f"the payload of sequence {header.sequence} is damaged")
            return False
        location = pack_location(segment.number, offset, record_bytes(header.payload_length))
        try:
            self._apply(header, location, payload)
        except (KeyError, ValueError) as error:
            reason = f"sequence {header.sequence} makes no sense: {error!r}"
            raise CorruptionError(segment.number, offset, reason) from error
        return True

    def _end(self, found: Found) -> None:
        """R3 and R4: is the end a torn tail or damage, and which of the last records are whole?"""
        tail = found.tail
        last = self._disk_segment(tail)
        durable = last.durable_behind(tail.offset)
        if durable > tail.sequence:
            reason = f"no valid record where sequence {tail.sequence + 1} is due, though {durable} was durable"
            raise CorruptionError(tail.segment, tail.offset, reason)
        self._apply_until(durable)
        while self._waiting:
            segment, offset, header = self._waiting.popleft()
            if not self._hand_on(segment, offset, header, proven=False):
                tail.offset, tail.sequence = offset, header.sequence - 1
                found.closed = False
                self._waiting.clear()

    def _disk_segment(self, tail: Tail) -> _Segment:
        return _Segment(self._disk, SegmentHeader(tail.segment, tail.identity, tail.segment_length, 0, 0))

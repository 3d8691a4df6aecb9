"""Reads the log back: finds its end, tells a torn tail from damage, and hands on what was recovered, in order.

The rules are those of "Reading back" in format.py; `R1` ... `R7` below are its steps.
"""

from collections import deque
from itertools import pairwise

from controller.array.checkpoint import END, CheckpointEnd, Loaded, load_checkpoint
from controller.array.directory import Directory
from controller.array.disk import Disk
from controller.array.errors import CorruptionError, DiskError, StoreError
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
    peek_record_header,
    place,
    record_bytes,
)
from controller.array.log import Tail
from controller.array.record_reader import RecordReader

_NOT_READ = frozenset((Kind.TRACK, Kind.RELOCATE, Kind.CHECKPOINT))
"""Payloads that recovery leaves to reads and scrubbing, where the record is proven."""
_READ_BYTES = 4096
_SEARCH_BYTES = 1 << 20


class Found:
    """What recovery found.

    directory: what the log says; tail: the end of the log; closed: its last epoch ended in order; segments: the lengths
    of those that belong to the log; checkpoints: locations of the ends of the newest two, 0 for none; begin: location
    of the newest one's begin; leftovers: segments that were freed but are still there; notices: damage that was got
    around, for the operator; records, bytes: of the log behind the checkpoint.
    """

    def __init__(self, directory: Directory, tail: Tail) -> None:
        self.directory = directory
        self.tail = tail
        self.closed = True
        self.segments: dict[int, int] = {}
        self.checkpoints = (0, 0)
        self.begin = 0
        self.leftovers: list[int] = []
        self.notices: list[str] = []
        self.records = self.bytes = 0


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
        header = decode_record_header(self._window, self._seed ^ place(self.number, offset), at)
        if header is None or offset + record_bytes(header.payload_length) > self.length:
            return None
        return header

    def payload(self, offset: int, header: RecordHeader) -> bytes | None:
        """The payload of the record at `offset`, None if it does not match its checksum."""
        data = self._disk.read(self.number, offset + RECORD_HEADER_BYTES, header.payload_length)
        return data if digest(data) == header.payload_digest else None

    def ends_of_checkpoints(self, sequence: int, epoch: int) -> list[int]:
        """Locations of the ends of checkpoints in the segment, newest first; the record before it had these numbers.

        Every header has to be followed, or records that are no more part of the log could pass for its own (I6). So
        this looks at no more of each than says where the next one is: a segment may hold half a million.
        """
        found: list[int] = []
        offset = SEGMENT_HEADER_BYTES
        start = stop = offset
        data = b""
        while True:
            if offset + RECORD_HEADER_BYTES > stop:
                data = self._disk.read(self.number, offset, _READ_BYTES)
                start, stop = offset, offset + len(data)
            peeked = peek_record_header(data, self._seed ^ place(self.number, offset), offset - start)
            if peeked is None:
                break
            kind, track, length, next_sequence, next_epoch = peeked
            if not _is_next(kind, next_sequence, next_epoch, sequence, epoch):
                break
            size = record_bytes(length)
            if offset + size > self.length:
                break
            if kind == Kind.CHECKPOINT and track == END:
                found.append(pack_location(self.number, offset, size))
            offset += size
            sequence, epoch = next_sequence, next_epoch
        return found[::-1]

    def durable_behind(self, offset: int) -> int:
        """The greatest `durable` of any record of this place at or after `offset`, whatever lies between (R5)."""
        durable = 0
        for start in range(offset, self.length, _SEARCH_BYTES):
            data = self._disk.read(self.number, start, _SEARCH_BYTES + RECORD_HEADER_BYTES - 1)
            at = data.find(RECORD_MAGIC)
            while at >= 0:
                if (start + at) % ALIGNMENT_BYTES == 0:
                    header = decode_record_header(data, self._seed ^ place(self.number, start + at), at)
                    if header is not None and start + at + record_bytes(header.payload_length) <= self.length:
                        durable = max(durable, header.durable)
                at = data.find(RECORD_MAGIC, at + 1)
        return durable


class Recovery:
    """One reading of a log. Records are applied in order, each only when it is certain to belong to the log."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._found = Found(Directory(), Tail(0))
        self._waiting: deque[tuple[_Segment, int, RecordHeader]] = deque()
        self._durable = 0
        self._bad_checkpoints: set[int] = set()

    def run(self) -> Found:
        """Read the log. Raises CorruptionError, FormatError, DiskError; nothing on the disk is changed (I5)."""
        lengths = self._disk.segments()
        if not lengths:
            return Found(Directory(), Tail(self._disk.new_identity()))
        last = self._segment_header(max(lengths), lengths)
        if not self._from_checkpoint(last, lengths):
            self._found.tail = Tail(last.identity)
        found = self._found
        tail = found.tail
        for number in range(tail.segment + 1, last.number + 1):
            header = self._segment_header(number, lengths)
            if header.identity != tail.identity:
                raise CorruptionError(number, 16, "the segment is one of another store")
            if (header.previous_sequence, header.previous_epoch) != (tail.sequence, tail.epoch):
                raise CorruptionError(
                    number - 1 or 1,
                    tail.offset,
                    f"no valid record where sequence {tail.sequence + 1} is due;"
                    f" segment {number} follows sequence {header.previous_sequence}",
                )
            self._apply_until(tail.sequence)  # R4: a successor proves all of its predecessor
            found.segments[number] = header.length
            tail.segment, tail.segment_length, tail.offset = number, header.length, SEGMENT_HEADER_BYTES
            self._read_segment(_Segment(self._disk, header))
        self._end()
        self._account(lengths)
        return found

    def _from_checkpoint(self, last: SegmentHeader, lengths: dict[int, int]) -> bool:
        """R1, R2: begin with the newest checkpoint that is whole; False if the whole log has to be read."""
        damage: StoreError | None = None
        reader = RecordReader(self._disk, last.identity)
        ends = _Segment(self._disk, last).ends_of_checkpoints(last.previous_sequence, last.previous_epoch)
        candidates = [*ends, last.checkpoint, last.previous_checkpoint, 0]
        for location, older in pairwise(candidates):
            if not location:
                break
            try:
                loaded = load_checkpoint(reader, location)
            except (CorruptionError, DiskError) as error:
                damage = damage or error
                self._bad_checkpoints.add(location)
                self._found.notices.append(f"a checkpoint was not used, an older one or the whole log was: {error}")
                continue
            self._found.checkpoints = (location, older)
            self._resume(last.identity, loaded, lengths)
            return True
        if damage is not None and any(number not in lengths for number in range(1, last.number)):
            raise damage
        return False

    def _resume(self, identity: int, loaded: Loaded, lengths: dict[int, int]) -> None:
        """Take over what a checkpoint holds, and read the rest of the segment where it begins."""
        found = self._found
        found.directory = loaded.directory
        found.segments = dict(loaded.segments)
        found.begin = pack_location(loaded.segment, loaded.offset, RECORD_HEADER_BYTES)
        header = self._segment_header(loaded.segment, lengths)
        tail = found.tail = Tail(identity)
        tail.segment, tail.segment_length = loaded.segment, header.length
        tail.offset = loaded.offset + RECORD_HEADER_BYTES
        tail.sequence, tail.epoch = loaded.sequence, loaded.epoch
        self._durable = loaded.sequence
        self._read_segment(_Segment(self._disk, header))

    def _account(self, lengths: dict[int, int]) -> None:
        """R6: turn relocated pointers; every segment of the log is there, and what is there beside them was freed."""
        found = self._found
        freed = found.directory.freed
        for number in freed:
            found.segments.pop(number, None)
        try:
            found.directory.settle()
        except ValueError as error:
            raise CorruptionError(found.tail.segment, found.tail.offset, f"{error}: the log makes no sense") from error
        for number, length in sorted(found.segments.items()):
            if number not in lengths:
                raise CorruptionError(number, 0, "the segment is missing")
            if lengths[number] != length:
                raise CorruptionError(number, lengths[number], f"the segment should have {length} bytes")
        found.leftovers = sorted(lengths.keys() - found.segments.keys())

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

    def _read_segment(self, segment: _Segment) -> None:
        """R3: follow the record headers as far as they are next to each other."""
        found = self._found
        tail = found.tail
        while (header := segment.header_at(tail.offset)) is not None:
            if not _is_next(header.kind, header.sequence, header.epoch, tail.sequence, tail.epoch):
                break
            self._waiting.append((segment, tail.offset, header))
            tail.epoch, tail.sequence = header.epoch, header.sequence
            size = record_bytes(header.payload_length)
            tail.offset += size
            found.records += 1
            found.bytes += size
            found.closed = header.kind == Kind.CLOSE
            if header.durable > self._durable:
                self._apply_until(header.durable)

    def _apply_until(self, durable: int) -> None:
        """R4: hand on what is known to have been durable up to this sequence."""
        self._durable = max(self._durable, durable)
        waiting = self._waiting
        while waiting and waiting[0][2].sequence <= durable:
            segment, offset, header = waiting.popleft()
            self._hand_on(segment, offset, header, proven=True)

    def _hand_on(self, segment: _Segment, offset: int, header: RecordHeader, *, proven: bool) -> bool:
        """Apply one record; False if it is not proven and its payload is not what it should be."""
        payload: bytes | None = b""
        if header.payload_length and not (proven and header.kind in _NOT_READ):
            payload = segment.payload(offset, header)
        if payload is None:
            if proven:
                raise CorruptionError(segment.number, offset, f"the payload of sequence {header.sequence} is damaged")
            return False
        location = pack_location(segment.number, offset, record_bytes(header.payload_length))
        if header.kind == Kind.CHECKPOINT and header.track == END:
            self._note_checkpoint(segment, offset, header, location)
        try:
            self._found.directory.apply(header, location, payload)
        except (KeyError, ValueError) as error:
            reason = f"sequence {header.sequence} makes no sense: {error!r}"
            raise CorruptionError(segment.number, offset, reason) from error
        return True

    def _note_checkpoint(self, segment: _Segment, offset: int, header: RecordHeader, location: int) -> None:
        """Remember a checkpoint met on the way, the newest last, if its end is whole."""
        payload = segment.payload(offset, header)
        newer = location > self._found.checkpoints[0]
        if payload is not None and newer and location not in self._bad_checkpoints:
            self._found.begin = CheckpointEnd.decode(payload).begin
            self._found.checkpoints = (location, self._found.checkpoints[0])

    def _end(self) -> None:
        """R5: is the end a torn tail or damage, and which of the last records are whole?"""
        found = self._found
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


def _is_next(kind: int, sequence: int, epoch: int, sequence_before: int, epoch_before: int) -> bool:
    """Is the record with this kind, sequence and epoch the one after that with those before?"""
    if epoch == epoch_before:
        return sequence == sequence_before + 1
    return kind == Kind.OPEN and epoch == epoch_before + 1 and sequence > sequence_before

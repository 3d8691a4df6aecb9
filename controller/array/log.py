"""The end of the log that grows: records are appended in memory, taken as a batch, written and synced, acknowledged.

    append ... append -> [open batch] -take-> [batch on its way] -commit, worker thread-> committed: durable advances
                                                                                      -> failed: the log is fenced (I10)

Only one batch is on its way at a time, so that segment n is durable before segment n+1 exists (I7) and a batch is
durable only after all before it. `commit` reads the batch and calls the disk; everything else belongs to the main
thread.

Room: a record that needs a new segment is refused (DiskFullError, nothing changed) unless the disk holds room for that
segment, and for `keep` more behind it; so a commit never meets a full medium. Tracks leave most room, changes that
may free something less, free-space collection and the end of the log use all there is.
"""

from enum import IntEnum

from controller.array.disk import Disk
from controller.array.errors import DiskError, DiskFullError, FencedError
from controller.array.format import (
    ALIGNMENT_BYTES,
    RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    SEGMENTS_MAX,
    SEQUENCE_GAP,
    Kind,
    RecordHeader,
    SegmentHeader,
    digest,
    encode_record_header,
    encode_segment_header,
    pack_location,
    place,
    record_bytes,
)

_PADDING = [bytes(length) for length in range(ALIGNMENT_BYTES)]
RESERVED_SEGMENTS = 3
"""Segments that tracks leave free, at least: collection needs somewhere to copy to."""


class Room(IntEnum):
    """Who asks for room."""

    TRACKS = 0  # leaves `reserved_segments`
    CHANGES = 1  # leaves one less: even a full array takes a delete
    ALL = 2  # leaves nothing


class Run:
    """Bytes that go one behind the other into one segment. `length`, if not 0: the segment is to be made, that long.

    `made`: it was.
    """

    __slots__ = ("length", "made", "offset", "parts", "segment")

    def __init__(self, segment: int, offset: int, length: int = 0) -> None:
        self.segment = segment
        self.offset = offset
        self.length = length
        self.made = not length
        self.parts: list[bytes] = []


class Batch:
    """Records that become durable together.

    `last` is the sequence of the last one, `locations` where its tracks will be, `records` and `bytes` how much it is,
    `freed` the segments that are removed when it is durable.
    `writing`: a commit is at work on it; `written`: it is durable.
    """

    __slots__ = ("bytes", "freed", "last", "locations", "records", "runs", "writing", "written")

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.locations: list[int] = []
        self.freed: list[int] = []
        self.records = 0
        self.bytes = 0
        self.last = 0
        self.writing = False
        self.written = False


    @property
    def begins_segment(self) -> bool:
        """Does a new segment begin in it?"""
        return any(run.length for run in self.runs)


class Tail:
    """Where the log ends: the place of the next record, and the record before it. What recovery finds."""

    __slots__ = ("epoch", "identity", "offset", "segment", "segment_length", "sequence")

    def __init__(self, identity: int) -> None:
        self.identity = identity
        self.segment = 0  # 0: there is no segment yet
        self.segment_length = 0
        self.offset = 0
        self.sequence = 0
        self.epoch = 0


class LogWriter:
    """Appends to the log on a disk. New segments are `segment_bytes` long.

    `segments`: the length of every segment that belongs to the log, made or still to be made. `capacity_bytes` bounds
    them together; None: only the medium does. `checkpoints`: the locations that go into the next segment's header.
    """

    def __init__(
        self,
        disk: Disk,
        tail: Tail,
        segment_bytes: int,
        segments: dict[int, int] | None = None,
        capacity_bytes: int | None = None,
    ) -> None:
        self._disk = disk
        self._tail = tail
        self._open: Batch | None = None
        self._under_way: Batch | None = None
        self._planned: list[Run] = []
        self._fenced = False
        self.segment_bytes = segment_bytes
        self.capacity_bytes = capacity_bytes
        self.reserved_segments = RESERVED_SEGMENTS
        self.segments = dict(segments or {})
        self.checkpoints = (0, 0)
        self.was_full = False  # the last time somebody asked for room, there was not enough
        self.durable = tail.sequence
        self.records = 0
        self.bytes = 0

    @property
    def appended(self) -> int:
        """Sequence of the last record appended."""
        return self._tail.sequence

    @property
    def fenced(self) -> bool:
        """True after a failed commit."""
        return self._fenced

    @property
    def under_way(self) -> Batch | None:
        """The batch that was taken and neither committed nor failed."""
        return self._under_way

    def append(
        self,
        kind: Kind,
        volume: int = 0,
        track: int = 0,
        other_volume: int = 0,
        other_track: int = 0,
        *,
        codec: int = 0,
        raw_length: int = 0,
        payload: bytes = b"",
        payload_digest: int | None = None,
        room: Room = Room.CHANGES,
    ) -> tuple[RecordHeader, int]:
        """Add one record to the open batch: its header and its location. `payload_digest`, if it is known already.

        Raises FencedError after a failed commit, ValueError if the record does not fit a segment, DiskFullError.
        """
        if self._fenced:
            raise FencedError
        tail = self._tail
        length = len(payload)
        size = record_bytes(length)
        batch = self._open
        if batch is None or not batch.runs or tail.offset + size > tail.segment_length:
            batch = self._make_run(size, room)
        parts = batch.runs[-1].parts
        assert tail.sequence - self.durable < SEQUENCE_GAP - 1, "too many records without a commit"  # I9
        offset = tail.offset
        header = RecordHeader(
            kind,
            codec,
            tail.epoch,
            volume,
            track,
            other_volume,
            other_track,
            raw_length,
            length,
            tail.sequence + 1,
            self.durable,
            digest(payload) if payload_digest is None else payload_digest,
        )
        parts.append(encode_record_header(header, tail.identity ^ place(tail.segment, offset)))
        if length:
            parts.append(payload)
            if padding := size - RECORD_HEADER_BYTES - length:
                parts.append(_PADDING[padding])
        tail.offset = offset + size
        tail.sequence = header.sequence
        batch.records += 1
        batch.bytes += size
        batch.last = header.sequence
        self.records += 1
        self.bytes += size
        location = pack_location(tail.segment, offset, size)
        if kind == Kind.TRACK:
            batch.locations.append(location)
        return header, location

    def _make_run(self, size: int, room: Room) -> Batch:
        """Let the open batch end in a run that takes a record of `size` bytes: in a new segment, if it does not fit."""
        tail = self._tail
        if size > self.segment_bytes - SEGMENT_HEADER_BYTES:
            raise ValueError(f"a record of {size} bytes does not fit a segment of {self.segment_bytes}")
        full = tail.segment == 0 or tail.offset + size > tail.segment_length
        if full:
            self._hold(room)
        if self._open is None:
            self._open = Batch()
        runs = self._open.runs
        if full:
            header = SegmentHeader(
                tail.segment + 1, tail.identity, self.segment_bytes, tail.sequence, tail.epoch, *self.checkpoints
            )
            tail.segment += 1
            tail.segment_length = self.segments[tail.segment] = self.segment_bytes
            tail.offset = SEGMENT_HEADER_BYTES
            runs.append(Run(tail.segment, 0, self.segment_bytes))
            runs[-1].parts.append(encode_segment_header(header))
            self._planned.append(runs[-1])
        elif not runs:
            runs.append(Run(tail.segment, tail.offset))
        return self._open

    def _hold(self, room: Room) -> None:
        """Make sure of room for a new segment, and of what has to be left behind it. Raises DiskFullError."""
        if self._tail.segment == SEGMENTS_MAX:
            raise DiskError("the log has used up its segment numbers")
        count = 1 + (0 if room == Room.ALL else max(self.reserved_segments - room, 0))
        if self.capacity_bytes is not None:
            free = self.capacity_bytes - sum(self.segments.values())
            if free < count * self.segment_bytes:
                self.was_full = True
                raise DiskFullError(f"the array is full: all of its {self.capacity_bytes} bytes are in use")
        held = 1 + (0 if room == Room.ALL else max(self._kept_on_medium() - room, 0))
        try:
            self._disk.reserve(self.segment_bytes, self._to_be_made() + held)
        except DiskFullError:
            self.was_full = True
            raise
        if room == Room.TRACKS:
            self.was_full = False

    def _kept_on_medium(self) -> int:
        """Segments that the medium holds in reserve: few while the log is short and there is little to collect."""
        return min(self.reserved_segments, len(self.segments) // 2)

    def _to_be_made(self) -> int:
        return sum(not run.made for run in self._planned)

    def prepare(self, ahead: int) -> None:
        """Hold room for the next `ahead` segments, so that no append has to wait for it. For a worker thread.

        Raises DiskError. Does nothing beyond the array's capacity.
        """
        count = ahead + self._kept_on_medium()
        if self.capacity_bytes is not None:
            used = sum(list(self.segments.values()))
            count = min(count, (self.capacity_bytes - used) // self.segment_bytes)
        self._disk.reserve(self.segment_bytes, self._to_be_made() + count)

    def free(self, segment: int) -> None:
        """Append FREE: the segment is removed when that is durable. Nothing may point into it any more."""
        self.append(Kind.FREE, track=segment, room=Room.ALL)
        assert self._open is not None
        self._open.freed.append(segment)
        del self.segments[segment]

    def start_epoch(self, sequence: int) -> None:
        """Append OPEN with `sequence`, alone, and make it durable (I8). Raises DiskError."""
        assert self._open is None and self._under_way is None and sequence > self._tail.sequence
        # A new segment names the record before it, so it is made before the numbers jump.
        self._make_run(record_bytes(0), Room.ALL)
        self._tail.epoch += 1
        self._tail.sequence = self.durable = sequence - 1
        self.append(Kind.OPEN, room=Room.ALL)
        batch = self.take_batch()
        assert batch is not None
        self.commit(batch)
        self.committed(batch)

    def take_batch(self) -> Batch | None:
        """The open batch, from now on its way; None if there is none. FencedError after a failed commit."""
        if self._fenced:
            raise FencedError
        assert self._under_way is None, "a batch is on its way already"
        batch = self._open
        if batch is None or not batch.records:
            return None
        self._under_way, self._open = batch, None
        return batch

    def commit(self, batch: Batch) -> None:
        """Write the batch and make it durable, segment by segment (I7). For a worker thread. Raises DiskError."""
        assert not batch.writing and not batch.written, "a batch is written once"
        batch.writing = True
        try:
            for run in batch.runs:
                if run.length:
                    self._disk.create(run.segment, run.length, run.parts[0])
                    run.made = True
                    self._disk.write(run.segment, len(run.parts[0]), run.parts[1:])
                else:
                    self._disk.write(run.segment, run.offset, run.parts)
                self._disk.sync(run.segment)
            for segment in batch.freed:
                self._disk.remove(segment)
            batch.written = True
        finally:
            batch.writing = False

    def committed(self, batch: Batch) -> int:
        """Acknowledge a batch whose commit returned; the durable sequence."""
        assert batch is self._under_way and batch.written, "only a batch that was written can be acknowledged"
        self._under_way = None
        self._planned = [run for run in self._planned if not run.made]
        self.durable = batch.last
        return self.durable

    def failed(self, batch: Batch) -> None:
        """Give up after a commit that raised: nothing is written from now on (I10)."""
        assert batch is self._under_way, "only the batch on its way can fail"
        self._fenced = True

"""The end of the log that grows: records are appended in memory, taken as a batch, written and synced, acknowledged.

    append ... append -> [open batch] -take-> [batch on its way] -commit, worker thread-> committed: durable advances
                                                                                      -> failed: the log is fenced (I10)

Only one batch is on its way at a time, so that segment n is durable before segment n+1 exists (I7) and a batch is
durable only after all before it. `commit` reads the batch and calls the disk; everything else belongs to the main
thread.
"""

from controller.array.disk import Disk
from controller.array.errors import DiskError, FencedError
from controller.array.format import (
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


class Run:
    """Bytes that go one behind the other into one segment. `length`, if not 0: the segment is to be made, that long."""

    __slots__ = ("length", "offset", "parts", "segment")

    def __init__(self, segment: int, offset: int, length: int = 0) -> None:
        self.segment = segment
        self.offset = offset
        self.length = length
        self.parts: list[bytes] = []


class Batch:
    """Records that become durable together.

    `last` is the sequence of the last one, `locations` where its tracks will be, `records` and `bytes` how much it is.
    `writing`: a commit is at work on it; `written`: it is durable.
    """

    __slots__ = ("bytes", "last", "locations", "records", "runs", "writing", "written")

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.locations: list[int] = []
        self.records = 0
        self.bytes = 0
        self.last = 0
        self.writing = False
        self.written = False


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
    """Appends to the log on a disk. New segments are `segment_bytes` long."""

    def __init__(self, disk: Disk, tail: Tail, segment_bytes: int) -> None:
        self._disk = disk
        self._tail = tail
        self._segment_bytes = segment_bytes
        self._open: Batch | None = None
        self._under_way: Batch | None = None
        self._fenced = False
        self.durable = tail.sequence

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
    ) -> tuple[RecordHeader, int]:
        """Add one record to the open batch: its header and its location.

        Raises FencedError after a failed commit, ValueError if the record does not fit a segment.
        """
        if self._fenced:
            raise FencedError
        tail = self._tail
        size = record_bytes(len(payload))
        run = self._run(size)
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
            len(payload),
            tail.sequence + 1,
            self.durable,
            digest(payload),
        )
        run.parts.append(encode_record_header(header, tail.identity ^ place(tail.segment, offset)))
        if payload:
            run.parts.append(payload)
            if padding := size - RECORD_HEADER_BYTES - len(payload):
                run.parts.append(bytes(padding))
        tail.offset = offset + size
        tail.sequence = header.sequence
        batch = self._open
        assert batch is not None
        batch.records += 1
        batch.bytes += size
        batch.last = header.sequence
        location = pack_location(tail.segment, offset, size)
        if kind == Kind.TRACK:
            batch.locations.append(location)
        return header, location

    def _run(self, size: int) -> Run:
        """The run that takes a record of `size` bytes: in a new segment, where it does not fit the old one."""
        tail = self._tail
        if size > self._segment_bytes - SEGMENT_HEADER_BYTES:
            raise ValueError(f"a record of {size} bytes does not fit a segment of {self._segment_bytes}")
        if self._open is None:
            self._open = Batch()
        runs = self._open.runs
        if tail.segment == 0 or tail.offset + size > tail.segment_length:
            if tail.segment == SEGMENTS_MAX:
                raise DiskError("the log has used up its segment numbers")
            header = SegmentHeader(tail.segment + 1, tail.identity, self._segment_bytes, tail.sequence, tail.epoch)
            tail.segment += 1
            tail.segment_length = self._segment_bytes
            tail.offset = SEGMENT_HEADER_BYTES
            runs.append(Run(tail.segment, 0, self._segment_bytes))
            runs[-1].parts.append(encode_segment_header(header))
        elif not runs:
            runs.append(Run(tail.segment, tail.offset))
        return runs[-1]

    def start_epoch(self, sequence: int) -> None:
        """Append OPEN with `sequence`, alone, and make it durable (I8). Raises DiskError."""
        assert self._open is None and self._under_way is None and sequence > self._tail.sequence
        self._run(record_bytes(0))  # a new segment names the record before it, so it is made before the numbers jump
        self._tail.epoch += 1
        self._tail.sequence = self.durable = sequence - 1
        self.append(Kind.OPEN)
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
                    self._disk.write(run.segment, len(run.parts[0]), run.parts[1:])
                else:
                    self._disk.write(run.segment, run.offset, run.parts)
                self._disk.sync(run.segment)
            batch.written = True
        finally:
            batch.writing = False

    def committed(self, batch: Batch) -> int:
        """Acknowledge a batch whose commit returned; the durable sequence."""
        assert batch is self._under_way and batch.written, "only a batch that was written can be acknowledged"
        self._under_way = None
        self.durable = batch.last
        return self.durable

    def failed(self, batch: Batch) -> None:
        """Give up after a commit that raised: nothing is written from now on (I10)."""
        assert batch is self._under_way, "only the batch on its way can fail"
        self._fenced = True

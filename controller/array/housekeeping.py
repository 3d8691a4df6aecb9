"""What the array does in the background, in small steps: checkpoints and free-space collection, in cycles.

    look ──► checkpoint C ──► durable ──► free the victims of the cycle before ──► choose victims before C
      ▲                                                                                 │ none: rest
      └───────────── durable ◄── relocate their records ◄── gather the pointers to them ◄┘

Why a victim may go (format.py, I12): its records that are in use were relocated and that is durable; the look after
that turned every pointer; the checkpoint after *that* holds no pointer into it, and is durable. Victims lie before the
begin of the checkpoint before, so that recovery can still start there, should the newest be damaged: it meets the
RELOCATE records behind it.

A cycle is a generator of costs in bytes; `step` runs it for about as many as it is given, so a step is as short as its
caller wants. It waits for durability by giving up its turn: whoever commits the log drives it on.
"""

from collections.abc import Callable, Iterator
from typing import Any

from controller.array.checkpoint import BEGIN, END, CheckpointEnd, encode_stream
from controller.array.collection import (
    PAGE_COST_BYTES,
    Gathered,
    Usage,
    Walker,
    choose_victims,
    translate_and_sample,
)
from controller.array.directory import Directory
from controller.array.errors import CorruptionError, DiskError, DiskFullError
from controller.array.format import (
    RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    SEGMENTS_MAX,
    Kind,
    RecordHeader,
    record_bytes,
    unpack_location,
)
from controller.array.log import RESERVED_SEGMENTS, LogWriter, Room
from controller.array.page import PAGE_TRACKS
from controller.array.pointers import Translation
from controller.array.record_reader import RecordReader

CHECKPOINT_BYTES = 128 << 20
CHECKPOINT_RECORDS = 1 << 14
"""A checkpoint is made after so much log, or so many records, or more in an array whose directory is large."""
PART_BYTES_MAX = 256 << 10
COPY_PER_CHECKPOINT = 12
"""A cycle copies so many times what its checkpoint takes, where there is room for it."""
NEED_PART, NEED_SEGMENTS = 32, 4
"""Collection takes what it can get when less than so small a part of the capacity, or so few segments, are free."""
_PAGE_BYTES = 12 * PAGE_TRACKS
_WAIT = -1
_RATIO_AT_REST, _RATIO_IN_NEED = 0.5, 0.95


class _NoRoom(Exception):
    """There is no room to go on; nothing is lost, the cycle ends."""


class Housekeeper:
    """Keeps one array short and quick to recover. Everything on the main thread."""

    def __init__(
        self,
        directory: Directory,
        log: LogWriter,
        reader: RecordReader,
        begin: int,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._directory = directory
        self._log = log
        self._reader = reader
        self._say = say
        self._walker = Walker(directory)
        self._cycle: Iterator[int] | None = None
        self._begin_segment = unpack_location(begin)[0]
        self._relocated: dict[int, int] = {}
        self._leaving: list[int] = []
        self._damaged: set[int] = set()
        self._used: dict[int, int] | None = None
        self._checkpoint_after = checkpoint_bytes
        self._mark_records = self._mark_bytes = 0  # of the log, when the newest checkpoint began
        self._look_bytes = 0  # of the log, when it was last looked at
        self._own_total = 0  # appended by relocation and checkpoints
        self._own_bytes = 0  # the same since the last look
        self._wanted = self._forced = False
        self._copied = 0  # in this cycle
        self._rested_bytes = self._rested_records = 0  # of the log, when the last cycle ended
        self.checkpoint_bytes = 0
        self.checkpoints_made = 0
        self.segments_freed = 0
        self.bytes_relocated = 0

    # What the store asks

    def step(self, limit: int) -> int:
        """Go on for about `limit` bytes of work. How much was done; 0: nothing to do, or to wait for a commit."""
        if self._log.fenced:
            return 0
        if self._cycle is None:
            if not (self._wanted or self._due()):
                return 0
            self._wanted = False
            self._cycle = self._run()
        done = 0
        while done < limit:
            cost = next(self._cycle, None)
            if cost is None:
                self._cycle = None
                break
            if cost == _WAIT:
                break
            done += cost
        return done

    def want(self, *, checkpoint: bool = False) -> None:
        """Let a cycle begin with the next step, due or not; with a checkpoint, whether it is due or not."""
        self._wanted = True
        self._forced = self._forced or checkpoint

    def current(self, location: int) -> int:
        """Where the record at `location` is now: pointers to records just relocated are turned a little later."""
        return self._relocated.get(location, location)

    @property
    def resting(self) -> bool:
        """True when no cycle is under way or wanted."""
        return self._cycle is None and not self._wanted

    def budget(self, written: int) -> int:
        """How much work should go with `written` bytes of new log so that room never runs out."""
        if self._cycle is None and not self._due():
            return 0
        free = self._free_bytes()
        if free is None:
            return 2 * written + PAGE_COST_BYTES
        left = free - 2 * self._cycle_bytes()
        if left <= 0:
            return 16 * written + PART_BYTES_MAX
        return min(16 * written, written * 2 * self._cycle_work() // left) + PAGE_COST_BYTES

    @property
    def short_of_room(self) -> bool:
        """Is there no more room than two cycles take, and may a cycle help?"""
        free = self._free_bytes()
        if self._cycle is None and not self._due():
            return False
        return self._log.was_full or (free is not None and free <= 2 * self._cycle_bytes())

    def live_bytes(self) -> int:
        """Bytes of log in use, as far as is known: what the last look found, and everything appended since."""
        if self._used is None:
            return sum(self._log.segments.values()) - (self._log.segment_bytes if self._log.segments else 0)
        return sum(self._used.values()) + max(self._log.bytes - self._look_bytes - self._own_bytes, 0)

    # When

    def _due(self) -> bool:
        if self._checkpoint_due():
            return True
        log = self._log
        if log.was_full:
            return log.records != self._rested_records
        return log.bytes - self._rested_bytes >= log.segment_bytes and self._in_need()

    def _checkpoint_due(self) -> bool:
        log = self._log
        after = min(self._checkpoint_after, (log.capacity_bytes or 8 * self._checkpoint_after) // 8)
        if log.bytes - self._mark_bytes >= max(after, 8 * self.checkpoint_bytes):
            return True
        return log.records - self._mark_records >= max(CHECKPOINT_RECORDS, self.checkpoint_bytes // (12 * 32))

    def _free_bytes(self) -> int | None:
        """What tracks may still take; None: there is no limit."""
        log = self._log
        if log.capacity_bytes is None:
            return None
        return log.capacity_bytes - sum(log.segments.values()) - log.reserved_segments * log.segment_bytes

    def _in_need(self) -> bool:
        if self._log.was_full:
            return True
        free = self._free_bytes()
        need = max(
            NEED_SEGMENTS * self._log.segment_bytes,
            (self._log.capacity_bytes or 0) // NEED_PART,
            COPY_PER_CHECKPOINT * self.checkpoint_bytes,
        )
        return free is not None and free < need

    def _cycle_bytes(self) -> int:
        """Log that a cycle takes."""
        return self._copy_bytes() + self.checkpoint_bytes

    def _cycle_work(self) -> int:
        return self._cycle_bytes() + 2 * (self.checkpoint_bytes // _PAGE_BYTES + 1) * PAGE_COST_BYTES

    def _copy_bytes(self) -> int:
        """How much may be copied in one cycle: so much that checkpoints are a small part, and there is room for it."""
        log = self._log
        wanted = max(COPY_PER_CHECKPOINT * self.checkpoint_bytes, 2 * log.segment_bytes)
        free = self._free_bytes()
        room = log.reserved_segments * log.segment_bytes + max(free or 0, 0) // 2
        if free is None and not log.was_full:
            room = wanted + self.checkpoint_bytes + 2 * log.segment_bytes
        return max(0, min(wanted, room - self.checkpoint_bytes - log.segment_bytes))

    # The cycle

    def _run(self) -> Iterator[int]:
        segments, written = SEGMENTS_MAX, 0
        try:
            while True:
                yield from self._look()
                if self._leaving or self._forced or self._checkpoint_due():
                    yield from self._checkpoint()
                    self._free()
                if not self._gained(segments, written):
                    break
                segments, written = len(self._log.segments), self._log.bytes - self._own_total
                victims = self._choose(self._begin_segment)
                if not victims and self._choose(max(self._log.segments)):
                    yield from self._checkpoint()
                    victims = self._choose(self._begin_segment)
                if not victims:
                    break
                yield from self._relocate(victims)
        except _NoRoom:
            self._say("free-space collection found no room to work in")
        if self._relocated:  # no pointer may stay behind where a relocated record was
            yield from self._look()
        self._restore_reserve()
        self._rested_bytes, self._rested_records = self._log.bytes, self._log.records

    def _gained(self, segments: int, written: int) -> bool:
        """Did the last round leave fewer segments, or did tracks take what it gave back? Else it only moves things."""
        taken = self._log.bytes - self._own_total > written
        return len(self._log.segments) < segments or (taken and self._in_need())

    def _look(self) -> Iterator[int]:
        """Turn the pointers of what was relocated, and see how much of each segment is in use."""
        usage = Usage(sum(volume.tracks.allocated for volume in self._directory.volumes.values()))
        look_bytes = self._log.bytes
        visit = translate_and_sample(Translation(self._relocated), usage)
        yield from self._walker.walk(visit, before_copy=True)
        self._relocated = {}
        self._used = usage.by_segment()
        self._look_bytes, self._own_bytes = look_bytes, 0

    def _checkpoint(self) -> Iterator[int]:
        """Write the directory as it is now into the log, and wait until that is durable."""
        log = self._log
        begin, location = self._append(Kind.CHECKPOINT, track=BEGIN)
        bytes_now, records_now = log.bytes, log.records
        frozen = self._directory.freeze()
        part_bytes = min(PART_BYTES_MAX, (log.segment_bytes - SEGMENT_HEADER_BYTES) // 4)
        parts: list[int] = []
        size = 0
        buffer = bytearray()
        for item in encode_stream(frozen, dict(log.segments)):
            buffer += item
            yield len(item)
            while len(buffer) >= part_bytes or (buffer and item == b"."):
                payload = bytes(buffer[:part_bytes])
                del buffer[:part_bytes]
                size += len(payload)
                parts.append(self._append(Kind.CHECKPOINT, track=len(parts) + 1, payload=payload)[1])
        payload = CheckpointEnd(location, begin.sequence, tuple(parts)).encode()
        if record_bytes(len(payload)) > log.segment_bytes - SEGMENT_HEADER_BYTES:
            raise _NoRoom
        end, end_location = self._append(Kind.CHECKPOINT, track=END, payload=payload)
        log.checkpoints = (end_location, log.checkpoints[0])
        self.checkpoint_bytes = size
        while log.durable < end.sequence:
            yield _WAIT
        self._begin_segment = unpack_location(location)[0]
        self._mark_bytes, self._mark_records = bytes_now, records_now
        self._forced = False
        self.checkpoints_made += 1

    def _free(self) -> None:
        """Give back the victims that the checkpoint before this one lies behind."""
        while self._leaving:
            try:
                self._log.free(self._leaving[-1])
            except DiskFullError as error:
                raise _NoRoom from error
            self._leaving.pop()
            self.segments_freed += 1
        self._restore_reserve()

    def _part_of_reserve(self) -> int:
        """Segments that a checkpoint takes."""
        return -(-self.checkpoint_bytes // self._log.segment_bytes)

    def _reserve(self) -> int:
        """Segments that tracks leave when nothing is under way."""
        return max(RESERVED_SEGMENTS, 2 + 2 * self._part_of_reserve())

    def _restore_reserve(self) -> None:
        self._copied = 0
        self._log.reserved_segments = self._reserve()

    def _choose(self, before: int) -> list[int]:
        """Victims among the segments with smaller numbers, none if it is not worth a checkpoint."""
        assert self._used is not None
        lengths = {
            number: length
            for number, length in self._log.segments.items()
            if number < before and number not in self._damaged
        }
        ratio = _RATIO_IN_NEED if self._in_need() else _RATIO_AT_REST
        victims, gain = choose_victims(lengths, self._used, self._copy_bytes(), ratio)
        cost = self.checkpoint_bytes + RECORD_HEADER_BYTES * len(victims)
        return victims if gain > (5 * cost // 4 if self._in_need() else 2 * cost) else []

    def _relocate(self, victims: list[int]) -> Iterator[int]:
        """Copy what is in use of the victims to the end of the log, and wait until that is durable."""
        gathered = Gathered(victims)
        yield from self._walker.walk(gathered.see)
        last = 0
        for location in gathered.locations().tolist():
            segment, _, _ = unpack_location(location)
            if segment in self._damaged:
                continue
            try:
                header, payload = self._reader.read(location)
            except (CorruptionError, DiskError) as error:
                self._damaged.add(segment)  # it stays where it is, and so does what else was in it
                self._say(f"a record in use is damaged, its segment is kept: {error}")
                continue
            last, cost = self._move(location, header, bytes(payload))
            yield cost
        self._leaving = [number for number in victims if number not in self._damaged]
        while self._log.durable < last:
            yield _WAIT

    def _move(self, location: int, header: RecordHeader, payload: bytes) -> tuple[int, int]:
        """Append a record in use again; its sequence and size. Its pointers are turned by the next look."""
        moved, new_location = self._append(
            Kind.RELOCATE,
            header.volume,
            header.track,
            location >> 32,
            location & 0xFFFFFFFF,
            codec=header.codec,
            raw_length=header.raw_length,
            payload=payload,
            payload_digest=header.payload_digest,
        )
        self._relocated[location] = new_location
        size = record_bytes(len(payload))
        self.bytes_relocated += size
        self._copied += size
        # What the reserve was for is done, and the victims will pay it back: meanwhile hosts need not stop for it.
        self._log.reserved_segments = max(
            1 + self._part_of_reserve(), self._reserve() - self._copied // self._log.segment_bytes
        )
        return moved.sequence, size

    def _append(self, kind: Kind, *fields: int, **more: Any) -> tuple[RecordHeader, int]:
        """`LogWriter.append`, taking all the room there is; what it takes is the cycle's own."""
        before = self._log.bytes
        try:
            result = self._log.append(kind, *fields, **more, room=Room.ALL)
        except DiskFullError as error:
            raise _NoRoom from error
        self._own_bytes += self._log.bytes - before
        self._own_total += self._log.bytes - before
        return result

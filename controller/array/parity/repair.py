"""Makes an array whole again, in steps of bounded work: a device is rebuilt, silent corruption found and repaired.

Each step holds the array's lock for as long as a few stripes take, so commits go on between the steps. Nothing here
can harm: a step writes only chunks that nobody trusts, those of a device that does not yet hold its segment, and those
that do not match their checksum.
"""

from functools import partial
from typing import NamedTuple

from controller.array.errors import DiskError
from controller.array.parity.disk import ParityDisk, create_anew
from controller.array.parity.format import Do, Operation
from controller.array.parity.journal import read_half
from controller.array.parity.state import Condition, Segment


class Progress(NamedTuple):
    """Bytes of chunks dealt with, and in all. What comes to be meanwhile can move the end."""

    done: int
    total: int

    @property
    def finished(self) -> bool:
        """Nothing is left to do."""
        return self.done >= self.total


class Rebuild:
    """Fills every device that is being rebuilt, one behind the other.

    A device takes all new segments at once; the older ones are filled in the order of their incarnations, and the
    journal remembers how far (P7), so a rebuild that was cut off goes on with the segment it was at.
    """

    def __init__(self, disk: ParityDisk) -> None:
        self._disk = disk
        self._segment: Segment | None = None
        self._index = -1
        self._stripe = 0

    def progress(self) -> Progress:
        """Over all devices that are being rebuilt; 0 of 0 when there are none."""
        disk = self._disk
        with disk.lock:
            done = total = 0
            for member in disk.state.members:
                if member.condition == Condition.REBUILDING:
                    for segment in disk.state.segments.values():
                        if segment.incarnation <= member.attached:
                            total += len(segment.rounds)
                            done += len(segment.rounds) if segment.incarnation <= member.mark else 0
            if self._segment is not None:
                done += self._stripe
            return Progress(done * disk.label.chunk_bytes, total * disk.label.chunk_bytes)

    def step(self, limit_bytes: int = 1 << 20) -> bool:
        """Write about `limit_bytes` of chunks to a device; True while there is more to do.

        Raises DiskError where a stripe cannot be had from the others, or the array is fenced. A device that fails is
        out, and its rebuild over.
        """
        disk = self._disk
        with disk.lock:
            if self._lost():
                self._stop()
            if self._segment is None and not self._begin():
                return False
            segment, index = self._segment, self._index
            assert segment is not None
            medium = disk.devices[index].ready
            filling = disk.stripes.filling.get(index) == segment.number
            if filling and self._fill(segment, index, limit_bytes):
                return True
        try:  # what takes long goes on beside commits
            if filling:
                medium.sync(segment.number)
            else:
                create_anew(medium, segment.number, disk.stripes.segment_bytes(segment))
        except DiskError as error:
            with disk.lock:
                self._stop()
                disk.settle({index: error})
            return True
        with disk.lock:
            if self._lost():
                self._stop()
            elif not filling:
                disk.stripes.filling[index] = segment.number
            else:
                disk.commit([Operation(Do.REBUILT, index, segment.incarnation)])
                disk.state.members[index].mark = segment.incarnation
                self._stop()
        return True

    def _fill(self, segment: Segment, index: int, limit_bytes: int) -> bool:
        """Write some units; False when the segment has them all."""
        disk = self._disk
        if self._stripe == len(segment.rounds):
            return False
        stop = min(len(segment.rounds), self._stripe + max(1, limit_bytes // disk.label.chunk_bytes))
        parts = [self._unit(segment, stripe, index) for stripe in range(self._stripe, stop)]
        offset = self._stripe * disk.stripes.unit_bytes
        write = partial(disk.devices[index].ready.write, segment.number, offset, parts)
        failed = disk.devices.call({index: write})
        if failed:
            self._stop()
            disk.settle(failed)
        else:
            self._stripe = stop
        return True

    def _lost(self) -> bool:
        """The segment under way was given back, or its device failed."""
        segment = self._segment
        if segment is None:
            return False
        gone = self._disk.state.segments.get(segment.number) is not segment
        return gone or self._disk.devices[self._index].disk is None

    def _stop(self) -> None:
        self._disk.stripes.filling.pop(self._index, None)
        self._segment = None
        self._stripe = 0

    def _begin(self) -> bool:
        """Choose the next segment; where a device has them all, it is whole."""
        disk = self._disk
        for index, member in enumerate(disk.state.members):
            if member.condition != Condition.REBUILDING:
                continue
            waiting = [
                segment
                for segment in disk.state.segments.values()
                if member.mark < segment.incarnation <= member.attached
            ]
            if waiting:
                self._segment, self._index = min(waiting, key=lambda segment: segment.incarnation), index
                return True
            member.condition = Condition.IN
            disk.checkpoint()
            disk.notices.append(f"{disk.devices[index].name} is rebuilt")
        return False

    def _unit(self, segment: Segment, stripe: int, index: int) -> bytes:
        """The unit of a stripe for a device, from the others; zeros where the stripe is not in place."""
        stripes = self._disk.stripes
        round_ = segment.rounds[stripe]
        if not round_:
            return bytes(stripes.unit_bytes)
        units = stripes.units(segment, stripe, round_)
        if len(units) < stripes.code.data:
            raise DiskError(f"segment {segment.number}, stripe {stripe}: too few chunks are left to rebuild from")
        chunk = stripes.code.column(
            {column: unit.chunk for column, unit in units.items()}, stripes.column_of(stripe, index)
        )
        attempt = next(iter(units.values())).attempt
        return stripes.header(segment, stripe, index, round_, attempt, chunk) + chunk


class Damage(NamedTuple):
    """A chunk that did not match its checksum, or a stripe of which too few chunks are left (`repaired` False)."""

    segment: int
    stripe: int
    devices: tuple[int, ...]
    repaired: bool


class Scrub:
    """Reads every chunk in place once, and the journal; repairs what is wrong from parity."""

    def __init__(self, disk: ParityDisk) -> None:
        self._disk = disk
        with disk.lock:
            self._waiting = list(disk.state.segments.values())
        self._stripe = 0
        self._done = 0
        self._journal_checked = False
        self.checked = 0
        self.damage: list[Damage] = []
        self.journals: list[int] = []  # devices whose journal was not what was written

    def progress(self) -> Progress:
        """Stripes looked at, in bytes of all their chunks."""
        size = self._disk.label.chunk_bytes * self._disk.code.columns
        left = sum(len(segment.rounds) for segment in self._waiting) - self._stripe
        return Progress(self._done * size, (self._done + left) * size)

    def step(self, limit_bytes: int = 1 << 20) -> bool:
        """Check about `limit_bytes` of chunks; True while there is more to do. Raises DiskError when a repair fails."""
        disk = self._disk
        with disk.lock:
            if not self._waiting:
                return self._check_journal()
            segment = self._waiting[0]
            if disk.state.segments.get(segment.number) is not segment:
                self._waiting.pop(0)
                self._stripe = 0
                return True
            size = disk.label.chunk_bytes * disk.code.columns
            stop = min(len(segment.rounds), self._stripe + max(1, limit_bytes // size))
            written = set()
            for stripe in range(self._stripe, stop):
                written |= self._check(segment, stripe)
            self._sync(segment, written)
            self._done += stop - self._stripe
            self._stripe = stop
            if stop == len(segment.rounds):
                self._waiting.pop(0)
                self._stripe = 0
        return True

    def _check_journal(self) -> bool:
        """Compare what each device has of the journal with what it was given; a new epoch replaces a damaged one."""
        disk = self._disk
        if self._journal_checked:
            return False
        self._journal_checked = True
        half, count = disk.journal.epoch % 2, disk.journal.number + 1
        for index in disk.devices.there():
            if len(read_half(disk.devices[index].ready, disk.label._replace(position=index), half)) < count:
                self.journals.append(index)
        if self.journals and disk.writable:
            disk.checkpoint()
        return True

    def _check(self, segment: Segment, stripe: int) -> set[int]:
        """Check one stripe; the devices that were written to."""
        disk, stripes = self._disk, self._disk.stripes
        round_ = segment.rounds[stripe]
        if not round_:
            return set()
        units = stripes.units(segment, stripe, round_)
        self.checked += len(units)
        holders = [index for index in disk.devices.there() if disk.state.members[index].holds(segment.incarnation)]
        bad = [index for index in holders if stripes.column_of(stripe, index) not in units]
        stripes.suspects.discard((segment.number, stripe))
        if not bad:
            return set()
        repaired = len(units) >= disk.code.data
        self.damage.append(Damage(segment.number, stripe, tuple(bad), repaired and disk.writable))
        if not repaired or not disk.writable:
            return set()
        chunks = {column: unit.chunk for column, unit in units.items()}
        attempt = next(iter(units.values())).attempt
        tasks = {}
        for index in bad:
            chunk = stripes.code.column(chunks, stripes.column_of(stripe, index))
            header = stripes.header(segment, stripe, index, round_, attempt, chunk)
            place = stripe * stripes.unit_bytes
            tasks[index] = partial(disk.devices[index].ready.write, segment.number, place, [header, chunk])
        failed = disk.devices.call(tasks)
        disk.settle(failed)
        return set(bad) - set(failed)

    def _sync(self, segment: Segment, written: set[int]) -> None:
        there = written.intersection(self._disk.devices.there())
        tasks = {index: partial(self._disk.devices[index].ready.sync, segment.number) for index in there}
        self._disk.settle(self._disk.devices.call(tasks))

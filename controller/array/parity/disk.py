"""Several devices as one disk. The rules are the numbered ones of format.py.

Everything that changes something holds one lock, so commits, rebuild and scrub never meet half-way; readers take
none. A reader looks for a stripe's buffer first and in place afterwards; who puts a stripe in place makes its round
known before the buffer goes. So a reader that is overtaken finds a checksum that does not fit, and looks again under
the lock.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from threading import RLock

from controller.array.disk import Disk
from controller.array.errors import DiskError, DiskFullError
from controller.array.parity.devices import DeviceSet
from controller.array.parity.erasure import ErasureCode
from controller.array.parity.format import LABEL_SEGMENT, Do, Label, Operation, attempt_of
from controller.array.parity.journal import Journal
from controller.array.parity.placement import Placement, journalled, neighbours, sort_out
from controller.array.parity.state import ArrayState, Condition, Ranges, Segment
from controller.array.parity.stripes import Stripes, Writes


class ParityDisk:
    """A `Disk` over the devices of an array; made by `open_parity`.

    `notices` collects lines for the operator: a device lost, a device rebuilt. Reads may come from any thread.
    """

    def __init__(
        self, devices: DeviceSet, label: Label, code: ErasureCode, state: ArrayState, epoch: int, *, writable: bool
    ) -> None:
        self.writable = writable
        self.devices = devices
        self.label = label
        self.code = code
        self.state = state
        self.stripes = Stripes(devices, code, label.array, label.chunk_bytes, state)
        self.journal = Journal(label, code, epoch)
        self.lock = RLock()
        self.notices: deque[str] = deque(maxlen=1000)
        self._fence: str | None = None
        self._closed = False

    # The port

    def new_identity(self) -> int:
        """A device's."""
        return self.devices[self.devices.there()[0]].ready.new_identity()

    def segments(self) -> dict[int, int]:
        """Length of every segment by number."""
        return {number: self.state.segments[number].length for number in sorted(self.state.segments)}

    def reserve(self, length: int, count: int) -> None:
        """Hold room on every device. A device that fails at it is left to the next commit to be counted out."""
        size = self.stripes.device_length(length)
        tasks = {index: partial(self._reserve, index, size, count) for index in self.devices.there()}
        full = [error for error in self.devices.try_all(tasks).values() if isinstance(error, DiskFullError)]
        if full:
            raise full[0]

    def create(self, number: int, length: int, beginning: bytes) -> None:
        """Make the segment on every device; it exists when the journal says so."""
        with self.lock:
            self._check_writable()
            if number in self.state.segments:
                raise DiskError(f"segment {number} exists already")
            if not 0 <= number < LABEL_SEGMENT or len(beginning) > length:
                raise DiskError(f"segment {number} of {length} bytes cannot be made")
            if not self.journal.fits(3, min(len(beginning), self.state.stripe_bytes)):
                self.checkpoint()
            segment = Segment(number, 0, length, self.state.stripe_bytes)
            self._create_on_devices(segment)
            segment.incarnation = attempt_of(self.journal.epoch, self.journal.number + 1)
            self._fill(segment, 0, beginning)
            placement = sort_out(segment, sorted(segment.buffers), self.journal)
            operations = [Operation(Do.CREATE, number, length)]
            self._put(segment, placement, operations, lambda: self.state.segments.update({number: segment}))

    def read(self, number: int, offset: int, length: int) -> bytes:
        """Bytes as last written, synced or not. DiskError where more chunks are lost than parity covers."""
        segment = self._segment(number)
        end = min(offset + length, segment.length)
        size = segment.stripe_bytes
        parts = []
        while offset < end:
            stripe, start = divmod(offset, size)
            stop = min(size, start + end - offset)
            try:
                parts.append(self._read_stripe(segment, stripe, start, stop))
            except DiskError:
                with self.lock:
                    parts.append(self._read_stripe(self._segment(number), stripe, start, stop))
            offset += stop - start
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, number: int, offset: int, parts: Sequence[bytes]) -> None:
        """Keep the bytes until sync."""
        with self.lock:
            self._check_writable()
            segment = self._segment(number)
            data = b"".join(parts)
            if offset < 0 or offset + len(data) > segment.length:
                raise DiskError(f"write of {len(data)} bytes at {offset} is outside of segment {number}")
            self._fill(segment, offset, data)

    def sync(self, number: int) -> None:
        """Put whole stripes in place, the rest into the journal; durable on every device when it returns."""
        with self.lock:
            self._check_writable()
            segment = self._segment(number)
            while dirty := sorted(stripe for stripe, buffer in segment.buffers.items() if buffer.dirty):
                placement = sort_out(segment, dirty, self.journal)
                if not self.journal.fits(len(placement.whole) + placement.pieces, placement.length):
                    self.checkpoint()  # this changes what is in place: sort out again (P1)
                    continue
                self._put(segment, placement, [])

    def remove(self, number: int) -> None:
        """Forget the segment, then give back its room on every device."""
        with self.lock:
            self._check_writable()
            self._segment(number)
            self._commit([Operation(Do.REMOVE, number)], done=lambda: self.state.segments.__delitem__(number))
            self.settle(
                self.devices.call(
                    {
                        index: partial(self.devices[index].ready.remove, number)
                        for index in self.devices.there()
                        if number in self.devices[index].ready.segments()
                    }
                )
            )

    def close(self) -> None:
        """End the epoch in order, and let the devices go. Unsynced bytes are lost."""
        with self.lock:
            if self._closed:
                return
            self._closed = True
            try:
                if self.writable and self._fence is None:
                    self.checkpoint()
                    self._commit([Operation(Do.CLOSED)])
            except DiskError as error:
                self.notices.append(f"the array was not closed in order: {error}")
            finally:
                self.devices.close()

    # What keeps it alive

    @property
    def degraded(self) -> bool:
        """True while any device is out or not yet rebuilt."""
        return any(member.condition != Condition.IN for member in self.state.members)

    @property
    def fenced(self) -> str | None:
        """Why nothing can be written any more; None while it can."""
        return self._fence

    def commit(self, operations: list[Operation]) -> None:
        """Make a change of the array durable; for rebuild. The caller holds the lock."""
        self._check_writable()
        self._commit(operations)

    def checkpoint(self) -> None:
        """Put everything that the journal holds in place and begin an epoch; who failed is out of it (P5, P7)."""
        while True:
            attempt = attempt_of(self.journal.epoch + 1, 0)
            writes: dict[int, Writes] = {}
            placed = []
            for segment in self.state.segments.values():
                stripes = sorted(stripe for stripe, buffer in segment.buffers.items() if buffer.synced)
                if stripes:
                    self.stripes.place(segment, stripes, attempt, writes)
                    placed.append((segment, stripes))
            tasks = {index: partial(self._write_units, index, units) for index, units in writes.items()}
            self.count_out(self.devices.call(tasks))
            for segment, stripes in placed:
                self._placed(segment, stripes)
            offset, records = self.journal.start_epoch(self.state.encode())
            failed = self.devices.call(
                {index: partial(self._write_record, index, offset, records[index]) for index in self.devices.there()}
            )
            self.count_out(failed)
            if not failed:
                return

    # Inside

    def _segment(self, number: int) -> Segment:
        segment = self.state.segments.get(number)
        if segment is None:
            raise DiskError(f"segment {number} does not exist")
        return segment

    def _check_writable(self) -> None:
        if self._fence is not None:
            raise DiskError(self._fence)
        if not self.writable:
            raise DiskError("the array is open to be read only")

    def _read_stripe(self, segment: Segment, stripe: int, start: int, stop: int) -> bytes:
        buffer = segment.buffers.get(stripe)
        if buffer is not None:
            return bytes(buffer.data[start:stop])
        if not segment.rounds[stripe]:
            return bytes(stop - start)
        return self.stripes.read(segment, stripe, start, stop)

    def _fill(self, segment: Segment, offset: int, data: bytes) -> None:
        """Put bytes into buffers."""
        size = segment.stripe_bytes
        at = 0
        while at < len(data):
            stripe, start = divmod(offset + at, size)
            count = min(size - start, len(data) - at)
            buffer = segment.buffers.get(stripe)
            if buffer is None:
                base = None
                if segment.rounds[stripe] and count == segment.stripe_length(stripe):
                    base = data[at : at + count]
                elif segment.rounds[stripe]:
                    base = self.stripes.read(segment, stripe, 0, segment.stripe_length(stripe))
                buffer = self.state.make_buffer(segment, stripe, base)
            buffer.data[start : start + count] = data[at : at + count]
            buffer.dirty.add(start, start + count)
            at += count

    def _put(
        self,
        segment: Segment,
        placement: Placement,
        operations: list[Operation],
        also: Callable[[], None] | None = None,
    ) -> None:
        """Commit stripes, in place or into the journal. `also` is done with them."""
        number, size = segment.number, segment.stripe_bytes
        whole, rest = placement.whole, placement.rest
        data = []
        ranges = {stripe: journalled(segment, stripe) for stripe in rest}
        for stripe in rest:
            for start, stop in ranges[stripe]:
                operations.append(Operation(Do.DATA, number, stripe * size + start, stop - start))
                data.append(bytes(segment.buffers[stripe].data[start:stop]))
        operations += [Operation(Do.PLACED, number, start, stop) for start, stop in neighbours(whole)]
        writes: dict[int, Writes] = {}
        self.stripes.place(segment, whole, attempt_of(self.journal.epoch, self.journal.number + 1), writes)

        def done() -> None:
            for stripe in rest:
                buffer = segment.buffers[stripe]
                for start, stop in ranges[stripe]:
                    buffer.synced.add(start, stop)
                buffer.dirty, buffer.whole_next = Ranges(), False
            for stripe in whole:
                segment.buffers[stripe].dirty = Ranges()
            self._placed(segment, whole)
            if also is not None:
                also()

        self._commit(operations, b"".join(data), writes, done)

    def _placed(self, segment: Segment, stripes: list[int]) -> None:
        for stripe in stripes:
            segment.placed(stripe)
            buffer = segment.buffers[stripe]
            if buffer.dirty:
                buffer.synced, buffer.whole_next = Ranges(), True
            else:
                del segment.buffers[stripe]

    def _commit(
        self,
        operations: list[Operation],
        data: bytes = b"",
        writes: dict[int, Writes] | None = None,
        done: Callable[[], None] | None = None,
    ) -> None:
        """Write a record, and the units that it names, to every device; then `done`, if enough of them have it."""
        if not self.journal.fits(len(operations), len(data)):
            assert not writes and not data, "room was made before"
            self.checkpoint()
        offset, records = self.journal.append(operations, data)
        failed = self.devices.call(
            {
                index: partial(self._write_both, index, (writes or {}).get(index, []), offset, records[index])
                for index in self.devices.there()
            }
        )
        self._fence_if_lost()
        if done is not None:
            done()
        self.settle(failed)

    def settle(self, failed: dict[int, DiskError]) -> None:
        """After devices failed: they are out before anything is acknowledged (P7)."""
        if failed:
            self.count_out(failed)
            self.checkpoint()

    def count_out(self, failed: dict[int, DiskError]) -> None:
        for index, error in failed.items():
            self.devices.drop(index, str(error))
            self.state.members[index].condition = Condition.OUT
            self.stripes.filling.pop(index, None)
            self.notices.append(f"{self.devices[index].name} is out: {error}")
        self._fence_if_lost()

    def _fence_if_lost(self) -> None:
        """Nothing more is written once more devices are lost than parity covers (P8)."""
        there = len(self.devices.there())
        if there < self.code.data:
            self._fence = (
                f"{there} of {len(self.devices)} devices are left, {self.code.data} are needed: nothing more is written"
            )
            raise DiskError(self._fence)

    def _write_both(self, index: int, writes: Writes, offset: int, record: bytes) -> None:
        self._write_units(index, writes)
        self._write_record(index, offset, record)

    def _reserve(self, index: int, length: int, count: int) -> None:
        self.devices[index].ready.reserve(length, count)

    def _write_units(self, index: int, writes: Writes) -> None:
        disk = self.devices[index].ready
        for number, offset, parts in writes:
            disk.write(number, offset, parts)
        for number in {number for number, _, _ in writes}:
            disk.sync(number)

    def _write_record(self, index: int, offset: int, record: bytes) -> None:
        disk = self.devices[index].ready
        disk.write(self.journal.half, offset, [record])
        disk.sync(self.journal.half)

    def _create_on_devices(self, segment: Segment) -> None:
        """On every device, or on none. No room on one is no failure of the device."""
        length = self.stripes.segment_bytes(segment)
        writers = self.devices.there()
        failed = self.devices.call(
            {index: partial(create_anew, self.devices[index].ready, segment.number, length) for index in writers}
        )
        full = next((error for error in failed.values() if isinstance(error, DiskFullError)), None)
        if full is not None:
            for index in set(writers) - set(failed):
                self.devices[index].ready.remove(segment.number)
            failed = {index: error for index, error in failed.items() if not isinstance(error, DiskFullError)}
        self.settle(failed)
        if full is not None:
            raise full


def create_anew(disk: Disk, number: int, length: int) -> None:
    """Make a device's segment, in place of what a crash may have left there."""
    if number in disk.segments():
        disk.remove(number)
    disk.create(number, length, b"")

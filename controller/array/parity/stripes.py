"""Stripes in place: which device holds what, how a stripe is put there, and how it is read when chunks are missing."""

from collections.abc import Iterable

from controller.array.errors import DiskError
from controller.array.parity.devices import DeviceSet
from controller.array.parity.erasure import ErasureCode
from controller.array.parity.format import UNIT_HEADER_BYTES, digest, split_unit, unit_header, unit_seed
from controller.array.parity.state import ArrayState, Segment

Writes = list[tuple[int, int, list[bytes]]]  # segment number, offset, parts


class Unit:
    """A chunk that proved to be what it should be, and the attempt that put it in place."""

    __slots__ = ("attempt", "chunk")

    def __init__(self, attempt: int, chunk: bytes) -> None:
        self.attempt = attempt
        self.chunk = chunk


class Stripes:
    """Reads and builds the units of an array. `filling`: the segment that a rebuild is writing, by device."""

    def __init__(self, devices: DeviceSet, code: ErasureCode, array: int, chunk_bytes: int, state: ArrayState) -> None:
        self.devices = devices
        self.code = code
        self.state = state
        self.filling: dict[int, int] = {}
        self.suspects: set[tuple[int, int]] = set()  # stripes with chunks that had to be decoded
        self._array = array
        self._chunk_bytes = chunk_bytes
        self.unit_bytes = UNIT_HEADER_BYTES + chunk_bytes

    def segment_bytes(self, segment: Segment) -> int:
        """Length of the segment on each device."""
        return self.device_length(segment.length)

    def device_length(self, length: int) -> int:
        """Length on each device of a segment of `length` bytes."""
        return -(-length // self.state.stripe_bytes) * self.unit_bytes

    def device_of(self, stripe: int, column: int) -> int:
        """The device that holds a column of a stripe."""
        return (column + stripe) % self.code.columns

    def column_of(self, stripe: int, device: int) -> int:
        """The column of a stripe that a device holds."""
        return (device - stripe) % self.code.columns

    def writers(self, segment: Segment) -> list[int]:
        """The devices that take units of the segment."""
        return [
            index
            for index in self.devices.there()
            if self.state.members[index].holds(segment.incarnation) or self.filling.get(index) == segment.number
        ]

    def place(self, segment: Segment, stripes: Iterable[int], attempt: int, writes: dict[int, Writes]) -> None:
        """Add to `writes`, by device, what puts these stripes in place in their next round, ascending."""
        writers = set(self.writers(segment))
        size = self._chunk_bytes
        for stripe in stripes:
            data = bytes(segment.buffers[stripe].data).ljust(segment.stripe_bytes, b"\0")
            chunks = [data[start : start + size] for start in range(0, len(data), size)]
            chunks += self.code.encode(chunks)
            round_ = segment.next_round(stripe)
            offset = stripe * self.unit_bytes
            for column, chunk in enumerate(chunks):
                index = self.device_of(stripe, column)
                if index not in writers:
                    continue
                parts = [self.header(segment, stripe, index, round_, attempt, chunk), chunk]
                runs = writes.setdefault(index, [])
                if runs and runs[-1][0] == segment.number and runs[-1][1] + self._length(runs[-1][2]) == offset:
                    runs[-1][2].extend(parts)
                else:
                    runs.append((segment.number, offset, parts))

    def _length(self, parts: list[bytes]) -> int:
        return len(parts) // 2 * self.unit_bytes

    def header(self, segment: Segment, stripe: int, index: int, round_: int, attempt: int, chunk: bytes) -> bytes:
        """The header of a unit."""
        return unit_header(attempt, unit_seed(self._array, segment.incarnation, stripe, index, round_, attempt), chunk)

    def unit(self, segment: Segment, stripe: int, index: int, round_: int) -> Unit | None:
        """The unit of a stripe on a device; None where there is none to be trusted (P3)."""
        disk = self.devices[index].disk
        if disk is None or not self.state.members[index].holds(segment.incarnation):
            return None
        try:
            data = disk.read(segment.number, stripe * self.unit_bytes, self.unit_bytes)
        except DiskError:
            return None
        if len(data) < self.unit_bytes:
            return None
        attempt, check = split_unit(data)
        chunk = data[UNIT_HEADER_BYTES:]
        seed = unit_seed(self._array, segment.incarnation, stripe, index, round_, attempt)
        return Unit(attempt, chunk) if digest(chunk, seed) == check else None

    def units(self, segment: Segment, stripe: int, round_: int) -> dict[int, Unit]:
        """The units of a stripe that belong together, by column: those of the newest attempt that can be decoded, or,
        where none can, of the one that most are left of (fewer than N - p)."""
        found = {}
        for column in range(self.code.columns):
            unit = self.unit(segment, stripe, self.device_of(stripe, column), round_)
            if unit is not None:
                found[column] = unit
        attempts = [unit.attempt for unit in found.values()]
        best = max(attempts, key=lambda one: (min(attempts.count(one), self.code.data), one), default=None)
        return {column: unit for column, unit in found.items() if unit.attempt == best}

    def read(self, segment: Segment, stripe: int, start: int, stop: int) -> bytes:
        """Bytes of a stripe that is in place. DiskError when too few of its chunks can be had."""
        round_ = segment.rounds[stripe]
        size = self._chunk_bytes
        first, last = start // size, (stop - 1) // size
        chunks = []
        for column in range(first, last + 1):
            unit = self.unit(segment, stripe, self.device_of(stripe, column), round_)
            if unit is None:
                return self.decoded(segment, stripe, round_)[start:stop]
            chunks.append(unit.chunk)
        data = chunks[0] if first == last else b"".join(chunks)
        return data[start - first * size : stop - first * size]

    def decoded(self, segment: Segment, stripe: int, round_: int) -> bytes:
        """All data of a stripe, from whatever chunks there are."""
        units = self.units(segment, stripe, round_)
        if len(units) < self.code.data:
            raise DiskError(
                f"segment {segment.number}, stripe {stripe}: {len(units)} of its {self.code.columns} chunks can be had,"
                f" {self.code.data} are needed"
            )
        for column in range(self.code.columns):
            if column not in units:
                device = self.devices[self.device_of(stripe, column)]
                device.reconstructed += 1
                if device.disk is not None and len(self.suspects) < 1 << 16:
                    self.suspects.add((segment.number, stripe))
        return b"".join(self.code.decode({column: unit.chunk for column, unit in units.items()}))

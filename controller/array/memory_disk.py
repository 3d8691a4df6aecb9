"""A disk in memory, for simulations and tests: loses at a crash exactly what a real one may lose."""

from collections.abc import Sequence
from random import Random

from controller.array.errors import DiskError, DiskFullError

SECTOR_BYTES = 512
"""A real disk writes this much at once or not at all; a torn write is torn here."""
_REMOVED_KEPT = 4
_MEMORY_IDENTITY = 0x4D454D4F52594449


class MemoryDisk:
    """Segments in memory. Deterministic: chance enters only through the `Random` given to `crash`.

    `capacity_bytes` bounds the segments and what is reserved together (DiskFullError). A segment that is made has the
    bytes of one that was removed behind its beginning, as on a disk that recycles its files. Memory is used for
    written bytes only. The contents outlive close(), so the same object can be opened again, as after the end of a
    process; crash() is the loss of power.
    """

    writable = True

    def __init__(self, *, capacity_bytes: int | None = None) -> None:
        self.capacity_bytes = capacity_bytes
        self._length: dict[int, int] = {}
        self._visible: dict[int, bytearray] = {}
        self._durable: dict[int, bytearray] = {}
        self._unsynced: dict[int, list[tuple[int, bytes]]] = {}
        self._removed: list[bytearray] = []

    def new_identity(self) -> int:
        """Always the same: a simulation must not depend on chance."""
        return _MEMORY_IDENTITY

    def segments(self) -> dict[int, int]:
        """Length of every segment by number."""
        return dict(self._length)

    def reserve(self, length: int, count: int) -> None:
        """Only see whether there is room: memory is taken when it is written."""
        if self.capacity_bytes is not None and sum(self._length.values()) + count * length > self.capacity_bytes:
            raise DiskFullError(f"no room for {count} more segments of {length} bytes")

    def create(self, number: int, length: int, beginning: bytes) -> None:
        """Make a segment, durable at once."""
        if number in self._length:
            raise DiskError(f"segment {number} exists already")
        if self.capacity_bytes is not None and sum(self._length.values()) + length > self.capacity_bytes:
            raise DiskFullError(f"no room for segment {number} of {length} bytes")
        stale = self._removed.pop() if self._removed else bytearray()
        self._durable[number] = stale[:length]
        _overwrite(self._durable[number], 0, beginning)
        self._visible[number] = bytearray(self._durable[number])
        self._unsynced[number] = []
        self._length[number] = length

    def read(self, number: int, offset: int, length: int) -> bytes:
        """Bytes as last written, synced or not."""
        if number not in self._length:
            raise DiskError(f"segment {number} does not exist")
        length = max(0, min(length, self._length[number] - offset))
        return bytes(self._visible[number][offset : offset + length]).ljust(length, b"\0")

    def write(self, number: int, offset: int, parts: Sequence[bytes]) -> None:
        """Write; lost, kept or torn by crash() until synced."""
        data = b"".join(parts)
        if number not in self._length or offset + len(data) > self._length[number]:
            raise DiskError(f"write of {len(data)} bytes at {offset} is outside of segment {number}")
        _overwrite(self._visible[number], offset, data)
        self._unsynced[number].append((offset, data))

    def sync(self, number: int) -> None:
        """Make the writes of a segment durable."""
        if number not in self._length:
            raise DiskError(f"segment {number} does not exist")
        for offset, data in self._unsynced[number]:
            _overwrite(self._durable[number], offset, data)
        self._unsynced[number].clear()

    def remove(self, number: int) -> None:
        """Forget a segment; its bytes come back in a later one."""
        if number in self._visible and len(self._removed) < _REMOVED_KEPT:
            self._removed.append(self._visible[number])
        for table in (self._length, self._visible, self._durable, self._unsynced):
            table.pop(number, None)

    def close(self) -> None:
        """Nothing to let go of."""

    def crash(self, random: Random) -> None:
        """Lose power: every unsynced write is kept, dropped, or torn into sectors that are old, new or garbage."""
        for number in sorted(self._length):
            durable = self._durable[number]
            for offset, data in self._unsynced[number]:
                fate = random.choice(("keep", "drop", "tear", "tear"))
                if fate == "keep":
                    _overwrite(durable, offset, data)
                elif fate == "tear":
                    _tear(durable, offset, data, random)
            self._unsynced[number].clear()
            self._visible[number] = bytearray(durable)

    def damage(self, number: int, offset: int, data: bytes) -> None:
        """Overwrite durable bytes behind the store's back, as failing hardware would."""
        _overwrite(self._durable[number], offset, data)
        _overwrite(self._visible[number], offset, data)

    def truncate(self, number: int, length: int) -> None:
        """Cut a segment short behind the store's back."""
        self._length[number] = length
        del self._durable[number][length:], self._visible[number][length:]


def _overwrite(target: bytearray, offset: int, data: bytes) -> None:
    if len(target) < offset:
        target.extend(bytes(offset - len(target)))
    target[offset : offset + len(data)] = data


def _tear(target: bytearray, offset: int, data: bytes, random: Random) -> None:
    """Write some sectors of `data`: a sector boundary is one of the medium, not of the write."""
    start = 0
    while start < len(data):
        stop = min(len(data), start + SECTOR_BYTES - (offset + start) % SECTOR_BYTES)
        fate = random.random()
        if fate < 0.45:
            _overwrite(target, offset + start, data[start:stop])
        elif fate < 0.55:
            _overwrite(target, offset + start, random.randbytes(stop - start))
        start = stop

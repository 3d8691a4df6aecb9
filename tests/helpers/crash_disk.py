"""A disk that fails on purpose: wraps any Disk, counts what changes the medium, and lets one operation go wrong.

What a store must survive: power lost before, during or after any operation (what was not synced is then kept, dropped
or torn by `MemoryDisk.crash`); an error from any write or sync; a medium without room. `operations` records what was
done, in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from controller.array import Disk, DiskError, DiskFullError


class PowerLoss(Exception):
    """The machine is gone. Nobody is left to be told; tests catch it and open the disk again."""


@dataclass(frozen=True, slots=True)
class DiskFaults:
    """Which operation fails: creates, writes, syncs, removals count from 0 on; syncs also alone. None: never."""

    power_loss_at: int | None = None
    power_loss_after: bool = False
    write_error_at: int | None = None
    sync_error_at: int | None = None
    full: bool = False


class CrashDisk:
    """`disk` with faults. `arm` sets them and begins to count."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.faults = DiskFaults()
        self.operations: list[tuple[str, int]] = []
        self._count = 0
        self._syncs = 0

    def arm(self, faults: DiskFaults) -> None:
        self.faults = faults
        self._count = self._syncs = 0

    @property
    def writable(self) -> bool:
        return self.disk.writable

    def new_identity(self) -> int:
        return self.disk.new_identity()

    def segments(self) -> dict[int, int]:
        return self.disk.segments()

    def reserve(self, length: int, count: int) -> None:
        if self.faults.full:
            raise DiskFullError(f"no room for {count} more segments")
        self.disk.reserve(length, count)

    def create(self, number: int, length: int, beginning: bytes) -> None:
        self._before("create", number)
        self.disk.create(number, length, beginning)
        self._after()

    def read(self, number: int, offset: int, length: int) -> bytes:
        return self.disk.read(number, offset, length)

    def write(self, number: int, offset: int, parts: Sequence[bytes]) -> None:
        if self._count == self.faults.write_error_at:
            raise DiskError(f"write of segment {number} failed on purpose")
        self._before("write", number)
        self.disk.write(number, offset, parts)
        self._after()

    def sync(self, number: int) -> None:
        self._syncs += 1
        if self._syncs - 1 == self.faults.sync_error_at:
            raise DiskError(f"sync of segment {number} failed on purpose")
        self._before("sync", number)
        self.disk.sync(number)
        self._after()

    def remove(self, number: int) -> None:
        self._before("remove", number)
        self.disk.remove(number)
        self._after()

    def close(self) -> None:
        self.disk.close()

    def _before(self, operation: str, number: int) -> None:
        self._count += 1
        if self._count - 1 == self.faults.power_loss_at and not self.faults.power_loss_after:
            raise PowerLoss
        self.operations.append((operation, number))

    def _after(self) -> None:
        if self._count - 1 == self.faults.power_loss_at:
            raise PowerLoss

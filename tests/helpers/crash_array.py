"""Devices of a parity array that fail on purpose, together: one count of operations over all of them.

Power may be lost at any operation of any device; afterwards each device has lost what it may lose, by itself
(`MemoryDisk.crash`), and any of them may be gone for good.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random

from controller.array import DiskError, MemoryDisk
from tests.helpers.crash_disk import PowerLoss


class Power:
    """Counts what changes any device; off at operation `lost_at`, before or after it."""

    def __init__(self) -> None:
        self.count = 0
        self.lost_at: int | None = None
        self.after = False
        self.off = False
        self.probe: Callable[[], None] | None = None  # looks at the devices before each operation

    def arm(self, lost_at: int | None, *, after: bool = False) -> None:
        self.count, self.lost_at, self.after, self.off = 0, lost_at, after, False

    def step(self) -> bool:
        """One operation begins; whether power is lost after it."""
        if self.off:
            raise PowerLoss
        if self.probe is not None:
            try:
                self.probe()
            except DiskError as error:  # the array that runs would take it for a failure of its device
                raise AssertionError(f"the array that was opened on a copy failed: {error}") from error
        self.count += 1
        if self.count - 1 == self.lost_at:
            self.off = True
            if not self.after:
                raise PowerLoss
        return self.off


class CrashDevice:
    """A device in memory under a common power supply. `dead`: it answers nothing but errors."""

    writable = True

    def __init__(self, power: Power, number: int) -> None:
        self.medium = MemoryDisk()
        self.power = power
        self.number = number
        self.dead = False
        self.partial = False  # being rebuilt: it counts as lost for what may be lost besides
        self.fail_at: int | None = None  # the operation of this device at which it dies
        self.operations = 0

    def _change(self) -> bool:
        if self.operations == self.fail_at:
            self.dead = True
        self.operations += 1
        self._alive()
        return self.power.step()

    def _alive(self) -> None:
        if self.dead:
            raise DiskError(f"device {self.number + 1} is dead")

    def new_identity(self) -> int:
        return self.medium.new_identity() + self.number

    def segments(self) -> dict[int, int]:
        self._alive()
        return self.medium.segments()

    def reserve(self, length: int, count: int) -> None:
        self._alive()
        self.medium.reserve(length, count)

    def create(self, number: int, length: int, beginning: bytes) -> None:
        lost = self._change()
        self.medium.create(number, length, beginning)
        if lost:
            raise PowerLoss

    def read(self, number: int, offset: int, length: int) -> bytes:
        self._alive()
        return self.medium.read(number, offset, length)

    def write(self, number: int, offset: int, parts: Sequence[bytes]) -> None:
        lost = self._change()
        self.medium.write(number, offset, parts)
        if lost:
            raise PowerLoss

    def sync(self, number: int) -> None:
        lost = self._change()
        self.medium.sync(number)
        if lost:
            raise PowerLoss

    def remove(self, number: int) -> None:
        lost = self._change()
        self.medium.remove(number)
        if lost:
            raise PowerLoss

    def close(self) -> None:
        pass


class CrashArray:
    """The devices of one array."""

    def __init__(self, devices: int) -> None:
        self.power = Power()
        self.devices = [CrashDevice(self.power, number) for number in range(devices)]

    def crash(self, random: Random) -> None:
        """Power was lost: each device keeps, drops or tears what it had not synced."""
        for device in self.devices:
            device.medium.crash(random)

    def copy(self) -> "CrashArray":
        """The devices as they are now, under a power supply of their own."""
        other = CrashArray(len(self.devices))
        for mine, theirs in zip(self.devices, other.devices, strict=True):
            theirs.medium = deepcopy(mine.medium)
            theirs.dead, theirs.partial = mine.dead, mine.partial
        return other

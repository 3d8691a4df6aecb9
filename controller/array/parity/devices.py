"""The devices under an array: who is there, who failed, and calls to several of them at once."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from controller.array.disk import Disk
from controller.array.errors import DiskError, DiskFullError

Task = Callable[[], None]
Each = Callable[[Sequence[Task]], list[DiskError | None]]


def run_in_order(tasks: Sequence[Task]) -> list[DiskError | None]:
    """One behind the other, in this thread: for devices in memory, and runs that must repeat."""
    results: list[DiskError | None] = []
    for task in tasks:
        try:
            task()
            results.append(None)
        except DiskError as error:
            results.append(error)
    return results


class RunAtOnce:
    """All at once, a thread for each device: fdatasync is where the time goes, and it waits outside of Python.

    Two threads, so that room can be made for the next segment beside a commit.
    """

    def __init__(self, devices: int) -> None:
        self._pool = ThreadPoolExecutor(2 * devices, thread_name_prefix="parity")

    def __call__(self, tasks: Sequence[Task]) -> list[DiskError | None]:
        futures = [self._pool.submit(task) for task in tasks]
        errors = [future.exception() for future in futures]
        for error in errors:
            if error is not None and not isinstance(error, DiskError):
                raise error
        return [error if isinstance(error, DiskError) else None for error in errors]

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


class Device:
    """One device: its disk, None while it is out; `why` it is out, `name` for people."""

    __slots__ = ("disk", "name", "reconstructed", "why")

    def __init__(self, name: str, disk: Disk | None, why: str = "") -> None:
        self.name = name
        self.disk = disk
        self.why = why
        self.reconstructed = 0  # chunks that had to be decoded instead of being read here

    @property
    def ready(self) -> Disk:
        """The disk of a device that is not out."""
        if self.disk is None:
            raise DiskError(f"{self.name} is out: {self.why}")
        return self.disk


class DeviceSet:
    """All devices of an array, by index."""

    def __init__(self, devices: list[Device], each: Each) -> None:
        self.devices = devices
        self._each = each

    def __getitem__(self, index: int) -> Device:
        return self.devices[index]

    def __len__(self) -> int:
        return len(self.devices)

    def there(self) -> list[int]:
        """Indexes of the devices that are not out."""
        return [index for index, device in enumerate(self.devices) if device.disk is not None]

    def call(self, tasks: Mapping[int, Task]) -> dict[int, DiskError]:
        """Run a task for each device; a device whose task fails is let go. What failed, by index.

        A device without room has not failed: DiskFullError is in the answer, but the device stays.
        """
        failed = self.try_all(tasks)
        for index, error in failed.items():
            if not isinstance(error, DiskFullError):
                self.drop(index, str(error))
        return failed

    def try_all(self, tasks: Mapping[int, Task]) -> dict[int, DiskError]:
        """Run a task for each device; what failed, by index."""
        errors = self._each(list(tasks.values()))
        return {index: error for index, error in zip(tasks, errors, strict=True) if error is not None}

    def drop(self, index: int, why: str) -> None:
        """Let a device go: nothing is read from it or written to it any more."""
        device = self.devices[index]
        disk, device.disk, device.why = device.disk, None, why
        if disk is not None:
            with suppress(DiskError):  # it failed already
                disk.close()

    def close(self) -> None:
        """Let all devices go."""
        for device in self.devices:
            if device.disk is not None:
                device.disk.close()
        close = getattr(self._each, "close", None)
        if close is not None:
            close()

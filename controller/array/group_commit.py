"""Group commit: how the changes of a store become durable together.

It has three phases; only the middle one may run in another thread, and only one batch is on its way at a time:

    batch = store.take_batch()         main thread
    store.commit(batch)                worker thread; DiskError
    store.committed(batch)             main thread; or failed(batch), when commit raised
"""

from controller.array.disk import Disk
from controller.array.errors import FencedError, StoreError
from controller.array.log import Batch, LogWriter
from controller.array.track_reader import TrackReader


class GroupCommit:
    """The part of a store that commits its log. `recovered`: the last sequence that was found at opening."""

    def __init__(self, disk: Disk, log: LogWriter, tracks: TrackReader, recovered: int) -> None:
        self._disk = disk
        self._log = log
        self._tracks = tracks
        self._recovered = recovered
        self._closed = False

    @property
    def recovered(self) -> int:
        """Sequence of the last change that open() found. Later ones of earlier runs were never acknowledged."""
        return self._recovered

    @property
    def appended(self) -> int:
        """Sequence of the last change made."""
        return self._log.appended

    @property
    def durable(self) -> int:
        """Every change up to this sequence survives any crash."""
        return self._log.durable

    @property
    def disk(self) -> Disk:
        """What the log lies on; for those who look after it, not to write to it."""
        return self._disk

    @property
    def fenced(self) -> bool:
        """True after a failed commit."""
        return self._log.fenced

    @property
    def quiet(self) -> bool:
        """Whether `sync` could be called now: open to be written, not fenced, no batch on its way."""
        return self._disk.writable and not self._closed and not self.fenced and self._log.under_way is None

    def take_batch(self) -> Batch | None:
        """All changes since the last call, to be committed; None if there are none. Raises FencedError."""
        return self._log.take_batch()

    def commit(self, batch: Batch) -> None:
        """Write and sync a batch. The one method for a worker thread. Raises DiskError; then call failed()."""
        self._log.commit(batch)

    def committed(self, batch: Batch) -> int:
        """Acknowledge a batch whose commit returned. The durable sequence."""
        durable = self._log.committed(batch)
        for location in batch.locations:
            del self._tracks.unwritten[location]
        return durable

    def failed(self, batch: Batch) -> None:
        """Fence the array after a commit that raised."""
        self._log.failed(batch)

    def sync(self) -> int:
        """Make every change durable; the durable sequence. Raises DiskError, and fences the array then."""
        batch = self.take_batch()
        if batch is None:
            return self.durable
        try:
            self.commit(batch)
        except BaseException:
            self.failed(batch)
            raise
        return self.committed(batch)

    def _appendable(self) -> LogWriter:
        if self._log.fenced:
            raise FencedError
        if not self._disk.writable or self._closed:
            raise StoreError("the store is closed" if self._closed else "the store is open to be read only")
        return self._log

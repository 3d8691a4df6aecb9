"""What keeps a store in health beside its verbs: checkpoints, free space, room in time, scrub, and how full it is.

The cycle itself, and its pace, stand in housekeeping.py.
"""

from collections import Counter

from controller.array.disk import Disk
from controller.array.group_commit import GroupCommit
from controller.array.housekeeping import Housekeeper
from controller.array.log import LogWriter
from controller.array.record_reader import RecordReader
from controller.array.recovery import Found
from controller.array.scrub import Scrub
from controller.array.track_reader import TrackReader

_STEP_BYTES = 1 << 20


class Upkeep(GroupCommit):
    """The part of a store that looks after its log. `notices`: what the operator should know."""

    def __init__(self, disk: Disk, log: LogWriter, found: Found, recovered: int, checkpoint_bytes: int) -> None:
        self._reader = RecordReader(disk, found.tail.identity)
        super().__init__(disk, log, TrackReader(self._reader), recovered)
        self._directory = found.directory
        self.notices = found.notices
        self._housekeeper = Housekeeper(
            found.directory, log, self._reader, found.begin, checkpoint_bytes, self.notices.append
        )

    def housekeep(self, limit: int) -> int:
        """Go on with checkpoints and free-space collection for about `limit` bytes of work.

        How much was done: 0 when there is nothing to do, or nothing before the next commit. Reads and writes go on
        between two calls. Raises nothing but our own bugs; what the operator should know is added to `notices`.
        """
        if self._closed or not self._disk.writable:
            return 0
        return self._housekeeper.step(limit)

    def housekeeping_budget(self, written: int) -> int:
        """How much work to give `housekeep` after `written` bytes were committed, so that room never runs out."""
        return self._housekeeper.budget(written)

    @property
    def short_of_room(self) -> bool:
        """Whether writes will be refused soon unless free space is collected: background work comes first then."""
        return self._housekeeper.short_of_room

    def tidy(self) -> None:
        """Make a checkpoint, and collect all free space that is worth it; commits as it goes. For tools, not beside a
        worker thread. Raises DiskError, FencedError.
        """
        self._appendable()
        self._housekeeper.want(checkpoint=True)
        while not self._housekeeper.resting:
            if not self.housekeep(_STEP_BYTES):
                self.sync()
        self.sync()

    def prepare(self) -> None:
        """Make room for the next segment ahead of time, for a worker thread. Raises DiskError."""
        self._log.prepare(1)

    def scrub(self) -> Scrub:
        """Begin to verify every record in use: call `step` of what is returned until it is done."""
        return Scrub(self._directory.freeze(), self._log, self._reader, self._tracks.unwritten)

    @property
    def capacity_bytes(self) -> int | None:
        """What the log may take of the medium; None: all of it."""
        return self._log.capacity_bytes

    @property
    def net_capacity_load(self) -> float | None:
        """Percent of the capacity that holds data in use, at most; None where there is no capacity limit."""
        if self._log.capacity_bytes is None:
            return None
        return 100 * self._housekeeper.live_bytes() / self._log.capacity_bytes

    def figures(self) -> dict[str, int]:
        """What the array holds and has done in the background since it was opened; bytes, segments, counts."""
        keeper = self._housekeeper
        return {
            "segments": len(self._log.segments),
            "log_bytes": sum(self._log.segments.values()),
            "live_bytes": keeper.live_bytes(),
            "checkpoints": keeper.checkpoints_made,
            "segments_freed": keeper.segments_freed,
            "bytes_relocated": keeper.bytes_relocated,
        }

    def reference_counts(self) -> dict[int, int]:
        """How many tracks point at each record in use, by its location. Looks at every track: for tests and checks."""
        counts: Counter[int] = Counter()
        for location, count in self._directory.reference_counts().items():
            counts[self._housekeeper.current(location)] += count
        return dict(counts)

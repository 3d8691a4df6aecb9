"""Conventional remote copy, without bridges: what the patent compares itself with.

Every pending pair copies by itself, at once. For each chain it obtains a path, writes up to `pace` tracks, waits for
the ending status of every command, and gives the path back. A host write of a pair in step is a chain of its own; its
device end waits for it. A host write of a track that is in a chain waits until the chain is over, as on a locked track.

A pair has one chain under way, updates before copies, so that its update sequence arrives in order.
    copying     tracks marked dirty go out in CCHH order; what hosts write is marked again
    draining    little is left: from now on host writes are updates; then the secondary is told that it is duplex
    duplex      updates only
A chain whose secondary is busy, with an order or a query, is sent again a little later.
A chain that fails on its link is tried again on another path with the same sequence, until none works: then a duplex
pair is suspended; a pending one waits for paths. What the secondary refuses suspends the pair.
Source: pprc-commands 7.3; 5.1 (failures).
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from ccw.errors import FormatError
from controller.channel import ChainResult
from controller.remote_copy.bridge_record import following
from controller.remote_copy.busy import BUSY_EVERY_S, BUSY_TRIES, device_busy
from controller.remote_copy.core import Core
from controller.remote_copy.host_writes import (
    FB_COMMUNICATION,
    FB_MEDIA,
    FB_PRIMARY,
    FB_SECONDARY_SUBSYSTEM,
    HostWrites,
)
from controller.remote_copy.pair import Pair
from controller.remote_copy.path_pool import PathPool
from controller.remote_copy.paths import PathEntry
from controller.remote_copy.ports import ArrayFault
from controller.remote_copy.refusal import Refusal
from controller.remote_copy.states import PairEvent, PairState, PathStatus, Reason
from controller.remote_copy.sync_worker import DRAIN_BELOW_TRACKS, WorkerOwner
from controller.remote_copy.update_chain import TrackContent, update_chain

TRIES_MAX = 8  # of one chain, over all paths
REFUSED: dict[int, tuple[PairEvent, int]] = {  # sense byte 8: what it does to the pair, FB reason
    Reason.NOT_THE_SECONDARY: (PairEvent.SECONDARY_SIMPLEX, FB_SECONDARY_SUBSYSTEM),
    Reason.DESTINATION_SUSPENDED: (PairEvent.SUSPEND_AT_SECONDARY, FB_SECONDARY_SUBSYSTEM),
}
DATA_CHECK, EQUIPMENT_CHECK, INTERVENTION_REQUIRED = 0x08, 0x10, 0x40  # sense byte 0
Done = Callable[[Refusal | None], None]


@dataclass(slots=True, eq=False)
class _Job:
    """The content of one chain. `done`: the host that waits for it; None: a part of the copy."""

    tracks: list[TrackContent]
    sequences: list[int] = field(default_factory=list)  # of the host's writes in this box's array
    done: Done | None = None
    number: int = 0  # update sequence, once it has one
    tries: int = 0
    busy: int = 0  # times that the secondary was


@dataclass(slots=True, eq=False)
class _Task:
    """What a pair has to send. It ends when its pair's generation does."""

    pair: Pair
    generation: int
    updates: deque[_Job] = field(default_factory=deque)
    job: _Job | None = None  # under way, or waiting for a path
    locked: list[Callable[[], None]] = field(default_factory=list)  # hosts that wait for the chain's end
    prepared: bool = False
    finishing: bool = False
    stopped: bool = False  # no path works: goes on when one does


class ConventionalCopy:
    """All pairs of one box."""

    def __init__(self, core: Core, writes: HostWrites, owner: WorkerOwner) -> None:
        self._core = core
        self._writes = writes
        self._owner = owner
        self._paths = PathPool(core.paths)
        self._tasks: dict[int, _Task] = {}  # by pair id
        self._tracks_copied = 0
        self._tracks_updated = 0
        self._bytes_raw = 0  # of confirmed tracks

    @property
    def counts(self) -> tuple[int, int, int]:
        """See `PairCopier`."""
        return self._tracks_copied, self._tracks_updated, self._bytes_raw

    # What may be done

    def work(self) -> None:
        """Take every waiting pair out of the queue, and let those go on that had no path."""
        for pair in self._core.queue.pairs():
            self._core.queue.remove(pair)
            self._begin(pair)
        for task in list(self._tasks.values()):
            if task.stopped:
                task.stopped = False
                self._step(task)

    def _begin(self, pair: Pair) -> None:
        task = _Task(pair, pair.generation)
        self._tasks[pair.pair_id] = task
        self._prepare(task)

    def _prepare(self, task: _Task) -> None:
        """The secondary hears that it is pending, where it may not know, and counts chains from one again."""
        paths = self._core.paths.get(task.pair.secondary.box)
        if paths is None or not paths.good():
            task.stopped = True  # after a restart: paths are to be established first
            return
        task.pair.update_sequence = 0

        def prepared(good: bool) -> None:
            if good and not self._over(task):
                task.prepared = True
                self._step(task)

        self._owner.prepare_copy(task.pair, prepared)

    def drop(self, pair: Pair) -> None:
        """The pair is about to be suspended or deleted: nothing new is sent. Those who wait hear of it when it is."""
        task = self._tasks.pop(pair.pair_id, None)
        if task is None:
            return
        locked, task.locked = task.locked, []
        for go_on in locked:
            go_on()
        waiting, task.updates = task.updates, deque()
        if waiting:
            clock, timers = self._core.around.clock, self._core.around.timers
            timers.call_at(clock.now(), lambda: self._unsent(pair, waiting))

    def _unsent(self, pair: Pair, jobs: Sequence[_Job]) -> None:
        for job in jobs:
            if job.done is not None:
                job.done(self._writes.failure(pair, None))

    def _over(self, task: _Task) -> bool:
        return task.pair.generation != task.generation or self._tasks.get(task.pair.pair_id) is not task

    # Hosts

    def marked(self, pair: Pair, tracks: Sequence[int], done: Done) -> None:
        """A host wrote tracks that are marked now: `done` is called when none of them is in a chain."""
        task = self._tasks.get(pair.pair_id)
        if task is None or not any(track < pair.tracks and pair.in_flight[track] for track in tracks):
            done(None)
        else:
            task.locked.append(lambda: done(None))
        if task is not None and pair.state is PairState.DUPLEX_PENDING:
            self._step(task)  # an extended-distance pair has come to rest

    def update(self, pair: Pair, writes: Sequence[tuple[int, int]], done: Done) -> None:
        """A host wrote tracks of a pair in step, given as (track, array sequence): one chain. `done` is called once."""
        task = self._tasks.get(pair.pair_id)
        if task is None:
            task = self._tasks[pair.pair_id] = _Task(pair, pair.generation, prepared=True)
        contents = {track: self._core.around.array.read_stored(pair.volume, track) for track, _ in writes}
        job = _Job([TrackContent(*content) for content in sorted(contents.items())], [s for _, s in writes], done)
        pair.unconfirmed.update((sequence, track) for track, sequence in writes)
        for track in contents:
            pair.dirty[track] = 0  # what is sent now is newer
        task.updates.append(job)
        self._step(task)

    # Chains

    def _step(self, task: _Task) -> None:
        """Begin the next chain, if none is under way."""
        if task.job is not None or task.stopped or self._over(task):
            return
        if not task.prepared:
            self._prepare(task)
            return
        job = task.updates.popleft() if task.updates else self._next_copy(task)
        if job is None:
            self._finish(task)
            return
        task.job = job
        self._obtain(task, job)

    def _next_copy(self, task: _Task) -> _Job | None:
        pair = task.pair
        if pair.state is not PairState.DUPLEX_PENDING:
            return None
        if not pair.extended and pair.dirty.count() <= DRAIN_BELOW_TRACKS:
            pair.draining = True
        tracks = list(islice(pair.dirty.search(1), pair.pace))
        if not tracks:
            return None
        try:
            contents = [TrackContent(t, self._core.around.array.read_stored(pair.volume, t)) for t in tracks]
        except ArrayFault as fault:
            self._owner.unreadable(pair, str(fault))
            return None
        for track in tracks:
            pair.dirty[track] = 0
            pair.in_flight[track] = 1
        return _Job(contents)

    def _obtain(self, task: _Task, job: _Job) -> None:
        self._paths.obtain(task.pair.secondary.box, lambda entry: self._send(task, job, entry))

    def _send(self, task: _Task, job: _Job, entry: PathEntry | None) -> None:
        """A path is granted, or there is none."""
        if entry is None or self._over(task):
            if entry is not None:
                self._paths.release(entry)
            self._no_path(task, job)
            return
        pair = task.pair
        job.number = job.number or following(pair.update_sequence)
        port = self._core.around.links.get(entry.said)
        link = port.link if port is not None else None
        try:
            commands = update_chain(pair, job.number, self._core.around.clock.tod(), job.tracks)
        except FormatError as error:
            self._paths.release(entry)
            self._stop(task, job, PairEvent.PRIMARY_ERROR, FB_PRIMARY, str(error))
            return

        def ended(result: ChainResult) -> None:
            self._ended(task, job, entry, result, len(commands))

        if link is None:
            ended(ChainResult(failure="link lost"))
        else:
            link.start_chain(entry.image, pair.secondary.cca, commands, ended, self._core.around.clock.now())

    def _ended(self, task: _Task, job: _Job, entry: PathEntry, result: ChainResult, commands: int) -> None:
        if result.failure in ("link lost", "no path") and entry.good:
            entry.status = PathStatus.LINK_OFFLINE
        self._paths.release(entry)
        if result.failure is None and result.completed == commands:
            self._confirmed(task, job)
        elif self._over(task):
            self._answer(task.pair, job)
        elif device_busy(result) and job.busy < BUSY_TRIES:
            job.busy += 1
            around = self._core.around
            around.timers.call_at(around.clock.now() + BUSY_EVERY_S, lambda: self._obtain(task, job))
        elif result.failure is not None:
            job.tries += 1
            if job.tries < TRIES_MAX:
                self._obtain(task, job)
            else:
                self._stop(task, job, PairEvent.COMMUNICATION_LOST, FB_COMMUNICATION, f"path: {result.failure}")
        else:
            sense = result.sense.ljust(32, b"\0")
            event, reason = REFUSED.get(sense[8], (PairEvent.SECONDARY_ERROR, _fault(sense[0])))
            self._stop(task, job, event, reason, f"the secondary refused: sense {sense[7:9].hex().upper()}")

    def _confirmed(self, task: _Task, job: _Job) -> None:
        pair = task.pair
        over = self._over(task)
        for sequence in job.sequences:
            pair.unconfirmed.pop(sequence, None)
        if not over:
            pair.update_sequence = job.number
            self._count(pair, job)
            task.job = None
        if job.done is not None:
            job.done(None)
        if not over:
            self._unlock(task)
            self._step(task)

    def _count(self, pair: Pair, job: _Job) -> None:
        for content in job.tracks:
            self._bytes_raw += content.stored.raw_length if content.stored is not None else 0
            if job.done is None:
                pair.confirmed(content.track)
                self._owner.track_confirmed(pair)
        if job.done is None:
            self._tracks_copied += len(job.tracks)
        else:
            self._tracks_updated += len(job.tracks)
            self._owner.track_confirmed(pair)

    def _unlock(self, task: _Task) -> None:
        locked, task.locked = task.locked, []
        for go_on in locked:
            go_on()

    def _finish(self, task: _Task) -> None:
        """Nothing is marked, and what hosts write goes through: tell the secondary that it is duplex."""
        pair = task.pair
        if pair.state is not PairState.DUPLEX_PENDING or pair.extended or task.finishing or self._over(task):
            return
        task.finishing = True
        self._owner.copy_finished(pair, lambda: None)

    # Failures

    def _no_path(self, task: _Task, job: _Job) -> None:
        """A duplex pair is suspended by the write that found no path; a pending one waits until there is one."""
        pair = task.pair
        if self._over(task):
            self._answer(pair, job)
        elif job.done is not None:
            self._stop(task, job, PairEvent.COMMUNICATION_LOST, FB_COMMUNICATION, "no path to the secondary")
        else:
            task.job = None
            task.stopped = True
            task.prepared = task.finishing = pair.draining = False
            pair.announce = True
            pair.dirty |= pair.in_flight
            pair.in_flight.setall(0)
            self._unlock(task)

    def _stop(self, task: _Task, job: _Job, event: PairEvent, reason: int, text: str) -> None:
        """Suspend the pair; `drop` is called on the way."""
        refusal = self._writes.suspend(task.pair, event, reason, text)
        if job.done is not None:
            job.done(refusal)

    def _answer(self, pair: Pair, job: _Job) -> None:
        """The chain's pair has stopped meanwhile: its tracks are marked."""
        if job.done is not None:
            job.done(self._writes.failure(pair, None))


def _fault(sense_0: int) -> int:
    """The FB reason of a fault at the secondary."""
    return FB_MEDIA if sense_0 & (DATA_CHECK | EQUIPMENT_CHECK | INTERVENTION_REQUIRED) else FB_SECONDARY_SUBSYSTEM

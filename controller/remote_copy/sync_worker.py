"""One bridge at work on the volume synchronisation queue (FIG. 7, steps 702-708).

702 an idle bridge selects the head of the queue
704 the volume's pointers are snapped to the bridge volume, then its entry is removed from the queue
706 the bridge volume's tracks are transferred
708 the secondary bridge redirects them (in the other box)

A worker copies pass by pass: what hosts wrote since the snapshot is snapped and sent again, until little is left.
Then it drains: host writes go through at once while the rest goes out, an end-of-volume record closes the
copy, and its status makes the pair duplex. Only then is the next volume selected.
Source: patent, claims 1-3 and FIG. 7; pprc-commands 7.2 (reading of step 702 as there).
"""

from collections.abc import Callable
from typing import Protocol

from ccw.bridge import RecordType, Result, TrackFlag
from ccw.errors import FormatError
from ccw.stored_track import CODEC_NONE, CODEC_ZLIB, StoredTrack, expand_track
from controller.remote_copy.bridge_record import BridgeRecord, make_record
from controller.remote_copy.bridge_sender import GOOD, BridgeSender
from controller.remote_copy.pair import BoxName, Pair
from controller.remote_copy.ports import ArrayFault, ArrayPort, Clock, EventSink
from controller.remote_copy.states import BRIDGE_NEXT, BridgeState, PairState
from controller.remote_copy.sync_queue import SyncQueue

DRAIN_BELOW_TRACKS = 15
_FROM_SNAPSHOT = int(TrackFlag.FROM_SNAPSHOT)  # a plain number: every track passes here
_COPIES = frozenset((RecordType.SYNC_TRACK, RecordType.NEVER_WRITTEN))


class WorkerOwner(Protocol):
    """What a worker asks of the service."""

    def copy_finished(self, pair: Pair, done: Callable[[], None]) -> None:
        """The end-of-volume record is applied: make the pair duplex on both sides, then call `done`."""

    def copy_failed(self, pair: Pair, result: Result) -> None:
        """A track of the pair was refused for good: suspend the pair."""

    def prepare_copy(self, pair: Pair, ready: Callable[[bool], None]) -> None:
        """Before the first pass: the secondary must be pending and say what it may hold beyond the primary."""

    def pass_ended(self, pair: Pair) -> None: ...  # of extended distance: other pairs have the bridge now

    def unreadable(self, pair: Pair, text: str) -> None:
        """A track of the primary cannot be read: suspend the pair."""

    def when_durable(self, sequence: int, reply: Callable[[bool], None]) -> None:
        """As `HardenPort`."""

    def bridge_stopped(self, worker: "SyncWorker", text: str) -> None:
        """The worker's bridge has failed."""

    def track_confirmed(self, pair: Pair) -> None:
        """A track of the pair is confirmed; now and then its bitmap is written to the log."""


class SyncWorker:
    """One bridge at work on the queue. States: see `states.BRIDGE_NEXT`."""

    def __init__(
        self,
        number: int,
        bridge_volume: int,
        queue: SyncQueue,
        owner: WorkerOwner,
        array: ArrayPort,
        clock: Clock,
        log: EventSink,
    ) -> None:
        self.number = number
        self.bridge_volume = bridge_volume
        self.queue = queue
        self.owner = owner
        self.array = array
        self.clock = clock
        self.log = log
        self.state = BridgeState.DEFINED
        self.pair: Pair | None = None
        self.sender: BridgeSender | None = None
        self.box: BoxName | None = None  # where the bridge leads
        self._order: list[int] = []  # tracks of this pass, last first
        self._in_flight = 0
        self._ending = False
        self._next_snapshot_id = 1
        self.tracks_copied = 0
        self.tracks_updated = 0
        self.bytes_raw = 0  # of confirmed records

    def move(self, event: str) -> None:
        """Change the bridge's state along its table."""
        self.state = BRIDGE_NEXT[self.state, event]

    def attach(self, sender: BridgeSender, box: BoxName) -> None:
        """The bridge to `box` is established (step 614)."""
        self.sender, self.box = sender, box
        self.move("ready")
        self.work()

    # 702, 704

    def work(self) -> None:
        """Select the head of the queue if this bridge is idle."""
        pair = self.queue.select(self.box) if self.state is BridgeState.IDLE else None
        if pair is None:
            return
        self.pair = pair
        self.move("select")
        self.log(702, "selected from the volume synchronisation queue", self._fields(pair))
        generation = pair.generation
        self.owner.prepare_copy(pair, lambda good: self._prepared(pair, generation, good))

    def _prepared(self, pair: Pair, generation: int, good: bool) -> None:
        if not self.copies(pair, generation):
            return
        if not good or pair.state is not PairState.DUPLEX_PENDING:
            self.queue.remove(pair)
            self._free()
            return
        self._snap(pair)

    def _snap(self, pair: Pair) -> None:
        """Pointer copy of the volume to the bridge volume; no data moves, hosts go on undisturbed."""
        pair.snapshot_id = self._next_snapshot_id
        self._next_snapshot_id = self._next_snapshot_id % 0xFFFF + 1
        pair.start_pass()
        try:
            sequence = self.array.snapshot(pair.volume, self.bridge_volume)
        except ArrayFault as fault:
            self.owner.unreadable(pair, str(fault))
            return
        self.queue.remove(pair)
        self._order = list(pair.waiting.search(1))[::-1]
        self._ending = False
        self.log(704, "snapped by pointers to the primary bridge volume", self._fields(pair))
        generation = pair.generation
        self.owner.when_durable(sequence, lambda good: self._transfer(pair, generation) if good else None)

    def _transfer(self, pair: Pair, generation: int) -> None:
        """The snapshot is durable: no crash can take from this box what the secondary gets now."""
        if not self.copies(pair, generation):
            return
        self.move("copy")
        if pair.draining:
            self.move("drain")
        else:
            self.log(706, "transfer to the secondary bridge volume", self._fields(pair))
        assert self.sender is not None
        self._next_pass_if_done()
        self.sender.pump()

    # 706

    def next_copy(self) -> BridgeRecord | None:
        """The next track of the pass in CCHH order, or the end-of-volume record, unnumbered."""
        pair = self.pair
        if pair is None or self.state not in (BridgeState.COPYING, BridgeState.DRAINING):
            return None
        while self._order:
            track = self._order.pop()
            if not pair.waiting[track]:
                continue  # a host update of it has gone out since
            record = self._copy_of(pair, track)
            if record is None:
                return self.next_copy()  # the pair is suspended; another may have been selected
            pair.sent(track)
            self._in_flight += 1
            return record
        if pair.draining and not self._ending and self._in_flight == 0 and not pair.dirty.any():
            self._ending = True
            flags = TrackFlag.STATUS_NOW
            return make_record(pair, RecordType.END_OF_VOLUME, -1, None, flags, self.clock.tod())
        return None

    def _copy_of(self, pair: Pair, track: int) -> BridgeRecord | None:
        try:
            stored = self.array.read_stored(self.bridge_volume, track)
            kind = RecordType.SYNC_TRACK if stored is not None else RecordType.NEVER_WRITTEN
            return make_record(pair, kind, track, stored, _FROM_SNAPSHOT, self.clock.tod())
        except (ArrayFault, FormatError) as error:
            self.owner.unreadable(pair, f"track {track}: {error}")
            return None

    def record_done(self, record: BridgeRecord, result: Result) -> None:
        """Status of a record: clear its bit, or suspend its pair."""
        pair = record.pair
        if record.stale:
            return
        if result not in GOOD:
            self.owner.copy_failed(pair, result)
            return
        self.bytes_raw += record.header.raw_length
        kind = record.header.record_type
        if kind == RecordType.HOST_UPDATE:
            self.tracks_updated += 1
        elif kind in _COPIES:
            pair.confirmed(record.track)
            if pair is self.pair:
                self._in_flight -= 1
                self.tracks_copied += 1
                self.owner.track_confirmed(pair)
                self._next_pass_if_done()
        elif kind == RecordType.END_OF_VOLUME and pair is self.pair:
            if pair.out_of_sync.any():
                self._ending = False
                self._next_pass_if_done()
                return
            generation = pair.generation
            self.owner.copy_finished(pair, lambda: self._finished(pair, generation))

    def _finished(self, pair: Pair, generation: int) -> None:
        if self.copies(pair, generation):
            self._free()

    def _next_pass_if_done(self) -> None:
        pair = self.pair
        if pair is None or self._in_flight or self._order or self._ending:
            return
        if pair.extended:
            self._free()
            self.owner.pass_ended(pair)
            return
        if not pair.draining:
            left = int(pair.dirty.count())
            if left <= DRAIN_BELOW_TRACKS:
                pair.draining = True
            if left:
                self.move("snap")
                self._snap(pair)
            else:
                self.move("drain")
        elif pair.dirty.any():
            self.move("snap")
            self._snap(pair)

    def plain_again(self, record: BridgeRecord) -> BridgeRecord:
        """The record with its image uncompressed."""
        stored = StoredTrack(CODEC_ZLIB, record.header.raw_length, record.payload)
        plain = StoredTrack(CODEC_NONE, record.header.raw_length, expand_track(stored))
        again = make_record(
            record.pair, record.kind, record.track, plain,
            record.header.flags & ~TrackFlag.COMPRESSED, record.header.tod,
        )  # fmt: skip
        again.header = again.header._replace(sequence=record.sequence, bridge_number=self.number)
        return again

    def update(
        self, pair: Pair, track: int, stored: StoredTrack, local_sequence: int, reply: Callable[[Result | None], None]
    ) -> None:
        """A host write of a duplex (or draining) volume: the host waits for its status."""
        assert self.sender is not None
        pair.superseded(track)
        flags = TrackFlag.HOST_WAITS | TrackFlag.STATUS_NOW
        record = make_record(pair, RecordType.HOST_UPDATE, track, stored, flags, self.clock.tod())
        record.local_sequence = local_sequence
        record.reply = reply
        self.sender.update(record)

    # End

    def copies(self, pair: Pair, generation: int) -> bool:
        """Does the worker still do the copy that it began in the pair's `generation`?"""
        return self.pair is pair and pair.generation == generation

    def drop(self, pair: Pair) -> None:
        """The pair was suspended or deleted: stop copying it."""
        if self.pair is pair:
            self._free()

    def _free(self) -> None:
        """Let the snapshot go and take the next volume."""
        self.pair = None
        self._order = []
        self._in_flight = 0
        self._ending = False
        self._release_snapshot()
        if self.state is not BridgeState.IDLE:
            self.move("release")
        self.work()

    def _release_snapshot(self) -> None:
        try:
            self.array.release_space(self.bridge_volume, 0, 1 << 31)
        except ArrayFault as fault:  # the next snapshot takes its place
            self.log(None, "the bridge volume keeps its snapshot", {"bridge": self.number, "why": str(fault)})

    def bridge_failed(self, text: str) -> None:
        """The sender gave up: the volume goes back to the head of the queue."""
        pair, self.pair = self.pair, None
        self.sender = None
        self._order = []
        self._in_flight = 0
        self.move("fail")
        self._release_snapshot()
        if pair is not None:
            pair.draining = False
            pair.announce = True
            pair.give_back()
            if pair.state is PairState.DUPLEX_PENDING:
                self.queue.put_back(pair)
        self.owner.bridge_stopped(self, text)

    def _fields(self, pair: Pair) -> dict[str, object]:
        return {
            "bridge": self.number,
            "pair": pair.pair_id,
            "volume": f"{pair.volume:02X}",
            "tracks": pair.out_of_sync_count,
            "queued": len(self.queue),
        }

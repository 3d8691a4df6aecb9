"""The shared state of remote copy in one box, and the few acts that several procedures need."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from bitarray import bitarray

from ccw import pprc
from controller.channel import ChainCommand, ChainResult
from controller.remote_copy.bridge_receiver import BridgeReceiver
from controller.remote_copy.busy import BUSY_TRIES, a_little_later, device_busy
from controller.remote_copy.console import state_message
from controller.remote_copy.label import volume_serial
from controller.remote_copy.pair import BoxName, Pair, VolumeName
from controller.remote_copy.paths import PathEntry, PathTable
from controller.remote_copy.peer_sequences import PeerSequences
from controller.remote_copy.ports import ArrayFault, Surroundings
from controller.remote_copy.procedure import Procedure
from controller.remote_copy.records import Records
from controller.remote_copy.refusal import Refusal, reject
from controller.remote_copy.settings import WINDOW_RECORDS
from controller.remote_copy.states import ERRORS, BridgeRole, PairEvent, PairState, PathStatus, Reason, next_state
from controller.remote_copy.status_inbox import StatusInbox
from controller.remote_copy.sync_queue import SyncQueue
from controller.remote_copy.sync_worker import SyncWorker

PERFORM_SUBSYSTEM_FUNCTION = 0x27
READ_SUBSYSTEM_DATA = 0x3E
ATTENTION_STATE_CHANGE = 0x85  # attention, device end, unit exception


class VolumeShape(NamedTuple):
    """What remote copy must know of a local volume."""

    cylinders: int
    heads: int
    device_type: int  # X'3390'
    track_size: int  # largest image, bytes

    @property
    def tracks(self) -> int:
        return self.cylinders * self.heads


class PairCopier(Protocol):
    """What copies and mirrors pairs in place of bridges; see `conventional`."""

    def work(self) -> None:
        """Pairs wait in the queue, or paths were established."""

    def drop(self, pair: Pair) -> None:
        """Send nothing more of the pair."""

    def marked(self, pair: Pair, tracks: Sequence[int], done: Callable[[Refusal | None], None]) -> None:
        """A host wrote tracks that are marked: call `done` when it need not wait."""

    def update(self, pair: Pair, writes: Sequence[tuple[int, int]], done: Callable[[Refusal | None], None]) -> None:
        """A host wrote tracks of a pair in step: call `done` when the secondary has them, or cannot."""

    @property
    def counts(self) -> tuple[int, int, int]:
        """Since the start: tracks copied, tracks updated, their raw bytes."""


@dataclass(slots=True)
class PrimaryBridge:
    """One bridge whose data this box sends: its volumes, its worker, its place in the set-up."""

    number: int
    worker: SyncWorker
    data_volume: int  # P-DB
    status_volume: int  # S-SB
    box: BoxName | None = None  # the secondary box, once established
    data_path: PathEntry | None = None
    status_path: PathEntry | None = None
    secondary_volume: int = 0  # S-DB in the other box
    pair_id: int = 0
    inbox: StatusInbox | None = None
    wanted: bool = False  # it was established, and nobody has ended it: it is set up again when it fails
    end_unheard: bool = False  # the secondary box has not answered that the bridge is over
    asked_after: bool = False  # by a heartbeat under way, or one that waits for its turn
    silent_ticks: int = 0  # while something waited for an answer over its path: see `heartbeat`
    on_ended: list[Callable[[bool], None]] = field(default_factory=list)  # who waits for the set-up under way
    on_given_up: list[Callable[[None], None]] = field(default_factory=list)  # who waits for its links to be free
    status_pair: bool = False  # the pair on the status volume exists (step 610)
    notified: bool = False  # step 612 has come
    on_notified: list[Callable[[bool], None]] = field(default_factory=list)


@dataclass(slots=True)
class SecondaryBridge:
    """One bridge whose data this box receives."""

    number: int
    receiver: BridgeReceiver
    data_volume: int  # S-DB
    primary_volume: VolumeName  # P-DB in the other box
    pair_id: int
    data_said: int  # the port its data comes in on
    duplex: bool = False
    status_volume: int = 0  # P-SB here
    status_partner: VolumeName | None = None  # S-SB in the other box
    status_path: PathEntry | None = None
    status_pair_id: int = 0
    down: dict[int, float] = field(default_factory=dict)  # its ports whose link may come back: when it was lost


@dataclass(slots=True)
class Core:
    """Everything remote copy knows in one box."""

    own: BoxName
    volumes: Mapping[int, VolumeShape]
    around: Surroundings
    records: Records
    paths: PathTable = field(default_factory=PathTable)
    queue: SyncQueue = field(default_factory=SyncQueue)
    primaries: dict[int, Pair] = field(default_factory=dict)  # by unit address
    secondaries: dict[int, Pair] = field(default_factory=dict)
    roles: dict[int, tuple[BridgeRole, int]] = field(default_factory=dict)  # bridge volumes
    sending: dict[int, PrimaryBridge] = field(default_factory=dict)  # by bridge number
    receiving: dict[int, SecondaryBridge] = field(default_factory=dict)
    peers: dict[BoxName, PeerSequences] = field(default_factory=dict)
    marks: dict[int, int] = field(default_factory=dict)
    busy: set[int | BoxName] = field(default_factory=set)  # volumes, and boxes, for which an order is carried out
    long_busy: dict[int, float] = field(default_factory=dict)  # volumes whose hosts wait: until when
    frozen: set[BoxName] = field(default_factory=set)  # freeze in effect, until run
    duplex_waiters: dict[int, list[Callable[[bool], None]]] = field(default_factory=dict)  # by pair id
    window: int = WINDOW_RECORDS  # records under way on a bridge
    conventional: PairCopier | None = None  # in place of bridges
    repair: Callable[[], None] = lambda: None  # something is not as it was ordered: see `upkeep`
    watch: Callable[[], None] = lambda: None  # there is a bridge or a pair in step to ask after: see `heartbeat`
    critical_all: bool = False  # CRIT(YES) refuses writes after any error, not only while no path is left

    # Who copies

    def work(self) -> None:
        """There may be something to copy, and somebody who can."""
        for bridge in self.sending.values():
            bridge.worker.work()
        if self.conventional is not None:
            self.conventional.work()

    def stop_copying(self, pair: Pair) -> None:
        """Nobody copies the pair any more."""
        for bridge in self.sending.values():
            bridge.worker.drop(pair)
        if self.conventional is not None:
            self.conventional.drop(pair)

    # Naming

    def name(self, volume: int) -> VolumeName:
        return self.own.volume(volume)

    def shape(self, volume: int) -> VolumeShape:
        """Raises Refused (44) for a device that is not there."""
        if volume not in self.volumes:
            raise reject(Reason.NOT_THE_ONE_NAMED)
        return self.volumes[volume]

    def volume_with_role(self, role: BridgeRole, number: int) -> int | None:
        return next((volume for volume, mine in self.roles.items() if mine == (role, number)), None)

    def peer(self, box: BoxName) -> PeerSequences:
        return self.peers.setdefault(box, PeerSequences())

    def hardened(self) -> Procedure[None]:
        """Wait until everything appended so far is durable. Raises Refused (45) when the array cannot."""
        good: bool = yield lambda reply: self.around.hardener.when_durable(self.around.array.appended, reply)
        if not good:
            raise reject(Reason.STATE)

    # Talking to the other box

    def send(
        self, entry: PathEntry, device: int, order: pprc.PprcOrder, box: BoxName, tries: int = BUSY_TRIES
    ) -> Procedure[ChainResult]:
        """Send one order over a path. Raises Refused: 5B with the peer's bytes 7-8, 5C when it does not answer.

        tries: while the device is busy. Others have their turn in between, but none for the same device.
        """
        peer = self.peer(box)

        def in_turn() -> Procedure[ChainResult]:
            yield lambda reply: peer.wait_turn(reply, device, order)
            try:
                result = yield from self._once(entry, device, self._numbered(order, box))
                if device_busy(result):
                    peer.step_aside(device, order)
                return result
            finally:
                peer.end_turn()

        try:
            return (yield from self._insist(entry, in_turn, tries=tries))
        finally:
            peer.over(device, order)

    def send_within(self, entry: PathEntry, device: int, order: pprc.PprcOrder, box: BoxName) -> Procedure[ChainResult]:
        """As `send`, for an order by which one of the other box is answered: it does not wait for this box's turn."""
        return (yield from self._insist(entry, lambda: self._once(entry, device, self._numbered(order, box))))

    def _numbered(self, order: pprc.PprcOrder, box: BoxName) -> list[ChainCommand]:
        """The order as it is sent now: with the next number, which one that was sent before and not taken has lost."""
        numbered = replace(order, header=replace(order.header, request_sequence=self.peer(box).next()))
        return [ChainCommand(PERFORM_SUBSYSTEM_FUNCTION, numbered.encode())]

    def chain(self, entry: PathEntry, device: int, commands: list[ChainCommand]) -> Procedure[ChainResult]:
        """Run a chain over a path and insist on its success, while the device is busy too. Raises Refused as `send`."""
        return (yield from self._insist(entry, lambda: self._once(entry, device, commands), len(commands)))

    def _once(self, entry: PathEntry, device: int, commands: list[ChainCommand]) -> Procedure[ChainResult]:
        """Run a chain, however it ends. Raises Refused when the path does not work."""
        port = self.around.links.get(entry.said)
        link = port.link if port is not None else None
        if link is None or not entry.good:
            raise reject(Reason.NO_WORKING_PATH, path_status=int(entry.status))
        entry.under_way += 1
        result: ChainResult = yield lambda reply: link.start_chain(
            entry.image, device, commands, reply, self.around.clock.now()
        )
        entry.under_way -= 1
        entry.in_vain = result.failure not in (None, "device exception")
        if not entry.in_vain:
            entry.heard = self.around.clock.now()
        return result

    def _insist(
        self,
        entry: PathEntry,
        attempt: Callable[[], Procedure[ChainResult]],
        commands: int = 1,
        tries: int = BUSY_TRIES,
    ) -> Procedure[ChainResult]:
        """The good result of a chain of so many commands; attempted again while the device is busy. Raises Refused."""
        result = yield from attempt()
        for _ in range(tries - 1):
            if not device_busy(result):
                break
            yield from a_little_later(self.around)
            result = yield from attempt()
        if result.failure == "no path":
            self.path_gone(entry)
        if result.failure == "device exception":
            raise reject(Reason.PEER_REFUSED)  # there is no such device
        if result.failure is not None:
            raise reject(Reason.PEER_TIME_OUT)
        if result.completed != commands:
            sense = result.sense.ljust(32, b"\0")
            raise reject(Reason.PEER_REFUSED, peer=int.from_bytes(sense[7:9], "big"))
        return result

    def path_gone(self, entry: PathEntry) -> None:
        """The other box knows nothing of a path that this one holds for good: it is none, and a bridge on it fails."""
        if entry.good:
            entry.status = PathStatus.RETRY_LATER
            self.repair()
        for bridge in self.sending.values():
            if bridge.data_path is entry and bridge.worker.sender is not None:
                bridge.worker.sender.fail("the other box has no such path")

    def control_path(self, box: BoxName) -> PathEntry:
        """The path that orders to `box` take: a ready bridge's data path, else the first good one. Raises Refused."""
        paths = self.paths.need(box)
        for bridge in self.sending.values():
            if bridge.box == box and bridge.data_path is not None and bridge.data_path.good:
                return bridge.data_path
        return paths.good()[0]

    # Pairs

    def change(self, pair: Pair, event: PairEvent, text: str) -> None:
        """Move a primary along its table, store it, tell the hosts and the log. Raises ArrayFault, but tells first."""
        before = pair.state
        target = next_state(before, event)
        if target.suspended and not before.suspended:
            pair.suspend_tod = self.around.clock.tod()
        if target is PairState.DUPLEX:
            pair.alone_since = -1
            pair.consistent = True
            self.watch()
        elif before is PairState.DUPLEX:
            pair.alone_since = self.around.array.appended
            pair.failed = event in ERRORS
        pair.change(event)
        fault = self._try_to_store(pair)
        if pair.state is PairState.SIMPLEX:
            self.primaries.pop(pair.volume, None)
        if pair.state is not PairState.DUPLEX_PENDING:
            for reply in self.duplex_waiters.pop(pair.pair_id, []):
                reply(pair.state is PairState.DUPLEX)
        if pair.state is not before:
            self.say_state(pair, text)
            self.around.attention(pair.volume, ATTENTION_STATE_CHANGE)
        if fault is not None:
            raise fault

    def _try_to_store(self, pair: Pair) -> ArrayFault | None:
        try:
            self.store(pair)
        except ArrayFault as fault:
            return fault
        return None

    def store_some_time(self, pair: Pair) -> None:
        """Write the pair's record if the array takes it. An older one makes a restart copy more, never less."""
        fault = self._try_to_store(pair)
        if fault is not None:
            self.around.log(None, "the pair's record was not written", {"pair": pair.pair_id, "why": str(fault)})

    def store(self, pair: Pair) -> None:
        """Write the pair's record; its bitmap is exact for everything the array has appended so far."""
        if pair.is_primary:
            pair.epoch = min(pair.unconfirmed) - 1 if pair.unconfirmed else self.around.array.appended
        self.records.store(pair)

    def say_state(self, pair: Pair, text: str) -> None:
        """The operator's message of a primary state change (IEA494I)."""
        serial = volume_serial(self.around.array, pair.volume)
        message = state_message(pair, serial, pair.volume in self.long_busy)
        self.around.log(None, message, {"pair": pair.pair_id, "state": pair.state.name, "why": text})

    # What a secondary may hold that a crash took from its primary

    def uncertain_epoch(self, pair: Pair) -> int:
        """Array sequence behind which a secondary may hold what a crash took from the primary.

        The marks follow the traffic of the bridges. Once a bridge was set up anew they no longer speak of the traffic
        before; the pair's own epoch was fixed then, and stands until the pair is proven equal (`reconcile`).
        """
        return pair.epoch if pair.reconcile else max(pair.epoch, min(self.marks.values(), default=0))

    def uncertain_tracks(self, pair: Pair) -> bitarray:
        """Tracks of a secondary that its primary may have otherwise: lost in a crash, or changed in the other role."""
        bits = pair.dirty.copy()
        for track in self.around.array.written_since(pair.volume, self.uncertain_epoch(pair)):
            if track < pair.tracks:
                bits[int(track)] = 1
        return bits

    def written_alone(self, pair: Pair) -> bool:
        """Were hosts told that a write to this primary is safe that its secondary lacks?"""
        return pair.alone_since >= 0 and len(self.around.array.written_since(pair.volume, pair.alone_since)) > 0

    def bridge_begins(self, number: int, box: BoxName) -> None:
        """A bridge from `box` is set up: fix what is uncertain of the traffic before, and mark where its own begins."""
        for pair in self.secondaries.values():
            if pair.primary.box == box and not pair.reconcile:
                pair.epoch = self.uncertain_epoch(pair)
                pair.reconcile = True
                self.records.store(pair)
        if number not in self.marks:
            self.mark(number, self.around.array.appended)

    def mark(self, number: int, sequence: int) -> None:
        """What a bridge brought up to this array sequence is durable in the primary box too."""
        self.marks[number] = sequence
        self.records.store_mark(number, sequence)

"""What must hold whatever goes wrong. Apart from the workload: these look at the boxes, never change them.

Check.RECOVERED  1  no acknowledged write is missing at the primary box after a crash
Check.MIRRORED   2  a write acknowledged while its pair was duplex is in the secondary box, durably
Check.READ       3  a read returns the last acknowledged write, or one that was under way since
Check.CONVERGED  4  some time after the faults end every pair is duplex, and all its tracks are equal in both arrays
Check.BOUNDED    5  no queue grows beyond what its protocol allows
Check.ORDERED    6  of writes that depend on each other, over all volumes of a consistency group, the secondary box
                    holds a beginning: whenever all its volumes have been duplex and no copy has begun since
Check.KEPT       7  what a host has written to a recovered secondary is there until a full copy is ordered over it

"Durably" is tried two ways: at every real restart, and now and then on a copy of the medium from which the power is
taken at that moment.
"""

import copy
from enum import IntEnum
from random import Random
from typing import NamedTuple

from ccw.errors import FormatError
from controller.array import VirtualArrayStore
from controller.links.system import StorageSystem
from controller.remote_copy.settings import WINDOW_RECORDS
from controller.remote_copy.states import PairState
from host_emulator.channel import ProgramResult
from tests.sim.history import History, NotOurs, Place, number_in, numbers_on
from tests.sim.world import SimulatedSite, World

UNUSED_TRACK = 28
COPY_SHARE = 0.05  # of the acknowledged writes, after which a copy of the medium loses power
NO_RECORD_FOUND = 0x08  # sense byte 1
STATE_CHANGE_PENDING = 0x1D  # sense byte 25
ENTRIES_MAX = 2 * WINDOW_RECORDS  # each record once, and once more as a duplicate
REQUESTS_MAX = 16
OUTPUT_MAX = 128
DURABLE_WAITERS_MAX = 2 * WINDOW_RECORDS
TIMERS_MAX = 64


class Check(IntEnum):
    """The rules."""

    RECOVERED = 1
    MIRRORED = 2
    READ = 3
    CONVERGED = 4
    BOUNDED = 5
    ORDERED = 6
    KEPT = 7


class Violation(AssertionError):
    """A rule is broken."""

    def __init__(self, check: Check, text: str) -> None:
        self.check = check
        super().__init__(f"{check.name}: {text}")


class DuplexSpell(NamedTuple):
    """A time during which a pair was duplex without interruption."""

    site: str
    boot: int
    pair_id: int
    suspended_before: int  # TOD of the last suspension


class Checkers:
    """All checks of one run. Attach to a world before it starts."""

    def __init__(self, world: World, history: History) -> None:
        self._world = world
        self._history = history
        self._random = world.random("checkers")
        self.deepest: dict[str, int] = {}
        self.mirrored_writes = 0
        self.orders_checked = 0
        self._whole: set[int] = set()  # secondaries that have been duplex, and no copy to them has begun since
        self._ordered: set[int] = set()  # volumes whose copy an operator has ordered, and that were not duplex since
        self._kept: dict[int, tuple[int, bytes]] = {}  # recovered volume: a track, and what B's host has written there
        world.on_boot = self.booted
        world.on_event = self._heard

    # Writes

    def duplex_spell(self, volume: int) -> DuplexSpell | None:
        """The spell that lasts now, None when the pair of a primary volume is not duplex."""
        system = self._world.primary.system
        pair = system.subsystem.remote_copy.core.primaries.get(volume) if system is not None else None
        if pair is None or pair.state is not PairState.DUPLEX:
            return None
        return DuplexSpell(self._world.primary.name, self._world.primary.boots, pair.pair_id, pair.suspend_tod)

    def write_ended(self, numbers: dict[Place, int], spell: DuplexSpell | None) -> None:
        """A host was told that its write is safe. `spell`: as it was when the write began."""
        volume = next(iter(numbers)).volume
        mirrored = spell is not None and spell == self.duplex_spell(volume)
        for place, number in numbers.items():
            record = self._history[place]
            record.acknowledged = number
            if mirrored:
                record.mirrored = number
        self.mirrored_writes += mirrored
        if len(numbers) > 1:
            place = next(iter(numbers))
            self._history.format_ended(place.volume, place.track, mirrored=mirrored)
        track = next(iter(numbers)).track
        if mirrored and self._world.secondary.system is not None:
            self._need(Check.MIRRORED, self._world.secondary.system.store, volume, track)
        if self._random.random() < COPY_SHARE:
            self._need(Check.RECOVERED, self._after_power_loss(self._world.primary), volume, track)
            if mirrored:
                self._need(Check.MIRRORED, self._after_power_loss(self._world.secondary), volume, track)

    def _after_power_loss(self, site: SimulatedSite) -> VirtualArrayStore:
        """What the array of a site would be if its power failed now."""
        medium = copy.deepcopy(site.medium)
        medium.crash(Random(self._random.random()))
        return VirtualArrayStore.open(medium, segment_bytes=1 << 20)

    def booted(self, site: SimulatedSite) -> None:
        """A site has recovered its array; no host has touched it yet."""
        if site.boots == 1:
            return
        if site is self._world.primary:
            self._history.forget_seen()
        if site is self._world.b and self._world.secondary is site:
            for volume in self._history.volumes:
                self._secondary_is(volume, self._secondary_state(volume))
            self.look_at_the_order()
            self.look_at_what_is_newer()
        check = Check.RECOVERED if site is self._world.primary else Check.MIRRORED
        for volume in self._history.volumes:
            for track in self._history.tracks:
                self._need(check, site.running.store, volume, track)

    def _need(self, check: Check, store: VirtualArrayStore, volume: int, track: int) -> None:
        """Every record of the track is at least as new as the check demands."""
        try:
            found = numbers_on(volume, track, store.read(volume, track))
        except (NotOurs, FormatError) as error:
            raise Violation(check, str(error)) from error
        for place, number in found.items():
            if not self._history.allowed(place, number, there=check is Check.MIRRORED):
                raise Violation(check, f"{place} holds write {number}, not what it must: {self._history[place]}")

    # Reads

    def read_ended(self, place: Place, floor: int, gone: bool, boot: int, result: ProgramResult) -> None:
        """A read program ended. `floor`, `gone`, `boot`: as it began, the record's floor, whether an unfinished format
        write may have erased it, and the box's boots."""
        record = self._history[place]
        gone = gone or record.exposed
        if result.unit_status & 0x02:
            if gone and result.sense is not None and result.sense[1] & NO_RECORD_FOUND:
                return
            if result.sense is not None and self._world.scenario.grouped and is_long_busy(result.sense):
                return
            sense = result.sense.hex() if result.sense else "none"
            raise Violation(Check.READ, f"{place}, which is there, is refused with sense {sense}")
        if not result.completed:
            return
        try:
            number = number_in(place, result.data)
        except NotOurs as error:
            raise Violation(Check.READ, str(error)) from error
        if not floor <= number <= record.begun:
            raise Violation(Check.READ, f"{place} reads as write {number}, not one of {floor}-{record.begun}")
        if boot == self._world.primary.boots and self._world.primary.up.is_set():
            record.seen = max(record.seen, number)

    # The order of dependent writes

    def _heard(self, event: dict[str, object]) -> None:
        """An event of a box."""
        if event["box"] == "B" and event["text"] == "secondary device status updated":
            self._secondary_is(int(str(event["volume"]), 16), PairState[str(event["state"])])

    def _secondary_state(self, volume: int) -> PairState:
        system = self._world.b.system
        pair = system.subsystem.remote_copy.core.secondaries.get(volume) if system is not None else None
        return pair.state if pair is not None else PairState.SIMPLEX

    def _secondary_is(self, volume: int, state: PairState) -> None:
        if state is PairState.DUPLEX:
            if volume in self._ordered:  # it has what depends on writes that never left the volumes of other pairs
                self._ordered.discard(volume)
                self._whole -= {other for other in self._whole if self._left_behind(other)}
            self._whole.add(volume)
        elif state in (PairState.DUPLEX_PENDING, PairState.SIMPLEX):
            self._whole.discard(volume)

    def copy_ordered(self, volume: int) -> None:
        """An operator is about to order the volume's copy. One that begins without an order excuses nothing."""
        self._ordered.add(volume)

    def _left_behind(self, volume: int) -> bool:
        """Do hosts write to the volume while its pair is suspended?"""
        system = self._world.a.system
        pair = system.subsystem.remote_copy.core.primaries.get(volume) if system is not None else None
        return pair is None or pair.state.suspended

    def look_at_the_order(self) -> None:
        """Does the secondary box hold a beginning of the dependent writes, also if its power failed now?"""
        b = self._world.b
        if not self._world.scenario.grouped or b.system is None or not self._whole.issuperset(self._history.volumes):
            return
        self.orders_checked += 1
        self._beginning(b.system.store)
        if self._random.random() < COPY_SHARE:
            self._beginning(self._after_power_loss(b))

    def _beginning(self, store: VirtualArrayStore) -> None:
        found: dict[Place, int] = {}
        for volume in self._history.volumes:
            for track in self._history.tracks:
                found |= numbers_on(volume, track, store.read(volume, track))
        ended, begun = self._history.order[: self._history.ordered_until], self._history.order
        there = [
            index for index, write in enumerate(begun) if any(found[place] >= number for place, number in write.items())
        ]
        last = max(there, default=-1)
        for index, write in enumerate(ended[: last + 1]):
            for place, number in write.items():
                if found[place] < number and not self._history[place].exposed_there:
                    raise Violation(
                        Check.ORDERED,
                        f"B holds write {last} of the order, but {place} has {found[place]}: {index} lacks",
                    )

    # What was written to a recovered secondary

    def newer_at_b(self, volume: int) -> tuple[int, bytes]:
        """A track of a recovered volume that no other host uses, and what B's host is to write there."""
        self._newer = (UNUSED_TRACK, f"newer at B, volume {volume:02X}".encode("cp037"))
        return self._newer

    def written_at_b(self, volume: int) -> None:
        """B's host was told that its write is safe."""
        self._kept[volume] = self._newer

    def may_be_overwritten(self, volume: int) -> None:
        """A full copy to the recovered volume is ordered."""
        self._kept.pop(volume, None)

    def look_at_what_is_newer(self) -> None:
        """Is it still there?"""
        system = self._world.b.system
        for volume, (track, data) in self._kept.items() if system is not None else ():
            assert system is not None
            image = system.store.read(volume, track)
            if image is None or data not in image:
                raise Violation(Check.KEPT, f"track {track} of volume {volume:02X} at B was overwritten")

    # At the end

    def all_duplex(self) -> bool:
        """Every pair of the hosts' volumes is duplex."""
        return all(self.duplex_spell(volume) is not None for volume in self._history.volumes)

    def states(self) -> str:
        """Pairs, bridges and paths of both boxes, for a message."""
        if self._world.a.system is None or self._world.b.system is None:
            return "a box is down"
        a = self._world.primary.running.subsystem.remote_copy.core
        b = self._world.secondary.running.subsystem.remote_copy.core
        pairs = [(f"{v:02X}", pair.state.name, pair.out_of_sync_count) for v, pair in sorted(a.primaries.items())]
        bridges = [(number, bridge.worker.state.name) for number, bridge in a.sending.items()]
        paths = [(e.said, e.status.name, e.turned) for paths in a.paths for e in paths.entries]
        return f"pairs {pairs}, bridges {bridges}, paths {paths}, receiving {sorted(b.receiving)}"

    def arrays_equal(self) -> None:
        """Nothing is under way any more: both boxes hold the same, and that is what the hosts wrote."""
        a, b = self._world.primary.running, self._world.secondary.running
        for volume in self._history.volumes:
            for track in range(a.subsystem.remote_copy.core.shape(volume).tracks):
                if a.store.read(volume, track) != b.store.read(volume, track):
                    raise Violation(Check.CONVERGED, f"track {track} of volume {volume:02X} differs")
            for track in self._history.tracks:
                self._need(Check.RECOVERED, a.store, volume, track)
                self._need(Check.MIRRORED, b.store, volume, track)

    # Queues

    def measure_queues(self) -> None:
        """Note how long every queue is; raise when one is too long."""
        for site in (self._world.a, self._world.b):
            if site.system is not None:
                for name, (length, limit) in _queues(site.system).items():
                    self.deepest[name] = max(self.deepest.get(name, 0), length)
                    if length > limit:
                        raise Violation(Check.BOUNDED, f"{name} of {site.name}: {length}, more than {limit}")


def is_long_busy(sense: bytes) -> bool:
    """State change pending, 32 bytes: the host is to wait."""
    return sense[25] == STATE_CHANGE_PENDING and not sense[27] & 0x80


def _queues(system: StorageSystem) -> dict[str, tuple[int, int]]:
    """Length and limit of each queue of a box; of several alike, the longest."""
    core = system.subsystem.remote_copy.core
    links = [link for adapter in system.adapters.by_said.values() for link in adapter.links.values()]
    senders = [bridge.worker.sender for bridge in core.sending.values() if bridge.worker.sender is not None]
    receivers = [bridge.receiver for bridge in core.receiving.values()]
    return {
        "records not confirmed": (max((sender.outstanding for sender in senders), default=0), WINDOW_RECORDS),
        "host updates not sent": (max((len(sender._updates) for sender in senders), default=0), REQUESTS_MAX),
        "status entries": (max((receiver.status.waiting for receiver in receivers), default=0), ENTRIES_MAX),
        "pairs queued": (len(core.queue), len(core.volumes)),
        "exchanges of a link": (max((len(link._channel._waiting) for link in links), default=0), REQUESTS_MAX),
        "frames of a link": (max((len(link._output) for link in links), default=0), OUTPUT_MAX),
        "waiting for durability": (len(system.committer._waiting), DURABLE_WAITERS_MAX),
        "timers": (len(system.timers._heap), TIMERS_MAX),
    }

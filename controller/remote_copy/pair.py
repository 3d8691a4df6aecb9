"""One side of a volume pair: its names, its state, and what the secondary does not have yet.

Bitmaps of a primary, one bit per track (set = the secondary may differ):
    waiting   still to be sent in the running pass, from the snapshot on the bridge volume
    in_flight sent, status not yet returned
    dirty     written by a host since the snapshot of the running pass
out of sync = waiting | in_flight | dirty. The pair may become duplex only when all three are empty.

Host updates under way are in `unconfirmed` instead. When a copy or the mirroring stops, everything under way is given
back to `dirty` and the pair's `generation` goes up: what is later heard of records of an earlier generation counts for
nothing, and the secondary refuses those that come after the copy was started again (`not_before`).

The bitmap survives a restart by the log's own order: the stored pair record holds the bitmap and the array
sequence `epoch` it describes; every track of the volume with a later record is changed as well. A track is
therefore in the recorded bitmap before its write is acknowledged, because the write itself is that record.
While duplex, `epoch` moves on as the secondary confirms; it never passes a write that is not confirmed.
For the epoch of a secondary see `Core.uncertain_epoch`. Its `dirty` holds what it changed as a primary, before the
roles were exchanged (failback), until it is proven equal.

What a resynchronisation might overwrite is told by two fields: a primary's hosts were told of no write behind the array
sequence `alone_since` that the secondary has, and a secondary is `consistent` once its copy has been complete.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from bitarray import bitarray
from bitarray.util import zeros

from ccw import pprc
from controller.remote_copy.states import PairEvent, PairState, next_state


class VolumeName(NamedTuple):
    """Where a volume lives: box identity (12 bytes), SSID, LSS, CCA."""

    identity: bytes
    ssid: int
    lss: int
    cca: int

    @property
    def box(self) -> "BoxName":
        return BoxName(self.identity, self.ssid, self.lss)

    def __str__(self) -> str:
        return f"{self.ssid:04X}.{self.lss:02X}.{self.cca:02X}"


class BoxName(NamedTuple):
    """One control-unit image of one box: identity (12 bytes), SSID, LSS."""

    identity: bytes
    ssid: int
    lss: int

    def volume(self, cca: int) -> VolumeName:
        return VolumeName(self.identity, self.ssid, self.lss, cca)


@dataclass(slots=True)
class Pair:
    """One side of a pair. `volume`: the local unit address; `tracks`, `heads`: the primary's size."""

    pair_id: int
    is_primary: bool
    primary: VolumeName
    secondary: VolumeName
    volume: int
    tracks: int
    heads: int
    state: PairState = PairState.SIMPLEX
    attributes: int = 0  # byte 64 of D7: 80 CRIT, 40 CGROUP, 20 ONLINSEC, 10 RESETRSV, 08 XD
    pace: int = 15
    epoch: int = 0  # array sequence: see the module text
    suspend_tod: int = 0
    snapshot_id: int = 0
    reconcile: bool = False  # primary: ask the secondary what it may hold beyond this; secondary: `epoch` is fixed
    announce: bool = False  # the secondary must hear that it is pending again before the copy goes on
    not_before: int = 0  # secondary: TOD of the order that last made it pending; older records are not for this copy
    update_sequence: int = 0  # of the last update chain, since the secondary was last made pending
    generation: int = 0  # goes up whenever what is under way is given back
    began: int = 0  # array sequence at which this side took its role
    alone_since: int = 0  # primary: writes behind this sequence were acknowledged without the secondary; -1: none are
    consistent: bool = False  # its copy was complete when last heard of, and no later copy has begun
    failed: bool = False  # primary: an error took it out of duplex (CRIT)
    inhibited: bool = False  # primary: suspended with PRIMARY, hosts may not write
    resting: bool = False  # extended distance: nothing to copy until a host writes
    draining: bool = False  # end of a copy: host writes go through at once
    unconfirmed: dict[int, int] = field(default_factory=dict)  # updates under way: array sequence -> track
    waiting: bitarray = field(default_factory=bitarray)
    in_flight: bitarray = field(default_factory=bitarray)
    dirty: bitarray = field(default_factory=bitarray)
    uncertain: bitarray = field(default_factory=bitarray)  # after failover: what the other box may have lost

    def __post_init__(self) -> None:
        for name in ("waiting", "in_flight", "dirty", "uncertain"):
            if len(getattr(self, name)) != self.tracks:
                setattr(self, name, zeros(self.tracks))

    def change(self, event: PairEvent) -> None:
        """Move along the transition table. Raises IllegalTransition."""
        self.state = next_state(self.state, event)
        if self.state is not PairState.DUPLEX_PENDING:
            self.draining = self.resting = False
        if not self.state.suspended:
            self.failed = self.inhibited = False

    @property
    def extended(self) -> bool:
        """Extended distance: hosts never wait for the secondary, and the pair stays pending."""
        return bool(self.attributes & pprc.SecondaryAttribute.EXTENDED_DISTANCE)

    @property
    def written_through(self) -> bool:
        """Host writes wait for the secondary: duplex, or pending in its last pass."""
        return self.state is PairState.DUPLEX or (self.state is PairState.DUPLEX_PENDING and self.draining)

    @property
    def out_of_sync(self) -> bitarray:
        return self.waiting | self.in_flight | self.dirty

    @property
    def out_of_sync_count(self) -> int:
        return int(self.out_of_sync.count())

    def mark_all(self) -> None:
        """A full copy: every track may differ."""
        self.dirty.setall(1)

    def mark(self, tracks: Iterable[int]) -> None:
        for track in tracks:
            if track < self.tracks:
                self.dirty[track] = 1

    def start_pass(self) -> None:
        """A new snapshot was taken: what is dirty is now waiting."""
        self.waiting |= self.dirty
        self.dirty.setall(0)

    def give_back(self) -> None:
        """The copy or the mirroring stopped: what was not confirmed must be sent again, whatever is heard of it."""
        self.generation += 1
        self.mark(self.unconfirmed.values())
        self.unconfirmed.clear()
        self.dirty |= self.waiting
        self.dirty |= self.in_flight
        self.waiting.setall(0)
        self.in_flight.setall(0)

    def sent(self, track: int) -> None:
        self.waiting[track] = 0
        self.in_flight[track] = 1

    def confirmed(self, track: int) -> None:
        self.in_flight[track] = 0

    def superseded(self, track: int) -> None:
        """A host update of this track goes out now; the older image need not be sent any more."""
        self.waiting[track] = 0

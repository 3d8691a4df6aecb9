"""Keeps what was established established: after a restart of either box, or a lost link, nobody has to say it again.

    paths     that went down are established again, all but those whose definition is wrong
    bridges   that were established are set up again (602-614) when two paths are free
    pairs     that a failure has suspended are resynchronised when a bridge to their secondary is ready: what the sides
              may hold otherwise is asked for, marked and copied; duplex is proven, never assumed
    mirrors   of the configuration whose volumes a host has written to are established (`auto_establish`)
Left alone is what somebody has ended: a pair suspended by command to either side, or deleted, a secondary that was
recovered (07), a freeze with its paths and bridges. So are pairs of a consistency group: their secondaries stand at one
point in time, which a resynchronisation gives up; automation decides about that.

A round looks at all of these in this order, as soon as a link comes up or something fails. What could not be done is
tried again after 1, 2, 4 .. 30 s; the count begins anew with each link that comes up, and for a pair with its duplex.
"""

from math import inf

from controller.remote_copy.auto_establish import AutoEstablish
from controller.remote_copy.bridge_setup import set_up_bridge, tell_end
from controller.remote_copy.core import Core, PrimaryBridge
from controller.remote_copy.long_busy import grouped
from controller.remote_copy.pair import BoxName, Pair
from controller.remote_copy.pair_acts import alone
from controller.remote_copy.paths import PathSet, establish_path
from controller.remote_copy.procedure import Procedure, run
from controller.remote_copy.refusal import Refused
from controller.remote_copy.resync import resynchronise
from controller.remote_copy.states import FAILED, BridgeState, PairState, PathStatus

FIRST_DELAY_S, MAX_DELAY_S = 1.0, 30.0
PAUSE_S = 0.25  # between the beginnings of two rounds, whoever asks: what fails at once cannot make it run hot
RETRIED = frozenset(
    {
        PathStatus.INITIALISATION_FAILED,
        PathStatus.TIME_OUT,
        PathStatus.NO_RESOURCES_PRIMARY,
        PathStatus.NO_RESOURCES_SECONDARY,
        PathStatus.SSID_MISMATCH,  # or the I/O that asks for it has failed
        PathStatus.LINK_OFFLINE,
        PathStatus.RETRY_LATER,
        PathStatus.HOST_PATH_PRESENT,  # the other box has not given back a link that it was lent for status
    }
)
DOWN = (BridgeState.DEFINED, BridgeState.FAILED)


class Upkeep:
    """The rounds of one box."""

    def __init__(self, core: Core, auto: AutoEstablish, enabled: bool) -> None:
        """enabled: without it only what a host's write begins (`auto`) is done."""
        self._core = core
        self._auto = auto
        self._enabled = enabled
        self._running = False
        self._again = False  # asked for in the middle of a round
        self._due = inf
        self._began = -inf
        self._delay = FIRST_DELAY_S
        self._pairs: dict[int, tuple[float, float]] = {}  # volume: when to try it next, how long to wait after that

    def link_gained(self) -> None:
        """A link came up: what had to wait for it is tried at once, and again shortly after."""
        self._delay = FIRST_DELAY_S
        self.soon()

    def soon(self) -> None:
        """Something has failed that was there, or is wanted anew: look at once."""
        self._look_at(self._core.around.clock.now())

    def later(self) -> None:
        """Something that was ordered could not be done: look after a while."""
        self._look_at(self._core.around.clock.now() + self._delay)

    def _look_at(self, when: float) -> None:
        when = max(when, self._began + PAUSE_S)
        if when < self._due:
            self._due = when
            self._core.around.timers.call_at(when, lambda: self._look(when))

    def _look(self, when: float) -> None:
        if when != self._due:
            return  # an earlier look has taken its place
        self._due = inf
        if self._running:
            self._again = True
            return
        self._running, self._again, self._began = True, False, when
        run(self._round(), self._ended)

    def _ended(self, left: bool | Refused) -> None:
        """A round is over. `left`: there is something that could not be done."""
        self._running = False
        now = self._core.around.clock.now()
        if self._again:
            self._look_at(now)
        if left:
            self._look_at(now + self._delay)
            self._delay = min(2 * self._delay, MAX_DELAY_S)
        else:
            self._delay = FIRST_DELAY_S

    def _round(self) -> Procedure[bool]:
        """Do what can be done; is something left?"""
        left = False
        if self._enabled:
            for paths in list(self._core.paths):
                left |= yield from self._paths(paths)
            for bridge in list(self._core.sending.values()):
                left |= yield from self._bridge(bridge)
        left |= yield from self._auto.work()
        if self._enabled:
            for pair in list(self._core.primaries.values()):
                left |= yield from self._pair(pair)
        return left

    def _paths(self, paths: PathSet) -> Procedure[bool]:
        core = self._core
        for entry in list(paths.entries):
            if entry.status in RETRIED and not entry.turned and core.paths.get(paths.box) is paths:
                yield from establish_path(core.around, core.own, paths.box, entry)
                if entry.good:
                    core.around.log(None, "path established again", {"said": f"{entry.said:04X}"})
                    core.work()
        return any(entry.status in RETRIED for entry in paths.entries)

    def _bridge(self, bridge: PrimaryBridge) -> Procedure[bool]:
        core, box = self._core, bridge.box
        if box is None or box in core.frozen or bridge.worker.state not in DOWN:
            return False
        try:
            paths = core.paths.get(box)
            if paths is not None and any(entry.status is PathStatus.HOST_PATH_PRESENT for entry in paths.entries):
                bridge.end_unheard = True  # the other box holds a link as if the bridge lived
            if bridge.wanted:
                yield from set_up_bridge(core, bridge, box, bridge.secondary_volume)
            elif bridge.end_unheard:
                yield from tell_end(core, bridge, core.control_path(box))
        except Refused as refused:
            core.around.log(None, "bridge not established yet", {"bridge": bridge.number, "why": str(refused)})
            return True
        return False

    def _pair(self, pair: Pair) -> Procedure[bool]:
        core, now = self._core, self._core.around.clock.now()
        if not self._may_resynchronise(pair):
            if pair.state is PairState.DUPLEX:
                self._pairs.pop(pair.volume, None)
            return False
        when, delay = self._pairs.get(pair.volume, (now, FIRST_DELAY_S))
        if not self._ready(pair.secondary.box) or now < when:
            return True
        self._pairs[pair.volume] = (now + delay, min(2 * delay, MAX_DELAY_S))
        try:
            yield from alone(core, pair.volume, resynchronise(core, pair))
        except Refused as refused:
            core.around.log(None, "not resynchronised yet", {"pair": pair.pair_id, "why": str(refused)})
            return True
        return False

    def _may_resynchronise(self, pair: Pair) -> bool:
        core = self._core
        here = core.primaries.get(pair.volume) is pair and pair.volume not in core.busy
        return here and pair.state in FAILED and pair.secondary.box not in core.frozen and not grouped(core, pair)

    def _ready(self, box: BoxName) -> bool:
        """Is there something that can copy to the box?"""
        paths = self._core.paths.get(box)
        if self._core.conventional is not None:
            return paths is not None and bool(paths.good())
        return any(bridge.box == box and bridge.worker.sender is not None for bridge in self._core.sending.values())

"""Extended long busy: the hosts of a primary are told to wait, until a time or until somebody lets them go on.

They get state change pending (32-byte sense) and queue; attention (85) to all of them ends it. The time it ends, by the
TOD clock, is in the array's log, so that a restart in between holds them off again.
Source: pprc-commands 5.2, 6.3; that a restart keeps it: project-defined.
"""

from collections.abc import Callable
from math import inf

from ccw import pprc
from controller.remote_copy.core import Core
from controller.remote_copy.pair import Pair
from controller.remote_copy.paths import DEFAULT_ELB_S, MAX_ELB_S
from controller.remote_copy.ports import ArrayFault

TOD_UNITS_PER_S = 1_000_000 << 12  # bit 51 of the TOD clock is a microsecond


def begin_long_busy(core: Core, volume: int, seconds: float) -> None:
    """Hosts of a primary are told to wait for so long, from now; one under way is replaced. Never raises."""
    clock = core.around.clock
    ends = clock.now() + seconds
    core.long_busy[volume] = ends
    _record(core, lambda: core.records.store_long_busy(volume, clock.tod() + int(seconds * TOD_UNITS_PER_S)))
    core.around.hold_hosts(volume, True)
    core.around.timers.call_at(ends, lambda: _time_is_up(core, volume, ends))


def begin_quiesce(core: Core, volume: int) -> None:
    """Hosts of a primary are told to wait until somebody lets them go on, or a restart. Never raises."""
    core.long_busy[volume] = inf
    _record(core, lambda: core.records.store_long_busy(volume, 0))
    core.around.hold_hosts(volume, True)


def end_quiesce(core: Core, volume: int) -> None:
    """Hosts that a quiesce holds may go on; a long busy that has an end stays."""
    if core.long_busy.get(volume) == inf:
        end_long_busy(core, volume, "quiesce is over")


def end_long_busy(core: Core, volume: int, why: str) -> None:
    """Hosts may go on: attention (85) to all of them. No long busy: nothing happens. Never raises."""
    if core.long_busy.pop(volume, None) is None:
        return
    _record(core, lambda: core.records.store_long_busy(volume, 0))
    core.around.log(None, "extended long busy has ended", {"volume": f"{volume:02X}", "why": why})
    core.around.hold_hosts(volume, False)


def _time_is_up(core: Core, volume: int, ends: float) -> None:
    if core.long_busy.get(volume) == ends:
        end_long_busy(core, volume, "its time is up")


def write_failed(core: Core, pair: Pair) -> None:
    """A write to a duplex pair reached no secondary: hold its hosts off if its paths want that. Never raises."""
    if grouped(core, pair):
        begin_long_busy(core, pair.volume, default_seconds(core, pair))


def grouped(core: Core, pair: Pair) -> bool:
    """CGROUP(YES), as the paths say; where there are none, as they said when the pair was established."""
    paths = core.paths.get(pair.secondary.box)
    if paths is not None:
        return paths.cgroup
    return bool(pair.attributes & pprc.SecondaryAttribute.CONSISTENCY_GROUP)


def default_seconds(core: Core, pair: Pair) -> int:
    """How long, when the order does not say: as Establish Path said."""
    paths = core.paths.get(pair.secondary.box)
    return paths.elb_seconds if paths is not None else DEFAULT_ELB_S


def restore(core: Core) -> None:
    """After a start: a long busy lasts until its time, but no longer than one may, should the clock have jumped."""
    for volume, ends in core.records.long_busy().items():
        left = (ends - core.around.clock.tod()) / TOD_UNITS_PER_S
        if left > 0 and volume in core.primaries:
            begin_long_busy(core, volume, min(left, MAX_ELB_S))
        else:
            core.records.store_long_busy(volume, 0)


def _record(core: Core, write: Callable[[], None]) -> None:
    """Write a record if the array takes it; without it a restart does not know of the wait."""
    try:
        write()
    except ArrayFault as fault:
        core.around.log(None, "the record of a long busy was not written", {"why": str(fault)})

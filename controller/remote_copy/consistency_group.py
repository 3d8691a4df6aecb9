"""Consistency groups: extended long busy, FREEZE and RUN (D6), so that all secondaries stop at one point in time.

A host issues a dependent write only after device end of the write before it. A duplex pair whose paths were made with
CGROUP(YES), and whose write fails, therefore holds its hosts off (extended long busy) until automation has frozen every
control-unit image, and then has run them: no write that a secondary lacks is followed by one that another has.

    FREEZE    all pairs with one control-unit image of another box are suspended (0A), the paths there are removed;
              the secondaries are not told. With CGROUP(YES) hosts of the primaries get long busy
    RUN       the long busy ends, the pairs stay suspended; CRIT is off from then on
    the timer ends the long busy alone: the freeze is in effect until RUN

A freeze, and the time a long busy ends (by the TOD clock), are in the array's log: a restart in between holds the hosts
off again.
Source: pprc-commands 2.5, 2.9, 4.9, 5.2; that a freeze outlives its long busy, and restarts: project-defined.
"""

from functools import partial

from ccw import pprc
from controller.remote_copy.checks import check_boxes, secondary_box
from controller.remote_copy.core import Core
from controller.remote_copy.long_busy import begin_long_busy, default_seconds, end_long_busy, grouped
from controller.remote_copy.pair import BoxName, Pair
from controller.remote_copy.pair_acts import alone, leave_queue
from controller.remote_copy.paths import MAX_ELB_S, PathEntry, PathSet, remove_path
from controller.remote_copy.ports import ArrayFault
from controller.remote_copy.procedure import Procedure, Reply, run
from controller.remote_copy.refusal import bad_parameter, reject
from controller.remote_copy.states import PairEvent, PathStatus, Reason

FREEZE, RUN = 1, 2
GIVING_UP_S = 5.0  # a host waits for so long at most until no path is left
TURN_BACK_TRIES, TURN_BACK_EVERY_S = 5, 1.0


def consistency_group(core: Core, order: pprc.ConsistencyGroup) -> Procedure[None]:
    """D6 from a host, sent to any device of the primary's control-unit image. Raises Refused."""
    header = order.header
    check_boxes(header, core.own, own_is_primary=True)
    if header.primary_cca or header.secondary_cca:
        raise reject(Reason.NOT_THE_ONE_NAMED)
    if order.elb_seconds > MAX_ELB_S:
        raise bad_parameter(40)
    box = secondary_box(header)
    return _freeze(core, box, order.elb_seconds) if header.selector == FREEZE else _run(core, box)


def _freeze(core: Core, box: BoxName, seconds: int) -> Procedure[None]:
    """Ends when it is durable and no path is used. The pairs are suspended, and hosts are held, before it first waits.

    An order for a pair that is under way finds its path gone then; what it made of the pair by then is suspended too.
    """
    if not _pairs_with(core, box):
        return
    paths = core.paths.get(box)
    core.frozen.add(box)
    core.records.store_frozen(box, True)
    for pair in _pairs_with(core, box):
        core.queue.remove(pair)
        if grouped(core, pair):
            begin_long_busy(core, pair.volume, seconds or default_seconds(core, pair))
    _suspend_all(core, box)
    if paths is not None:
        yield partial(_give_up_paths, core, paths)
    _suspend_all(core, box)
    yield from core.hardened()


def _pairs_with(core: Core, box: BoxName) -> list[Pair]:
    return [pair for pair in core.primaries.values() if pair.secondary.box == box]


def _suspend_all(core: Core, box: BoxName) -> None:
    for pair in _pairs_with(core, box):
        if pair.state.suspended:
            continue
        leave_queue(core, pair)
        try:
            core.change(pair, PairEvent.FREEZE, "frozen by command")
        except ArrayFault as fault:
            core.around.log(None, "the suspension was not written", {"pair": pair.pair_id, "why": str(fault)})


def _give_up_paths(core: Core, paths: PathSet, reply: Reply) -> None:
    """Reply when no path is left, or after GIVING_UP_S, when none is used any more.

    An order that is stuck on a dead line keeps the paths for up to a minute. Automation does not wait for that: it has
    other images to freeze before the long busy of this one is over. They go when the order does, and until then no
    order for paths to this box is carried out.
    """
    box = paths.box
    gone = False

    def ended(_: object) -> None:
        nonlocal gone
        gone = True
        if box in core.frozen:
            _suspend_all(core, box)
        reply(None)

    def late() -> None:
        if not gone:
            _use_no_more(paths)
            reply(None)

    core.around.timers.call_at(core.around.clock.now() + GIVING_UP_S, late)
    removal = _remove_paths(core, paths)
    run(removal if box in core.busy else alone(core, box, removal), ended)


def _use_no_more(paths: PathSet) -> None:
    for entry in paths.entries:
        entry.status = PathStatus.NONE
        entry.turned = False


def _remove_paths(core: Core, paths: PathSet) -> Procedure[None]:
    """Give up the bridges that live on the paths, then the paths. The set stays, so that queries show the freeze.

    None of them comes back by itself.
    """
    core.records.forget_paths(paths.box)
    for bridge in core.sending.values():
        if bridge.box == paths.box:
            bridge.wanted = False
            core.records.store_bridge_pair(bridge.number, None)
    good = [entry for entry in paths.entries if entry.good]
    turned = [entry for entry in paths.entries if entry.turned]
    for bridge in core.sending.values():
        if bridge.box == paths.box and bridge.worker.sender is not None:
            bridge.worker.sender.fail("freeze")
    peer = core.peer(paths.box)
    yield peer.wait_turn  # what is under way to the other box, the end of the bridges too, has been answered then
    peer.end_turn()
    for entry in paths.entries:
        if entry.good or entry in good:
            yield from remove_path(core.around, entry)
    _use_no_more(paths)
    for entry in turned:
        yield from _turned_back(core, entry)


def _turned_back(core: Core, entry: PathEntry) -> Procedure[None]:
    """Wait a moment for the other box to remove its own path on a link that had been turned."""
    clock, timers = core.around.clock, core.around.timers
    for _ in range(TURN_BACK_TRIES):
        port = core.around.links.get(entry.said)
        if port is None or port.link is None or not port.has_host_paths:
            return
        yield lambda reply: timers.call_at(clock.now() + TURN_BACK_EVERY_S, lambda: reply(None))


def _run(core: Core, box: BoxName) -> Procedure[None]:
    if box not in core.frozen:
        raise reject(Reason.RUN_WITHOUT_FREEZE)
    core.frozen.discard(box)
    core.records.store_frozen(box, False)
    for pair in _pairs_with(core, box):
        pair.attributes &= ~int(pprc.SecondaryAttribute.CRITICAL)
        core.store(pair)
        end_long_busy(core, pair.volume, "run")
    yield from core.hardened()

"""Suspend Pair (D4): copying stops, the primary records what changes. A host sends it to either side.

    to the primary      03, and the secondary is told (05). PRIMARY: hosts may not write meanwhile. QUIESCE: they wait,
                        with state change pending, until another suspend, a delete or a restart lets them go on
    to the secondary    04; the primary hears of it with its next record, and shows 04 then
Source: pprc-commands 2.4, 2.9, 4.7, 7.3.
"""

from ccw import pprc
from controller.remote_copy.checks import check_boxes, primary_box, secondary_box
from controller.remote_copy.core import Core
from controller.remote_copy.long_busy import begin_quiesce, end_quiesce
from controller.remote_copy.pair_acts import leave_queue, need_named, need_primary, set_secondary
from controller.remote_copy.procedure import Procedure
from controller.remote_copy.refusal import Refused, bad_parameter, reject
from controller.remote_copy.states import PairEvent, PairState, Reason

BOTH = pprc.SuspendFlag.PRIMARY | pprc.SuspendFlag.QUIESCE


def suspend_pair(core: Core, order: pprc.SuspendPair, volume: int, *, by_host: bool = True) -> Procedure[None]:
    """D4. Ends when the state is durable here. Only another controller may give a reason and a time. Raises Refused."""
    if order.header.flags & BOTH == BOTH:
        raise bad_parameter(1)
    if by_host and (order.reason or order.tod):
        raise bad_parameter(40 if order.reason else 44)
    if secondary_box(order.header) == core.own != primary_box(order.header):
        return _suspend_secondary(core, order, volume)
    return _suspend_primary(core, order, volume)


def _suspend_primary(core: Core, order: pprc.SuspendPair, volume: int) -> Procedure[None]:
    check_boxes(order.header, core.own, own_is_primary=True)
    need_named(order.header, volume)
    pair = need_primary(core, volume, order.pair_id)
    flags = order.header.flags
    before = pair.state
    if not before.suspended:
        leave_queue(core, pair)
        core.change(pair, PairEvent.SUSPEND_AT_PRIMARY, "suspended by command to the primary")
    inhibited = bool(flags & pprc.SuspendFlag.PRIMARY)
    if inhibited != pair.inhibited:
        pair.inhibited = inhibited
        core.store(pair)
    if flags & pprc.SuspendFlag.QUIESCE:
        begin_quiesce(core, volume)
    else:
        end_quiesce(core, volume)
    yield from core.hardened()
    if before.suspended:
        return
    try:
        yield from set_secondary(core, pair, PairState.SUSPENDED_BY_PRIMARY_CONTROL)
    except Refused as refused:
        core.around.log(None, "the secondary was not told of the suspension", {"why": str(refused)})


def _suspend_secondary(core: Core, order: pprc.SuspendPair, volume: int) -> Procedure[None]:
    header = order.header
    if header.secondary_cca != volume or header.flags:
        raise reject(Reason.NOT_THE_ONE_NAMED)
    pair = core.secondaries.get(volume)
    if pair is None:
        raise reject(Reason.NOT_IN_PAIR)
    if primary_box(header).volume(header.primary_cca) != pair.primary or order.pair_id not in (0, pair.pair_id):
        raise reject(Reason.NOT_THE_ONE_NAMED, pair_id=pair.pair_id)
    if not pair.state.suspended:
        pair.suspend_tod = order.tod or core.around.clock.tod()
    pair.state = PairState.SUSPENDED_SECONDARY_COMMAND
    core.store(pair)
    fields = {"pair": pair.pair_id, "volume": f"{volume:02X}"}
    core.around.log(None, "suspended by command to the secondary", fields)
    yield from core.hardened()

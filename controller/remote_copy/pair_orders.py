"""Establish and delete a pair (D2, D3), sent by a host to the box that owns the primary.

Each is a procedure (see `procedure`): it ends when the function named for the order is complete, or raises Refused.
Source: pprc-commands 2.3, 2.4, 2.9, 4.5, 4.6.
"""

from dataclasses import replace

from ccw import pprc
from controller.remote_copy import orders
from controller.remote_copy.bridge_setup import establish_bridge
from controller.remote_copy.checks import check_boxes, secondary_box
from controller.remote_copy.core import Core
from controller.remote_copy.failover import FAILBACK, FAILOVER, NO_ACTION, fail_back, fail_over
from controller.remote_copy.long_busy import end_long_busy
from controller.remote_copy.pair import Pair, VolumeName
from controller.remote_copy.pair_acts import (
    alone,
    attributes_of,
    enqueue,
    go_to_sync,
    leave_queue,
    may_copy,
    need_named,
    need_primary,
    reconcile,
    set_secondary,
    tell_secondary,
)
from controller.remote_copy.procedure import Procedure
from controller.remote_copy.refusal import Refused, bad_parameter, reject
from controller.remote_copy.states import MAX_BRIDGES, IllegalTransition, PairEvent, PairState, Reason, next_state

COPY, NOCOPY, RESYNC = 0, 1, 2
SYNCHRONOUS, EXTENDED = 0, 1
DEFAULT_PACE = 15


def establish_pair(core: Core, order: pprc.EstablishPair, volume: int) -> Procedure[None]:
    """D2 from a host: a volume pair, or the pair that makes a bridge (step 602)."""
    header = order.header
    check_boxes(header, core.own, own_is_primary=True)
    if header.primary_cca != volume:
        raise reject(Reason.NOT_THE_ONE_NAMED)
    _check_pair_bytes(order)
    if order.bridge_role == orders.DATA_BRIDGE:
        yield from establish_bridge(core, order, volume)
        return
    if order.bridge_role == orders.STATUS_BRIDGE:
        raise reject(Reason.BRIDGE_VOLUME)  # between controllers only
    if volume in core.roles:
        raise reject(Reason.BRIDGE_VOLUME)
    acts = {NO_ACTION: _establish_volume, FAILOVER: fail_over, FAILBACK: fail_back}
    pair = yield from alone(core, volume, acts[order.action](core, order, volume))
    if header.flags & pprc.PairFlag.MESSAGE_REQUIRED and pair.state is PairState.DUPLEX_PENDING and not pair.extended:
        waiters = core.duplex_waiters.setdefault(pair.pair_id, [])
        if not (yield waiters.append):
            raise reject(Reason.STATE, pair_id=pair.pair_id)


def _check_pair_bytes(order: pprc.EstablishPair) -> None:
    """Values that this box does not know, lowest offset first."""
    flags = order.header.flags
    cascade = flags & pprc.PairFlag.CASCADE
    if cascade and (flags & pprc.PairFlag.CRITICAL or order.pace or order.action or order.bridge_role):
        raise bad_parameter(1)
    if flags & pprc.PairFlag.FORCE and not order.action:
        raise bad_parameter(1)
    autoresync = pprc.ResyncControl.AUTORESYNC if order.option == EXTENDED else 0  # pairs come back by themselves
    for pointer, wrong in (
        (40, order.mode > RESYNC),
        (41, order.option > EXTENDED or (cascade and order.option != EXTENDED)),
        (42, order.action > FAILBACK),
        (44, order.bridge_role > orders.STATUS_BRIDGE),
        (45, (order.bridge_number != 0) != (order.bridge_role != 0) or order.bridge_number > MAX_BRIDGES),
        (46, order.resync_control != (order.resync_control & autoresync)),
    ):
        if wrong:
            raise bad_parameter(pointer)


def _establish_volume(core: Core, order: pprc.EstablishPair, volume: int) -> Procedure[Pair]:
    secondary = secondary_box(order.header).volume(order.header.secondary_cca)
    if volume in core.secondaries and not order.header.flags & pprc.PairFlag.CASCADE:
        raise reject(Reason.ALREADY_SECONDARY)
    pair = core.primaries.get(volume)
    if pair is not None and pair.secondary != secondary:
        raise reject(Reason.ALREADY_PRIMARY)
    event = _event_of(order, pair)
    try:
        target = next_state(pair.state if pair is not None else PairState.SIMPLEX, event)
    except IllegalTransition as illegal:
        raise reject(illegal.reason) from illegal
    if pair is not None and pair.state is PairState.DUPLEX:
        return pair  # RESYNC of a duplex pair: no action
    if pair is not None and event is PairEvent.GO_TO_SYNC:
        return (yield from go_to_sync(core, pair))
    may_copy(core, secondary)
    entry = core.control_path(secondary.box)
    again = pair is not None and order.mode == COPY
    pair = pair or _new_pair(core, order, volume, secondary)
    pair.attributes, pair.pace = attributes_of(core, order), order.pace or DEFAULT_PACE
    # A full copy of a suspended pair is a new pair: the other box takes up no pair that has ended there.
    pair_id = core.records.next_pair_id() if again else pair.pair_id
    yield from tell_secondary(core, replace(pair, pair_id=pair_id), target, entry)
    core.primaries[volume] = pair
    pair.pair_id = pair_id
    pair.announce = False
    if target is PairState.DUPLEX_PENDING:
        if order.mode == COPY:
            pair.mark_all()
            pair.reconcile = False  # everything is sent anyway
        elif pair.reconcile:
            yield from reconcile(core, pair, entry)
    core.change(pair, event, "established")
    core.records.store_left_alone(volume, False)
    if target is PairState.DUPLEX_PENDING:
        enqueue(core, pair)
    yield from core.hardened()
    return pair


def _event_of(order: pprc.EstablishPair, pair: Pair | None) -> PairEvent:
    """What the order means to the pair that there is."""
    if order.option == EXTENDED:
        if order.mode == RESYNC:
            return PairEvent.RESYNC_XD
        return PairEvent.ESTABLISH_NOCOPY if order.mode == NOCOPY and pair is not None else PairEvent.ESTABLISH_XD
    if pair is not None and pair.extended and pair.state is PairState.DUPLEX_PENDING and order.mode != NOCOPY:
        return PairEvent.GO_TO_SYNC
    return {COPY: PairEvent.ESTABLISH_COPY, NOCOPY: PairEvent.ESTABLISH_NOCOPY, RESYNC: PairEvent.RESYNC}[order.mode]


def _new_pair(core: Core, order: pprc.EstablishPair, volume: int, secondary: VolumeName) -> Pair:
    shape = core.shape(volume)
    return Pair(
        pair_id=core.records.next_pair_id(),
        is_primary=True,
        primary=core.name(volume),
        secondary=secondary,
        volume=volume,
        tracks=shape.tracks,
        heads=shape.heads,
        attributes=attributes_of(core, order),
        pace=order.pace or DEFAULT_PACE,
        began=core.around.array.appended,
        consistent=True,
    )


def delete_pair(core: Core, order: pprc.DeletePair, volume: int) -> Procedure[None]:
    """D3: both sides to simplex."""
    check_boxes(order.header, core.own, own_is_primary=True)
    need_named(order.header, volume)
    pair = need_primary(core, volume, order.pair_id)
    try:
        yield from set_secondary(core, pair, PairState.SIMPLEX)
    except Refused as refused:
        if not order.header.flags & pprc.DeleteFlag.UNCONDITIONAL:
            blocked = refused.refusal.reason in (Reason.NO_PATH_SET, Reason.NO_WORKING_PATH, Reason.PEER_TIME_OUT)
            raise (reject(Reason.PATHS_BLOCKED, pair_id=pair.pair_id) if blocked else refused) from refused
    leave_queue(core, pair)
    core.change(pair, PairEvent.DELETE, "deleted by command")
    core.records.store_left_alone(volume, True)
    end_long_busy(core, volume, "the pair was deleted")
    yield from core.hardened()

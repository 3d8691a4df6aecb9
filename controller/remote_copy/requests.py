"""The orders a host sends to the box that owns the primary: D0-D4 and D8, and what they do.

Each is a procedure (see `procedure`): it ends when the function named for the order is complete, or raises Refused.
Source: pprc-commands 2.2-2.4, 2.9, 4.3-4.7, 4.11.
"""

from collections.abc import Callable

from bitarray.util import ones

from ccw import pprc
from ccw.pprc_query import BITMAP_TRACKS_MAX
from controller.remote_copy import orders, queries
from controller.remote_copy.bridge_setup import establish_bridge
from controller.remote_copy.checks import check_boxes, secondary_box
from controller.remote_copy.core import Core, PrimaryBridge
from controller.remote_copy.long_busy import end_long_busy
from controller.remote_copy.pair import Pair, VolumeName
from controller.remote_copy.paths import (
    DEFAULT_ELB_S,
    MAX_ELB_S,
    MAX_PATHS,
    MAX_SECONDARIES,
    PathEntry,
    PathSet,
    establish_path,
    remove_path,
)
from controller.remote_copy.procedure import Procedure, Result
from controller.remote_copy.refusal import Refused, bad_parameter, reject
from controller.remote_copy.states import (
    BridgeRole,
    BridgeState,
    IllegalTransition,
    PairEvent,
    PairState,
    Reason,
    next_state,
)
from controller.remote_copy.sync_queue import QueueFull

COPY, NOCOPY, RESYNC = 0, 1, 2
DEFAULT_PACE = 15
MAX_BRIDGES = 8
NewBridge = Callable[[int, int, int], PrimaryBridge]  # (number, data volume, status volume)


def establish_paths(core: Core, order: pprc.EstablishPath) -> Procedure[None]:
    """D0 from a host: replace (or add to) the set of paths to one control-unit image."""
    check_boxes(order.header, core.own, own_is_primary=True)
    if order.link_type != orders.LINK_ESCON:
        raise bad_parameter(40)
    if not 1 <= order.path_count <= MAX_PATHS:
        raise reject(Reason.PATH_COUNT)
    if order.purpose > 2:
        raise bad_parameter(42)
    if (order.bridge_number != 0) != (order.purpose != 0) or order.bridge_number > MAX_BRIDGES:
        raise bad_parameter(43)
    if order.elb_seconds > MAX_ELB_S:
        raise bad_parameter(44)
    box = secondary_box(order.header)
    old = core.paths.get(box)
    adding = order.header.selector == 1 and old is not None
    if (
        adding
        and old is not None
        and any(entry.purpose and entry.said in {d.said for d in order.paths} for entry in old.entries)
    ):
        raise reject(Reason.PATHS_IN_USE)
    if old is None and len(core.paths.sets) >= MAX_SECONDARIES:
        raise reject(Reason.PATH_COUNT)
    if old is not None and not adding:
        yield from _give_up(core, old, order)
    new = [
        PathEntry(
            wanted.said,
            wanted.link_address,
            wanted.cu_image,
            wanted.secondary_port,
            purpose=order.purpose,
            bridge=order.bridge_number,
        )
        for wanted in order.paths
    ]
    paths = old if adding and old is not None else PathSet(box)
    paths.cgroup = bool(order.header.flags & pprc.PathFlag.CONSISTENCY_GROUP)
    paths.elb_seconds = order.elb_seconds or DEFAULT_ELB_S
    kept = [entry for entry in paths.entries if entry.said not in {e.said for e in new}]
    paths.entries = kept + new
    core.paths.sets[box] = paths
    for entry in new:
        yield from establish_path(core.around, core.own, box, entry)
        core.around.log(None, "path", {"said": f"{entry.said:04X}", "status": f"{entry.status:02X}"})
    if not paths.good():
        status = paths.entries[-1].status
        if not _pairs_with(core, paths):
            del core.paths.sets[box]
        raise reject(Reason.NO_WORKING_PATH, path_status=int(status))


def _give_up(core: Core, old: PathSet, order: pprc.EstablishPath) -> Procedure[None]:
    """The set is replaced: bridges that live on it must be down."""
    for bridge in core.sending.values():
        if bridge.box == old.box and bridge.worker.state not in (BridgeState.DEFINED, BridgeState.FAILED):
            raise reject(Reason.PATHS_IN_USE)
    wanted = {descriptor.said for descriptor in order.paths}
    for entry in old.good():
        if entry.said not in wanted:
            yield from remove_path(core.around, entry)


def _pairs_with(core: Core, paths: PathSet) -> list[Pair]:
    return [pair for pair in core.primaries.values() if pair.secondary.box == paths.box]


def delete_paths(core: Core, order: pprc.DeletePath) -> Procedure[None]:
    """D1: all paths of a set, or the listed ones. Live pairs never lose their last path this way."""
    check_boxes(order.header, core.own, own_is_primary=True)
    paths = core.paths.get(secondary_box(order.header))
    if paths is None:
        raise reject(Reason.NO_PATH_SET)
    listed = {descriptor.said for descriptor in order.paths}
    going = [e for e in paths.entries if order.header.selector == 0 or e.said in listed]
    staying = [e for e in paths.good() if e not in going]
    in_use = any(entry.purpose for entry in going)
    if in_use or (_pairs_with(core, paths) and not staying):
        raise reject(Reason.PATHS_IN_USE)
    for entry in going:
        yield from remove_path(core.around, entry)
        paths.entries.remove(entry)
    if not paths.entries:
        del core.paths.sets[paths.box]


def define_bridge(core: Core, order: pprc.DefineBridgeVolume, volume: int, new_bridge: NewBridge) -> Procedure[None]:
    """D8 (step 600): give a volume its role in a bridge, or take it away."""
    header = order.header
    if (header.primary_identity, header.primary_ssid, header.primary_lss) != core.own:
        raise reject(Reason.IDENTITY)
    if header.primary_cca != volume:
        raise reject(Reason.NOT_THE_ONE_NAMED)
    if order.role > BridgeRole.SECONDARY_STATUS:
        raise bad_parameter(40)
    if not 1 <= order.bridge_number <= MAX_BRIDGES:
        raise reject(Reason.BRIDGE_NUMBER)
    role, number = BridgeRole(order.role), order.bridge_number
    if role is BridgeRole.UNDEFINED:
        _undefine(core, volume)
    else:
        holder = core.volume_with_role(role, number)
        if holder not in (None, volume):
            raise reject(Reason.BRIDGE_NUMBER)
        if core.roles.get(volume, (role, number)) != (role, number):
            raise reject(Reason.STATE)
        if volume in core.primaries or volume in core.secondaries:
            raise reject(Reason.STATE)
        core.roles[volume] = (role, number)
    core.records.store_bridge(volume, role, number)
    core.around.log(600, "bridge volume defined", {"bridge": number, "role": role.name, "volume": f"{volume:02X}"})
    link_bridge_volumes(core, number, new_bridge)
    yield from core.hardened()


def _undefine(core: Core, volume: int) -> None:
    role, number = core.roles.get(volume, (BridgeRole.UNDEFINED, 0))
    bridge = core.sending.get(number)
    if role in (BridgeRole.PRIMARY_DATA, BridgeRole.SECONDARY_STATUS) and bridge is not None:
        if bridge.worker.state not in (BridgeState.DEFINED, BridgeState.FAILED):
            raise reject(Reason.STATE)
        del core.sending[number]
    if role in (BridgeRole.SECONDARY_DATA, BridgeRole.PRIMARY_STATUS) and number in core.receiving:
        raise reject(Reason.STATE)
    core.roles.pop(volume, None)


def link_bridge_volumes(core: Core, number: int, new_bridge: NewBridge) -> None:
    """Once both volumes of a sending bridge are defined, it exists."""
    data = core.volume_with_role(BridgeRole.PRIMARY_DATA, number)
    status = core.volume_with_role(BridgeRole.SECONDARY_STATUS, number)
    if data is not None and status is not None and number not in core.sending:
        core.sending[number] = new_bridge(number, data, status)


# Pairs


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
    if volume in core.secondaries:
        raise reject(Reason.ALREADY_SECONDARY)
    pair = yield from alone(core, volume, _establish_volume(core, order, volume))
    if header.flags & pprc.PairFlag.MESSAGE_REQUIRED and pair.state is PairState.DUPLEX_PENDING:
        waiters = core.duplex_waiters.setdefault(pair.pair_id, [])
        if not (yield waiters.append):
            raise reject(Reason.STATE, pair_id=pair.pair_id)


def alone(core: Core, volume: int, procedure: Procedure[Result]) -> Procedure[Result]:
    """Carry out an order for a volume unless another one is being carried out for it. Raises Refused (45)."""
    if volume in core.busy:
        raise reject(Reason.STATE)
    core.busy.add(volume)
    try:
        return (yield from procedure)
    finally:
        core.busy.discard(volume)


def _check_pair_bytes(order: pprc.EstablishPair) -> None:
    """Values that this box does not know, lowest offset first."""
    if order.header.flags & (pprc.PairFlag.FORCE | pprc.PairFlag.CASCADE):
        raise bad_parameter(1)
    for pointer, wrong in (
        (40, order.mode > RESYNC),
        (41, order.option != 0),
        (42, order.action != 0),
        (44, order.bridge_role > orders.STATUS_BRIDGE),
        (45, (order.bridge_number != 0) != (order.bridge_role != 0) or order.bridge_number > MAX_BRIDGES),
        (46, order.resync_control != 0),
    ):
        if wrong:
            raise bad_parameter(pointer)


def _establish_volume(core: Core, order: pprc.EstablishPair, volume: int) -> Procedure[Pair]:
    secondary = secondary_box(order.header).volume(order.header.secondary_cca)
    pair = core.primaries.get(volume)
    if pair is not None and pair.secondary != secondary:
        raise reject(Reason.ALREADY_PRIMARY)
    event = {COPY: PairEvent.ESTABLISH_COPY, NOCOPY: PairEvent.ESTABLISH_NOCOPY, RESYNC: PairEvent.RESYNC}[order.mode]
    try:
        target = next_state(pair.state if pair is not None else PairState.SIMPLEX, event)
    except IllegalTransition as illegal:
        raise reject(Reason.NOT_IN_PAIR if pair is None else Reason.STATE) from illegal
    if pair is not None and pair.state is PairState.DUPLEX:
        return pair  # RESYNC of a duplex pair: no action
    if len(core.queue) >= core.queue.limit:
        raise reject(Reason.QUEUE_FULL)
    if secondary.box in core.frozen:
        raise reject(Reason.FREEZE)  # before the paths are looked at: a freeze is why there are none
    entry = core.control_path(secondary.box)
    if pair is None:
        pair = _new_pair(core, order, volume, secondary)
    yield from core.send(entry, secondary.cca, _status_of(core, pair, target), secondary.box)
    core.primaries[volume] = pair
    pair.announce = False
    if target is PairState.DUPLEX_PENDING:
        if event is PairEvent.ESTABLISH_COPY:
            pair.mark_all()
            pair.reconcile = False  # everything is sent anyway
        elif pair.reconcile:
            yield from reconcile(core, pair, entry)
    core.change(pair, event, "established")
    if target is PairState.DUPLEX_PENDING:
        enqueue(core, pair)
    yield from core.hardened()
    return pair


def _new_pair(core: Core, order: pprc.EstablishPair, volume: int, secondary: VolumeName) -> Pair:
    shape = core.shape(volume)
    paths = core.paths.get(secondary.box)
    attributes = pprc.SecondaryAttribute(0)
    for flag, attribute in (
        (pprc.PairFlag.CRITICAL, pprc.SecondaryAttribute.CRITICAL),
        (pprc.PairFlag.ONLINE_SECONDARY, pprc.SecondaryAttribute.ONLINE_SECONDARY),
        (pprc.PairFlag.RESET_RESERVE, pprc.SecondaryAttribute.RESET_RESERVE),
    ):
        if order.header.flags & flag:
            attributes |= attribute
    if paths is not None and paths.cgroup:
        attributes |= pprc.SecondaryAttribute.CONSISTENCY_GROUP
    return Pair(
        pair_id=core.records.next_pair_id(),
        is_primary=True,
        primary=core.name(volume),
        secondary=secondary,
        volume=volume,
        tracks=shape.tracks,
        heads=shape.heads,
        attributes=int(attributes),
        pace=order.pace or DEFAULT_PACE,
    )


def _status_of(core: Core, pair: Pair, state: PairState) -> pprc.UpdateSecondaryDeviceStatus:
    shape = core.shape(pair.volume)
    return orders.update_pair(pair, state, core.around.clock.tod(), shape.cylinders, shape.device_type)


def enqueue(core: Core, pair: Pair) -> None:
    """Step 700, and let an idle bridge take it."""
    try:
        core.queue.append(pair)
    except QueueFull as full:
        raise reject(Reason.QUEUE_FULL) from full
    core.around.log(
        700,
        "placed into the volume synchronisation queue",
        {"pair": pair.pair_id, "volume": f"{pair.volume:02X}", "depth": len(core.queue)},
    )
    for bridge in core.sending.values():
        bridge.worker.work()


def reconcile(core: Core, pair: Pair, entry: PathEntry) -> Procedure[None]:
    """Ask the secondary which tracks it may hold that this box lost in a crash, and copy those again.

    A volume too large for the answer (BITMAP_TRACKS_MAX) is copied whole.
    """
    if pair.tracks > BITMAP_TRACKS_MAX:
        bits = ones(pair.tracks)
    else:
        result = yield from core.chain(entry, pair.secondary.cca, queries.ask_for_bitmap(pair.tracks))
        bits = queries.bitmap_of(result.data[1], pair.tracks)
    pair.dirty |= bits
    pair.reconcile = False
    core.around.log(None, "reconciled with the secondary", {"pair": pair.pair_id, "uncertain": int(bits.count())})


def set_secondary(core: Core, pair: Pair, state: PairState) -> Procedure[None]:
    """D7 to the pair's secondary. Raises Refused."""
    entry = core.control_path(pair.secondary.box)
    yield from core.send(entry, pair.secondary.cca, _status_of(core, pair, state), pair.secondary.box)


def need_named(header: pprc.PprcHeader, volume: int) -> None:
    """The order must name the device it is sent to as the primary (4.2, byte 11). Raises Refused (44)."""
    if header.primary_cca != volume:
        raise reject(Reason.NOT_THE_ONE_NAMED)


def need_primary(core: Core, volume: int, pair_id: int) -> Pair:
    """The pair whose primary the volume is. Raises Refused (43, 44)."""
    pair = core.primaries.get(volume)
    if pair is None:
        raise reject(Reason.NOT_IN_PAIR)
    if pair_id not in (0, pair.pair_id):
        raise reject(Reason.NOT_THE_ONE_NAMED, pair_id=pair.pair_id)
    return pair


def leave_queue(core: Core, pair: Pair) -> None:
    """No bridge copies the pair any more."""
    core.queue.remove(pair)
    for bridge in core.sending.values():
        bridge.worker.drop(pair)
    pair.give_back()


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
    end_long_busy(core, volume, "the pair was deleted")
    yield from core.hardened()


def suspend_pair(core: Core, order: pprc.SuspendPair, volume: int) -> Procedure[None]:
    """D4 to the primary: copying stops, changes are recorded."""
    check_boxes(order.header, core.own, own_is_primary=True)
    if order.header.flags:
        raise bad_parameter(1)  # PRIMARY and QUIESCE are not offered
    if order.reason or order.tod:
        raise bad_parameter(40 if order.reason else 44)
    need_named(order.header, volume)
    pair = need_primary(core, volume, order.pair_id)
    if pair.state.suspended:
        return
    leave_queue(core, pair)
    core.change(pair, PairEvent.SUSPEND_AT_PRIMARY, "suspended by command to the primary")
    yield from core.hardened()
    try:
        yield from set_secondary(core, pair, PairState.SUSPENDED_BY_PRIMARY_CONTROL)
    except Refused as refused:
        core.around.log(None, "the secondary was not told of the suspension", {"why": str(refused)})

"""What the other controller does to our volumes: D7 for a volume pair, and where bridge records may go.

A pair that this box has ended (recover, failover) is not taken up again: its primary, if it did not hear of that, would
send what changed there, and not what hosts have written here since.
Source: pprc-commands 4.10, 7.2 (708), 8.2; that such a pair is refused: project-defined.
"""

from ccw import pprc
from ccw.bridge import BridgeHeader, Result
from controller.remote_copy.bridge_receiver import Destination
from controller.remote_copy.checks import primary_box
from controller.remote_copy.core import ATTENTION_STATE_CHANGE, Core
from controller.remote_copy.long_busy import end_long_busy
from controller.remote_copy.orders import ANY_STATE
from controller.remote_copy.pair import Pair, VolumeName
from controller.remote_copy.pair_acts import leave_queue, wake
from controller.remote_copy.procedure import Procedure
from controller.remote_copy.refusal import bad_parameter, reject
from controller.remote_copy.states import FAILED, PairEvent, PairState, Reason

NOWHERE = Destination(Result.DESTINATION_UNKNOWN, 0, 0, 0, 0)


def update_status(core: Core, order: pprc.UpdateSecondaryDeviceStatus, volume: int) -> Procedure[None]:
    """D7 with selector 00 for a volume pair. Ends when the new state is durable. Raises Refused."""
    try:
        state = PairState(order.new_state)
    except ValueError as error:
        raise bad_parameter(40) from error
    if not order.pair_id:
        raise bad_parameter(44)
    if volume in core.roles:
        raise reject(Reason.BRIDGE_VOLUME)
    present = core.secondaries.get(volume)
    before = present.state if present is not None else PairState.SIMPLEX
    if order.expected_state not in (ANY_STATE, before):
        raise reject(Reason.STATE)
    if present is None and state is PairState.SIMPLEX:
        return
    pair = _pair_of(core, order, volume, state)
    if pair.state is PairState.SUSPENDED_SECONDARY_COMMAND:
        if state is PairState.DUPLEX:
            raise reject(Reason.DESTINATION_SUSPENDED, pair_id=pair.pair_id)  # the end of a copy that it came into
        if state in FAILED:
            state = pair.state  # an error of the primary does not end what an operator wants
    if state.suspended and not before.suspended:
        pair.suspend_tod = order.tod
    if state is PairState.DUPLEX_PENDING:
        pair.not_before = order.tod
        pair.update_sequence = 0
        pair.consistent = False
    if state in (PairState.DUPLEX_PENDING, PairState.DUPLEX):
        pair.attributes = order.attributes
    if state is PairState.DUPLEX:
        pair.consistent = True
        pair.reconcile = False  # proven equal; from here on the marks tell what is uncertain
        pair.dirty.setall(0)
    pair.state = state
    core.store(pair)
    if state is PairState.SIMPLEX:
        del core.secondaries[volume]
    core.around.log(
        None, "secondary device status updated", {"pair": pair.pair_id, "volume": f"{volume:02X}", "state": state.name}
    )
    yield from core.hardened()


def _pair_of(core: Core, order: pprc.UpdateSecondaryDeviceStatus, volume: int, state: PairState) -> Pair:
    """The pair that the order is about, made if it is new. Raises Refused."""
    pair = core.secondaries.get(volume)
    primary = _primary_of(order)
    if pair is not None and pair.pair_id == order.pair_id and pair.primary.box == primary.box:
        return pair
    swap = order.header.flags & pprc.StatusUpdateFlag.ROLE_SWAP and state is PairState.DUPLEX_PENDING
    if swap and volume in core.primaries:
        return _exchange_roles(core, order, core.primaries[volume])
    if core.records.has_ended(volume, primary, order.pair_id):
        raise reject(Reason.NOT_THE_SECONDARY)
    if pair is not None and (state is not PairState.DUPLEX_PENDING or pair.primary != primary):
        raise reject(Reason.NOT_THE_SECONDARY, pair_id=pair.pair_id)
    new = _become_secondary(core, order, volume, state)
    if pair is not None:
        # The same primary volume starts over: it never heard that its earlier attempt had come through.
        new.epoch, new.reconcile = pair.epoch, pair.reconcile
        known = min(pair.tracks, new.tracks)  # the volume may be told of with another size than before
        new.dirty[:known] = pair.dirty[:known]
    core.secondaries[volume] = new
    return new


def _primary_of(order: pprc.UpdateSecondaryDeviceStatus) -> VolumeName:
    return primary_box(order.header).volume(order.header.primary_cca)


def _become_secondary(core: Core, order: pprc.UpdateSecondaryDeviceStatus, volume: int, state: PairState) -> Pair:
    """The volume as a new secondary, not known to `core` yet. Raises Refused."""
    if state not in (PairState.DUPLEX_PENDING, PairState.DUPLEX):
        raise reject(Reason.NOT_IN_PAIR)
    if volume in core.primaries and volume not in core.secondaries:
        raise reject(Reason.ALREADY_PRIMARY)
    _check_volume(core, order, volume)
    return _new_secondary(core, order, volume)


def _check_volume(core: Core, order: pprc.UpdateSecondaryDeviceStatus, volume: int) -> None:
    """Geometry and hosts of a volume that is to be a secondary. Raises Refused (49, 4A, 4B)."""
    shape = core.shape(volume)
    if (
        shape.cylinders < order.primary_cylinders
        or shape.heads != order.tracks_per_cylinder
        or shape.device_type != order.device_type
    ):
        raise reject(Reason.GEOMETRY)
    online, reserved = core.around.in_use(volume)
    if online and not order.attributes & pprc.SecondaryAttribute.ONLINE_SECONDARY:
        raise reject(Reason.SECONDARY_ONLINE)
    if reserved and not order.attributes & pprc.SecondaryAttribute.RESET_RESERVE:
        raise reject(Reason.SECONDARY_RESERVED)


def _new_secondary(core: Core, order: pprc.UpdateSecondaryDeviceStatus, volume: int) -> Pair:
    return Pair(
        pair_id=order.pair_id,
        is_primary=False,
        primary=_primary_of(order),
        secondary=core.name(volume),
        volume=volume,
        tracks=order.primary_cylinders * order.tracks_per_cylinder,
        heads=order.tracks_per_cylinder,
        attributes=order.attributes,
        epoch=core.around.array.appended,
        began=core.around.array.appended,
    )


def _exchange_roles(core: Core, order: pprc.UpdateSecondaryDeviceStatus, old: Pair) -> Pair:
    """Failback: our suspended primary becomes the secondary of what was its secondary. Raises Refused.

    What hosts changed here is in `dirty` and will be overwritten; the new primary asks for it (query scope 05). Where
    hosts were told that such a write is safe, only an order with FORCE may do that.
    """
    force = bool(order.header.flags & pprc.StatusUpdateFlag.FORCE)
    if old.secondary != _primary_of(order):
        raise reject(Reason.ALREADY_PRIMARY, pair_id=old.pair_id)
    if not force and (not old.state.suspended or core.written_alone(old)):
        raise reject(Reason.STATE, pair_id=old.pair_id)
    _check_volume(core, order, old.volume)
    if not old.state.suspended:
        leave_queue(core, old)
        core.change(old, PairEvent.SECONDARY_SIMPLEX, "the secondary has become a primary")
    pair = _new_secondary(core, order, old.volume)
    pair.dirty = old.out_of_sync | old.uncertain
    pair.reconcile = True
    pair.state = PairState.DUPLEX_PENDING
    core.store(pair)
    core.secondaries[old.volume] = pair
    old.state = PairState.SIMPLEX
    del core.primaries[old.volume]
    core.records.store(old)  # behind the new record: a crash in between is resolved by `began`
    end_long_busy(core, old.volume, "the volume has become a secondary")
    core.around.attention(old.volume, ATTENTION_STATE_CHANGE)
    return pair


def destination(core: Core, header: BridgeHeader) -> Destination:
    """Whether, and where, a bridge record may be redirected (step 708).

    A record that was made before the copy last began is refused. It comes late, perhaps over a bridge that the primary
    has given up meanwhile, and newer data may be here. "Suspended" is the answer to that, and to what an operator has
    suspended here, which stays so; whatever else has is a fault, after which the primary may go on by itself.
    """
    address = header.destination
    if (address.ssid, address.lss) != (core.own.ssid, core.own.lss) or address.cca not in core.volumes:
        return NOWHERE
    pair = core.secondaries.get(address.cca)
    source = header.source
    if pair is None or pair.pair_id != header.pair_id or source[:3] != pair.primary[1:4]:
        return NOWHERE._replace(result=Result.NOT_THE_SECONDARY)
    if pair.state is PairState.SUSPENDED_SECONDARY_COMMAND or header.tod < pair.not_before:
        return NOWHERE._replace(result=Result.DESTINATION_SUSPENDED)
    if pair.state.suspended:
        return NOWHERE._replace(result=Result.DEVICE_FAULT)
    if header.snapshot_id and pair.snapshot_id != header.snapshot_id:
        pair.snapshot_id = header.snapshot_id
        fields = {"bridge": header.bridge_number, "pair": pair.pair_id, "volume": f"{address.cca:02X}"}
        core.around.log(708, "redirecting by pointer to the secondary volume", fields)
    shape = core.volumes[address.cca]
    if address.cca in core.primaries:
        place = address.address
        _cascade(core, address.cca, place.cylinder * shape.heads + place.head)
    return Destination(Result.APPLIED, address.cca, shape.heads, shape.cylinders, shape.track_size)


def _cascade(core: Core, volume: int, track: int) -> None:
    """A track comes to a secondary that is a primary too: the next volume of the cascade has yet to get it.

    It is marked before it is written; a pass may begin only behind that.
    """
    pair = core.primaries.get(volume)
    if pair is not None:
        pair.mark([track])
        if pair.resting:
            core.around.timers.call_at(core.around.clock.now(), lambda: wake(core, pair))

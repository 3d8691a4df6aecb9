"""Failover and failback (D2 with an action): hosts go on at the secondary, and the way back without copying everything.

    FAILOVER  to the secondary, with the names exchanged. It needs no contact with the other box: the volume becomes a
              suspended primary (03), which hosts may write and which records what they change.
    FAILBACK  to a suspended primary. The other volume becomes its secondary, and the tracks that changed at either side
              since they parted are copied there.

Nothing newer is overwritten by a failback unless the order says FORCE. It is refused (45) where the copy here was never
complete, and by the other box (5B, 45) where its pair is not suspended, or where its hosts were told that a write is
safe which never came here.

What the other box may have lost in a crash, while it was written here, counts as changed: `Pair.uncertain`.
Source: pprc-commands 2.9, 5.4, 7.3; what is refused, and `uncertain`: project-defined.
"""

from ccw import pprc
from controller.remote_copy.checks import secondary_box
from controller.remote_copy.core import ATTENTION_STATE_CHANGE, Core
from controller.remote_copy.pair import Pair
from controller.remote_copy.pair_acts import attributes_of, enqueue, may_copy, reconcile, tell_secondary
from controller.remote_copy.procedure import Procedure
from controller.remote_copy.refusal import reject
from controller.remote_copy.states import IllegalTransition, PairEvent, PairState, Reason, next_state

NO_ACTION, FAILOVER, FAILBACK = 0, 1, 2


def fail_over(core: Core, order: pprc.EstablishPair, volume: int) -> Procedure[Pair]:
    """Make the secondary a suspended primary. Ends when that is durable. Raises Refused: 41, that it is one already,
    when that is durable too."""
    if volume in core.primaries:
        yield from core.hardened()
        raise reject(Reason.ALREADY_PRIMARY)
    old = core.secondaries.get(volume)
    if old is None:
        raise reject(Reason.NOT_IN_PAIR)
    if secondary_box(order.header).volume(order.header.secondary_cca) != old.primary:
        raise reject(Reason.NOT_THE_ONE_NAMED, pair_id=old.pair_id)
    array, pair_id = core.around.array, core.records.next_pair_id()
    pair = Pair(
        pair_id=pair_id,
        is_primary=True,
        primary=core.name(volume),
        secondary=old.primary,
        volume=volume,
        tracks=old.tracks,
        heads=old.heads,
        state=PairState.SUSPENDED_PRIMARY_COMMAND,
        suspend_tod=core.around.clock.tod(),
        began=array.appended,
        alone_since=array.appended,
        consistent=old.consistent,
        uncertain=core.uncertain_tracks(old),
    )
    core.store(pair)
    core.primaries[volume] = pair
    old.state = PairState.SIMPLEX
    del core.secondaries[volume]
    core.records.store_ended(old)
    core.records.store(old)  # behind the new record: a crash in between is resolved by `began`
    text = "failed over by command" if pair.consistent else "failed over, but its copy was never complete"
    core.say_state(pair, text)
    core.around.attention(volume, ATTENTION_STATE_CHANGE)
    yield from core.hardened()
    return pair


def fail_back(core: Core, order: pprc.EstablishPair, volume: int) -> Procedure[Pair]:
    """Exchange the roles with the other box, and queue what differs. Raises Refused."""
    pair = core.primaries.get(volume)
    if pair is None:
        raise reject(Reason.ALREADY_SECONDARY if volume in core.secondaries else Reason.NOT_IN_PAIR)
    if secondary_box(order.header).volume(order.header.secondary_cca) != pair.secondary:
        raise reject(Reason.ALREADY_PRIMARY, pair_id=pair.pair_id)
    try:
        next_state(pair.state, PairEvent.FAILBACK)
    except IllegalTransition as illegal:
        raise reject(illegal.reason, pair_id=pair.pair_id) from illegal
    force = bool(order.header.flags & pprc.PairFlag.FORCE)
    if not pair.consistent and not force:
        raise reject(Reason.STATE, pair_id=pair.pair_id)
    may_copy(core, pair.secondary)
    pair.attributes, pair.pace = attributes_of(core, order), order.pace or pair.pace
    entry = core.control_path(pair.secondary.box)
    flags = pprc.StatusUpdateFlag.ROLE_SWAP | (pprc.StatusUpdateFlag.FORCE if force else 0)
    yield from tell_secondary(core, pair, PairState.DUPLEX_PENDING, entry, int(flags))
    pair.dirty |= pair.uncertain
    yield from reconcile(core, pair, entry)
    pair.uncertain.setall(0)
    pair.announce = False
    core.change(pair, PairEvent.FAILBACK, "failback by command")
    enqueue(core, pair)
    yield from core.hardened()
    return pair

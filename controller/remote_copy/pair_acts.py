"""What the orders for a volume pair have in common: one order at a time, the queue, and what the other box hears.

Source: pprc-commands 2.9, 4.2, 7.2, 7.3.
"""

from collections.abc import Callable

from bitarray.util import ones

from ccw import pprc
from ccw.pprc_query import BITMAP_TRACKS_MAX
from controller.remote_copy import orders, queries
from controller.remote_copy.checks import secondary_box
from controller.remote_copy.core import Core
from controller.remote_copy.orders import ANY_STATE
from controller.remote_copy.pair import BoxName, Pair, VolumeName
from controller.remote_copy.paths import PathEntry
from controller.remote_copy.procedure import Procedure, Result
from controller.remote_copy.refusal import FORMAT_REASON, Refused, reject
from controller.remote_copy.states import PairEvent, PairState, Reason
from controller.remote_copy.sync_queue import QueueFull

NO_SECONDARY = FORMAT_REASON << 8 | Reason.NOT_THE_SECONDARY  # bytes 7-8 of the other box's sense
SUSPENDED_THERE = FORMAT_REASON << 8 | Reason.DESTINATION_SUSPENDED
REFUSALS = {NO_SECONDARY: PairEvent.SECONDARY_SIMPLEX, SUSPENDED_THERE: PairEvent.SUSPEND_AT_SECONDARY}


def alone(core: Core, what: int | BoxName, procedure: Procedure[Result]) -> Procedure[Result]:
    """Carry out an order for a volume, or the paths to a box, unless another one is under way. Raises Refused (45)."""
    if what in core.busy:
        raise reject(Reason.STATE)
    core.busy.add(what)
    try:
        return (yield from procedure)
    finally:
        core.busy.discard(what)


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


def attributes_of(core: Core, order: pprc.EstablishPair) -> int:
    """Byte 64 of D7, as Establish Pair and the paths say."""
    attributes = pprc.SecondaryAttribute(0)
    for flag, attribute in (
        (pprc.PairFlag.CRITICAL, pprc.SecondaryAttribute.CRITICAL),
        (pprc.PairFlag.ONLINE_SECONDARY, pprc.SecondaryAttribute.ONLINE_SECONDARY),
        (pprc.PairFlag.RESET_RESERVE, pprc.SecondaryAttribute.RESET_RESERVE),
    ):
        if order.header.flags & flag:
            attributes |= attribute
    if order.option:
        attributes |= pprc.SecondaryAttribute.EXTENDED_DISTANCE
    paths = core.paths.get(secondary_box(order.header))
    if paths is not None and paths.cgroup:
        attributes |= pprc.SecondaryAttribute.CONSISTENCY_GROUP
    return int(attributes)


def go_to_sync(core: Core, pair: Pair) -> Procedure[Pair]:
    """An extended-distance pair is to become duplex: it goes on copying, and does not rest any more."""
    pair.attributes &= ~int(pprc.SecondaryAttribute.EXTENDED_DISTANCE)
    core.store(pair)
    core.around.log(None, "extended distance ends: the pair becomes synchronous", {"pair": pair.pair_id})
    wake(core, pair)
    yield from core.hardened()
    return pair


def wake(core: Core, pair: Pair) -> None:
    """A pair that rests has something to copy, or is to become duplex."""
    if pair.resting and len(core.queue) < core.queue.limit:
        pair.resting = False
        enqueue(core, pair)
    elif core.conventional is not None:
        core.conventional.marked(pair, (), lambda _: None)


def may_copy(core: Core, secondary: VolumeName) -> None:
    """Is there room in the queue, and no freeze? Raises Refused (51, 53)."""
    if len(core.queue) >= core.queue.limit:
        raise reject(Reason.QUEUE_FULL)
    if secondary.box in core.frozen:
        raise reject(Reason.FREEZE)  # before the paths are looked at: a freeze is why there are none


def set_secondary(core: Core, pair: Pair, state: PairState) -> Procedure[None]:
    """D7 to the pair's secondary, over another path when one does not answer. Raises Refused.

    What is to be said holds for the pair as it is now: once that has changed, no further path is tried. That a pair is
    to end holds anyway.
    """
    yield from _over_a_path(
        core, pair, lambda entry: tell_secondary(core, pair, state, entry), anyway=state is PairState.SIMPLEX
    )


def take_up(core: Core, pair: Pair) -> Procedure[None]:
    """As `set_secondary` with pending, without an operator who wants it: what one has suspended there stays so.

    Raises Refused, with the other box's 0F69 then. The order names the state that was found, so that no suspension in
    between is undone either (0F45).
    """
    yield from _over_a_path(core, pair, lambda entry: _take_up(core, pair, entry))


def state_there(core: Core, pair: Pair) -> Procedure[PairState | None]:
    """What the other box says of the pair's secondary; None: it is none. Raises Refused."""
    return (yield from _state_there(core, pair, core.control_path(pair.secondary.box)))


def _state_there(core: Core, pair: Pair, entry: PathEntry) -> Procedure[PairState | None]:
    result = yield from core.chain(entry, pair.secondary.cca, queries.ask_for_relations())
    return queries.secondary_state(result.data[1], pair)


def _take_up(core: Core, pair: Pair, entry: PathEntry) -> Procedure[None]:
    found = yield from _state_there(core, pair, entry)
    if found is PairState.SUSPENDED_SECONDARY_COMMAND:
        raise reject(Reason.PEER_REFUSED, peer=SUSPENDED_THERE)
    expected = ANY_STATE if found is None else found
    yield from tell_secondary(core, pair, PairState.DUPLEX_PENDING, entry, expected=expected)


def _over_a_path(
    core: Core, pair: Pair, act: Callable[[PathEntry], Procedure[None]], *, anyway: bool = False
) -> Procedure[None]:
    now = pair.state, pair.generation
    first = core.control_path(pair.secondary.box)
    paths = [first, *(entry for entry in core.paths.need(pair.secondary.box).good() if entry is not first)]
    for entry in paths:
        try:
            yield from act(entry)
        except Refused as refused:
            lost = refused.refusal.reason in (Reason.PEER_TIME_OUT, Reason.NO_WORKING_PATH)
            changed = not anyway and (pair.state, pair.generation) != now
            if not lost or changed or entry is paths[-1]:
                raise
        else:
            return


def tell_secondary(
    core: Core, pair: Pair, state: PairState, entry: PathEntry, flags: int = 0, expected: int = ANY_STATE
) -> Procedure[None]:
    """D7 to the pair's secondary over a path; flags: StatusUpdateFlag; expected: its state by now. Raises Refused."""
    shape = core.shape(pair.volume)
    order = orders.update_pair(
        pair, state, core.around.clock.tod(), shape.cylinders, shape.device_type, flags, int(expected)
    )
    yield from core.send(entry, pair.secondary.cca, order, pair.secondary.box)


def ask_after(core: Core, pair: Pair) -> Procedure[None]:
    """D7 heartbeat to the pair's secondary, which stays as it is; once. Raises Refused: see `heartbeat`."""
    order = orders.update_pair(pair, pair.state, core.around.clock.tod(), 0, 0, selector=orders.SELECT_HEARTBEAT)
    yield from core.send(core.control_path(pair.secondary.box), pair.secondary.cca, order, pair.secondary.box, tries=1)


def loss_of(refused: Refused) -> PairEvent:
    """What the other box's refusal of an order for a secondary means to the pair."""
    return REFUSALS.get(refused.refusal.peer, PairEvent.COMMUNICATION_LOST)


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
    core.work()


def leave_queue(core: Core, pair: Pair) -> None:
    """Nobody copies the pair any more."""
    core.queue.remove(pair)
    core.stop_copying(pair)
    pair.give_back()


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

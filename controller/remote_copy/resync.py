"""Resynchronisation of a suspended pair: only what differs is copied.

Source: pprc-commands 2.9, 5.3.
"""

from controller.remote_copy.core import Core
from controller.remote_copy.pair import Pair
from controller.remote_copy.pair_acts import enqueue, reconcile, tell_secondary
from controller.remote_copy.procedure import Procedure
from controller.remote_copy.refusal import FORMAT_REASON, Refused, reject
from controller.remote_copy.states import PairEvent, PairState, Reason


def is_no_secondary(refused: Refused) -> bool:
    """Did the other box say that its volume is not the secondary of that pair?"""
    return refused.refusal.peer == FORMAT_REASON << 8 | Reason.NOT_THE_SECONDARY


def resynchronise(core: Core, pair: Pair) -> Procedure[None]:
    """Make a suspended pair pending again and queue it; ends when that is durable. Raises Refused.

    The secondary is told first, and asked what it may hold that a crash took from this box. If it says that it is not
    this pair's secondary any more, hosts may have written there: nothing is copied, and the pair has code 07.
    """
    if len(core.queue) >= core.queue.limit:
        raise reject(Reason.QUEUE_FULL)
    entry = core.control_path(pair.secondary.box)
    try:
        yield from tell_secondary(core, pair, PairState.DUPLEX_PENDING, entry)
    except Refused as refused:
        if is_no_secondary(refused) and core.primaries.get(pair.volume) is pair and pair.state.suspended:
            core.change(pair, PairEvent.SECONDARY_SIMPLEX, "the secondary is none any more")
        raise
    if pair.reconcile:
        yield from reconcile(core, pair, entry)
    if core.primaries.get(pair.volume) is not pair or not pair.state.suspended or pair.secondary.box in core.frozen:
        raise reject(Reason.STATE, pair_id=pair.pair_id)  # meanwhile
    pair.announce = False
    core.change(pair, PairEvent.RESYNC, "resynchronisation")
    enqueue(core, pair)
    yield from core.hardened()

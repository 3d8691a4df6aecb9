"""Resynchronisation of a suspended pair: only what differs is copied.

Source: pprc-commands 2.9, 5.3.
"""

from controller.remote_copy.core import Core
from controller.remote_copy.pair import Pair
from controller.remote_copy.pair_acts import enqueue, loss_of, reconcile, take_up
from controller.remote_copy.procedure import Procedure
from controller.remote_copy.refusal import Refused, reject
from controller.remote_copy.states import FAILED, PairEvent, Reason


def resynchronise(core: Core, pair: Pair) -> Procedure[None]:
    """Make a failed pair pending again and queue it; ends when that is durable. Raises Refused.

    The secondary is told first, and asked what it may hold that a crash took from this box. If it says that it is not
    this pair's secondary any more, hosts may have written there: nothing is copied, and the pair has code 07. If a
    command has suspended it there, the pair stays suspended, with code 04.
    """
    if len(core.queue) >= core.queue.limit:
        raise reject(Reason.QUEUE_FULL)
    try:
        yield from take_up(core, pair)
    except Refused as refused:
        if core.primaries.get(pair.volume) is pair and pair.state in FAILED:
            _learn(core, pair, loss_of(refused))
        raise
    if pair.reconcile:
        yield from reconcile(core, pair, core.control_path(pair.secondary.box))
    if core.primaries.get(pair.volume) is not pair or pair.state not in FAILED or pair.secondary.box in core.frozen:
        raise reject(Reason.STATE, pair_id=pair.pair_id)  # meanwhile
    pair.announce = False
    core.change(pair, PairEvent.RESYNC, "resynchronisation")
    enqueue(core, pair)
    yield from core.hardened()


def _learn(core: Core, pair: Pair, loss: PairEvent) -> None:
    """What the other box says of the secondary explains why the pair does not go on."""
    if loss is PairEvent.SECONDARY_SIMPLEX:
        core.change(pair, loss, "the secondary is none any more")
    elif loss is PairEvent.SUSPEND_AT_SECONDARY:
        core.change(pair, PairEvent.HELD_AT_SECONDARY, "suspended by command to the secondary")

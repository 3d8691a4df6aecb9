"""Delete Pair (D3) for a data bridge: its end by command. How one fails is in `bridge_setup.give_up`.

Source: pprc-commands 4.6, 4.11; that a bridge which serves pairs is refused: project-defined.
"""

from collections.abc import Callable

from ccw import pprc
from controller.remote_copy.bridge_sender import BridgeSender
from controller.remote_copy.checks import check_boxes, secondary_box
from controller.remote_copy.core import Core, PrimaryBridge
from controller.remote_copy.procedure import Procedure
from controller.remote_copy.refusal import reject
from controller.remote_copy.states import BridgeRole, BridgeState, Reason


def delete_bridge(core: Core, order: pprc.DeletePair, volume: int) -> Procedure[None]:
    """D3 for a data bridge: it is given up, and does not come back by itself; its volumes stay defined.

    Refused (5E) while pairs need it, unless the order is UNCONDITIONAL: then its failure does to them what any failure
    does. Ends when its paths serve everybody again. Raises Refused.
    """
    check_boxes(order.header, core.own, own_is_primary=True)
    role, number = core.roles[volume]
    bridge = core.sending.get(number)
    if order.header.primary_cca != volume:
        raise reject(Reason.NOT_THE_ONE_NAMED)
    if role is not BridgeRole.PRIMARY_DATA or bridge is None or bridge.box is None:
        raise reject(Reason.NOT_IN_PAIR)
    if (secondary_box(order.header), order.header.secondary_cca) != (bridge.box, bridge.secondary_volume):
        raise reject(Reason.NOT_THE_ONE_NAMED)
    if bridge.worker.state is BridgeState.ESTABLISHING:
        raise reject(Reason.STATE)
    if bridge.worker.state is BridgeState.DEFINED:
        raise reject(Reason.NOT_IN_PAIR)
    if not order.header.flags & pprc.DeleteFlag.UNCONDITIONAL and _is_needed(core, bridge):
        raise reject(Reason.PATHS_IN_USE)
    bridge.wanted = False
    core.records.store_bridge_pair(number, None)
    sender = bridge.worker.sender
    if sender is not None:
        yield lambda reply: _end_sending(bridge, sender, reply)
    bridge.worker.move("end")
    yield from core.hardened()


def _is_needed(core: Core, bridge: PrimaryBridge) -> bool:
    """Are pairs pending or duplex that it alone serves, or is something of theirs under way on it?"""
    sender = bridge.worker.sender
    if sender is None or all(p.state.suspended or p.secondary.box != bridge.box for p in core.primaries.values()):
        return False
    others = (other for other in core.sending.values() if other is not bridge and other.box == bridge.box)
    idle = bridge.worker.pair is None and not sender.outstanding
    return not idle or all(other.worker.sender is None for other in others)


def _end_sending(bridge: PrimaryBridge, sender: BridgeSender, reply: Callable[[None], None]) -> None:
    bridge.on_given_up.append(reply)
    sender.fail("deleted by command")

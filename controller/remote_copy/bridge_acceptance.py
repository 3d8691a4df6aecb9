"""Setting up a data bridge and its status bridge, in the secondary box: it answers the steps of `bridge_setup`.

`accept_data_bridge` answers 604, `turn` 606, `establish_status_bridge` 608 with 610; `notify_ready` is 612.
Source: patent FIG. 5, 6; pprc-commands 7.1.
"""

from collections.abc import Callable
from typing import Any

from ccw import pprc
from controller.channel import PathReply
from controller.remote_copy import orders
from controller.remote_copy.bridge_links import shared_status_path
from controller.remote_copy.bridge_receiver import BridgeReceiver, Destination, ReceiverRoute
from controller.remote_copy.checks import primary_box
from controller.remote_copy.core import Core, SecondaryBridge
from controller.remote_copy.pair import BoxName, VolumeName
from controller.remote_copy.paths import STATUS_PURPOSE, PathEntry, establish_path
from controller.remote_copy.procedure import Procedure, run
from controller.remote_copy.refusal import reject
from controller.remote_copy.settings import WINDOW_RECORDS, WINDOW_RECORDS_MAX
from controller.remote_copy.states import BridgeRole, PairState, Reason
from controller.remote_copy.status_sender import StatusRoute

GIVE_BACK_AGAIN_S = 2.0

def accept_data_bridge(
    core: Core,
    order: pprc.UpdateSecondaryDeviceStatus,
    volume: int,
    said: int,
    destination: Callable[[Any], Destination],
) -> None:
    """D7 for the secondary data bridge volume (step 604, later duplex, or simplex as undo). Raises Refused."""
    number = order.bridge_number
    if core.roles.get(volume) != (BridgeRole.SECONDARY_DATA, number):
        raise reject(Reason.NOT_DEFINED_AS_BRIDGE)
    status_volume = core.volume_with_role(BridgeRole.PRIMARY_STATUS, number)
    if status_volume is None:
        raise reject(Reason.NO_STATUS_BRIDGE)
    existing = core.receiving.get(number)
    if order.new_state == PairState.SIMPLEX:
        box = primary_box(order.header)
        # An id that is newer than ours is of an attempt that never got here: what we have is over all the more.
        if existing is not None and existing.pair_id <= order.pair_id and existing.primary_volume.box == box:
            drop_secondary_bridge(core, existing, "given up by the primary box")
        return
    if order.new_state == PairState.DUPLEX:
        if existing is None or existing.pair_id != order.pair_id:
            raise reject(Reason.NOT_THE_SECONDARY)
        existing.duplex = True
        run(notify_ready(core, existing), lambda _: None)
        return
    primary = primary_box(order.header).volume(order.header.primary_cca)
    if order.new_state != PairState.DUPLEX_PENDING or not order.first_sequence:
        raise reject(Reason.STATE)
    if existing is not None:
        if existing.primary_volume != primary or existing.pair_id == order.pair_id:
            raise reject(Reason.STATE)
        drop_secondary_bridge(core, existing, "set up anew by the primary box")
    core.receiving[number] = bridge = _new_bridge(core, order, volume, status_volume, said, destination)
    core.bridge_begins(number, primary.box)
    core.around.log(604, "became secondary data bridge", _said(bridge))


def _new_bridge(
    core: Core,
    order: pprc.UpdateSecondaryDeviceStatus,
    volume: int,
    status_volume: int,
    said: int,
    destination: Callable[[Any], Destination],
) -> SecondaryBridge:
    """The receiving end that the order asks for."""
    number, shape = order.bridge_number, core.shape(volume)
    window = min(order.window or WINDOW_RECORDS, WINDOW_RECORDS_MAX)
    receiver = BridgeReceiver(
        ReceiverRoute(number, volume, shape.tracks, shape.heads, window),
        order.first_sequence,
        core.around.array,
        core.around.hardener,
        core.around.clock,
        destination,
        lambda sequence: core.mark(number, sequence),
        lambda text: drop_secondary_bridge(core, core.receiving[number], text),
    )
    return SecondaryBridge(
        number=number,
        receiver=receiver,
        data_volume=volume,
        primary_volume=primary_box(order.header).volume(order.header.primary_cca),
        pair_id=order.pair_id,
        data_said=said,
        status_volume=status_volume,
    )


def turn(core: Core, order: pprc.EstablishPath, box: BoxName) -> Procedure[None]:
    """D0 with TURN from the primary box (step 606): use its link in the opposite direction. Raises Refused (47)."""
    bridge = core.receiving.get(order.bridge_number)
    if bridge is None or bridge.primary_volume.box != box or len(order.paths) != 1:
        raise reject(Reason.BRIDGE_NOT_ESTABLISHED)
    wanted = order.paths[0]
    entry = PathEntry(wanted.said, wanted.link_address, wanted.cu_image, wanted.secondary_port)
    entry.purpose, entry.bridge = STATUS_PURPOSE, bridge.number
    core.around.log(606, "path in the opposite direction", {**_said(bridge), "said": f"{entry.said:04X}"})
    bridge.status_path = entry  # from now on: the primary box may have the path, though its answer does not come
    yield from establish_path(core.around, core.own, box, entry)
    if not entry.good:
        raise reject(Reason.NO_WORKING_PATH, path_status=int(entry.status))


def establish_status_bridge(core: Core, order: pprc.EstablishPair, volume: int, box: BoxName) -> Procedure[None]:
    """D2 for the status bridge from the primary box (step 608); answers it with D7 (step 610). Raises Refused."""
    if core.roles.get(volume) != (BridgeRole.PRIMARY_STATUS, order.bridge_number):
        raise reject(Reason.NOT_DEFINED_AS_BRIDGE)
    bridge = core.receiving.get(order.bridge_number)
    if bridge is None or bridge.primary_volume.box != box:
        raise reject(Reason.BRIDGE_NOT_ESTABLISHED)
    if bridge.status_path is None:
        bridge.status_path = shared_status_path(core, bridge)
    path = bridge.status_path
    if path is None or not path.good:
        raise reject(Reason.NO_WORKING_PATH)
    core.around.log(608, "establish pair for the status bridge accepted", _said(bridge))
    bridge.status_partner = box.volume(order.header.secondary_cca)
    bridge.status_pair_id = core.records.next_pair_id()
    update = _status_update(core, bridge, orders.SELECT_SET)
    yield from core.send_within(path, order.header.secondary_cca, update, box)
    core.around.log(610, "update secondary device status sent for the status bridge", _said(bridge))
    port = core.around.links.get(path.said)
    if port is None or port.link is None:
        raise reject(Reason.NO_WORKING_PATH)
    shape = core.shape(bridge.status_volume)
    bridge.receiver.status.route = StatusRoute(
        port.link, path.image, order.header.secondary_cca, shape.tracks, shape.heads, port.wan
    )


def notify_ready(core: Core, bridge: SecondaryBridge) -> Procedure[None]:
    """Step 612: tell the primary box, on the status path, that the bridge is ready."""
    path, partner = bridge.status_path, bridge.status_partner
    if path is None or partner is None:
        raise reject(Reason.BRIDGE_NOT_ESTABLISHED)
    core.around.log(612, "notification sent", _said(bridge))
    yield from core.send(path, partner.cca, _status_update(core, bridge, orders.SELECT_NOTIFY), partner.box)


def _status_update(core: Core, bridge: SecondaryBridge, selector: int) -> pprc.UpdateSecondaryDeviceStatus:
    partner = bridge.status_partner
    assert isinstance(partner, VolumeName)
    return orders.update_bridge(
        core.name(bridge.status_volume),
        partner,
        orders.STATUS_BRIDGE,
        bridge.number,
        bridge.status_pair_id,
        core.around.clock.tod(),
        state=PairState.DUPLEX,
        selector=selector,
    )


def drop_secondary_bridge(core: Core, bridge: SecondaryBridge, text: str) -> None:
    """The bridge is gone: its links are lost or the primary box gave it up. The defined volumes stay defined.

    The turned link is given back, unless another bridge uses it.
    """
    bridge.receiver.close()
    core.receiving.pop(bridge.number, None)
    core.around.log(None, "secondary bridge dropped", {**_said(bridge), "why": text})
    if bridge.status_path is not None:
        _give_back(core, bridge.status_path)


def _give_back(core: Core, path: PathEntry) -> None:
    """Remove the path on a turned link, and again until that is answered: else the other box holds the link as lent."""
    port = core.around.links.get(path.said)
    link = port.link if port is not None else None
    if link is None:
        return

    def answered(reply: PathReply) -> None:
        if reply.failure is not None:
            core.around.timers.call_at(core.around.clock.now() + GIVE_BACK_AGAIN_S, again)

    def again() -> None:
        if port is not None and port.link is link:
            _give_back(core, path)

    if not _in_use(core, path):
        link.remove_path(path.image, answered, core.around.clock.now())


def _in_use(core: Core, path: PathEntry) -> bool:
    """Does another bridge use the path, or is it one of this box's own?"""
    own = [entry for paths in core.paths for entry in paths.entries if entry.good]
    turned = [bridge.status_path for bridge in core.receiving.values() if bridge.status_path is not None]
    return any((entry.said, entry.image) == (path.said, path.image) for entry in (*own, *turned))


def _said(bridge: SecondaryBridge) -> dict[str, object]:
    return {"bridge": bridge.number, "volume": f"{bridge.data_volume:02X}"}

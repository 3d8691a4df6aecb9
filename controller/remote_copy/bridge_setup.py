"""Setting up a data bridge and its status bridge, in the primary box: FIG. 5A-5D and FIG. 6, steps 602-614.

`establish_bridge` drives the steps; the secondary box answers them (`bridge_acceptance`). Status flows from the
secondary box to the primary, so the *primary* status bridge volume stands in the secondary box.
Source: patent FIG. 5, 6; pprc-commands 7.1.
"""

from collections.abc import Callable
from typing import Any

from ccw import pprc
from controller.channel import ChainCommand
from controller.remote_copy import orders, queries
from controller.remote_copy.bridge_links import BridgeLinks, choose_links, free_links, in_use
from controller.remote_copy.bridge_sender import BridgeRoute, BridgeSender
from controller.remote_copy.checks import primary_box, secondary_box
from controller.remote_copy.core import (
    ATTENTION_STATE_CHANGE,
    PERFORM_SUBSYSTEM_FUNCTION,
    READ_SUBSYSTEM_DATA,
    Core,
    PrimaryBridge,
    SecondaryBridge,
)
from controller.remote_copy.pair import BoxName
from controller.remote_copy.paths import PathEntry, establish_path
from controller.remote_copy.procedure import Procedure
from controller.remote_copy.refusal import Refused, reject
from controller.remote_copy.states import BridgeRole, BridgeState, PairState, PathStatus, Reason
from controller.remote_copy.status_inbox import StatusInbox

FIRST_SEQUENCE = 1
NOTIFY_TIMEOUT_S = 30.0
TAKE_BACK_TRIES, TAKE_BACK_EVERY_S = 5, 1.0


def establish_bridge(core: Core, order: pprc.EstablishPair, volume: int) -> Procedure[None]:
    """D2 for a data bridge: step 602 and what follows from it. Ends when the bridge is ready (614).

    One that leads to the same volume, and is ready or being set up, is the one that the order wants. Raises Refused.
    """
    box, secondary = secondary_box(order.header), order.header.secondary_cca
    bridge = core.sending.get(order.bridge_number)
    if bridge is not None and bridge.wanted and (bridge.box, bridge.secondary_volume) == (box, secondary):
        if bridge.worker.state is BridgeState.ESTABLISHING:
            yield bridge.on_ended.append
        if bridge.worker.sender is not None:
            return
    yield from set_up_bridge(core, _defined_bridge(core, volume, order.bridge_number), box, secondary)


def set_up_bridge(core: Core, bridge: PrimaryBridge, box: BoxName, secondary: int) -> Procedure[None]:
    """Steps 602-614 of a bridge that is down; undoes everything when a step fails. Raises Refused.

    secondary: unit address of the data bridge volume in the other box.
    """
    number, volume = bridge.number, bridge.data_volume
    if bridge.end_unheard and bridge.box == box and box not in core.frozen:
        yield from tell_end(core, bridge, core.control_path(box))  # it may hold the link that it was lent
    if bridge.worker.state not in (BridgeState.DEFINED, BridgeState.FAILED):
        raise reject(Reason.STATE)  # somebody else sets it up, perhaps since we waited
    if box in core.frozen:
        raise reject(Reason.FREEZE)  # before the paths are looked at: a freeze is why there are none
    core.paths.need(box)
    links = choose_links(core, box, number)
    bridge.worker.move("establish")
    bridge.box, bridge.secondary_volume = box, secondary
    bridge.data_path, bridge.status_path = links.data, links.status
    bridge.notified = bridge.status_pair = bridge.end_unheard = False
    bridge.pair_id = core.records.next_pair_id()
    core.around.log(602, "establish pair to the primary data bridge", _said(bridge))
    try:
        yield from _steps(core, bridge, box, links)
        _start_sending(core, bridge)
    except Refused:
        yield from give_up(core, bridge)
        bridge.worker.move("fail")
        _set_up_has_ended(bridge, False)
        core.repair()
        raise
    bridge.wanted = True
    core.records.store_bridge_pair(number, box.volume(secondary))
    _set_up_has_ended(bridge, True)
    core.around.log(614, "host is notified: the bridge pair is complete", _said(bridge))
    core.around.attention(volume, ATTENTION_STATE_CHANGE)


def _set_up_has_ended(bridge: PrimaryBridge, good: bool) -> None:
    waiting, bridge.on_ended = bridge.on_ended, []
    for reply in waiting:
        reply(good)


def _defined_bridge(core: Core, volume: int, number: int) -> PrimaryBridge:
    if core.roles.get(volume) != (BridgeRole.PRIMARY_DATA, number):
        raise reject(Reason.NOT_DEFINED_AS_BRIDGE)
    bridge = core.sending.get(number)
    if bridge is None or core.volume_with_role(BridgeRole.SECONDARY_STATUS, number) is None:
        raise reject(Reason.NO_STATUS_BRIDGE)
    if bridge.worker.state not in (BridgeState.DEFINED, BridgeState.FAILED):
        raise reject(Reason.STATE)
    return bridge


def _steps(core: Core, bridge: PrimaryBridge, box: BoxName, links: BridgeLinks) -> Procedure[None]:
    data, status, shared = links
    yield from core.send(data, bridge.secondary_volume, _data_update(core, bridge, PairState.DUPLEX_PENDING), box)
    core.around.log(604, "secondary data bridge updated", _said(bridge))
    if not shared:
        yield from _turn_away(core, status)
        turn = orders.turn_path(box, core.own, status.peer_port, 0, bridge.number)
        fields = {**_said(bridge), "said": f"{status.said:04X}"}
        core.around.log(606, "path in the opposite direction requested", fields)
        yield from core.send(data, bridge.secondary_volume, turn, box)
    yield from _establish_status_pair(core, bridge, data, box)
    yield from core.send(data, bridge.secondary_volume, _data_update(core, bridge, PairState.DUPLEX), box)
    if not bridge.notified and not (yield lambda reply: _wait_for_notice(core, bridge, reply)):
        raise reject(Reason.PEER_TIME_OUT)


def _establish_status_pair(core: Core, bridge: PrimaryBridge, data: PathEntry, box: BoxName) -> Procedure[None]:
    device = yield from _find_status_volume(core, bridge, data)
    core.around.log(608, "establish pair for the status bridge", _said(bridge))
    pair = orders.establish_status_pair(box.volume(device), core.name(bridge.status_volume), bridge.number)
    yield from core.send(data, device, pair, box)
    if not bridge.status_pair:
        raise reject(Reason.NO_STATUS_BRIDGE)


def _find_status_volume(core: Core, bridge: PrimaryBridge, data: PathEntry) -> Procedure[int]:
    """Unit address of the primary status bridge volume in the other box: nobody names it, so its volumes are asked.

    The usual places come first: the address of this box's status volume, and the one behind the data bridge.
    """
    places = [bridge.status_volume, bridge.secondary_volume + 1, *range(256)]
    for device in dict.fromkeys(place for place in places if place < 256):
        commands = [
            ChainCommand(PERFORM_SUBSYSTEM_FUNCTION, queries.prepare(queries.SCOPE_VOLUME)),
            ChainCommand(READ_SUBSYSTEM_DATA, count=queries.VOLUME_BYTES),
        ]
        try:
            result = yield from core.chain(data, device, commands)
        except Refused as refused:
            if refused.refusal.reason != Reason.PEER_REFUSED:
                raise  # the path is gone: no other device will answer either
            continue
        if queries.bridge_of(result.data[1]) == (BridgeRole.PRIMARY_STATUS, bridge.number):
            return int(device)
    raise reject(Reason.NO_STATUS_BRIDGE)


def _turn_away(core: Core, entry: PathEntry) -> Procedure[None]:
    """Give up this box's logical path on the link, so that the other box can use it."""
    port = core.around.links.get(entry.said)
    link = port.link if port is not None else None
    if link is None:
        raise reject(Reason.NO_WORKING_PATH)
    yield lambda reply: link.remove_path(entry.image, reply, core.around.clock.now())
    entry.turned = True


def give_up(core: Core, bridge: PrimaryBridge) -> Procedure[None]:
    """The bridge has failed, or a step of its set-up: take back what was set, as far as the paths allow.

    The secondary box hears of it behind the last chain on the data path, and gives the turned link back; then both
    paths serve everybody again. The bridge may be established anew meanwhile, over other paths.
    """
    data, status, box = bridge.data_path, bridge.status_path, bridge.box
    assert box is not None
    bridge.data_path = bridge.status_path = bridge.inbox = None
    bridge.status_pair = False
    bridge.end_unheard = True
    if data is not None and data.good:
        try:
            yield from tell_end(core, bridge, data)
        except Refused as refused:
            core.around.log(None, "the end of the bridge was not answered", {**_said(bridge), "why": str(refused)})
    if status is not None and status.turned and not in_use(core, status):
        status.turned = False
        if box not in core.frozen:  # a freeze removes all paths
            yield from _take_back(core, box, status)
    free_links(core, data, status)
    waiting, bridge.on_given_up = bridge.on_given_up, []
    for reply in waiting:
        reply(None)


def tell_end(core: Core, bridge: PrimaryBridge, entry: PathEntry) -> Procedure[None]:
    """D7 to the secondary data bridge volume: the bridge is over, its links are free. Raises Refused."""
    assert bridge.box is not None
    yield from core.send(entry, bridge.secondary_volume, _data_update(core, bridge, PairState.SIMPLEX), bridge.box)
    bridge.end_unheard = False


def _take_back(core: Core, box: BoxName, entry: PathEntry) -> Procedure[None]:
    """Establish the path on a turned link again; the other box may need a moment to remove its own."""
    clock, timers = core.around.clock, core.around.timers
    for _ in range(TAKE_BACK_TRIES):
        entry.status = PathStatus.NONE
        yield from establish_path(core.around, core.own, box, entry)
        if entry.status is not PathStatus.HOST_PATH_PRESENT:
            return
        yield lambda reply: timers.call_at(clock.now() + TAKE_BACK_EVERY_S, lambda: reply(None))


def _wait_for_notice(core: Core, bridge: PrimaryBridge, reply: Callable[[bool], None]) -> None:
    bridge.on_notified.append(reply)
    core.around.timers.call_at(core.around.clock.now() + NOTIFY_TIMEOUT_S, lambda: reply(False))


def _data_update(core: Core, bridge: PrimaryBridge, state: PairState) -> pprc.UpdateSecondaryDeviceStatus:
    assert bridge.box is not None
    shape = core.shape(bridge.data_volume)
    return orders.update_bridge(
        core.name(bridge.data_volume),
        bridge.box.volume(bridge.secondary_volume),
        orders.DATA_BRIDGE,
        bridge.number,
        bridge.pair_id,
        core.around.clock.tod(),
        state=state,
        shape=(shape.cylinders, shape.heads, shape.device_type),
        window=core.window,
        first_sequence=FIRST_SEQUENCE,
    )


def _start_sending(core: Core, bridge: PrimaryBridge) -> None:
    data = bridge.data_path
    port = core.around.links.get(data.said) if data is not None else None
    if data is None or port is None or port.link is None:
        raise reject(Reason.NO_WORKING_PATH)
    shape = core.shape(bridge.data_volume)
    route = BridgeRoute(
        bridge.number, port.link, data.image, bridge.secondary_volume, shape.tracks, shape.heads, core.window, port.wan
    )
    sender = BridgeSender(route, FIRST_SEQUENCE, bridge.worker, core.around.clock, core.around.timers)
    assert bridge.box is not None
    bridge.worker.attach(sender, bridge.box)
    core.watch()


def accept_status_bridge(core: Core, order: pprc.UpdateSecondaryDeviceStatus, volume: int) -> None:
    """D7 for the status bridge volume in the primary box: steps 610 (set) and 612 (notify). Raises Refused."""
    bridge = core.sending.get(order.bridge_number)
    if bridge is None or core.roles.get(volume) != (BridgeRole.SECONDARY_STATUS, order.bridge_number):
        raise reject(Reason.NOT_DEFINED_AS_BRIDGE)
    if bridge.worker.state is not BridgeState.ESTABLISHING or primary_box(order.header) != bridge.box:
        raise reject(Reason.STATE)
    if order.header.selector == orders.SELECT_NOTIFY:
        core.around.log(612, "notified that the status bridge is ready", _said(bridge))
        bridge.notified = True
        waiting, bridge.on_notified = bridge.on_notified, []
        for reply in waiting:
            reply(True)
        return
    if order.new_state != PairState.DUPLEX:
        raise reject(Reason.STATE)
    worker = bridge.worker

    def deliver(packet: Any) -> None:
        if worker.sender is not None:
            worker.sender.status(packet)

    bridge.inbox = StatusInbox(order.bridge_number, deliver)
    bridge.status_pair = True
    core.around.log(610, "secondary status bridge updated", _said(bridge))


def _said(bridge: PrimaryBridge | SecondaryBridge) -> dict[str, object]:
    return {"bridge": bridge.number, "volume": f"{bridge.data_volume:02X}"}

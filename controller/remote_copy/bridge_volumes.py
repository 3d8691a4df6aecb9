"""Define Bridge Volume (D8, step 600): which volumes of a box are the ends of its bridges.

Source: patent FIG. 6; pprc-commands 4.11.
"""

from collections.abc import Callable

from ccw import pprc
from controller.remote_copy.core import Core, PrimaryBridge
from controller.remote_copy.procedure import Procedure
from controller.remote_copy.refusal import bad_parameter, reject
from controller.remote_copy.settings import BridgeVolume
from controller.remote_copy.states import MAX_BRIDGES, BridgeRole, BridgeState, Reason

NewBridge = Callable[[int, int, int], PrimaryBridge]  # (number, data volume, status volume)


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


def define_as_configured(core: Core, bridge: BridgeVolume) -> None:
    """Give a volume the role that the configuration wants, at a start, unless it has one or is in a pair."""
    if bridge.volume in core.roles or core.volume_with_role(bridge.role, bridge.number) is not None:
        return
    core.roles[bridge.volume] = (bridge.role, bridge.number)
    core.records.store_bridge(bridge.volume, bridge.role, bridge.number)
    fields = {"bridge": bridge.number, "role": bridge.role.name, "volume": f"{bridge.volume:02X}"}
    core.around.log(600, "bridge volume defined", fields)


def _undefine(core: Core, volume: int) -> None:
    role, number = core.roles.get(volume, (BridgeRole.UNDEFINED, 0))
    bridge = core.sending.get(number)
    if role in (BridgeRole.PRIMARY_DATA, BridgeRole.SECONDARY_STATUS) and bridge is not None:
        if bridge.worker.state not in (BridgeState.DEFINED, BridgeState.FAILED):
            raise reject(Reason.STATE)
        del core.sending[number]
        core.records.store_bridge_pair(number, None)
    if role in (BridgeRole.SECONDARY_DATA, BridgeRole.PRIMARY_STATUS) and number in core.receiving:
        raise reject(Reason.STATE)
    core.roles.pop(volume, None)


def link_bridge_volumes(core: Core, number: int, new_bridge: NewBridge) -> None:
    """Once both volumes of a sending bridge are defined, it exists."""
    data = core.volume_with_role(BridgeRole.PRIMARY_DATA, number)
    status = core.volume_with_role(BridgeRole.SECONDARY_STATUS, number)
    if data is not None and status is not None and number not in core.sending:
        core.sending[number] = new_bridge(number, data, status)

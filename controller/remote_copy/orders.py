"""Builders of the orders that one controller sends another (D7, D0 with TURN, D2 for the status bridge).

The same orders serve host and peer; a peer names the receiver as PRIM where the receiver shall act as a primary.
`Core.send` puts the request sequence in. Source: pprc-commands 4.1-4.10, 7.1.
"""

from ccw import pprc
from controller.remote_copy.pair import BoxName, Pair, VolumeName
from controller.remote_copy.paths import LINK_ESCON
from controller.remote_copy.states import PairState

ANY_STATE = 0xFF
DATA_BRIDGE, STATUS_BRIDGE = 1, 2
SELECT_SET, SELECT_NOTIFY, SELECT_HEARTBEAT = 0, 1, 2


def header(
    order: int, length: int, primary: VolumeName, secondary: VolumeName, flags: int = 0, selector: int = 0
) -> pprc.PprcHeader:
    """The common header; the request sequence is filled in when it is sent."""
    return pprc.PprcHeader(
        order=order,
        flags=flags,
        length=length,
        format=pprc.FORMAT,
        selector=selector,
        request_sequence=0,
        primary_ssid=primary.ssid,
        primary_lss=primary.lss,
        primary_cca=primary.cca,
        secondary_ssid=secondary.ssid,
        secondary_lss=secondary.lss,
        secondary_cca=secondary.cca,
        primary_identity=primary.identity,
        secondary_identity=secondary.identity,
    )


def update_pair(
    pair: Pair,
    state: PairState,
    tod: int,
    cylinders: int,
    device_type: int,
    flags: int = 0,
    expected: int = ANY_STATE,
    selector: int = SELECT_SET,
) -> pprc.UpdateSecondaryDeviceStatus:
    """D7 for a volume pair: what the secondary is to be. flags: StatusUpdateFlag; expected: what it must be now."""
    order = pprc.Order.UPDATE_SECONDARY_DEVICE_STATUS
    return pprc.UpdateSecondaryDeviceStatus(
        header=header(order, 72, pair.primary, pair.secondary, flags, selector),
        new_state=int(state),
        expected_state=expected,
        pair_id=pair.pair_id,
        tod=tod,
        primary_cylinders=cylinders,
        tracks_per_cylinder=pair.heads,
        device_type=device_type,
        attributes=pair.attributes,
    )


def update_bridge(
    primary: VolumeName,
    secondary: VolumeName,
    role: int,
    number: int,
    pair_id: int,
    tod: int,
    *,
    state: PairState = PairState.SIMPLEX,
    expected: int = ANY_STATE,
    selector: int = SELECT_SET,
    shape: tuple[int, int, int] = (0, 0, 0),
    window: int = 0,
    first_sequence: int = 0,
) -> pprc.UpdateSecondaryDeviceStatus:
    """D7 for a bridge pair. shape: primary cylinders, tracks per cylinder, device type."""
    return pprc.UpdateSecondaryDeviceStatus(
        header=header(
            pprc.Order.UPDATE_SECONDARY_DEVICE_STATUS,
            72,
            primary,
            secondary,
            flags=int(pprc.StatusUpdateFlag.BRIDGE),
            selector=selector,
        ),
        new_state=int(state),
        expected_state=expected,
        bridge_role=role,
        bridge_number=number,
        pair_id=pair_id,
        tod=tod,
        primary_cylinders=shape[0],
        tracks_per_cylinder=shape[1],
        device_type=shape[2],
        window=window,
        first_sequence=first_sequence,
    )


def turn_path(primary: BoxName, secondary: BoxName, said: int, image: int, number: int) -> pprc.EstablishPath:
    """D0 that asks the other box to use one link in the opposite direction, for the status bridge (step 606)."""
    return pprc.EstablishPath(
        header=header(
            pprc.Order.ESTABLISH_PATH, 56, primary.volume(0), secondary.volume(0), flags=int(pprc.PathFlag.TURN)
        ),
        link_type=LINK_ESCON,
        purpose=STATUS_BRIDGE,
        bridge_number=number,
        paths=(pprc.PathDescriptor(said=said, link_address=0, cu_image=image),),
    )


def establish_status_pair(primary: VolumeName, secondary: VolumeName, number: int) -> pprc.EstablishPair:
    """D2 for the status bridge (step 608)."""
    return pprc.EstablishPair(
        header=header(pprc.Order.ESTABLISH_PAIR, 64, primary, secondary),
        mode=1,
        pace=15,
        bridge_role=STATUS_BRIDGE,
        bridge_number=number,
    )

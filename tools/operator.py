"""What an operator does to two running systems: orders that have to succeed, bridges, and waiting for pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import trio

from ccw.pprc import PprcOrder
from ccw.pprc_codes import BridgeRole, PairState
from ccw.pprc_flags import PairFlag
from ccw.pprc_query import VolumeQuery
from host_emulator import orders
from host_emulator.channel import ChannelProgram
from host_emulator.orders import System
from host_emulator.session import HostSession

LINK_RETRIES = 3  # after interface control checks: on a machine with too much to do a timer of the link may run out
AGAIN_S, POLL_S = 0.1, 0.02


class Bridge(NamedTuple):
    """A bridge, whose volumes have the same unit addresses in both systems."""

    number: int
    data: int
    status: int


async def run(session: HostSession, device: int, program: ChannelProgram, *, patience_s: float = 0.0) -> bytes:
    """Run a program that has to succeed and bears being executed twice; what it read.

    patience_s: for so long it is tried again when it is refused, for links that are only just coming up. Raises
    RuntimeError: the device, status and sense.
    """
    give_up_at = trio.current_time() + patience_s
    while True:
        result = await session.run_program(device, program, LINK_RETRIES)
        if result.completed:
            return result.data
        if trio.current_time() >= give_up_at:
            status = f"{result.unit_status:02X}.{int(result.channel_status):02X}"
            sense = (result.sense or b"").hex().upper() or "none"
            problem = f" ({result.problem})" if result.problem else ""
            raise RuntimeError(f"device {device:02X}: unit and channel status {status}, sense {sense}{problem}")
        await trio.sleep(AGAIN_S)


async def send(session: HostSession, device: int, order: PprcOrder, *, patience_s: float = 0.0) -> None:
    """Send an order that has to succeed. Raises RuntimeError: the order, the device, status and sense."""
    try:
        await run(session, device, orders.pprc(order), patience_s=patience_s)
    except RuntimeError as error:
        raise RuntimeError(f"{type(order).__name__} at {error}") from error


async def query_volume(session: HostSession, device: int) -> VolumeQuery:
    """What the volume query says. Raises RuntimeError."""
    return VolumeQuery.decode(await run(session, device, orders.query(orders.SCOPE_VOLUME)))


async def until_duplex(session: HostSession, devices: Sequence[int], timeout_s: float) -> None:
    """Wait until all the pairs are duplex. Raises RuntimeError, TooSlowError."""
    with trio.fail_after(timeout_s):
        for device in devices:
            while (await query_volume(session, device)).state != PairState.DUPLEX:
                await trio.sleep(POLL_S)


async def define_bridge(session: HostSession, system: System, bridge: Bridge, *, sends: bool) -> None:
    """Give both volumes of one system their roles (step 600): of the side that sends the tracks, or of the other."""
    data, status = (
        (BridgeRole.PRIMARY_DATA, BridgeRole.SECONDARY_STATUS)
        if sends
        else (BridgeRole.SECONDARY_DATA, BridgeRole.PRIMARY_STATUS)
    )
    await send(session, bridge.data, orders.define_bridge(system, bridge.data, data, bridge.number))
    await send(session, bridge.status, orders.define_bridge(system, bridge.status, status, bridge.number))


async def establish_bridge(
    session: HostSession, sender: System, receiver: System, bridge: Bridge, *, patience_s: float = 0.0
) -> None:
    """Set the bridge up over paths that are there (steps 602-614), and wait until it is."""
    pair = orders.establish_pair(
        sender, receiver, bridge.data, bridge.data,
        mode=1, bridge_role=1, bridge_number=bridge.number, flags=int(PairFlag.MESSAGE_REQUIRED),
    )  # fmt: skip
    await send(session, bridge.data, pair, patience_s=patience_s)

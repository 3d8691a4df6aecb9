"""What an operator sends: PPRC orders as channel programs, over a host session. Built by `host_emulator.orders`."""

from __future__ import annotations

from ccw.pprc_query import VolumeQuery
from host_emulator import orders
from host_emulator.channel import ProgramResult
from host_emulator.orders import System
from host_emulator.program import ProgramBuilder
from host_emulator.session import HostSession
from tests.helpers.two_systems import BRIDGES_BACK, PEER_PORTS, SERIALS, SSIDS

PSF = 0x27
SYSTEMS = {name: System(SSIDS[name], 0, SERIALS[name]) for name in SERIALS}
A, B = SYSTEMS["A"], SYSTEMS["B"]


async def order(session: HostSession, device: int, parameters: bytes) -> ProgramResult:
    builder = ProgramBuilder()
    builder.write(PSF, parameters)
    return await session.run_program(device, builder.build())


async def query_volume(session: HostSession, device: int) -> VolumeQuery:
    result = await session.run_program(device, orders.query(orders.SCOPE_VOLUME))
    assert result.completed, result
    return VolumeQuery.decode(result.data)


def define_bridge(site: str, volume: int, role: int, number: int = 1) -> bytes:
    return orders.define_bridge(SYSTEMS[site], volume, role, number).encode()


def establish_path(saids: tuple[int, ...] = PEER_PORTS["A"], *, consistency_group: bool = False) -> bytes:
    return orders.establish_path(A, B, saids, consistency_group=consistency_group).encode()


def establish_pair(volume: int, mode: int = 0, flags: int = 0) -> bytes:
    return orders.establish_pair(A, B, volume, volume, mode=mode, flags=flags).encode()


def establish_bridge(number: int = 1, volume: int = 0xF0) -> bytes:
    return orders.establish_pair(A, B, volume, volume, mode=1, bridge_role=1, bridge_number=number, flags=0x20).encode()


def suspend_pair(volume: int) -> bytes:
    return orders.suspend_pair(A, B, volume, volume).encode()


def delete_pair(volume: int) -> bytes:
    return orders.delete_pair(A, B, volume, volume).encode()


def recover(volume: int) -> bytes:
    return orders.recover_pair(A, B, volume, volume).encode()


def freeze(seconds: int = 0) -> bytes:
    return orders.consistency_group(A, B, seconds=seconds).encode()


def run() -> bytes:
    return orders.consistency_group(A, B, run=True).encode()


async def set_up_bridge(
    to_a: HostSession,
    to_b: HostSession,
    *,
    consistency_group: bool = False,
    saids: tuple[int, ...] = PEER_PORTS["A"],
) -> None:
    """Steps 600 to 614."""
    for session, site, volume, role in (
        (to_a, "A", 0xF0, 1),
        (to_a, "A", 0xF1, 4),
        (to_b, "B", 0xF0, 2),
        (to_b, "B", 0xF1, 3),
    ):
        result = await order(session, volume, define_bridge(site, volume, role))
        assert result.completed, result
    result = await order(to_a, 0x00, establish_path(saids, consistency_group=consistency_group))
    assert result.completed, result
    result = await order(to_a, 0xF0, establish_bridge())
    assert result.completed, result


async def set_up_bridge_back(to_a: HostSession, to_b: HostSession, saids: tuple[int, ...] = PEER_PORTS["B"]) -> None:
    """The same for bridge 2, from B to A. The ports must carry no paths of A."""
    for session, site, volume, role in (
        (to_b, "B", BRIDGES_BACK[0], 1),
        (to_b, "B", BRIDGES_BACK[1], 4),
        (to_a, "A", BRIDGES_BACK[0], 2),
        (to_a, "A", BRIDGES_BACK[1], 3),
    ):
        result = await order(session, volume, define_bridge(site, volume, role, 2))
        assert result.completed, result
    result = await order(to_b, 0x00, orders.establish_path(B, A, saids).encode())
    assert result.completed, result
    volume = BRIDGES_BACK[0]
    bridge = orders.establish_pair(B, A, volume, volume, mode=1, bridge_role=1, bridge_number=2, flags=0x20)
    result = await order(to_b, volume, bridge.encode())
    assert result.completed, result

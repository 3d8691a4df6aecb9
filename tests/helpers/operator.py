"""What an operator sends: PPRC orders as channel programs, over a host session."""

from __future__ import annotations

from ccw import pprc
from ccw.pprc_query import VolumeQuery
from host_emulator.channel import ProgramResult
from host_emulator.program import ProgramBuilder
from host_emulator.session import HostSession
from tests.helpers.two_systems import PEER_PORTS, SERIALS, SSIDS

PSF, RSSD = 0x27, 0x3E


def header(
    order: int, length: int, primary: tuple[str, int], secondary: tuple[str, int] | None, flags: int = 0
) -> pprc.PprcHeader:  # noqa: E501
    """primary and secondary: (box name, CCA)."""
    return pprc.PprcHeader(
        order=order,
        flags=flags,
        length=length,
        format=1,
        selector=0,
        request_sequence=0,
        primary_ssid=SSIDS[primary[0]],
        primary_lss=0,
        primary_cca=primary[1],
        secondary_ssid=SSIDS[secondary[0]] if secondary else 0,
        secondary_lss=0,
        secondary_cca=secondary[1] if secondary else 0,
        primary_identity=SERIALS[primary[0]].encode("cp037"),
        secondary_identity=SERIALS[secondary[0]].encode("cp037") if secondary else bytes(12),
    )


async def order(session: HostSession, device: int, parameters: bytes) -> ProgramResult:
    builder = ProgramBuilder()
    builder.write(PSF, parameters)
    return await session.run_program(device, builder.build())


async def query_volume(session: HostSession, device: int) -> VolumeQuery:
    prepare = bytearray(12)
    prepare[0], prepare[6], prepare[7] = 0x18, 0x50, 0x02
    builder = ProgramBuilder()
    builder.write(PSF, bytes(prepare))
    builder.read(RSSD, 128)
    result = await session.run_program(device, builder.build())
    assert result.completed, result
    return VolumeQuery.decode(result.data)


def define_bridge(site: str, volume: int, role: int, number: int = 1) -> bytes:
    return pprc.DefineBridgeVolume(header(0xD8, 48, (site, volume), None), role, number).encode()


def establish_path(saids: tuple[int, ...] = PEER_PORTS["A"], flags: int = 0x40) -> bytes:
    paths = tuple(pprc.PathDescriptor(said, 0, 0) for said in saids)
    return pprc.EstablishPath(
        header(0xD0, 48 + 8 * len(paths), ("A", 0), ("B", 0), flags), link_type=1, paths=paths
    ).encode()


def establish_pair(volume: int, mode: int = 0, flags: int = 0) -> bytes:
    return pprc.EstablishPair(header(0xD2, 64, ("A", volume), ("B", volume), flags), mode=mode, pace=15).encode()


def establish_bridge(number: int = 1, volume: int = 0xF0) -> bytes:
    return pprc.EstablishPair(
        header(0xD2, 64, ("A", volume), ("B", volume), 0x20), mode=1, pace=15, bridge_role=1, bridge_number=number
    ).encode()


async def set_up_bridge(to_a: HostSession, to_b: HostSession) -> None:
    """Steps 600 to 614."""
    for session, site, volume, role in (
        (to_a, "A", 0xF0, 1),
        (to_a, "A", 0xF1, 4),
        (to_b, "B", 0xF0, 2),
        (to_b, "B", 0xF1, 3),
    ):
        result = await order(session, volume, define_bridge(site, volume, role))
        assert result.completed, result
    result = await order(to_a, 0x00, establish_path())
    assert result.completed, result
    result = await order(to_a, 0xF0, establish_bridge())
    assert result.completed, result

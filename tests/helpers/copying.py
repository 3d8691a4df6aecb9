"""Remote copy between the systems of a rig: what hosts write, what the pairs are, and whether both sides agree."""

from __future__ import annotations

from ccw.bridge import BridgeHeader, RecordType, Result
from ccw.geometry import Cchh
from controller.remote_copy.core import Core
from controller.remote_copy.settings import BridgeVolume, CopySettings, Mirror
from controller.remote_copy.states import BridgeRole, PairState
from host_emulator import orders
from host_emulator.channel import ProgramResult
from host_emulator.session import HostSession
from tests.helpers import operator
from tests.helpers.operator import order, set_up_bridge
from tests.helpers.two_systems import BRIDGES, HEADS, PEER_PORTS, Rig, Site, box, until

COPY, NOCOPY, RESYNC = 0, 1, 2  # modes of an establish order
STATE_CHANGE_PENDING = 0x1D
MIRRORED = (0, 1, 2)


def core(site: Site) -> Core:
    return site.running.subsystem.remote_copy.core


def state(r: Rig, volume: int) -> PairState | None:
    """Of the pair whose primary is this volume of A; None without one."""
    pair = core(r.a).primaries.get(volume)
    return pair.state if pair is not None else None


def duplex(r: Rig, volume: int) -> bool:
    return state(r, volume) is PairState.DUPLEX


def equal(r: Rig, volume: int) -> bool:
    """Do both arrays hold the same? A track that was never written differs from an empty one."""
    a, b = r.a.running.store, r.b.running.store
    return all(a.read(volume, track) == b.read(volume, track) for track in range(core(r.a).volumes[volume].tracks))


def equal_images(r: Rig, volume: int) -> bool:
    """Do hosts read the same from both sides? To them a track that was never written is an empty one."""
    a, b = r.a.running.array, r.b.running.array
    return all(a.read(volume, track) == b.read(volume, track) for track in range(core(r.a).volumes[volume].tracks))


async def try_to_format(session: HostSession, volume: int, track: int, text: str) -> ProgramResult:
    """A host's write, however it ends."""
    program = orders.format_track(Cchh(*divmod(track, HEADS)), [orders.NewRecord(text.encode("cp037"))])
    return await session.run_program(volume, program)


async def format_track(session: HostSession, volume: int, track: int, text: str) -> None:
    """A host's write, which ends well."""
    result = await try_to_format(session, volume, track, text)
    assert result.completed, result


def waits(result: ProgramResult) -> bool:
    """State change pending: the 32-byte sense of long busy."""
    sense = result.sense
    return sense is not None and sense[25] == STATE_CHANGE_PENDING and not sense[27] & 0x80 and not any(sense[:2])


async def in_step(
    r: Rig,
    to_a: HostSession,
    to_b: HostSession,
    volumes: tuple[int, ...] = (0,),
    *,
    flags: int = 0,
    cgroup: bool = False,
    saids: tuple[int, ...] = PEER_PORTS["A"],
) -> None:
    """Bridge 1 over these ports of A, or paths alone if A needs no bridge, and duplex pairs of these volumes.

    flags: of each pair.
    """
    if core(r.a).conventional is None:
        await set_up_bridge(to_a, to_b, consistency_group=cgroup, saids=saids)
    else:
        assert (await order(to_a, 0, operator.establish_path(saids, consistency_group=cgroup))).completed
    for volume in volumes:
        assert (await order(to_a, volume, operator.establish_pair(volume, flags=flags))).completed
    await until(lambda: all(duplex(r, volume) for volume in volumes))


async def duplex_pair(r: Rig, to_a: HostSession, to_b: HostSession, *volumes: int) -> None:
    await in_step(r, to_a, to_b, volumes)


def configured(links: tuple[int, ...] = PEER_PORTS["A"], *, auto: bool = True) -> dict[str, CopySettings]:
    """Both sites: bridge 1 defined, volumes 0-2 of A to be mirrored."""
    primary = (
        BridgeVolume(BRIDGES[0], BridgeRole.PRIMARY_DATA, 1),
        BridgeVolume(BRIDGES[1], BridgeRole.SECONDARY_STATUS, 1),
    )
    secondary = (
        BridgeVolume(BRIDGES[0], BridgeRole.SECONDARY_DATA, 1),
        BridgeVolume(BRIDGES[1], BridgeRole.PRIMARY_STATUS, 1),
    )
    mirror = Mirror(box("B"), links, {volume: volume for volume in MIRRORED}, {1: BRIDGES[0]}, auto_establish=auto)
    return {"A": CopySettings(bridge_volumes=primary, mirrors=(mirror,)), "B": CopySettings(bridge_volumes=secondary)}


class HeldStatus:
    """Keeps status entries of B's bridge back from `kind` on, in their order."""

    def __init__(self, r: Rig, kind: RecordType | None = None) -> None:
        self.receiver = core(r.b).receiving[1].receiver
        self.kind = kind
        self.held: list[tuple[BridgeHeader, Result]] = []
        self._queue = self.receiver._queue
        self.receiver._queue = self._hold  # type: ignore[method-assign]

    def _hold(self, header: BridgeHeader, result: Result) -> None:
        if self.held or self.kind in (None, header.record_type):
            self.held.append((header, result))
        else:
            self._queue(header, result)

    def release(self, count: int | None = None) -> None:
        for header, result in self.held[:count]:
            self._queue(header, result)
        del self.held[:count]
        if count is None:
            self.receiver._queue = self._queue  # type: ignore[method-assign]
        self.receiver.status.send()

"""Two whole storage systems in one trio run, joined by memory streams: the rig of remote-copy tests and simulation.

A: serial 000000012345, SSID 0100; B: serial 000000067890, SSID 0200; both LSS 00, volumes 00-03, bridge volumes F0, F1
and, for a bridge the other way, F2, F3; host port 0001, four peer ports (A 0010-0013, B 0020-0023), each pair one
link. Arrays live on memory disks that survive `crash`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import trio
import trio.testing

from ccw.geometry import geometry_for
from ccw.link_control import NodeDescriptor
from ccw.profiles import DeviceIdentity
from controller.array import Disk, MemoryDisk, VirtualArrayStore
from controller.box import BoxSettings, VolumeSettings
from controller.commands.profiles import PROFILES
from controller.config import PortConfig
from controller.links.adapters import Adapters
from controller.links.committer import RunBlocking
from controller.links.system import StorageSystem
from controller.remote_copy.pair import BoxName
from controller.remote_copy.settings import CopySettings
from host_emulator.session import HostSession, session_over

CYLINDERS = 2
HEADS = 15
VOLUMES = (0x00, 0x01, 0x02, 0x03)
BRIDGES = (0xF0, 0xF1)
BRIDGES_BACK = (0xF2, 0xF3)
MORE_BRIDGES = tuple(range(0xF4, 0x100))  # data and status, to make eight
HOST_PORT = 0x0001
PEER_PORTS = {"A": (0x10, 0x11, 0x12, 0x13), "B": (0x20, 0x21, 0x22, 0x23)}
SERIALS = {"A": "000000012345", "B": "000000067890"}
SSIDS = {"A": 0x0100, "B": 0x0200}
EPOCH_S = 1_000_000_000.0  # time of day at the start of a rig: fixed, so that runs repeat

BY_COMMAND = {"A": CopySettings(reestablish=False)}  # for a rig: nothing comes back that no command brings back
Join = Callable[[str], tuple[trio.abc.Stream, trio.abc.Stream]]


def box(name: str) -> BoxName:
    return BoxName(SERIALS[name].encode("cp037"), SSIDS[name], 0)


def box_settings(
    name: str, cylinders: int = CYLINDERS, copy: CopySettings | None = None, *, conventional: bool = False
) -> BoxSettings:
    geometry = geometry_for("3390", cylinders)
    volumes = tuple(
        VolumeSettings(
            address, geometry, DeviceIdentity(address, SSIDS[name], SERIALS[name]), features=frozenset({"thin"})
        )
        for address in (*VOLUMES, *BRIDGES, *BRIDGES_BACK, *MORE_BRIDGES)
    )
    return BoxSettings(box(name), PROFILES["2107"], volumes, copy=copy or CopySettings(), conventional=conventional)


async def run_inline(action: Callable[..., Any], *arguments: Any) -> Any:
    """In place of a worker thread: the same thread, after everybody else had a turn."""
    await trio.lowlevel.checkpoint()
    return action(*arguments)


def join(_name: str) -> tuple[trio.abc.Stream, trio.abc.Stream]:
    return trio.testing.memory_stream_pair()


class Site:
    """One box: its disk outlives its system, its links do not.

    run_blocking: how the array's commits run (see `Committer`); disk: what the array sees, in front of `medium`.
    """

    def __init__(
        self,
        name: str,
        events: list[dict[str, object]],
        cylinders: int = CYLINDERS,
        run_blocking: RunBlocking | None = run_inline,
        copy: CopySettings | None = None,
        conventional: bool = False,
        wan: bool = False,
    ) -> None:
        self.wan = wan
        self.name = name
        self.medium = MemoryDisk()
        self.disk: Disk = self.medium
        self.events = events
        self.settings = box_settings(name, cylinders, copy, conventional=conventional)
        self.run_blocking = run_blocking
        self.epoch_s = EPOCH_S  # time of day at the next start
        self.system: StorageSystem | None = None
        self.links: trio.Nursery
        self._scope: trio.CancelScope | None = None
        self._down = trio.Event()

    @property
    def running(self) -> StorageSystem:
        assert self.system is not None
        return self.system

    async def start(self, nursery: trio.Nursery) -> None:
        """Open the array and serve."""
        store = VirtualArrayStore.open(self.disk, segment_bytes=1 << 18, checkpoint_bytes=1 << 18)
        for volume in self.settings.volumes:
            if volume.unit_address not in store.volumes():
                store.define_volume(volume.unit_address, {})
        store.sync()
        ports = tuple(PortConfig(said, "peer", wan=self.wan) for said in PEER_PORTS[self.name])
        self.system = StorageSystem(
            self.settings,
            Adapters((PortConfig(HOST_PORT, "host"), *ports)),
            store,
            NodeDescriptor(0, bytes(3), "002107", "   ", "HRC", "ZZ", SERIALS[self.name], 0),
            self._event,
            self.epoch_s,
            self.run_blocking,
        )
        await nursery.start(self._serve)

    async def _serve(self, task_status: trio.TaskStatus[None]) -> None:
        self._down = trio.Event()
        try:
            with trio.CancelScope() as self._scope:
                async with trio.open_nursery() as self.links:
                    await self.running.run(task_status)
        finally:
            self.system = None
            self._down.set()

    async def crash(self, random: Random) -> None:
        """Stop at once; of what was not synced, the disk keeps, drops or tears pieces."""
        assert self._scope is not None
        self._scope.cancel()
        await self._down.wait()
        self.medium.crash(random)

    def _event(self, now: float, step: int | None, text: str, fields: Mapping[str, object]) -> None:
        self.events.append({"box": self.name, "t": now, "step": step, "text": text, **fields})


class Rig:
    """Both sites and the links between them."""

    def __init__(
        self,
        nursery: trio.Nursery,
        join_link: Join = join,
        cylinders: int = CYLINDERS,
        copy: dict[str, CopySettings] | None = None,
        conventional: bool = False,
        wan: bool = False,
    ) -> None:
        self.nursery = nursery
        self.events: list[dict[str, object]] = []
        copy = copy or {}
        self.a = Site("A", self.events, cylinders, copy=copy.get("A"), conventional=conventional, wan=wan)
        self.b = Site("B", self.events, cylinders, copy=copy.get("B"), wan=wan)
        self._join = join_link

    async def start(self) -> None:
        await self.a.start(self.nursery)
        await self.b.start(self.nursery)
        await self.connect()

    async def connect(self) -> None:
        """Lay the four links."""
        for index in range(4):
            left, right = self._join(f"peer{index}")
            self._link(self.a, PEER_PORTS["A"][index], left, opened=True)
            self._link(self.b, PEER_PORTS["B"][index], right, opened=False)
        await trio.testing.wait_all_tasks_blocked()

    def _link(self, site: Site, said: int, stream: trio.abc.Stream, *, opened: bool) -> None:
        adapters = site.running.adapters

        async def serve() -> None:
            await adapters.serve_stream(said, stream, opened=opened)

        site.links.start_soon(serve)

    @asynccontextmanager
    async def host(self, site: Site) -> AsyncIterator[HostSession]:
        """A host on a link of its own to a site."""
        left, right = self._join(f"host{site.name}")
        self._link(site, HOST_PORT, right, opened=False)
        async with session_over(left) as session:
            yield session

    def steps(self) -> list[tuple[str, int]]:
        """(box, step number) of the event log, in order."""
        return [(str(event["box"]), int(str(event["step"]))) for event in self.events if event["step"] is not None]


@asynccontextmanager
async def rig(
    join_link: Join = join,
    cylinders: int = CYLINDERS,
    copy: dict[str, CopySettings] | None = None,
    *,
    conventional: bool = False,
    wan: bool = False,
) -> AsyncIterator[Rig]:
    """Two running, connected sites; everything ends with the block.

    copy: settings of remote copy, by site; conventional: A mirrors without bridges; wan: the links between them have
    the wide-area form.
    """
    async with trio.open_nursery() as nursery:
        made = Rig(nursery, join_link, cylinders, copy, conventional, wan)
        await made.start()
        yield made
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait, in steps of 10 ms, until `condition` holds. Raises TooSlowError."""
    with trio.fail_after(timeout_s):
        while not condition():
            await trio.sleep(0.01)

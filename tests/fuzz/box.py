"""A whole subsystem without network, threads or clock: all is durable at once, time stands where it is put."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ccw.link_control import NodeDescriptor
from controller.array import MemoryDisk, VirtualArrayStore
from controller.box import BoxSettings, Ports
from controller.channel import Link, PathId
from controller.links.array_port import ArrayAdapter
from controller.links.timers import TOD_OF_1970
from controller.remote_copy.ports import InstalledPort
from controller.subsystem import Subsystem
from tests.helpers.two_systems import CYLINDERS, HOST_PORT, box_settings

OWN_ADDRESS, CHANNEL_ADDRESS = 0x60, 0x40
TIMERS_MAX = 64


class Box:
    """System A of the rig: volumes 00-03, bridge volumes F0 and F1, one host link at a time, no peer in sight."""

    def __init__(
        self, cylinders: int = CYLINDERS, features: frozenset[str] = frozenset(), aliases: tuple[int, ...] = ()
    ) -> None:
        """`aliases`: of volume 00."""
        settings = box_settings("A", cylinders)
        first, *others = (replace(volume, features=features) for volume in settings.volumes)
        volumes = (replace(first, aliases=aliases), *others)
        self.settings: BoxSettings = replace(settings, volumes=volumes)
        self.time = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        store = VirtualArrayStore.open(MemoryDisk(), segment_bytes=1 << 20)
        for volume in self.settings.volumes:
            store.define_volume(volume.unit_address, {})
        self.store = store
        array = ArrayAdapter(store, {volume.unit_address: volume.geometry for volume in self.settings.volumes})
        adapters: Mapping[int, InstalledPort] = {}
        self.link: Link | None = None
        self.subsystem = Subsystem(self.settings, Ports(array, array, self, adapters, self, self, self, self.log))

    def log(self, step: int | None, text: str, fields: Mapping[str, object]) -> None:
        """Events are not kept."""

    # HardenPort, Clock, TimerPort

    def when_durable(self, sequence: int, reply: Callable[[bool], None]) -> None:
        self.store.sync()
        reply(True)

    def now(self) -> float:
        return self.time

    def tod(self) -> int:
        return TOD_OF_1970

    def call_at(self, when: float, action: Callable[[], None]) -> None:
        self.timers.append((when, action))
        assert len(self.timers) <= TIMERS_MAX, "timers grow without bound"

    def pass_time(self, seconds: float) -> None:
        """Let time pass, timers and the link's wake included."""
        self.time += seconds
        due = [timer for timer in self.timers if timer[0] <= self.time]
        self.timers = [timer for timer in self.timers if timer[0] > self.time]
        for _, action in due:
            action()
        link = self.link
        if link is not None and link.next_wake is not None and link.next_wake <= self.time:
            link.wake(self.time)

    # LinkDirectory

    def present_status(self, path: PathId, unit_address: int, status: int) -> None:
        if self.link is not None and path in self.link.paths:
            self.link.present_status(path, unit_address, status)

    def host_paths(self) -> list[PathId]:
        return sorted(self.link.paths) if self.link is not None else []

    def said_of(self, link_id: str) -> int:
        return HOST_PORT

    def new_link(self) -> Link:
        """A fresh host link; the old one loses its medium."""
        if self.link is not None:
            self.link.connection_lost(self.time)
        node = NodeDescriptor(0, bytes(3), "002107", "   ", "HRC", "ZZ", "000000012345", HOST_PORT)
        self.link = Link(
            "H", self.subsystem, node.encode(), own_address=OWN_ADDRESS, peer_address=CHANNEL_ADDRESS
        )
        return self.link

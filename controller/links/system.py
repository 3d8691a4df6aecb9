"""One storage system, running: wires array, subsystem, adapters, committer and timers together."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import trio

from ccw.escon import DIB_CODE_ESCON, DIB_CODE_MAX
from ccw.link_control import NodeDescriptor
from controller.array import VirtualArrayStore
from controller.box import BoxSettings, Ports, VolumeSettings
from controller.channel import CommandServer, Link, StreamedLink
from controller.channel.api import LinkSettings
from controller.channel.path_table import PathTable
from controller.config import PortConfig, SharedConfig
from controller.links.adapters import Adapters
from controller.links.array_port import ArrayAdapter
from controller.links.committer import Committer, RunBlocking
from controller.links.metered import MeteredServer
from controller.links.shared_dasd import SharedDasdServer
from controller.links.timers import Timers, TrioClock
from controller.models.meter import Meter
from controller.sharing import ShareServer, ShareSettings
from controller.subsystem import Subsystem

EventWriter = Callable[[float, int | None, str, Mapping[str, object]], None]  # (trio time, step, text, fields)


class SharedDasd(NamedTuple):
    """How volumes are shared with emulated mainframes."""

    config: SharedConfig
    settings: ShareSettings


class StorageSystem:
    """A box over an open store. Make it inside a trio run; `run` serves until cancelled."""

    def __init__(
        self,
        settings: BoxSettings,
        adapters: Adapters,
        store: VirtualArrayStore,
        node: NodeDescriptor,
        write_event: EventWriter,
        epoch_s: float,
        run_blocking: RunBlocking | None = None,
        shared: SharedDasd | None = None,
        meter: Meter | None = None,
        paced: bool = False,
    ) -> None:
        """`run_blocking`: runs commits, None: they have a thread of their own. `meter`: measures every chain by the
        models; `paced`: answers wait for them.
        """
        self.store = store
        self.adapters = adapters
        self._node = node
        self._write_event = write_event
        self._path_table = PathTable()
        self.timers = Timers()
        self._clock = TrioClock(epoch_s)
        self.committer = Committer(
            store,
            run_blocking or trio.to_thread.run_sync,
            self._fenced,
            lambda text: self.log(None, text, {}),
        )
        self._commit = self.committer.run_in_thread if run_blocking is None else self.committer.run
        geometries = {volume.unit_address: volume.geometry for volume in settings.volumes}
        numbers = {volume.unit_address: volume.number for volume in settings.volumes if volume.number is not None}
        self.array = ArrayAdapter(store, geometries, self._full, numbers)
        self.subsystem = Subsystem(settings, self._ports(meter))
        self.management_address: tuple[str, int] | None = None  # where operators reach it, once they do
        self.shared = self._share(shared) if shared is not None else None
        self.meter = meter
        self._server: CommandServer = self.subsystem
        if meter is not None:
            for volume in settings.volumes:
                meter.add_volume(volume.unit_address, volume.geometry)
            self._server = MeteredServer(self.subsystem, meter, self._clock, self.timers, paced)
        self._take(adapters)

    def _ports(self, meter: Meter | None) -> Ports:
        """What the subsystem gets of the shell."""
        return Ports(
            array=self.array,
            tracks=self.array,
            hardener=self.committer,
            adapters=self.adapters.by_said,
            links=self.adapters,
            clock=self._clock,
            timers=self.timers,
            log=self.log,
            cache_counts=(lambda unit: meter.counters(unit).words()) if meter is not None else None,
            touched=meter.touch if meter is not None else None,
        )

    def _share(self, shared: SharedDasd) -> SharedDasdServer:
        def say(text: str, fields: dict[str, object]) -> None:
            self.log(None, text, fields)

        server = ShareServer(self.subsystem, shared.settings)
        return SharedDasdServer(shared.config, server, say, self.committer)

    def _take(self, adapters: Adapters) -> None:
        """Links of the adapters lead to this system."""
        adapters.make_link = self._make_link
        adapters.link_lost = self.subsystem.link_lost
        adapters.link_gained = self.subsystem.link_gained
        adapters.is_peer = self.subsystem.is_peer
        adapters.say = lambda text, fields: self.log(None, text, fields)

    def add_volume(self, volume: VolumeSettings, number: int) -> None:
        """A new volume while the system runs: the store has it as `number`, which is its device number too."""
        self.array.add(volume.unit_address, volume.geometry, number)
        if self.meter is not None:
            self.meter.add_volume(volume.unit_address, volume.geometry)
        self.subsystem.add_volume(volume)
        if self.shared is not None:
            self.shared.core.add(number, volume.unit_address)

    def remove_volume(self, unit_address: int, number: int) -> None:
        """Serve a volume no more: nobody uses it, and it takes no part in remote copy."""
        if self.shared is not None:
            self.shared.core.remove(number)
        self.subsystem.remove_volume(unit_address)
        self.array.remove(unit_address)

    def log(self, step: int | None, text: str, fields: Mapping[str, object]) -> None:
        """One event; `step` is its number in the patent's figures."""
        self._write_event(self._clock.now(), step, text, fields)

    def statistics(self) -> dict[str, object]:
        """Figures since the start; bytes_raw are uncompressed track bytes sent on bridges, bytes_wire frame bytes."""
        peers = [adapter for adapter in self.adapters.by_said.values() if adapter.config.kind == "peer"]
        return {
            **self.subsystem.remote_copy.statistics(),
            "bytes_wire": sum(adapter.bytes_wire for adapter in peers),
            "commits": self.committer.commits,
            "records": self.store.appended,
            "response_times": self.meter.figures() if self.meter is not None else {},
            "net_capacity_load": self.store.net_capacity_load,
            **{f"array_{name}": value for name, value in self.store.figures().items()},
        }

    def _fenced(self, why: str) -> None:
        self.log(None, "the array is fenced: nothing more is acknowledged", {"why": why})

    def _full(self, why: str | None) -> None:
        if why is None:
            self.log(None, "the array takes writes again", {})
        else:
            self.log(None, "the array is full: writes are refused, reads go on", {"why": why})

    def _make_link(self, link_id: str, port: PortConfig, own_address: int, peer_address: int) -> Link:
        node = NodeDescriptor(
            self._node.flags,
            self._node.parameters,
            self._node.node_type,
            self._node.model,
            self._node.manufacturer,
            self._node.plant,
            self._node.sequence_number,
            port.said,
        )
        dib_code = DIB_CODE_MAX if port.wan else DIB_CODE_ESCON
        return (StreamedLink if port.wan else Link)(
            link_id,
            self._server,
            node.encode(),
            own_address=own_address,
            peer_address=peer_address,
            settings=LinkSettings(acquire_address=port.director, dib_code=dib_code),
            table=self._path_table,
        )

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Started when every listening port listens."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._commit)
            nursery.start_soon(self.committer.keep_room)
            nursery.start_soon(self.timers.run)
            await nursery.start(self.adapters.run)
            if self.shared is not None:
                await nursery.start(self.shared.run)
            task_status.started()

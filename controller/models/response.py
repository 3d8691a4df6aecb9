"""Response time of a channel program on the hardware of the period, split as the resource measurement facility does.

    pend        waiting for the link, selection, waiting for a processor and its work on the new chain
    connect     data and handshakes on the link
    disconnect  everything else: staging, destaging that must come first, waiting for the link again
    (queueing in the host is the host's)

A chain is a cursor on the time line. While it is connected its time adds up as one demand on the link; when the track
it wants is not in cache it leaves the link, waits for a processor and the disk, and asks for the link again.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from ccw.geometry import Geometry
from controller.models.cache import Cache, CacheMode, Slot
from controller.models.disk import Disk
from controller.models.link_timing import LinkTiming
from controller.models.parameters import DISKS, ModelParameters
from controller.models.queueing import Servers
from controller.models.work import CommandWork, ExtentUse, extent_use

DEFAULT_DISK = 0x3390


@dataclass(frozen=True, slots=True)
class ResponseTime:
    """Seconds. `arrival` and `finish` are on the clock of whoever asked."""

    pend: float
    disconnect: float
    connect: float
    arrival: float
    finish: float

    @property
    def total(self) -> float:
        return self.pend + self.disconnect + self.connect


@dataclass(slots=True)
class ModelledVolume:
    """A volume on a disk of its own."""

    heads: int
    disk: Disk
    track_bytes: int  # a whole track, which passes in one rotation

    @classmethod
    def of(cls, geometry: Geometry) -> ModelledVolume:
        """The volume that a geometry describes."""
        parameters = DISKS.get(geometry.device_type, DISKS[DEFAULT_DISK])
        track_bytes = int(parameters.rate * parameters.rotation)
        return cls(geometry.heads, Disk(parameters, geometry.cylinders), track_bytes)


class ResponseModel:
    """One control unit: its processors and cache, the links to it, the disks behind it."""

    def __init__(self, parameters: ModelParameters | None = None) -> None:
        self.parameters = parameters = parameters or ModelParameters()
        self.processors = Servers(parameters.processors.count)
        self.cache = Cache(parameters.cache)
        self.timing = LinkTiming(parameters.link)
        self.links: dict[Hashable, Servers] = {}
        self.volumes: dict[Hashable, ModelledVolume] = {}

    def add_volume(self, volume: Hashable, geometry: Geometry) -> None:
        """Tell of a volume before its first chain."""
        self.volumes[volume] = ModelledVolume.of(geometry)

    def begin(self, volume: Hashable, link: Hashable, arrival: float) -> ChainTiming:
        """A chain for a volume arrives on a link."""
        return ChainTiming(self, volume, self.links.setdefault(link, Servers(1)), arrival)

    def access_disk(self, slots: tuple[Slot, ...], time: float) -> float:
        """Stage or destage tracks one after the other, a processor sees to all of them; when the last one is done."""
        if not slots:
            return time
        time = self.processors.serve(time, self.parameters.processors.per_track * len(slots)).finish
        for volume, track in slots:
            modelled = self.volumes[volume]
            time = modelled.disk.serve(time, track // modelled.heads, modelled.track_bytes).finish
        return time

    def access_disk_later(self, slots: tuple[Slot, ...], time: float) -> None:
        """The same for tracks that nobody waits for: their disks move them when they are idle."""
        if slots:
            time = self.processors.serve(time, self.parameters.processors.per_track * len(slots)).finish
        for volume, track in slots:
            modelled = self.volumes[volume]
            modelled.disk.later(time, track // modelled.heads, modelled.track_bytes)


class ChainTiming:
    """One chain on its way. `command` after each command, then `end`."""

    def __init__(self, model: ResponseModel, volume: Hashable, link: Servers, arrival: float) -> None:
        self._model = model
        self._volume = volume
        self._modelled = model.volumes[volume]
        self._link = link
        self._arrival = arrival
        self._use = ExtentUse()
        self._touched: tuple[int, bool] | None = None
        start = max(arrival, link.next_free())
        ready = start + model.timing.selection()
        accepted = model.processors.serve(ready, model.parameters.processors.per_chain).finish
        self._asked = arrival  # when the link was asked for, the last time
        self._phase_start = start
        self._held = accepted - start  # how long the link has been held since
        self._first = True
        self.pend = accepted - arrival
        self.disconnect = 0.0
        self.connect = 0.0

    @property
    def now(self) -> float:
        """When the last command's ending status is there."""
        return self._phase_start + self._held

    def command(self, command: CommandWork) -> float:
        """Account for one command; when its ending status is there."""
        use = extent_use(command, self._modelled.heads)
        if use is not None:
            self._use = use
        background: tuple[Slot, ...] = ()
        after: tuple[Slot, ...] = ()
        if command.touches_track and self._touched != (command.track, command.writes):
            self._touched = (command.track, command.writes)
            before, after, background = self._access(command)
            if before:
                self._leave_link(before)
        seconds = self._model.timing.command(
            sends=len(command.data), receives=command.received, first=self._first, immediate=command.immediate
        )
        self._first = False
        self._held += seconds
        self.connect += seconds
        if after:
            self._leave_link(after)
        if background:
            self._model.access_disk_later(background, self.now)
        return self.now

    def end(self) -> ResponseTime:
        """The chain is over: give the link back. Destaging that is due begins now, and nobody waits for it."""
        finish = self.now
        self._link.serve(self._asked, self._held)
        self._model.access_disk_later(self._model.cache.destage_due(), finish)
        return ResponseTime(self.pend, self.disconnect, self.connect, self._arrival, finish)

    def _access(self, command: CommandWork) -> tuple[tuple[Slot, ...], tuple[Slot, ...], tuple[Slot, ...]]:
        """Ask the cache; slots to be moved before the data, after them, and in the background."""
        cache, volume, use = self._model.cache, self._volume, self._use
        if command.writes:
            access = cache.write(
                volume, command.track, use.mode, whole=command.formats, fast=use.fast_write
            )
            stage = () if access.stage is None else ((volume, access.stage),)
            return stage, access.destage, ()
        access = cache.read(volume, command.track, use.mode, use.last_track)
        stage = () if access.stage is None else ((volume, access.stage),)
        ahead = tuple((volume, track) for track in access.prestage)
        return (*access.destage, *stage), (), ahead

    def _leave_link(self, slots: tuple[Slot, ...]) -> None:
        """Give the link up, move tracks, and connect again."""
        left = self.now
        self._link.serve(self._asked, self._held)
        ready = self._model.access_disk(slots, left)
        self._asked = ready
        self._phase_start = max(ready, self._link.next_free())
        self._held = 0.0
        self.disconnect += self._phase_start - left


__all__ = ["CacheMode", "ChainTiming", "ModelledVolume", "ResponseModel", "ResponseTime"]

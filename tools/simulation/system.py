"""The two storage systems as stations, and the way of one I/O through them.

    host ─► unit (one I/O a volume in the host: IOSQ) ─► volume open? ─► host channel ─► processor   (pend)
         ─► cache; on a miss processor and drive (disconnect) ─► host channel: data (connect)
         ─► a write to a copied track of a pending volume: the same data to the secondary (disconnect, mirrored)

The pair's own work is in `copying.py`. All times are seconds.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import NamedTuple

from simpy import Environment, Event
from simpy.events import Timeout

from ccw.bridge import BRIDGE_HEADER_LENGTH
from controller.models.cache import Cache, Slot
from controller.models.link_timing import LinkTiming
from controller.models.queueing import Servers
from tools.simulation.arms import Arm
from tools.simulation.chains import Touch
from tools.simulation.hosts import HostIo, Workload
from tools.simulation.parameters import MILLISECOND, Parameters
from tools.simulation.stations import COPY, UPDATE, Array, Processors, Station, until

Process = Generator[Event, object, None]


class Response(NamedTuple):
    """The parts of one I/O's response time, in the order in which they pass. `arrived` is on the simulation's clock."""

    arrived: float
    iosq: float  # behind this host's own I/O to the volume
    closed: float  # the volume is closed by the copy task; part of pend
    pend: float  # channel, selection, processor
    disconnect: float  # the drives, and the channel again
    connect: float
    mirrored: float  # the secondary; a host sees it as disconnect
    writes: bool

    @property
    def total(self) -> float:
        return self.iosq + self.closed + self.pend + self.disconnect + self.connect + self.mirrored


class Volume:
    """A volume of the primary. `access`: held by a host's I/O or by the copy task, never by both."""

    __slots__ = ("access", "number", "pending", "unit")

    def __init__(self, environment: Environment, number: int) -> None:
        self.number = number
        self.unit = Station(environment)
        self.access = Station(environment)
        self.pending = False


class System:
    """Primary, secondary, and what joins them to each other and to the hosts."""

    def __init__(self, environment: Environment, parameters: Parameters, arm: Arm, workload: Workload) -> None:
        self.environment = environment
        self.parameters = parameters
        self.arm = arm
        hosts, links, processors = parameters.hosts, parameters.links, parameters.processors
        self.volumes = [Volume(environment, number) for number in range(hosts.volumes)]
        self.channels = Servers(hosts.channels)
        self.host_timing = LinkTiming(links.host_model())
        look = parameters.copy.poll_ms * MILLISECOND
        self.processors = Processors(environment, processors.count, look)
        self.secondary = Processors(environment, processors.count, 0.0)
        self.per_chain, self.per_track = processors.chain_ms * MILLISECOND, processors.track_ms * MILLISECOND
        self.cache = Cache(parameters.cache.model())
        self.array = Array(parameters.array.model(), parameters.array.arms)
        self.track_on_disk = int(parameters.copy.track_bytes / parameters.array.compression)
        self.timing = LinkTiming(links.model())
        status_links = parameters.bridge.status_links if arm.kept_path else 0
        self.data_links = links.count - status_links
        self.paths = Station(environment, self.data_links)  # any of them: first come, or by priority
        self.kept = [Station(environment) for _ in range(self.data_links)]  # each with its bridges
        self.reads = self.read_misses = 0
        workload.warm(self.cache)

    # The host's I/O

    def io(self, work: HostIo, done: list[Response]) -> Process:
        """Carry one I/O from its arrival to its end, and note its response time."""
        environment, volume = self.environment, self.volumes[work.volume]
        arrived = environment.now
        if (turn := volume.unit.enter()) is not None:
            yield turn
        started = environment.now
        if (turn := volume.access.enter()) is not None:
            yield turn
        opened = environment.now
        yield until(environment, self.channels.serve(opened, self.host_timing.selection()).finish)
        yield until(environment, self.processors.finish(self.per_chain))
        accepted = environment.now
        slots = self._look_up(work)
        if slots:
            yield until(environment, self.processors.finish(self.per_track * len(slots)))
            for number, track in slots:
                yield until(environment, self.array.finish(number, track, self.track_on_disk, environment.now))
        moved = environment.now
        data = self.channels.serve(moved, work.chain.connect)
        yield until(environment, data.finish)
        self.release(self.cache.destage_due())
        transferred = environment.now
        if work.chain.writes and work.copied and volume.pending and self.arm.mirrors:
            yield from self.mirror(work.volume, work.chain.sent)
        volume.access.leave()
        volume.unit.leave()
        finished = environment.now
        waited = data.start - moved  # for the channel: before the first transfer it is pend
        pend, disconnect = accepted - opened, moved - accepted
        pend, disconnect = (pend, disconnect + waited) if slots else (pend + waited, disconnect)
        done.append(Response(
            arrived, started - arrived, opened - started, pend, disconnect, data.finish - data.start,
            finished - transferred, work.chain.writes,
        ))  # fmt: skip

    def _look_up(self, work: HostIo) -> tuple[Slot, ...]:
        """Ask the cache for the tracks of a chain; what the disks have to move before it can go on."""
        slots: list[Slot] = []
        for touch in work.chain.touches:
            slots += self._touch(work.volume, touch)
        return tuple(slots)

    def _touch(self, volume: int, touch: Touch) -> tuple[Slot, ...]:
        if touch.writes:
            access = self.cache.write(volume, touch.track, touch.mode, whole=touch.whole, fast=touch.fast)
        else:
            access = self.cache.read(volume, touch.track, touch.mode, touch.last)
            self.reads += 1
            self.read_misses += not access.hit
            self._later((volume, track) for track in access.prestage)
        stage = () if access.stage is None else ((volume, access.stage),)
        return (*access.destage, *stage)

    def release(self, slots: tuple[Slot, ...]) -> None:
        """Destage tracks that nobody waits for."""
        for _ in slots:
            self.processors.finish(self.per_track)
        self._later(slots)

    def _later(self, slots: Iterable[Slot]) -> None:
        for number, track in slots:
            self.array.later(number, track, self.track_on_disk, self.environment.now)

    # Between the systems

    def mirror(self, volume: int, length: int) -> Process:
        """Send a host's update to the secondary and wait until it is safe there."""
        if self.arm.kept_path:
            yield from self._mirror_over_bridge(volume, length)
        else:
            yield from self._mirror_by_chain(length)

    def _mirror_by_chain(self, length: int) -> Process:
        """A path is allocated for it, a chain started and ended, and the path given back."""
        environment, conventional = self.environment, self.parameters.conventional
        if (turn := self.paths.enter(UPDATE if self.arm.update_first else COPY)) is not None:
            yield turn
        before = (conventional.allocate_ms + conventional.chain_start_ms) * MILLISECOND + self.timing.data(length)
        if self.arm.decoupled:
            yield Timeout(environment, before)
            self._give_back_path()
            yield from self._status_comes_later()
            return
        yield Timeout(environment, before + self._handshakes())
        yield until(environment, self.secondary.finish(self.per_chain))
        yield Timeout(environment, (conventional.status_ms + conventional.chain_end_ms) * MILLISECOND)
        self._give_back_path()

    def _give_back_path(self) -> None:
        """Deallocate the path: it is busy for a little longer, but nobody waits for that."""
        conventional = self.parameters.conventional
        after = conventional.deallocate_ms + (conventional.chain_end_ms if self.arm.decoupled else 0.0)
        given_back = Timeout(self.environment, after * MILLISECOND)
        given_back.callbacks.append(lambda _: self.paths.leave())

    def _mirror_over_bridge(self, volume: int, length: int) -> Process:
        """One more record of the bridge's chain, ahead of copied tracks that wait."""
        environment = self.environment
        link = self.kept[volume % self.parameters.bridge.bridges % self.data_links]
        if (turn := link.enter(UPDATE if self.arm.update_first else COPY)) is not None:
            yield turn
        data = self.timing.data(length + BRIDGE_HEADER_LENGTH)
        if self.arm.decoupled:
            yield Timeout(environment, data + self.parameters.bridge.track_handshakes * self.timing.handshake)
            link.leave()
            yield from self._status_comes_later()
            return
        yield Timeout(environment, data + self._handshakes())
        yield until(environment, self.secondary.finish(self.per_chain))
        yield Timeout(environment, self.parameters.conventional.status_ms * MILLISECOND)
        link.leave()

    def _status_comes_later(self) -> Process:
        """The data fly, the secondary works, a status packet flies back; no link is held for it."""
        environment = self.environment
        yield Timeout(environment, self.timing.flight)
        yield until(environment, self.secondary.finish(self.per_chain))
        yield Timeout(environment, self.parameters.bridge.status_ms * MILLISECOND + self.timing.flight)

    def _handshakes(self) -> float:
        return self.parameters.links.handshakes * self.timing.handshake

"""Establishing pairs: how the tracks of the pending volumes get to the secondary, in each arm.

One process for each volume. With a queue it waits for its turn, and nothing of the system is used meanwhile. Then,
chain by chain, tracks are staged (the next chain's while this one is sent) and sent:

    conventional   close the volume, get a path, start a chain, per track data + handshakes + status, end, open
    path first     get a path, close the volume only then; a volume that a host uses is left for later
    bridge         the bridge's kept path, track by track; a host's update passes between two tracks
    snapshot       as bridge, but from a copy by pointers: the volume is closed while those are copied, and then no more
"""

from __future__ import annotations

from collections.abc import Generator

from simpy import Environment, Event
from simpy.events import Timeout

from ccw.bridge import BRIDGE_HEADER_LENGTH
from tools.simulation.parameters import MILLISECOND
from tools.simulation.stations import COPY, Station, until
from tools.simulation.system import Process, System, Volume


class CopyTasks:
    """All of them. `sent`: tracks that are at the secondary; `duplex_at`: when each volume was done."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.environment: Environment = system.environment
        self.sent = 0
        self.active = self.active_max = 0
        self.duplex_at: list[float] = []
        self.turns = Station(self.environment, system.parameters.copy.concurrent)  # of volumes, with a queue
        self.bridges = Station(self.environment, system.parameters.bridge.bridges)
        self.chains = [Station(self.environment) for _ in range(system.data_links)]  # one closes volumes at a time
        self._free_bridges = list(range(system.parameters.bridge.bridges))[::-1]
        self._chain_tracks = system.parameters.copy.pace_tracks
        self._reserved = 0

    def establish(self, volumes: list[Volume], tracks: int | None) -> None:
        """Let every volume become pending now, with `tracks` to copy; None: more than the run will see."""
        for volume in volumes:
            volume.pending = True
            if self.system.arm.copies:
                self.environment.process(self._volume(volume, tracks))

    def _volume(self, volume: Volume, tracks: int | None) -> Process:
        arm = self.system.arm
        if arm.queue and (turn := self.turns.enter()) is not None:
            yield turn
        self._count(+1)
        if arm.snapshot:
            if (turn := volume.access.enter()) is not None:
                yield turn
            yield Timeout(self.environment, self.system.parameters.bridge.snapshot_ms * MILLISECOND)
            volume.access.leave()
        yield from self._chains(volume, tracks)
        self._count(-1)
        self.duplex_at.append(float(self.environment.now))
        if arm.queue:
            self.turns.leave()

    def _chains(self, volume: Volume, tracks: int | None) -> Process:
        arm, done = self.system.arm, 0
        staged = self.environment.event().succeed()  # a run begins with full buffers, not with all volumes staging
        while tracks is None or done < tracks:
            count = self._chain_tracks if tracks is None else min(self._chain_tracks, tracks - done)
            if not arm.path_first and not arm.snapshot and (turn := volume.access.enter()) is not None:
                yield turn
            if not staged.triggered:
                yield staged
            done += count
            staged = self._stage(volume, done)
            if arm.kept_path:
                yield from self._over_bridge(volume, count)
            else:
                yield from self._by_chain(volume, count)

    def _stage(self, volume: Volume, first: int) -> Event:
        """Bring the next chain's tracks into the buffers; the process that does."""
        return self.environment.process(self._staging(volume, first))

    def _staging(self, volume: Volume, first: int) -> Process:
        system, count = self.system, self._chain_tracks
        yield until(self.environment, system.processors.finish(system.per_track * count))
        length = system.track_on_disk * count
        yield until(self.environment, system.array.finish(volume.number, first, length, self.environment.now))

    # Conventional

    def _by_chain(self, volume: Volume, tracks: int) -> Process:
        """One chain; the volume is closed (a naive task did that before) and open again at its end."""
        system, arm, environment = self.system, self.system.arm, self.environment
        conventional = system.parameters.conventional
        if arm.path_first and not arm.snapshot:
            yield from self._path_and_volume(volume)
        elif (turn := system.paths.enter(COPY)) is not None:
            yield turn
        overhead = conventional.allocate_ms + conventional.chain_start_ms + conventional.chain_end_ms
        yield Timeout(environment, overhead * MILLISECOND + tracks * self._on_link())
        if arm.decoupled:
            yield Timeout(environment, system.parameters.bridge.chain_handshakes * system.timing.handshake)
        self._arrived(tracks)
        if not arm.snapshot:
            volume.access.leave()
        yield Timeout(environment, conventional.deallocate_ms * MILLISECOND)
        system.paths.leave()

    def _path_and_volume(self, volume: Volume) -> Process:
        """Have both. A path is not kept waiting for a volume that a host uses: it goes to the next task."""
        paths = self.system.paths
        while True:
            if (turn := paths.enter(COPY)) is not None:
                yield turn
            if volume.access.servers.free:
                volume.access.enter()
                return
            paths.leave()
            yield from self._until_idle(volume)

    def _until_idle(self, volume: Volume) -> Process:
        if (turn := volume.access.enter()) is not None:
            yield turn
        volume.access.leave()

    # Over a bridge

    def _over_bridge(self, volume: Volume, tracks: int) -> Process:
        """The tracks of one chain, each a record of its own, over the kept path of a bridge."""
        system, arm = self.system, self.system.arm
        bridge = yield from self._bridge_and_volume(volume)
        path = bridge % system.data_links
        link = system.kept[path]
        on_link = self._on_link()
        for _ in range(tracks):
            if (turn := link.enter(COPY)) is not None:
                yield turn
            yield Timeout(self.environment, on_link)
            link.leave()
            self._arrived(1)
        if arm.decoupled and system.parameters.bridge.chain_handshakes:
            share = tracks / system.parameters.bridge.chain_tracks
            handshakes = system.parameters.bridge.chain_handshakes * share
            yield Timeout(self.environment, handshakes * system.timing.handshake)
        if not arm.snapshot:
            volume.access.leave()
            self.chains[path].leave()
        self._free_bridges.append(bridge)
        self.bridges.leave()

    def _bridge_and_volume(self, volume: Volume) -> Generator[Event, object, int]:
        """Have a bridge; without a snapshot also its path for the whole chain, and then the volume.

        A volume that a host uses is left for later, and one is not closed while another's chain has the path.
        """
        while True:
            if (turn := self.bridges.enter()) is not None:
                yield turn
            bridge = self._free_bridges.pop()
            if self.system.arm.snapshot:
                return bridge
            chain = self.chains[bridge % self.system.data_links]
            if (turn := chain.enter()) is not None:
                yield turn
            if volume.access.servers.free:
                volume.access.enter()
                return bridge
            chain.leave()
            self._free_bridges.append(bridge)
            self.bridges.leave()
            yield from self._until_idle(volume)

    # What both need

    def _on_link(self) -> float:
        """Seconds that a track holds its link."""
        system = self.system
        copy = system.parameters.copy
        header = BRIDGE_HEADER_LENGTH if system.arm.kept_path else 0
        data = system.timing.data(copy.track_bytes + header)
        if system.arm.decoupled:
            handshakes = system.parameters.bridge.track_handshakes if system.arm.kept_path else 0
            return data + handshakes * system.timing.handshake
        status = system.per_track + system.parameters.conventional.status_ms * MILLISECOND
        return data + system.parameters.links.handshakes * system.timing.handshake + status

    def _arrived(self, tracks: int) -> None:
        """The secondary has them, and its processors work on them."""
        self.sent += tracks
        for _ in range(tracks):
            self.system.secondary.finish(self.system.per_track)

    def _count(self, change: int) -> None:
        """A volume begins or ends: pairs to look at, and buffers taken from the cache."""
        system = self.system
        copy, sizes = system.parameters.copy, system.parameters.cache
        self.active += change
        self.active_max = max(self.active_max, self.active)
        system.processors.look_at(self.active, copy.poll_interval_ms * MILLISECOND)
        buffers = min(self.active * copy.pace_tracks, int(sizes.slots * (1 - sizes.host_share_min)))
        system.release(system.cache.reserve(buffers - self._reserved))
        self._reserved = buffers

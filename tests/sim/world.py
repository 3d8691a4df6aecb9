"""Two storage systems, the links between them and from hosts, and everything that may go wrong with these.

The boxes run the production code; simulated are the medium of the links, the disk, the time, and the people.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any
from zlib import crc32

import trio
import trio.testing

from host_emulator.link import HostLinkSettings
from host_emulator.session import HostSession, session_over
from tests.helpers.two_systems import HOST_PORT, PEER_PORTS, Site
from tests.sim.trace import Trace
from tools.faults import Faults, FaultyDisk, FaultyLink, PowerFailure, quiet

RELAY_S = 0.2  # a link that broke is connected again after this long
RESTART_S = (0.5, 5.0)  # a crashed site starts again after this long
HOST_PATIENCE_S = 20.0  # for a device end, or a busy device: more than the 15 s a bridge waits for status
POWER_LEFT_MAX = 6  # disk operations that still happen when power fails during a commit


class EventLog:
    """Takes the boxes' event logs into the trace."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def append(self, event: dict[str, object]) -> None:
        self._trace.add("event", *(f"{name}={value}" for name, value in event.items()))


class SimulatedSite(Site):
    """A box whose power may fail, also in the middle of a commit."""

    def __init__(self, name: str, world: "World") -> None:
        super().__init__(name, EventLog(world.trace), run_blocking=self._commit)  # type: ignore[arg-type]
        self._world = world
        self._random = world.random(f"site {name}")
        self._faulty_disk = FaultyDisk(self.medium)
        self.disk = self._faulty_disk
        self.up = trio.Event()
        self.boots = 0

    async def boot(self) -> None:
        """Start; whoever waits for `up` goes on after the checks."""
        self._faulty_disk.fail_after(None)
        await self.start(self._world.nursery)
        self.boots += 1
        self._world.trace.add("boot", self.name, self.boots)
        self._world.on_boot(self)
        self.up.set()

    async def power_off(self) -> None:
        """Lose power now."""
        self._world.trace.add("crash", self.name)
        self.up = trio.Event()
        await self.crash(self._random)

    async def _commit(self, action: Callable[..., Any], *arguments: Any) -> Any:
        """A commit takes its time; when power fails meanwhile, some of its operations still happen."""
        try:
            await trio.sleep(self._random.uniform(0, self._world.faults.commit_max_s))
        except trio.Cancelled:
            self._faulty_disk.fail_after(self._random.randrange(POWER_LEFT_MAX))
            with suppress(PowerFailure):
                action(*arguments)
            raise
        return action(*arguments)


class World:
    """The two sites, four links between them, and as many hosts as are wanted."""

    def __init__(self, seed: int, faults: Faults, nursery: trio.Nursery, trace: Trace) -> None:
        self.seed = seed
        self.faults = faults
        self.nursery = nursery
        self.trace = trace
        self.on_boot: Callable[[SimulatedSite], None] = lambda site: None
        self._connections = 0
        self.a = SimulatedSite("A", self)
        self.b = SimulatedSite("B", self)

    def random(self, purpose: str) -> Random:
        """Chance for one purpose; it depends on the seed and nothing else."""
        return self.chance(self.seed, purpose)

    @staticmethod
    def chance(seed: int, purpose: str) -> Random:
        """See `random`."""
        return Random(f"{seed}/{purpose}")

    async def start(self) -> None:
        """Boot both boxes, lay the links, let the sites fail when they are to."""
        await self.a.boot()
        await self.b.boot()
        for index in range(len(PEER_PORTS["A"])):
            self.nursery.start_soon(self._peer_link, index)

    def end_faults(self) -> None:
        """From now on nothing goes wrong any more."""
        self.trace.add("faults end")
        self.faults = quiet(self.faults)

    # Links

    def _connect(self, name: str) -> tuple[trio.abc.Stream, trio.abc.Stream]:
        """A new connection whose two directions may each suffer."""
        self._connections += 1
        left, right = trio.testing.memory_stream_pair()
        name = f"{name}#{self._connections}"
        return self._faulty(left, f"{name}>"), self._faulty(right, f"{name}<")

    def _faulty(self, stream: trio.abc.Stream, direction: str) -> FaultyLink:
        def note(what: str, record: bytes) -> None:
            self.trace.add(what, direction, len(record), f"{crc32(record):08x}")

        return FaultyLink(stream, lambda: self.faults, self.random(direction), note)

    async def _peer_link(self, index: int) -> None:
        """Keep one link between the boxes connected."""
        while True:
            await self.a.up.wait()
            await self.b.up.wait()
            if not self.a.up.is_set():
                continue
            left, right = self._connect(f"peer{index}")
            ends = (
                self._serve(self.a, PEER_PORTS["A"][index], left, opened=True),
                self._serve(self.b, PEER_PORTS["B"][index], right, opened=False),
            )
            for end in ends:
                await end.wait()
            await trio.sleep(RELAY_S)

    def _serve(self, site: SimulatedSite, said: int, stream: trio.abc.Stream, *, opened: bool) -> trio.Event:
        """Let a port of a running site serve a stream; the event is set when it is over."""
        over = trio.Event()
        adapters = site.running.adapters

        async def serve() -> None:
            try:
                await adapters.serve_stream(said, stream, opened=opened)
            finally:
                over.set()

        site.links.start_soon(serve)
        return over

    @asynccontextmanager
    async def host(self, site: SimulatedSite, name: str) -> AsyncIterator[HostSession]:
        """A host's session with a box, on a new link. Raises LinkFailure or NoPath when that fails."""
        await site.up.wait()
        left, right = self._connect(f"{name}-{site.name}")
        self._serve(site, HOST_PORT, right, opened=False)
        patience = HostLinkSettings(device_timeout_s=HOST_PATIENCE_S)
        async with session_over(left, settings=patience, busy_timeout_s=HOST_PATIENCE_S) as session:
            yield session

    # Sites

    async def fail_sites(self, until_s: float) -> None:
        """Crash and restart each site as often as the faults say, at random times before `until_s`."""
        async with trio.open_nursery() as nursery:
            for site, count in ((self.a, self.faults.crashes_a), (self.b, self.faults.crashes_b)):
                nursery.start_soon(self._fail_site, site, count, until_s)

    async def _fail_site(self, site: SimulatedSite, count: int, until_s: float) -> None:
        random = self.random(f"crashes {site.name}")
        for when in sorted(random.uniform(0, until_s) for _ in range(count)):
            await trio.sleep_until(when)
            await site.power_off()
            await trio.sleep(random.uniform(*RESTART_S))
            await site.boot()

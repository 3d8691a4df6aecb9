"""Two storage systems, the links between them and from hosts, and everything that may go wrong with these.

The boxes run the production code; simulated are the medium of the links, the disk, the time, and the people.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import trio
import trio.testing

from controller.array import DiskError
from host_emulator.link import HostLinkSettings
from host_emulator.session import HostSession
from tests.helpers.two_systems import EPOCH_S, HOST_PORT, PEER_PORTS, Site
from tests.sim.post import Post
from tests.sim.scenario import Scenario
from tests.sim.sessions import wired_session
from tests.sim.trace import Trace
from tests.sim.wires import End, Medium, Wire, carry
from tools.faults import Faults, FaultyDisk, PowerFailure, quiet

RELAY_S = 0.2  # a link that broke is connected again after this long
RESTART_S = (0.5, 5.0)  # a crashed site starts again after this long
IDLE_COMMIT_S = 0.25  # what nobody waits for is written so often
HOST_PATIENCE_S = 20.0  # for a device end, or a busy device: more than the 15 s a bridge waits for status
STORM_S = (0.05, 1.5)  # in a storm, power fails again this long after a start
STORM_MAX = 3
RETRY_START_S = 1.0
FENCED_LOOK_S = 0.5  # somebody looks this often whether a site's array is fenced, and starts the site again
POWER_LEFT_MAX = 6  # disk operations that still happen when power fails during a commit


class EventLog:
    """Takes the boxes' event logs into the trace, and to whoever listens to the world."""

    def __init__(self, world: "World") -> None:
        self._trace = world.trace
        self._world = world

    def append(self, event: dict[str, object]) -> None:
        self._world.on_event(event)
        self._trace.add("event", *(f"{name}={value}" for name, value in event.items()))


class SimulatedSite(Site):
    """A box whose power may fail, also in the middle of a commit, and whose disk may be slow, full or broken."""

    def __init__(self, name: str, world: "World") -> None:
        copy = world.scenario.settings(name)
        super().__init__(name, EventLog(world), run_blocking=self._commit, copy=copy)  # type: ignore[arg-type]
        self._world = world
        self._random = world.random(f"site {name}")
        self._faulty_disk = FaultyDisk(self.medium)
        self.disk = self._faulty_disk
        self.up = trio.Event()
        self.boots = 0

    async def boot(self) -> None:
        """Start; whoever waits for `up` goes on after the checks. The time of day may have jumped meanwhile."""
        self._faulty_disk.fail_after(None)
        jump = self._world.faults.clock_jump_s
        self.epoch_s = EPOCH_S + trio.current_time() + self._random.uniform(-jump, jump)
        while not await self._starts():
            await trio.sleep(RETRY_START_S)
        self.running.adapters.run_link = _run_wire
        self.running.committer.idle_commit_s = IDLE_COMMIT_S
        self.boots += 1
        self._world.trace.add("boot", self.name, self.boots)
        self._world.on_boot(self)
        self.up.set()

    async def _starts(self) -> bool:
        """Try to start. A disk that fails or is full meanwhile ends the attempt; what was not synced may be lost."""
        try:
            await self.start(self._world.nursery)
        except DiskError as error:
            self._world.trace.add("did not start", self.name, error)
            self.medium.crash(self._random)
            return False
        return True

    async def power_off(self) -> None:
        """Lose power now."""
        self._world.trace.add("crash", self.name)
        self.up = trio.Event()
        await self.crash(self._random)
        self._faulty_disk.bad_syncs = 0  # its disk was replaced, or came to itself

    def fail_a_sync(self) -> None:
        """The next sync of the disk fails."""
        self._world.trace.add("the next sync fails at", self.name)
        self._faulty_disk.bad_syncs = 1

    def fill_up(self, full: bool) -> None:
        """The disk has no room for another segment from now on; or it has again."""
        self._world.trace.add("full" if full else "room again", self.name)
        self.medium.capacity_bytes = sum(self.medium.segments().values()) if full else None

    async def _commit(self, action: Callable[..., Any], *arguments: Any) -> Any:
        """A commit takes its time; when power fails meanwhile, some of its operations still happen."""
        faults = self._world.faults
        most = faults.stall_max_s if self._random.random() < faults.stall else faults.commit_max_s
        try:
            await trio.sleep(self._random.uniform(0, most))
        except trio.Cancelled:
            self._faulty_disk.fail_after(self._random.randrange(POWER_LEFT_MAX))
            with suppress(PowerFailure):
                action(*arguments)
            raise
        return action(*arguments)


def _run_wire(link: Any, end: Any, tap: object) -> Awaitable[None]:
    """In place of `stream_link.run_link`."""
    return carry(link, end)


class World:
    """The two sites, four links between them, and as many hosts as are wanted."""

    def __init__(
        self,
        seed: int,
        faults: Faults,
        scenario: Scenario,
        nursery: trio.Nursery,
        clock: trio.testing.MockClock,
        trace: Trace,
    ) -> None:
        self.seed = seed
        self.nursery = nursery
        self.trace = trace
        self.scenario = scenario
        self.faults_ended_at: float | None = None
        self.failing_over = False  # A is lost, the operator's work is over
        self.on_event: Callable[[dict[str, object]], None] = lambda event: None
        self.on_boot: Callable[[SimulatedSite], None] = lambda site: None
        self._connections = 0
        self.post = Post(clock)
        self.medium = Medium(self.post, faults, trace)
        self.a = SimulatedSite("A", self)
        self.b = SimulatedSite("B", self)
        self.primary, self.secondary = self.a, self.b

    @property
    def faults(self) -> Faults:
        """What may go wrong now."""
        return self.medium.faults

    def random(self, purpose: str) -> Random:
        """Chance for one purpose; it depends on the seed and nothing else."""
        return self.chance(self.seed, purpose)

    @staticmethod
    def chance(seed: int, purpose: str) -> Random:
        """See `random`."""
        return Random(f"{seed}/{purpose}")

    async def start(self) -> None:
        """Boot both boxes, lay the links, watch over the arrays."""
        self.nursery.start_soon(self.post.run)
        await self.a.boot()
        await self.b.boot()
        for index in range(self.scenario.links):
            self.nursery.start_soon(self._peer_link, index)

    def exchange(self) -> None:
        """Hosts use the other site from now on."""
        self.trace.add("hosts go on at", self.secondary.name)
        self.primary, self.secondary = self.secondary, self.primary

    def end_faults(self) -> None:
        """From now on nothing goes wrong any more."""
        self.trace.add("faults end")
        self.faults_ended_at = trio.current_time()
        self.medium.faults = quiet(self.faults)
        self.medium.dark.clear()
        for site in (self.a, self.b):
            site.fill_up(False)

    # Links

    def _connect(self, name: str, routes: tuple[str, str]) -> Wire:
        """A new connection whose two directions may each suffer."""
        self._connections += 1
        return Wire(self.medium, f"{name}#{self._connections}", routes, self.random)

    async def _peer_link(self, index: int) -> None:
        """Keep one link between the boxes connected."""
        while True:
            await self.a.up.wait()
            await self.b.up.wait()
            if not self.a.up.is_set():
                continue
            wire = self._connect(f"peer{index}", ("A>B", "B>A"))
            ends = (
                self._serve(self.a, PEER_PORTS["A"][index], wire.left, opened=True),
                self._serve(self.b, PEER_PORTS["B"][index], wire.right, opened=False),
            )
            for end in ends:
                await end.wait()
            await trio.sleep(RELAY_S)

    def _serve(self, site: SimulatedSite, said: int, end: End, *, opened: bool) -> trio.Event:
        """Let a port of a running site serve one end of a wire; the event is set when it is over."""
        over = trio.Event()
        adapters = site.running.adapters

        async def serve() -> None:
            try:
                await adapters.serve_stream(said, end, opened=opened)  # type: ignore[arg-type]
            finally:
                over.set()

        site.links.start_soon(serve)
        return over

    @asynccontextmanager
    async def host(self, site: SimulatedSite, name: str) -> AsyncIterator[HostSession]:
        """A host's session with a box, on a new link. Raises LinkFailure or NoPath when that fails."""
        await site.up.wait()
        wire = self._connect(f"{name}-{site.name}", ("hosts", "hosts"))
        self._serve(site, HOST_PORT, wire.right, opened=False)
        patience = HostLinkSettings(device_timeout_s=HOST_PATIENCE_S)
        async with wired_session(wire.left, self.post, patience, HOST_PATIENCE_S) as session:
            yield session

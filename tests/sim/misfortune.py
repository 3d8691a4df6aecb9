"""What befalls the sites: crashes and storms of them, partitions, a disk that is full or fails a sync. From one seed.

Links and commits suffer on their own account, record by record (`wires`, `SimulatedSite`).
"""

from collections.abc import Callable
from functools import partial
from random import Random

import trio

from tests.sim.scenario import Kind
from tests.sim.world import FENCED_LOOK_S, RESTART_S, STORM_MAX, STORM_S, SimulatedSite, World
from tools.faults import quiet

PEACE_S = 3.0
ROUTES = ("A>B", "B>A")


class Misfortune:
    """Everything of that kind in one run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._going_down: set[str] = set()  # sites that somebody is about to start again

    async def strike(self, until_s: float) -> None:
        """Do everything before `until_s`, then return, not before that, when both sites are up again.

        Every second run is given a few seconds first in which nothing goes wrong, links included.
        """
        world = self._world
        faults = world.faults
        begin_s = world.random("peace").choice((0.0, PEACE_S))
        world.medium.faults = quiet(faults)
        await trio.sleep_until(begin_s)
        world.medium.faults = faults
        async with trio.open_nursery() as nursery:
            lost = world.scenario.kind is Kind.FAILOVER  # then A is, once, and by somebody else
            for site, crashes in ((world.a, 0 if lost else faults.crashes_a), (world.b, faults.crashes_b)):
                chance = world.random(f"crashes {site.name}")
                self._plan(nursery, chance, crashes, begin_s, until_s, partial(self._crash, site, chance))
                chance = world.random(f"syncs {site.name}")
                self._plan(nursery, chance, faults.sync_errors, begin_s, until_s, partial(self._fail_sync, site))
                chance = world.random(f"full {site.name}")
                self._plan(nursery, chance, faults.full, begin_s, until_s, partial(self._full, site, chance))
            chance = world.random("partitions")
            self._plan(nursery, chance, faults.partitions, begin_s, until_s, partial(self._partition, chance))
            nursery.start_soon(trio.sleep_until, until_s)

    def _plan(
        self,
        nursery: trio.Nursery,
        chance: Random,
        count: int,
        begin_s: float,
        until_s: float,
        strike: Callable[[], object],
    ) -> None:
        for when in sorted(chance.uniform(begin_s, until_s) for _ in range(count)):
            nursery.start_soon(self._at, when, strike)

    @staticmethod
    async def _at(when: float, strike: Callable[[], object]) -> None:
        await trio.sleep_until(when)
        await strike()  # type: ignore[misc]

    async def _crash(self, site: SimulatedSite, chance: Random) -> None:
        """Power fails; in a storm it fails again soon after."""
        if not self._take(site):
            return
        again = chance.randint(1, STORM_MAX) if self._world.faults.storm else 0
        await self._restart(site, chance)
        for _ in range(again):
            await trio.sleep(chance.uniform(*STORM_S))
            await self._restart(site, chance)
        self._going_down.discard(site.name)

    def _take(self, site: SimulatedSite) -> bool:
        """Is the site ours to crash, or does somebody do that already?"""
        if site.name in self._going_down:
            return False
        self._going_down.add(site.name)
        return True

    async def _restart(self, site: SimulatedSite, chance: Random) -> None:
        await site.power_off()
        await trio.sleep(chance.uniform(*RESTART_S))
        await site.boot()

    async def _fail_sync(self, site: SimulatedSite) -> None:
        site.fail_a_sync()

    async def _full(self, site: SimulatedSite, chance: Random) -> None:
        site.fill_up(True)
        await trio.sleep(chance.uniform(0.5, self._world.faults.full_max_s or 0.5))
        site.fill_up(False)

    async def _partition(self, chance: Random) -> None:
        """Nothing that one box says reaches the other, or both fall silent."""
        routes = chance.choice((ROUTES[:1], ROUTES[1:], ROUTES))
        self._world.trace.add("partition", *routes)
        self._world.medium.dark.update(routes)
        await trio.sleep(chance.uniform(0.5, self._world.faults.partition_max_s))
        self._world.trace.add("partition ends", *routes)
        self._world.medium.dark.difference_update(routes)

    async def start_fenced_sites(self) -> None:
        """For ever, start a site again whose array is fenced: what a supervisor of the machine does."""
        chance = self._world.random("supervisor")
        while True:
            await trio.sleep(FENCED_LOOK_S)
            for site in (self._world.a, self._world.b):
                if site.system is not None and site.system.committer.fenced and self._take(site):
                    await self._restart(site, chance)
                    self._going_down.discard(site.name)

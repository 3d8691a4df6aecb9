"""A is lost at a moment when all pairs are duplex; the hosts go on at B; A comes back and is made B's secondary."""

import trio

from ccw.ccws import ChannelStatus
from ccw.pprc_query import VolumeQuery
from controller.remote_copy.states import PairState, Reason
from host_emulator import orders
from host_emulator.link import LinkFailure, NoPath
from host_emulator.session import HostSession
from tests.helpers import operator as commands
from tests.helpers.operator import A, B
from tests.helpers.two_systems import PEER_PORTS
from tests.sim.checkers import Checkers
from tests.sim.history import History
from tests.sim.scenario import DATA, STATUS
from tests.sim.world import World

LOST_S = (4.0, 9.0)  # when A is lost, or as soon after as all pairs are duplex
AWAY_S = (1.0, 5.0)  # A is started again this long after the hosts go on at B
LOOK_S, ROUND_S = 0.1, 2.0
FAILOVER, FAILBACK, FORCE = 1, 2, 0x02
BACK = 2  # number of the bridge from B to A


class Failover:
    """The people who do it."""

    def __init__(self, world: World, history: History, checkers: Checkers) -> None:
        self._world = world
        self._history = history
        self._checkers = checkers
        self._volumes = world.scenario.volumes
        self._random = world.random("failover")

    async def run(self) -> None:
        """All of it; then look after the pairs for ever."""
        world = self._world
        await trio.sleep(self._random.uniform(*LOST_S))
        while not self._checkers.all_duplex():
            await trio.sleep(LOOK_S)
        world.failing_over = True
        await world.a.power_off()
        await self._insist(self._fail_over)
        self._history.exchange()
        world.exchange()
        await trio.sleep(self._random.uniform(*AWAY_S))
        await world.a.boot()
        while True:
            await self._insist(self._bring_back)
            await trio.sleep(ROUND_S)

    async def _insist(self, work: object) -> None:
        """Do `work` with a session at B, again until it is done."""
        while True:
            try:
                async with self._world.host(self._world.b, "failover") as to_b:
                    if await work(to_b):  # type: ignore[operator]
                        return
            except (LinkFailure, NoPath) as failure:
                self._world.trace.add("failover has no connection:", failure)
            await trio.sleep(LOOK_S)

    async def _fail_over(self, to_b: HostSession) -> bool:
        for volume in self._volumes:
            order = orders.establish_pair(B, A, volume, volume, action=FAILOVER).encode()
            if not await self._order(to_b, volume, order, unless=Reason.ALREADY_PRIMARY):
                return False
        return True

    async def _bring_back(self, to_b: HostSession) -> bool:
        """Bridge and pairs from B to A; True when nothing is left to order."""
        world = self._world
        if not world.a.up.is_set():
            return False
        async with world.host(world.a, "failover") as to_a:
            for session, site, volume, role in (
                (to_b, "B", DATA[BACK], 1), (to_b, "B", STATUS[BACK], 4),
                (to_a, "A", DATA[BACK], 2), (to_a, "A", STATUS[BACK], 3),
            ):  # fmt: skip
                if not await self._order(session, volume, commands.define_bridge(site, volume, role, BACK)):
                    return False
        paths = orders.establish_path(B, A, PEER_PORTS["B"][2:]).encode()
        data = DATA[BACK]
        bridge = orders.establish_pair(B, A, data, data, mode=1, bridge_role=1, bridge_number=BACK).encode()
        if not await self._order(to_b, self._volumes[0], paths) or not await self._order(to_b, data, bridge):
            return False
        for volume in self._volumes:
            _, state = await self._state(to_b, volume)
            if state is PairState.SUSPENDED_PRIMARY_COMMAND and not await self._fail_back(to_b, volume):
                return False
        return True

    async def _fail_back(self, to_b: HostSession, volume: int) -> bool:
        """Without the override first. A refuses when it died before its duplex was durable: it cannot know of it."""
        back = orders.establish_pair(B, A, volume, volume, action=FAILBACK).encode()
        if await self._order(to_b, volume, back):
            return True
        back = orders.establish_pair(B, A, volume, volume, action=FAILBACK, flags=FORCE).encode()
        return await self._order(to_b, volume, back)

    async def _state(self, session: HostSession, volume: int) -> tuple[int, PairState]:
        """Role (1: primary) and state of a volume at B. Raises LinkFailure when it does not answer."""
        result = await session.run_program(volume, orders.query(orders.SCOPE_VOLUME))
        if not result.completed:
            raise LinkFailure("no answer to a query")
        query = VolumeQuery.decode(result.data)
        return query.role, PairState(query.state)

    async def _order(
        self, session: HostSession, device: int, parameters: bytes, *, unless: Reason | None = None
    ) -> bool:
        """Is it done? `unless`: it is too when it is refused for this."""
        result = await commands.order(session, device, parameters)
        sense = result.sense.hex() if result.sense else ""
        what = f"order {parameters[0]:02X} to {device:02X}"
        self._world.trace.add("failover:", what, result.completed, sense, result.problem or "")
        if result.channel_status & ChannelStatus.INTERFACE_CONTROL_CHECK:
            raise LinkFailure(what)
        return result.completed or (result.sense is not None and result.sense[8] == unless)

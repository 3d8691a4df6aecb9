"""An operator who sets everything up, and again whenever it has fallen apart. Knows only what queries tell."""

import trio

from ccw.ccws import ChannelStatus
from ccw.pprc_query import QueueReport, VolumeQuery
from controller.remote_copy.states import BridgeState, PairState
from host_emulator import orders
from host_emulator.channel import ProgramResult
from host_emulator.link import LinkFailure, NoPath
from host_emulator.session import HostSession
from tests.helpers import operator as commands
from tests.helpers.two_systems import BRIDGES
from tests.sim.world import World

ROUND_S = 1.0  # pause between two looks
COPY, RESYNC = 0, 2
ROLES = (("A", BRIDGES[0], 1), ("A", BRIDGES[1], 4), ("B", BRIDGES[0], 2), ("B", BRIDGES[1], 3))
DOWN = (BridgeState.UNDEFINED, BridgeState.DEFINED, BridgeState.FAILED)


class NoAnswer(Exception):
    """The connection to a box is not what it should be."""


class Operator:
    """Keeps the bridge established and all volumes paired."""

    def __init__(self, volumes: tuple[int, ...], world: World) -> None:
        self._volumes = volumes
        self._world = world
        self.bridges = self.pairs = self.resyncs = 0  # commands that ended well

    async def run(self) -> None:
        """Look after the boxes for ever; a lost connection is made anew."""
        while True:
            try:
                async with (
                    self._world.host(self._world.a, "operator") as to_a,
                    self._world.host(self._world.b, "operator") as to_b,
                ):
                    await self._define_bridges({"A": to_a, "B": to_b})
                    while True:
                        await self._round(to_a)
                        await trio.sleep(ROUND_S)
            except (LinkFailure, NoPath, NoAnswer) as failure:
                self._world.trace.add("operator has no connection:", failure)
            await trio.sleep(ROUND_S)

    async def _define_bridges(self, sessions: dict[str, HostSession]) -> None:
        for box, volume, role in ROLES:
            if not await self._order(sessions[box], volume, commands.define_bridge(box, volume, role)):
                raise NoAnswer(f"bridge volume {volume:02X} of {box} is not defined")

    async def _round(self, to_a: HostSession) -> None:
        report = QueueReport.decode((await self._ask(to_a, self._volumes[0], orders.SCOPE_QUEUE)).data)
        if report.bridges[0].bridge_state in DOWN:
            paths = await self._order(to_a, self._volumes[0], commands.establish_path())
            if not paths or not await self._order(to_a, BRIDGES[0], commands.establish_bridge()):
                return
            self.bridges += 1
        for volume in self._volumes:
            state = PairState(VolumeQuery.decode((await self._ask(to_a, volume, orders.SCOPE_VOLUME)).data).state)
            if state is PairState.SIMPLEX:
                self.pairs += await self._order(to_a, volume, commands.establish_pair(volume, COPY))
            elif state.suspended:
                self.resyncs += await self._order(to_a, volume, commands.establish_pair(volume, RESYNC))

    async def _ask(self, session: HostSession, device: int, scope: int) -> ProgramResult:
        return self._heard(await session.run_program(device, orders.query(scope)), f"query {scope}")

    async def _order(self, session: HostSession, device: int, parameters: bytes) -> bool:
        """Send one order; did it end well?"""
        result = await commands.order(session, device, parameters)
        sense = result.sense.hex() if result.sense else ""
        what = f"order {parameters[0]:02X} to {device:02X}"
        self._world.trace.add("operator:", what, result.completed, sense, result.problem or "")
        if result.channel_status & ChannelStatus.INTERFACE_CONTROL_CHECK:
            raise NoAnswer(what)
        return result.completed

    def _heard(self, result: ProgramResult, what: str) -> ProgramResult:
        if not result.completed:
            raise NoAnswer(f"{what}: {result.unit_status:02X} {result.problem or ''}")
        return result

"""The people at the consoles: they set everything up, and do what the scenario wants. They know what queries tell."""

import trio

from ccw.ccws import ChannelStatus
from ccw.geometry import Cchh
from ccw.pprc_query import QueueReport, VolumeQuery
from controller.remote_copy.states import BridgeState, PairState
from host_emulator import orders
from host_emulator.channel import ProgramResult
from host_emulator.link import LinkFailure, NoPath
from host_emulator.session import HostSession
from tests.helpers import operator as commands
from tests.sim.checkers import Checkers
from tests.sim.scenario import DATA, STATUS, Kind, Scenario
from tests.sim.world import World

ROUND_S = 1.0  # pause between two looks while something is to be done
QUIET_ROUND_S = 4.0  # and else, or while others bring things back by themselves
COPY, RESYNC = 0, 2
DOWN = (BridgeState.UNDEFINED, BridgeState.DEFINED, BridgeState.FAILED)
SUSPEND_SHARE = 0.05  # of an operator's rounds
COPY_AFTER_S = 5.0  # after the faults have ended, a recovered volume is copied over
RECOVER_S = (4.0, 10.0)


class NoAnswer(Exception):
    """The connection to a box is not what it should be."""


class Operator:
    """One run's people."""

    def __init__(self, scenario: Scenario, world: World, checkers: Checkers) -> None:
        self._scenario = scenario
        self._volumes = scenario.volumes
        self._world = world
        self._checkers = checkers
        self._random = world.random("operator")
        self._recover_at = self._random.uniform(*RECOVER_S)
        self._recovered: int | None = None  # a volume that B's hosts use now
        self.bridges = self.pairs = self.resyncs = self.freezes = 0  # commands that ended well

    async def run(self) -> None:
        """Look after the boxes for ever; a lost connection is made anew."""
        if self._scenario.kind is Kind.AUTOMATIC:
            return
        while not self._world.failing_over:
            try:
                async with (
                    self._world.host(self._world.a, "operator") as to_a,
                    self._world.host(self._world.b, "operator") as to_b,
                ):
                    await self._define_bridges({"A": to_a, "B": to_b})
                    while not self._world.failing_over:
                        busy = await self._round(to_a, to_b)
                        await trio.sleep(ROUND_S if busy else QUIET_ROUND_S)
            except (LinkFailure, NoPath, NoAnswer) as failure:
                self._world.trace.add("operator has no connection:", failure)
            await trio.sleep(ROUND_S)

    async def _define_bridges(self, sessions: dict[str, HostSession]) -> None:
        for number in self._scenario.bridges:
            for box, volume, role in (
                ("A", DATA[number], 1), ("A", STATUS[number], 4), ("B", DATA[number], 2), ("B", STATUS[number], 3),
            ):  # fmt: skip
                order = commands.define_bridge(box, volume, role, number)
                if not await self._order(sessions[box], volume, order):
                    raise NoAnswer(f"bridge volume {volume:02X} of {box} is not defined")

    async def _round(self, to_a: HostSession, to_b: HostSession) -> bool:
        """Look, and do what is to be done. Is something still open?"""
        if self._scenario.kind is Kind.RECOVERED:
            await self._recover(to_a, to_b)
        states = {volume: await self._state(to_a, volume) for volume in self._volumes}
        if self._scenario.grouped and any(state.suspended for state in states.values()):
            if not all(state.suspended or state is PairState.SIMPLEX for state in states.values()):
                await self._freeze(to_a)
                return True
            await self._order(to_a, self._volumes[0], commands.run())  # refused, if they failed without a freeze
        if not await self._bridges_are_up(to_a):
            return True
        for volume, state in states.items():
            await self._look_after(to_a, volume, state)
        return any(state is PairState.SIMPLEX for state in states.values()) or self._scenario.grouped

    async def _establish(self, to_a: HostSession, volume: int, mode: int) -> bool:
        self._checkers.copy_ordered(volume)
        return await self._order(to_a, volume, commands.establish_pair(volume, mode))

    async def _look_after(self, to_a: HostSession, volume: int, state: PairState) -> None:
        """Establish what is not; take up again what somebody has suspended, or what nobody else may take up."""
        faults_end = self._world.faults_ended_at
        if state is PairState.SIMPLEX:
            self._checkers.may_be_overwritten(volume)  # A's side may have been lost in a crash: this too is an override
            self.pairs += await self._establish(to_a, volume, COPY)
        elif state is PairState.SUSPENDED_SECONDARY_SIMPLEX:
            if self._random.random() < 0.5:  # without the override: it is to be refused
                await self._establish(to_a, volume, RESYNC)
            if faults_end is not None and trio.current_time() > faults_end + COPY_AFTER_S:
                self._checkers.may_be_overwritten(volume)
                self._recovered = None
                self.pairs += await self._establish(to_a, volume, COPY)
        elif state is PairState.SUSPENDED_PRIMARY_COMMAND or (self._scenario.grouped and state.suspended):
            self.resyncs += await self._establish(to_a, volume, RESYNC)
        elif state is PairState.DUPLEX and faults_end is None and self._tries_out():
            await self._order(to_a, volume, commands.suspend_pair(volume))

    def _tries_out(self) -> bool:
        """Does an operator suspend a pair, now?"""
        return self._scenario.kind is Kind.OPERATED and self._random.random() < SUSPEND_SHARE

    async def _bridges_are_up(self, to_a: HostSession) -> bool:
        """Establish what was never established, or was ended by a freeze; the rest comes back by itself."""
        report = QueueReport.decode((await self._ask(to_a, self._volumes[0], orders.SCOPE_QUEUE)).data)
        down = [bridge.bridge_number for bridge in report.bridges if bridge.bridge_state in DOWN]
        if not down:
            return True
        paths = commands.establish_path(self._scenario.saids, consistency_group=self._scenario.grouped)
        await self._order(to_a, self._volumes[0], paths)
        for number in down:
            self.bridges += await self._order(to_a, DATA[number], commands.establish_bridge(number, DATA[number]))
        return len(down) < len(self._scenario.bridges)

    async def _freeze(self, to_a: HostSession) -> None:
        """A pair of the group has failed: all of them stop here. The next round lets the hosts go on."""
        if await self._order(to_a, self._volumes[0], commands.freeze()):
            self.freezes += 1
            self._checkers.look_at_the_order()

    async def _recover(self, to_a: HostSession, to_b: HostSession) -> None:
        """Once, while things go wrong: the secondary becomes simplex. Hosts of both boxes write the same track now."""
        if self._recovered is not None or not self._recover_at < trio.current_time() or self._world.faults_ended_at:
            return
        volume = self._volumes[0]
        if not await self._order(to_b, volume, commands.recover(volume)):
            return
        self._recovered = volume
        track, data = self._checkers.newer_at_b(volume)
        program = orders.format_track(Cchh(*divmod(track, 15)), [orders.NewRecord(data)])
        if (await to_b.run_program(volume, program)).completed:
            self._checkers.written_at_b(volume)
        program = orders.format_track(Cchh(*divmod(track, 15)), [orders.NewRecord(b"still at A")])
        await to_a.run_program(volume, program)

    async def _state(self, session: HostSession, volume: int) -> PairState:
        return PairState(VolumeQuery.decode((await self._ask(session, volume, orders.SCOPE_VOLUME)).data).state)

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

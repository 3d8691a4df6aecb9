"""Hosts that write numbered records to paired volumes and read them back, whatever happens to their links."""

import trio

from ccw.ccws import ChannelStatus
from ccw.geometry import Cchh
from host_emulator import orders
from host_emulator.channel import ProgramResult
from host_emulator.link import LinkFailure, NoPath
from host_emulator.session import HostSession
from tests.sim.checkers import Checkers
from tests.sim.history import History, Place, contents
from tests.sim.world import World

HEADS = 15
THINK_S = 0.25  # mean pause of a host between two programs
WAITING_THINK_S = 1.5  # the same while the faults are over and the pairs are not in step again
DOWN_LOOK_S = 0.1  # a host looks this often whether its site is up again
LINK_CHECKS_MAX = 2  # interface control checks in a row; then the host connects anew
FORMAT_SHARE, READ_SHARE = 0.05, 0.35
NOTHING_DONE = ProgramResult(0x0C, 0, 0, 0, None, ())


class Host:
    """One host. It alone writes `volumes`; it reads all.

    dependent: each of its writes depends on the one before, so one that has not ended well is repeated until it has.
    """

    def __init__(
        self,
        name: str,
        volumes: tuple[int, ...],
        world: World,
        history: History,
        checkers: Checkers,
        *,
        dependent: bool = False,
    ) -> None:
        self._name = name
        self._volumes = volumes
        self._world = world
        self._history = history
        self._checkers = checkers
        self._random = world.random(f"host {name}")
        self._dependent = dependent
        self._unfinished: dict[Place, int] = {}
        self._stopping = False
        self.stopped = trio.Event()
        self.reads = self.writes = self.unanswered = 0

    def stop(self) -> None:
        """Finish the program under way, then no more; `stopped` tells when."""
        self._stopping = True

    async def run(self) -> None:
        """Work until told to stop; a lost connection is made anew."""
        while not self._stopping:
            site = self._world.primary
            if not site.up.is_set():
                await trio.sleep(DOWN_LOOK_S)
                continue
            try:
                async with self._world.host(site, self._name) as session:
                    await self._work(session)
            except (LinkFailure, NoPath) as failure:
                self._world.trace.add(self._name, "has no connection:", failure)
            await trio.sleep(self._random.uniform(0.01, 1.0))
        self.stopped.set()

    async def _work(self, session: HostSession) -> None:
        checks = 0
        while checks < LINK_CHECKS_MAX and not self._stopping:
            waiting = self._world.faults_ended_at is not None and not self._checkers.all_duplex()
            await trio.sleep(self._random.expovariate(1 / (WAITING_THINK_S if waiting else THINK_S)))
            result = await self._one_program(session)
            if result.channel_status & ChannelStatus.INTERFACE_CONTROL_CHECK:
                checks += 1
                self.unanswered += 1
            else:
                checks = 0

    async def _one_program(self, session: HostSession) -> ProgramResult:
        what = self._random.random()
        if self._unfinished:
            return await self._write(session, self._unfinished)
        if what < READ_SHARE or not self._volumes:
            there = [place for place, record in self._history.records.items() if record.acknowledged]
            if there:
                return await self._read(session, self._random.choice(there))
        if not self._volumes:
            return NOTHING_DONE
        volume, track = self._random.choice(self._volumes), self._random.choice(self._history.tracks)
        places = list(self._history.on(volume, track))
        formatted = all(self._history[place].acknowledged and not self._history[place].exposed for place in places)
        if formatted and what >= READ_SHARE + FORMAT_SHARE:
            places = [self._random.choice(places)]
        numbers = {place: self._history.begin(place) for place in places}
        if self._dependent:
            self._history.order.append(numbers)
            self._unfinished = numbers
        return await self._write(session, numbers)

    async def _read(self, session: HostSession, place: Place) -> ProgramResult:
        floor, gone, boot = self._history[place].floor, self._history[place].exposed, self._world.primary.boots
        read = self._random.choice((orders.read_record, orders.read_record_by_search))
        result = await session.run_program(place.volume, read(_address(place.track), place.record))
        self._world.trace.add(self._name, "read", *place, _ending(result))
        self._checkers.read_ended(place, floor, gone, boot, result)
        self.reads += 1
        return result

    async def _write(self, session: HostSession, numbers: dict[Place, int]) -> ProgramResult:
        """Update one record, or format the track with all its records."""
        places = list(numbers)
        spell = self._checkers.duplex_spell(places[0].volume)
        data = [contents(place, number) for place, number in numbers.items()]
        address = _address(places[0].track)
        if len(places) == 1:
            program = orders.write_record(address, places[0].record, data[0])
        else:
            self._history.format_begins(places[0].volume, places[0].track)
            program = orders.format_track(address, [orders.NewRecord(each) for each in data])
        self._world.trace.add(self._name, "writes", numbers)
        result = await session.run_program(places[0].volume, program)
        self._world.trace.add(self._name, "wrote", places[0], _ending(result))
        if result.completed:
            if self._dependent:
                self._history.ordered_until = len(self._history.order)
                self._unfinished = {}
            self._checkers.write_ended(numbers, spell)
            self.writes += 1
        return result


def _address(track: int) -> Cchh:
    return Cchh(*divmod(track, HEADS))


def _ending(result: ProgramResult) -> str:
    """How a program ended, for the trace."""
    sense = result.sense[:9].hex() if result.sense else ""
    return f"{result.unit_status:02X}{result.channel_status:02X} {sense} {result.problem or ''}"

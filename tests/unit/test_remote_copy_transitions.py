"""Live systems are taken through every cell of the transition table (controller/remote_copy/states.py, TABLE)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from random import Random

import pytest
import trio

from ccw.bridge import BridgeHeader, RecordType, Result
from ccw.geometry import Cchh
from controller.remote_copy.host_writes import FB_SECONDARY_SUBSYSTEM
from controller.remote_copy.states import TABLE, Cell, PairEvent, PairState
from host_emulator import orders
from host_emulator.channel import ProgramResult
from host_emulator.session import HostSession
from tests.helpers import operator
from tests.helpers.copying import NOCOPY, RESYNC, core, duplex
from tests.helpers.operator import A, B, freeze, order, run, set_up_bridge
from tests.helpers.two_systems import BY_COMMAND, Rig, Site, rig, until

SIMPLEX, PENDING, DUPLEX, SUSPENDED = COLUMNS = range(4)  # volumes, too: one for each column
ATTENTION = 0x85


class Systems:
    """A and B with one volume in each state; B's bridge keeps the last status of the pending one back."""

    def __init__(self, r: Rig, to_a: HostSession, to_b: HostSession) -> None:
        self.r, self.to_a, self.to_b = r, to_a, to_b
        self.held: list[tuple[BridgeHeader, Result]] = []

    async def set_up(self, *, extended: bool = False) -> None:
        """extended: the pending pair is one of extended distance."""
        await set_up_bridge(self.to_a, self.to_b)
        for volume in (DUPLEX, SUSPENDED):
            assert (await order(self.to_a, volume, operator.establish_pair(volume))).completed
        await until(lambda: duplex(self.r, DUPLEX) and duplex(self.r, SUSPENDED))
        assert (await order(self.to_a, SUSPENDED, operator.suspend_pair(SUSPENDED))).completed
        self._hold_the_end_of_the_next_copy()
        establish = establish_extended if extended else operator.establish_pair
        assert (await order(self.to_a, PENDING, establish(PENDING))).completed
        await until(lambda: extended or bool(self.held))
        await trio.sleep(0.1)
        assert [self.state_at_a(volume) for volume in COLUMNS] == [0, 1, 2, 3]
        assert [self.state_at_b(volume) for volume in COLUMNS] == [0, 1, 2, 5]
        self.to_a.attentions()

    def _hold_the_end_of_the_next_copy(self) -> None:
        receiver = core(self.r.b).receiving[1].receiver
        go_on = receiver._queue

        def hold(header: BridgeHeader, result: Result) -> None:
            if header.record_type == RecordType.END_OF_VOLUME and not self.released:
                self.held.append((header, result))
            else:
                go_on(header, result)

        self.released = False
        self._go_on = go_on
        receiver._queue = hold  # type: ignore[method-assign]

    def release(self) -> None:
        self.released = True
        for header, result in self.held:
            self._go_on(header, result)
        core(self.r.b).receiving[1].receiver.status.send()

    def state_at_a(self, volume: int) -> PairState:
        return self._state(self.r.a, volume)

    def state_at_b(self, volume: int) -> PairState:
        """Of the secondary; of the primary that it has become."""
        return self._state(self.r.b, volume)

    def _state(self, site: Site, volume: int) -> PairState:
        found = core(site)
        pair = found.secondaries.get(volume) or found.primaries.get(volume)
        return pair.state if pair is not None else PairState.SIMPLEX

    async def write(self, volume: int) -> ProgramResult:
        return await self.to_a.run_program(volume, orders.format_track(Cchh(0, 5), [orders.NewRecord(b"data")]))


def establish_extended(volume: int, mode: int = 0) -> bytes:
    return orders.establish_pair(A, B, volume, volume, mode=mode, option=1).encode()


Act = Callable[[Systems, int], Awaitable[ProgramResult | None]]


def to_primary(build: Callable[[int], bytes]) -> Act:
    """An order to the volume at A."""

    async def act(systems: Systems, volume: int) -> ProgramResult:
        return await order(systems.to_a, volume, build(volume))

    return act


def to_secondary(build: Callable[[int], bytes], *, heard: bool = False) -> Act:
    """An order to the volume at B. heard: a write makes the primary hear of it."""

    async def act(systems: Systems, volume: int) -> ProgramResult:
        result = await order(systems.to_b, volume, build(volume))
        if heard and result.completed:
            await systems.write(volume)
        return result

    return act


def recover(volume: int) -> bytes:
    return orders.recover_pair(A, B, volume, volume).encode()


async def delete_without_path(systems: Systems, volume: int) -> ProgramResult:
    """B is gone; it comes back without links, so that it can be looked at."""
    await systems.r.b.crash(Random(1))
    result = await order(systems.to_a, volume, operator.delete_pair(volume))
    await systems.r.b.start(systems.r.nursery)
    return result


async def freeze_and_run(systems: Systems, volume: int) -> ProgramResult:
    return await order(systems.to_a, volume, run())


async def complete(systems: Systems, volume: int) -> None:
    systems.release()


async def restart(systems: Systems, volume: int) -> None:
    await trio.sleep(0.1)  # the states are durable
    await systems.r.a.crash(Random(1))
    await systems.r.a.start(systems.r.nursery)


def met(event: PairEvent) -> Act:
    """What the controller itself reports: to the place where all its parts report it."""

    async def act(systems: Systems, volume: int) -> None:
        found = systems.r.a.running.subsystem.remote_copy
        pair = found.core.primaries[volume]
        found.writes.suspend(pair, event, FB_SECONDARY_SUBSYSTEM, "met by the test")

    return act


async def hears_simplex(systems: Systems, volume: int) -> None:
    """The secondary is recovered; the primary hears of it by a write, or, suspended, when it asks."""
    assert (await order(systems.to_b, volume, recover(volume))).completed
    if volume != SUSPENDED:
        await systems.write(volume)
    else:
        core(systems.r.a).change(core(systems.r.a).primaries[volume], PairEvent.SECONDARY_SIMPLEX, "asked by the test")


async def finds_it_held(systems: Systems, volume: int) -> None:
    """The secondary is suspended by command; the primary hears of it when it asks."""
    assert (await order(systems.to_b, volume, operator.suspend_pair(volume))).completed
    core(systems.r.a).change(core(systems.r.a).primaries[volume], PairEvent.HELD_AT_SECONDARY, "asked by the test")


ACTS: dict[PairEvent, Act] = {
    PairEvent.ESTABLISH_COPY: to_primary(operator.establish_pair),
    PairEvent.ESTABLISH_NOCOPY: to_primary(lambda volume: operator.establish_pair(volume, NOCOPY)),
    PairEvent.RESYNC: to_primary(lambda volume: operator.establish_pair(volume, RESYNC)),
    PairEvent.ESTABLISH_XD: to_primary(establish_extended),
    PairEvent.RESYNC_XD: to_primary(lambda volume: establish_extended(volume, RESYNC)),
    PairEvent.GO_TO_SYNC: to_primary(operator.establish_pair),
    PairEvent.SUSPEND_AT_PRIMARY: to_primary(operator.suspend_pair),
    PairEvent.SUSPEND_AT_SECONDARY: to_secondary(operator.suspend_pair, heard=True),
    PairEvent.HELD_AT_SECONDARY: finds_it_held,
    PairEvent.DELETE: to_primary(operator.delete_pair),
    PairEvent.DELETE_WITHOUT_PATH: delete_without_path,
    PairEvent.RECOVER: to_secondary(recover),
    PairEvent.FAILOVER: to_secondary(lambda volume: orders.establish_pair(B, A, volume, volume, action=1).encode()),
    PairEvent.FAILBACK: to_primary(lambda volume: orders.establish_pair(A, B, volume, volume, action=2).encode()),
    PairEvent.FREEZE: to_primary(lambda volume: freeze()),
    PairEvent.RUN: freeze_and_run,
    PairEvent.COPY_COMPLETE: complete,
    PairEvent.COMMUNICATION_LOST: met(PairEvent.COMMUNICATION_LOST),
    PairEvent.SECONDARY_SIMPLEX: hears_simplex,
    PairEvent.SECONDARY_ERROR: met(PairEvent.SECONDARY_ERROR),
    PairEvent.PRIMARY_ERROR: met(PairEvent.PRIMARY_ERROR),
    PairEvent.RESTART: restart,
}
AT_ONCE = frozenset({PairEvent.DELETE_WITHOUT_PATH, PairEvent.FREEZE, PairEvent.RESTART})  # befalls all volumes


def cells() -> Iterator[tuple[PairEvent, int, Cell]]:
    for event, row in TABLE.items():
        for column, cell in zip(COLUMNS, row, strict=True):
            if cell is not None:
                yield event, column, cell


def test_every_event_has_an_act() -> None:
    assert set(ACTS) == set(TABLE) == set(PairEvent)
    assert len(list(cells())) > 60


async def visit(systems: Systems, event: PairEvent, volume: int, cell: Cell) -> None:
    before = systems.state_at_a(volume), systems.state_at_b(volume)
    told = len(systems.r.events)
    result = await ACTS[event](systems, volume)
    await trio.sleep(0.5)
    after = systems.state_at_a(volume), systems.state_at_b(volume)
    where = f"{event.name} of volume {volume:02X} in state {before[0].name}"
    expected = tuple(old if new is None else new for old, new in zip(before, cell[:2], strict=True))
    assert after == expected, where
    if cell.reason is not None:
        assert result is not None and result.sense is not None, where
        assert result.sense[7:9] == bytes((0x0F, cell.reason)), where
    elif result is not None:
        assert result.completed, where
    message = f"IEA494I {volume:04X},"
    said = [str(e["text"]) for e in systems.r.events[told:] if e["box"] == "A" and message in str(e["text"])]
    assert bool(said) == (after[0] is not before[0]), where
    if event is not PairEvent.RESTART:  # no host has a link to the box just then
        attentions = {(came.unit_address, came.status) for came in systems.to_a.attentions()}
        assert ((volume, ATTENTION) in attentions) == (after[0] is not before[0]), where


@pytest.mark.parametrize("event", TABLE, ids=lambda event: event.name)
async def test_row(event: PairEvent, autojump_clock: object) -> None:
    """All cells of an event, on one pair of systems where it does not befall all volumes at once."""
    wanted = [(column, cell) for named, column, cell in cells() if named is event]
    while wanted:
        async with rig(copy=BY_COMMAND) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
            systems = Systems(r, to_a, to_b)
            await systems.set_up(extended=event is PairEvent.GO_TO_SYNC)
            if event is PairEvent.RUN:
                assert (await order(to_a, 0, freeze())).completed
                to_a.attentions()
            now = wanted[:1] if event in AT_ONCE or event is PairEvent.RUN else wanted
            for column, cell in now:
                await visit(systems, event, column, cell)
            wanted = wanted[len(now) :]

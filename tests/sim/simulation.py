"""One run: set up, work while things go wrong, work on when they no longer do, come to rest, compare.

    0 .. 10 s                   everything starts; link and site faults, in every second run not before 3 s; a site
                                that is down is awaited
    then at most 120 s          no new faults; hosts go on; every pair must become duplex
    then 2 s                    writes in duplex
    then at most 90 s           the hosts finish what they are at; both arrays must be equal
All times are virtual. Of the 120 s a controller may spend 60 waiting for a device end whose chain the other end has
given up, a host 20 and a bridge 15; the rest is work and the operator's rounds.
"""

from collections.abc import Callable
from dataclasses import dataclass

import trio
import trio.testing

from tests.sim.checkers import Check, Checkers, Violation
from tests.sim.failover import Failover
from tests.sim.history import History
from tests.sim.misfortune import Misfortune
from tests.sim.operator import Operator
from tests.sim.scenario import Kind, Scenario, draw_scenario
from tests.sim.trace import Trace
from tests.sim.workload import Host
from tests.sim.world import World
from tools.faults import Faults, describe, draw_faults, run_pinned

FAULTS_S = 10.0
DUPLEX_WITHIN_S = 120.0
CALM_S = 2.0
STOP_WITHIN_S = 90.0
LOOK_S = 0.1
READ_ALL_S = 0.5
TRACKS = (0, 1, 2, 7, 14, 15, 22, 29)


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of one run that went well."""

    digest: str
    lines: int
    reads: int
    writes: int
    mirrored_writes: int
    bridges: int
    resyncs: int
    freezes: int
    orders_checked: int
    kind: str
    duplex_after_s: float  # since the faults ended
    deepest: dict[str, int]


async def simulate(
    seed: int, clock: trio.testing.MockClock, faults: Faults, scenario: Scenario, trace: Trace
) -> Summary:
    """One run. Raises Violation, perhaps in a group."""
    async with trio.open_nursery() as nursery:
        world = World(seed, faults, scenario, nursery, clock, trace)
        history = History(scenario.volumes, TRACKS)
        checkers = Checkers(world, history)
        hosts = _hosts(scenario, world, history, checkers)
        operator = Operator(scenario, world, checkers)
        await world.start()
        nursery.start_soon(_watch_queues, checkers)
        nursery.start_soon(_watch_secondary, checkers)
        nursery.start_soon(operator.run)
        if scenario.kind is Kind.FAILOVER:
            nursery.start_soon(Failover(world, history, checkers).run)
        for host in hosts:
            nursery.start_soon(host.run)
        misfortune = Misfortune(world)
        nursery.start_soon(misfortune.start_fenced_sites)
        await misfortune.strike(FAULTS_S)
        world.end_faults()
        calm_at = trio.current_time()
        await _until(lambda: checkers.all_duplex() and has_failed_over(world), DUPLEX_WITHIN_S, checkers)
        duplex_after_s = trio.current_time() - calm_at
        await trio.sleep(CALM_S)
        for host in hosts:
            host.stop()
        await _until(lambda: all(host.stopped.is_set() for host in hosts), STOP_WITHIN_S, checkers)
        await _until(checkers.all_duplex, DUPLEX_WITHIN_S, checkers)
        checkers.arrays_equal()
        nursery.cancel_scope.cancel()
    return Summary(
        digest=trace.digest,
        lines=trace.lines,
        reads=sum(host.reads for host in hosts),
        writes=sum(host.writes for host in hosts),
        mirrored_writes=checkers.mirrored_writes,
        bridges=operator.bridges,
        resyncs=operator.resyncs,
        freezes=operator.freezes,
        orders_checked=checkers.orders_checked,
        kind=scenario.kind.name,
        duplex_after_s=duplex_after_s,
        deepest=checkers.deepest,
    )


def has_failed_over(world: World) -> bool:
    """Has what was to happen to A happened, and is it back?"""
    return world.scenario.kind is not Kind.FAILOVER or (world.primary is world.b and world.a.up.is_set())


def _hosts(scenario: Scenario, world: World, history: History, checkers: Checkers) -> list[Host]:
    """Two hosts, each with its own volumes; in a group one writes all, for only it knows the order, and one reads."""
    volumes = scenario.volumes
    shares = [volumes, ()] if scenario.grouped else [volumes[0::2], volumes[1::2]]
    return [
        Host(f"host{i}", share, world, history, checkers, dependent=scenario.grouped and bool(share))
        for i, share in enumerate(shares)
    ]


async def _watch_queues(checkers: Checkers) -> None:
    """Often: a queue is long for a moment only."""
    while True:
        checkers.measure_queues()
        await trio.sleep(LOOK_S)


async def _watch_secondary(checkers: Checkers) -> None:
    """Seldom: every track is read."""
    while True:
        checkers.look_at_the_order()
        checkers.look_at_what_is_newer()
        await trio.sleep(READ_ALL_S)


async def _until(condition: Callable[[], bool], within_s: float, checkers: Checkers) -> None:
    with trio.move_on_after(within_s):
        while not condition():
            await trio.sleep(LOOK_S)
        return
    raise Violation(Check.CONVERGED, f"not at rest after {within_s:.0f} s: {checkers.states()}")


class SimulationFailed(AssertionError):
    """A run broke a rule, or the controller itself failed. `cause` is what it was."""

    def __init__(self, seed: int, faults: Faults, scenario: Scenario, trace: Trace, cause: BaseException) -> None:
        self.cause = cause
        super().__init__(
            f"seed {seed}: {type(cause).__name__}: {cause}\n"
            f"{scenario}\n"
            f"faults: {describe(faults)}\n"
            f"replay: python -m tests.sim --seed {seed}\n"
            f"the last {len(trace.last)} of {trace.lines} events:\n  " + "\n  ".join(trace.last)
        )


def run_seed(
    seed: int, faults: Faults | None = None, trace: Trace | None = None, scenario: Scenario | None = None
) -> Summary:
    """Run one seed, by default with the faults and the scenario it draws. Raises SimulationFailed."""
    trace = trace or Trace()
    chosen = faults or draw_faults(World.chance(seed, "faults"))
    people = scenario or draw_scenario(World.chance(seed, "scenario"))

    async def run(pinned: int, clock: trio.testing.MockClock) -> Summary:
        return await simulate(pinned, clock, chosen, people, trace)

    try:
        return run_pinned(run, seed)
    except Exception as error:
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        raise SimulationFailed(seed, chosen, people, trace, cause) from cause

"""One run: set up, work while things go wrong, work on when they no longer do, come to rest, compare.

    0 .. 12 s                   everything starts; link and site faults; a crashed site is awaited
    then at most 120 s          no new faults; hosts go on; every pair must become duplex
    then 3 s                    writes in duplex
    then at most 90 s           the hosts finish what they are at; both arrays must be equal
All times are virtual. Of the 120 s a controller may spend 60 waiting for a device end whose chain the other end has
given up, a host 20 and a bridge 15; the rest is work and the operator's rounds.
"""

from collections.abc import Callable
from dataclasses import dataclass

import trio
import trio.testing

from tests.helpers.two_systems import VOLUMES
from tests.sim.checkers import Check, Checkers, Violation
from tests.sim.history import History
from tests.sim.misfortune import Misfortune
from tests.sim.operator import Operator
from tests.sim.trace import Trace
from tests.sim.workload import Host
from tests.sim.world import World
from tools.faults import Faults, describe, draw_faults, run_pinned

FAULTS_S = 12.0
DUPLEX_WITHIN_S = 120.0
CALM_S = 3.0
STOP_WITHIN_S = 90.0
LOOK_S = 0.1
MEASURE_S = 0.5
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
    duplex_after_s: float  # since the faults ended
    deepest: dict[str, int]


async def simulate(seed: int, clock: trio.testing.MockClock, faults: Faults, trace: Trace) -> Summary:
    """One run. Raises Violation, perhaps in a group."""
    async with trio.open_nursery() as nursery:
        world = World(seed, faults, nursery, clock, trace)
        volumes = VOLUMES[: world.random("volumes").choice((3, 4))]
        history = History(volumes, TRACKS)
        checkers = Checkers(world, history)
        hosts = [Host(f"host{i}", volumes[i::2], world, history, checkers) for i in range(2)]
        operator = Operator(volumes, world)
        await world.start()
        nursery.start_soon(_watch_queues, checkers)
        nursery.start_soon(operator.run)
        for host in hosts:
            nursery.start_soon(host.run)
        misfortune = Misfortune(world)
        nursery.start_soon(misfortune.start_fenced_sites)
        await misfortune.strike(FAULTS_S)
        await trio.sleep_until(FAULTS_S)
        world.end_faults()
        calm_at = trio.current_time()
        await _until(checkers.all_duplex, DUPLEX_WITHIN_S, checkers)
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
        duplex_after_s=duplex_after_s,
        deepest=checkers.deepest,
    )


async def _watch_queues(checkers: Checkers) -> None:
    while True:
        checkers.measure_queues()
        await trio.sleep(MEASURE_S)


async def _until(condition: Callable[[], bool], within_s: float, checkers: Checkers) -> None:
    with trio.move_on_after(within_s):
        while not condition():
            await trio.sleep(LOOK_S)
        return
    raise Violation(Check.CONVERGED, f"not at rest after {within_s:.0f} s: {checkers.states()}")


class SimulationFailed(AssertionError):
    """A run broke a rule, or the controller itself failed. `cause` is what it was."""

    def __init__(self, seed: int, faults: Faults, trace: Trace, cause: BaseException) -> None:
        self.cause = cause
        super().__init__(
            f"seed {seed}: {type(cause).__name__}: {cause}\n"
            f"faults: {describe(faults)}\n"
            f"replay: pytest tests/sim/test_simulation.py --seed {seed}\n"
            f"the last {len(trace.last)} of {trace.lines} events:\n  " + "\n  ".join(trace.last)
        )


def run_seed(seed: int, faults: Faults | None = None, trace: Trace | None = None) -> Summary:
    """Run one seed, by default with the faults it draws. Raises SimulationFailed."""
    trace = trace or Trace()
    chosen = faults or draw_faults(World.chance(seed, "faults"))

    async def run(pinned: int, clock: trio.testing.MockClock) -> Summary:
        return await simulate(pinned, clock, chosen, trace)

    try:
        return run_pinned(run, seed)
    except Exception as error:
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        raise SimulationFailed(seed, chosen, trace, cause) from cause

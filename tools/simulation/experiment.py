"""Which runs the experiment needs, whole or quick.

main        every arm against the number of pending pairs
patterns    the same at three numbers for the other ways hosts behave, recorded chains among them
distance    best practice and the invention against distance and handshakes
tornado     the same two with every assumed parameter halved and doubled
ablation    best practice with one part more, the invention with one part less
price       the invention with links given to the status bridges, as FIG. 5D draws it, and with a bridge whose tracks
            wait for the handshakes of ordinary commands
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tools.simulation.arms import ADDED, ARMS, BEST, FULL, MIRRORED, REMOVED, SIMPLEX, Arm
from tools.simulation.hosts import PATTERNS, UNIFORM, ZIPF, Pattern
from tools.simulation.parameters import Described, Parameters, packaged
from tools.simulation.run import Case

FACTORS = (0.5, 2.0)
FAR_KM = 100.0
# Assumed, but without a part in the pattern that the tornado runs with.
ELSEWHERE = frozenset({"hosts.zipf_rate", "hosts.zipf_exponent", "hosts.think_ms"})
Values = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of it. Numbers of pairs above the number of volumes are left out."""

    pairs: tuple[int, ...]
    seeds: int
    patterns: tuple[Pattern, ...]
    pattern_pairs: tuple[int, ...]
    pattern_seeds: int
    distances: tuple[float, ...]
    handshakes: tuple[int, ...]
    distance_seeds: int
    tornado_seeds: int
    ablation_pairs: tuple[int, ...]
    ablation_seeds: int
    prices: tuple[tuple[str, int], ...]
    values: Values = ()


POWERS = tuple(1 << power for power in range(11))
WHOLE = Plan(
    pairs=POWERS, seeds=30,
    patterns=PATTERNS[1:], pattern_pairs=(8, 64, 1024), pattern_seeds=2,
    distances=(0, 10, 50, 100, 200, 300), handshakes=(1, 2, 3, 4), distance_seeds=1,
    tornado_seeds=1,
    ablation_pairs=(8, 64, 1024), ablation_seeds=2,
    prices=(("bridge.status_links", 1), ("bridge.status_links", 2), ("bridge.track_handshakes", 2)),
)  # fmt: skip
QUICK = Plan(
    pairs=(1, 8, 64, 256, 1024), seeds=3,
    patterns=(ZIPF,), pattern_pairs=(8, 64), pattern_seeds=2,
    distances=(0, 10, 100), handshakes=(1, 2, 4), distance_seeds=1,
    tornado_seeds=1,
    ablation_pairs=(8, 64), ablation_seeds=2,
    prices=(("bridge.status_links", 2), ("bridge.track_handshakes", 2)),
    values=(("run.warm_up_s", 1.0), ("run.window_s", 3.0), ("run.drain_s", 1.0)),
)  # fmt: skip


class Experiment:
    """The cases of a plan, each once, those of one seed and pattern together: they share what warms the cache."""

    def __init__(self, plan: Plan, parameters: Parameters, described: Iterable[Described]) -> None:
        self.plan = plan
        given = packaged()[0]
        shorter = {name: value for name, value in plan.values if parameters.value(name) == given.value(name)}
        self.parameters = parameters.with_values(shorter)  # a file's own values hold
        self.volumes = parameters.hosts.volumes
        self.assumed = tuple(
            one.name for one in described if one.assumed and one.value and one.name not in ELSEWHERE
        )

    @property
    def most(self) -> int:
        """The largest number of pairs: where distance and assumptions are varied."""
        return max(self.within(self.plan.pairs))

    def within(self, pairs: Iterable[int]) -> tuple[int, ...]:
        """Those that there are volumes for."""
        return tuple(number for number in pairs if number <= self.volumes) or (self.volumes,)

    def cases(self) -> list[Case]:
        """All of them, in an order that does not depend on anything."""
        found = dict.fromkeys((
            *self._main(), *self._patterns(), *self._distance(), *self._tornado(), *self._ablation(), *self._price(),
        ))  # fmt: skip
        return sorted(found, key=lambda case: (len(case.values), case.pattern != UNIFORM.key, case.pattern, case.seed))

    def tornado(self) -> Iterator[tuple[str, float, float]]:
        """Parameter, factor and value, where the value is another one."""
        for name in self.assumed:
            for factor in FACTORS:
                value = self.parameters.scaled(name, factor).value(name)
                if value != self.parameters.value(name):
                    yield name, factor, value

    def _main(self) -> Iterator[Case]:
        for seed in range(1, self.plan.seeds + 1):
            yield from _arms((*ARMS, MIRRORED), self.within(self.plan.pairs), seed)

    def _patterns(self) -> Iterator[Case]:
        for pattern in self.plan.patterns:
            for seed in range(1, self.plan.pattern_seeds + 1):
                yield from _arms(ARMS, self.within(self.plan.pattern_pairs), seed, pattern)

    def _distance(self) -> Iterator[Case]:
        for distance in self.plan.distances:
            for handshakes in self.plan.handshakes:
                values = distance_values(distance, handshakes)
                for seed in range(1, self.plan.distance_seeds + 1):
                    yield Case(BEST.key, self.most, seed, values=values)
                    yield Case(FULL.key, self.most, seed, values=values[:1])  # which waits for no handshakes

    def _tornado(self) -> Iterator[Case]:
        for name, _, value in self.tornado():
            for seed in range(1, self.plan.tornado_seeds + 1):
                for arm in (BEST, FULL):
                    yield Case(arm.key, self.most, seed, values=((name, value),))

    def _ablation(self) -> Iterator[Case]:
        for pattern in (UNIFORM, ZIPF):
            for seed in range(1, self.plan.ablation_seeds + 1):
                arms = (SIMPLEX, BEST, *ADDED, *REMOVED, FULL)
                yield from _arms(arms, self.within(self.plan.ablation_pairs), seed, pattern)

    def _price(self) -> Iterator[Case]:
        for values in self.prices():
            for seed in range(1, self.plan.distance_seeds + 1):
                yield Case(FULL.key, self.most, seed, values=values)

    def prices(self) -> Iterator[Values]:
        """Each at the distance as it is, and far away."""
        for price in self.plan.prices:
            for distance in (self.parameters.links.distance_km, FAR_KM):
                yield price, ("links.distance_km", distance)


def distance_values(distance: float, handshakes: int) -> Values:
    """The parameters of a point of the map."""
    return ("links.distance_km", float(distance)), ("links.handshakes", handshakes)


def _arms(arms: Iterable[Arm], pairs: Iterable[int], seed: int, pattern: Pattern = UNIFORM) -> Iterator[Case]:
    """Simplex does not depend on the number of pairs: it runs once."""
    numbers = tuple(pairs)
    for arm in arms:
        for number in numbers if arm.mirrors else numbers[:1]:
            yield Case(arm.key, number, seed, pattern.key)

"""What the outcomes say: means over seeds, the knee, what is flat, which part of the invention gains what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean

from tools.simulation.arms import ADDED, ARMS, BEST, FULL, MIRRORED, REMOVED, SIMPLEX, Arm
from tools.simulation.experiment import Experiment, Values, distance_values
from tools.simulation.exposure import Exposure, exposure
from tools.simulation.hosts import UNIFORM, ZIPF, Pattern
from tools.simulation.run import PARTS, Outcome
from tools.simulation.statistics import Estimate, estimate

KNEE = 1.25  # times the response time without remote copy
FEW = 8  # pairs that a response time at many is compared with
Key = tuple[str, int, str, Values]
Measure = Callable[[Outcome], float]


@dataclass(frozen=True, slots=True)
class Row:
    """One point: all seeds of an arm at a number of pairs. Milliseconds."""

    arm: str
    pairs: int
    pattern: str
    values: Values
    seeds: int
    mean: Estimate
    p95: Estimate
    p99: Estimate
    write_mean: Estimate
    parts: dict[str, float]
    copied_per_s: Estimate
    served: float
    saturated: bool
    read_miss: float
    link_busy: float
    active_max: int

    @property
    def unmirrored(self) -> float:
        """The mean without what mirrored writes wait for the secondary."""
        return self.mean.mean - self.parts["mirrored"]


@dataclass(frozen=True, slots=True)
class PartShare:
    """What a part of the invention is worth at one point, in milliseconds of mean response time and as a share.

    `added`: what best practice gains by it alone; `removed`: what the invention loses without it. Shares are of the
    whole difference between best practice and invention; they need not add up: parts help or replace each other.
    The rates are tracks a second, of best practice with the part and of the invention without it.
    """

    part: str
    pattern: str
    pairs: int
    added_ms: float
    added_share: float
    removed_ms: float
    removed_share: float
    added_rate: float
    removed_rate: float


@dataclass(frozen=True, slots=True)
class Swing:
    """The gain of the invention over best practice with one assumed parameter halved and doubled."""

    name: str
    low: Estimate
    high: Estimate

    @property
    def width(self) -> float:
        return abs(self.high.mean - self.low.mean)


@dataclass(frozen=True, slots=True)
class Flatness:
    """Response time at a number of pairs over that at a few: as it is; without the mirrored part; and without what the
    same mirroring costs while nothing is copied."""

    pairs: int
    as_it_is: float
    without_mirroring: float
    without_mirroring_alone: float


class Results:
    """Answers from the outcomes of an experiment."""

    def __init__(self, experiment: Experiment, outcomes: Iterable[Outcome]) -> None:
        self.experiment = experiment
        self.outcomes = list(outcomes)
        self._seeds: dict[Key, dict[int, Outcome]] = {}
        for outcome in self.outcomes:
            case = outcome.case
            key = case.arm, case.pairs, case.pattern, case.values
            self._seeds.setdefault(key, {})[case.seed] = outcome
        self.pairs = experiment.within(experiment.plan.pairs)
        self.most = experiment.most
        self.few = FEW if FEW in self.pairs else self.pairs[-1]

    @property
    def processor_s(self) -> float:
        """Processor seconds of all runs."""
        return sum(outcome.processor_s for outcome in self.outcomes)

    # Points

    def rows(self) -> Iterator[Row]:
        """All points."""
        return (self._row(key) for key in self._seeds)

    def row(self, arm: Arm, pairs: int, pattern: Pattern = UNIFORM, values: Values = ()) -> Row:
        """One point. Simplex is the same at any number of pairs. Raises KeyError where it was not run."""
        return self._row(self._key(arm, pairs, pattern, values))

    def _key(self, arm: Arm, pairs: int, pattern: Pattern, values: Values) -> Key:
        if not arm.mirrors:
            pairs = min(key[1] for key in self._seeds if key[0] == arm.key and key[2:] == (pattern.key, values))
        return arm.key, pairs, pattern.key, values

    def _row(self, key: Key) -> Row:
        found = list(self._seeds[key].values())

        def over(measure: Measure) -> Estimate:
            return estimate([measure(outcome) for outcome in found])

        return Row(
            *key,
            seeds=len(found),
            mean=over(lambda one: one.mean),
            p95=over(lambda one: one.p95),
            p99=over(lambda one: one.p99),
            write_mean=over(lambda one: one.write_mean),
            parts={part: fmean(one.parts[part] for one in found) for part in PARTS},
            copied_per_s=over(lambda one: one.copied_per_s),
            served=fmean(one.served for one in found),
            saturated=any(one.saturated for one in found),
            read_miss=fmean(one.read_miss for one in found),
            link_busy=fmean(one.link_busy for one in found),
            active_max=max(one.active_max for one in found),
        )

    def ratio(self, above: Key, below: Key, seeds: int | None = None) -> Estimate:
        """Of two mean response times, seed by seed: hosts asked for the same in both. Over the first `seeds` only."""
        first, second = self._seeds[above], self._seeds[below]
        both = sorted(first.keys() & second.keys())[:seeds]
        return estimate([first[seed].mean / second[seed].mean for seed in both])

    # Questions

    def knee(self, arm: Arm) -> int:
        """The largest number of pairs, from the smallest on, with a mean within `KNEE` times simplex; 0: none."""
        limit = KNEE * self.row(SIMPLEX, 0).mean.mean
        knee = 0
        for pairs in self.pairs:
            row = self.row(arm, pairs)
            if row.saturated or row.mean.mean > limit:
                break
            knee = pairs
        return knee

    def flatness(self, arm: Arm = FULL) -> list[Flatness]:
        """From a few pairs to the most."""
        simplex = self.row(SIMPLEX, 0).mean.mean

        def alone(pairs: int) -> float:
            return self.row(arm, pairs).mean.mean - (self.row(MIRRORED, pairs).mean.mean - simplex)

        few = self.row(arm, self.few)
        return [
            Flatness(
                pairs,
                self.row(arm, pairs).mean.mean / few.mean.mean,
                self.row(arm, pairs).unmirrored / few.unmirrored,
                alone(pairs) / alone(self.few),
            )
            for pairs in self.pairs
            if pairs >= self.few
        ]

    def gain(self, values: Values = (), pairs: int | None = None, pattern: Pattern = UNIFORM) -> Estimate:
        """How many times longer best practice takes than the invention."""
        pairs = pairs or self.most
        full = values[:1] if values and values[0][0] == "links.distance_km" else values
        return self.ratio(self._key(BEST, pairs, pattern, values), self._key(FULL, pairs, pattern, full))

    def gain_map(self) -> list[tuple[float, int, Estimate]]:
        """Distance, handshakes, gain."""
        plan = self.experiment.plan
        return [
            (distance, handshakes, self.gain(distance_values(distance, handshakes)))
            for distance in plan.distances
            for handshakes in plan.handshakes
        ]

    def middle(self) -> Estimate:
        """The gain with everything as assumed, over the seeds of the tornado."""
        best, full = (self._key(arm, self.most, UNIFORM, ()) for arm in (BEST, FULL))
        return self.ratio(best, full, self.experiment.plan.tornado_seeds)

    def tornado(self) -> list[Swing]:
        """The widest first. A parameter that cannot be halved or doubled keeps its value on that side."""
        found: dict[str, dict[float, Estimate]] = {}
        for name, factor, value in self.experiment.tornado():
            found.setdefault(name, {})[factor] = self.gain(((name, value),))
        middle = self.middle()
        swings = [Swing(name, ends.get(0.5, middle), ends.get(2.0, middle)) for name, ends in found.items()]
        return sorted(swings, key=lambda swing: -swing.width)

    def ablation(self) -> list[PartShare]:
        """Every part at every point where it was run."""
        return [
            self._part(part, added, removed, pairs, pattern)
            for pattern in (UNIFORM, ZIPF)
            for pairs in self.experiment.within(self.experiment.plan.ablation_pairs)
            for part, added, removed in zip(PART_NAMES, ADDED, REMOVED, strict=True)
        ]

    def _part(self, part: str, added: Arm, removed: Arm, pairs: int, pattern: Pattern) -> PartShare:
        best, full = self._mean(BEST, pairs, pattern, added), self._mean(FULL, pairs, pattern, removed)
        gained = best - self._mean(added, pairs, pattern, added)
        lost = self._mean(removed, pairs, pattern, removed) - full
        whole = self._mean(BEST, pairs, pattern, removed) - full
        return PartShare(
            part, pattern.key, pairs, gained, gained / whole, lost, lost / whole,
            self.row(added, pairs, pattern).copied_per_s.mean, self.row(removed, pairs, pattern).copied_per_s.mean,
        )  # fmt: skip

    def _mean(self, arm: Arm, pairs: int, pattern: Pattern, other: Arm) -> float:
        """Over the seeds that another arm was run with too."""
        mine = self._seeds[self._key(arm, pairs, pattern, ())]
        theirs = self._seeds[self._key(other, pairs, pattern, ())]
        return fmean(mine[seed].mean for seed in sorted(mine.keys() & theirs.keys()))

    def exposures(self, pairs: int) -> dict[str, Exposure]:
        """Of every arm that copies, by its key."""
        copy = self.experiment.parameters.copy
        found = {}
        for arm in ARMS:
            if arm.copies:
                rates = {number: self.row(arm, number).copied_per_s.mean for number in self.pairs}
                at_once = copy.concurrent if arm.queue else None
                found[arm.key] = exposure(rates, pairs, copy.volume_tracks, copy.track_bytes, at_once)
        return found

    def price(self) -> list[Row]:
        """The invention with less than is assumed of it."""
        return [self.row(FULL, self.most, values=values) for values in self.experiment.prices()]


PART_NAMES = ("queue", "kept path", "decoupled status", "snapshot")

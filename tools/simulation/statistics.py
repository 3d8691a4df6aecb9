"""Means over seeds, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

# Student's t, two-sided 95 %, by degrees of freedom; beyond the last the normal distribution is near enough.
T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
NORMAL_95 = 1.960


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and half the width of its 95 % confidence interval, which is 0 with a single value."""

    mean: float
    half: float

    def __str__(self) -> str:
        return f"{rounded(self.mean)} ± {rounded(self.half)}" if self.half else rounded(self.mean)


def estimate(values: Sequence[float]) -> Estimate:
    """Of independent values, one a seed."""
    if len(values) < 2:
        return Estimate(fmean(values), 0.0)
    freedom = len(values) - 1
    t = T_95[freedom - 1] if freedom <= len(T_95) else NORMAL_95
    return Estimate(fmean(values), t * stdev(values) / sqrt(len(values)))


def rounded(value: float) -> str:
    """Three digits that count, thousands apart."""
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 1 else f"{value:.3f}"

"""How long until all pairs are duplex, and what is unprotected meanwhile: the price of a queue, and its gain.

A whole storage system takes half a day to copy, too long to follow track by track: the rates that the runs measured are
followed instead. Volumes are equal and begin empty at the secondary. Without a queue all of them are copied at the same
time, so all are done at the end, together; with one, a few at a time, and the last has nothing at the secondary until
its turn comes. A volume counts as protected when it is duplex: before that its copy is of no moment in time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from math import log

HOUR = 3600.0
TERA = 1e12


@dataclass(frozen=True, slots=True)
class Exposure:
    """Hours from the establishes. `volume_hours`: not yet duplex, summed over the volumes; the same for bytes that the
    secondary does not have in `terabyte_hours`."""

    all_duplex_h: float
    first_duplex_h: float
    half_duplex_h: float
    last_begins_h: float  # until then the last volume has nothing at the secondary
    volume_hours: float
    terabyte_hours: float


def exposure(
    rates: Mapping[int, float], volumes: int, tracks: int, track_bytes: int, at_once: int | None
) -> Exposure:
    """`rates`: tracks a second by the number of volumes that are being established. `at_once`: of a queue."""
    now = volume_hours = track_hours = last_begins = 0.0
    duplex_at: list[float] = []
    left = volumes
    while left:
        batch = min(left, at_once or left)
        last_begins = now
        seconds = batch * tracks / rate_at(rates, left)
        volume_hours += left * seconds / HOUR
        track_hours += (left - batch / 2) * tracks * seconds / HOUR
        now += seconds
        duplex_at += [now] * batch
        left -= batch
    return Exposure(
        all_duplex_h=now / HOUR,
        first_duplex_h=duplex_at[0] / HOUR,
        half_duplex_h=duplex_at[(volumes - 1) // 2] / HOUR,
        last_begins_h=last_begins / HOUR,
        volume_hours=volume_hours,
        terabyte_hours=track_hours * track_bytes / TERA,
    )


def rate_at(rates: Mapping[int, float], volumes: int) -> float:
    """Between measured numbers, on a logarithmic scale; beyond them the nearest."""
    numbers = sorted(rates)
    place = bisect_left(numbers, volumes)
    if place == 0 or place == len(numbers):
        return rates[numbers[min(place, len(numbers) - 1)]]
    low, high = numbers[place - 1], numbers[place]
    share = log(volumes / low) / log(high / low)
    return rates[low] + share * (rates[high] - rates[low])

"""Compares the volumes of two closed stores, track by track, from the disks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ccw.geometry import geometry_for
from ccw.tracks import null_track, track_digest
from controller.array import FileDisk, VirtualArrayStore
from tools.demo_session import Bars
from tools.demo_sites import Plan
from tools.recording import Recording


@dataclass(slots=True)
class Verdict:
    """`different`: (unit address, track) whose checksums are not equal.

    `trace_different`: tracks of the recorded volume at A that are not what the recorded machine ended with.
    """

    compared: int = 0
    different: list[tuple[int, int]] = field(default_factory=list)
    trace_different: int = 0


def compare_stores(plan: Plan, store_a: Path, store_b: Path, recording: Recording, bars: Bars) -> Verdict:
    """SHA-256 of every track of every pair, read from both stores."""
    verdict = Verdict()
    hashes = recording.final_hashes(plan.traced)
    with (
        VirtualArrayStore.open(FileDisk(store_a, read_only=True)) as a,
        VirtualArrayStore.open(FileDisk(store_b, read_only=True)) as b,
        bars.bar("compare the stores", sum(plan.volumes.values()) * 15) as advance,
    ):
        for volume, cylinders in plan.volumes.items():
            geometry = geometry_for("3390", cylinders)
            for track in range(geometry.tracks):
                empty = null_track(*geometry.address_of(track))
                left = track_digest(a.read(volume, track) or empty)
                right = track_digest(b.read(volume, track) or empty)
                verdict.compared += 1
                if left != right:
                    verdict.different.append((volume, track))
                if volume == plan.traced.unit_address and left != hashes[track]:
                    verdict.trace_different += 1
                advance(1)
    return verdict

"""The speed of replaying in process: every recording, commands per second of the replay proper.

Loading a recording, comparing the final tracks and asking the models are not in it. Every recording is replayed several
times on fresh devices; the best run counts, for what makes a run slower is other work on the machine.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from tools.follower import Followed, follow
from tools.recorded_devices import InProcess
from tools.recording import Recording


@dataclass(frozen=True, slots=True)
class ReplayFigures:
    """One recording. Seconds of wall time, and of processor time, of each run."""

    name: str
    commands: int
    seconds: tuple[float, ...]
    processor_seconds: tuple[float, ...]

    def figures(self) -> dict[str, object]:
        """As one JSON-ready object; rates are commands per second."""
        return {
            "recording": self.name,
            "commands": self.commands,
            "best_per_s": round(self.commands / min(self.seconds)),
            "median_per_s": round(self.commands / median(self.seconds)),
            "best_per_processor_s": round(self.commands / min(self.processor_seconds)),
        }


def measure(recording: Recording, runs: int) -> ReplayFigures:
    """Replay a recording `runs` times. Raises RecordingError, and RuntimeError when something unexplained differs."""
    programs = list(recording.programs())
    system = InProcess(recording)
    initial = system.tracks.snapshot()
    wall, processor = [], []
    followed = Followed()
    for _ in range(runs):
        followed, fresh = Followed(), system.again(initial)
        gc.collect()
        gc.disable()
        try:
            started, used = time.perf_counter(), time.process_time()
            for program in programs:
                fresh.run(program.device, follow(program, followed))
            wall.append(time.perf_counter() - started)
            processor.append(time.process_time() - used)
        finally:
            gc.enable()
        if followed.differences:
            raise RuntimeError(f"{recording.name}: {followed.differences[0]}")
    return ReplayFigures(recording.name, followed.commands, tuple(wall), tuple(processor))


def together(all_figures: Iterable[ReplayFigures]) -> dict[str, object]:
    """All recordings as one: the sum of commands over the sum of the best times."""
    found = list(all_figures)
    commands = sum(figures.commands for figures in found)
    return {
        "recording": "all",
        "commands": commands,
        "best_per_s": round(commands / sum(min(figures.seconds) for figures in found)),
        "median_per_s": round(commands / sum(median(figures.seconds) for figures in found)),
        "best_per_processor_s": round(commands / sum(min(figures.processor_seconds) for figures in found)),
    }

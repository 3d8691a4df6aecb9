"""Reduces a difference to the fewest channel programs, and the fewest commands in them, that still show it.

Delta debugging: parts of the list are left out, larger ones first, and what is left is kept whenever a replay on a
fresh device still shows the same difference. So the result shows it by construction, and no single program or command
of it can be left out any more. Source: Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input",
2002: the ddmin algorithm, complements only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from tools.follower import Difference
from tools.recording import RecordedProgram, Recording
from tools.recording_writer import RecordingWriter
from tools.trials import InProcessTrials, Trials

CHAIN_COMMAND = 0x40

Item = TypeVar("Item")


def ddmin(items: Sequence[Item], shows: Callable[[list[Item]], bool]) -> list[Item]:
    """Return a part of `items`, in order, of which `shows` holds and of which nothing single can be left out.

    `shows` must hold for `items` as a whole; it is asked about shorter lists, also the empty one.
    """
    kept = list(items)
    size = len(kept)
    while kept and size >= 1:
        reduced = False
        start = 0
        while start < len(kept):
            without = kept[:start] + kept[start + size :]
            if shows(without):
                kept, reduced = without, True
            else:
                start += size
        if size > 1:
            size = min(size // 2, max(1, len(kept)))
        elif not reduced:
            break
    return kept


@dataclass(frozen=True, slots=True)
class Minimised:
    """The reduced difference. `programs` replay on a device that holds the initial volume, or an empty one."""

    difference: Difference
    programs: tuple[RecordedProgram, ...]
    needs_volume: bool
    trials: int

    @property
    def commands(self) -> int:
        """Commands that are left."""
        return sum(len(program.commands) for program in self.programs)


class Minimiser:
    """Finds the shortest list of programs of a recording that shows one difference: by trials, usually in process."""

    def __init__(
        self, recording: Recording, trials: Trials | None = None, progress: Callable[[int], None] | None = None
    ) -> None:
        self._recording = recording
        self._trials_at = trials or InProcessTrials(recording)
        self._progress = progress
        self._trials = 0

    def minimise(self, difference: Difference) -> Minimised:
        """Reduce `difference`, which a replay of the whole recording showed. Raises LookupError when none does."""
        programs = [p for p in self._recording.programs() if p.number <= difference.program]
        if not programs or not self._shows(programs, difference):
            raise LookupError(f"a fresh replay does not show: {difference}")
        last = programs[-1]
        before = ddmin(programs[:-1], lambda some: self._shows([*some, last], difference))
        last = self._shortened(last, difference.index, lambda program: self._shows([*before, program], difference))
        for place, program in enumerate(before):
            front, behind = before[:place], [*before[place + 1 :], last]

            def shows(one: RecordedProgram, front: list[RecordedProgram] = front,
                      behind: list[RecordedProgram] = behind) -> bool:  # fmt: skip
                return self._shows([*front, one, *behind], difference)

            before[place] = self._with_fewer_commands(program, shows)
        whole = [*before, last]
        needs_volume = not self._shows(whole, difference, empty=True)
        return Minimised(difference, tuple(whole), needs_volume, self._trials)

    def write(self, found: Minimised, folder: Path) -> None:
        """Write what was found as a recording that replays. Raises RecordingError."""
        recording = self._recording
        needed = {program.device for program in found.programs}
        name = f"{recording.name}-minimised"
        with RecordingWriter(folder, name, recording.architecture, recording.features) as writer:
            for address in sorted(needed):
                device = recording.devices[address]
                volume = found.needs_volume and device.initial is not None
                writer.add_device(device, recording.initial_tracks(device) if volume else None)
            for program in found.programs:
                writer.add_program(program)

    def _shortened(
        self, program: RecordedProgram, index: int, shows: Callable[[RecordedProgram], bool]
    ) -> RecordedProgram:
        """The program that differs: what stands behind the difference goes first, then what stands before it."""
        cut = program.commands[: index + 1]
        ended = replace(cut[-1], flags=cut[-1].flags & ~CHAIN_COMMAND)
        for commands in ((*cut[:-1], ended), cut):
            candidate = replace(program, commands=commands)
            if shows(candidate):
                program = candidate
                break
        return self._with_fewer_commands(program, shows, keep=index)

    def _with_fewer_commands(
        self, program: RecordedProgram, shows: Callable[[RecordedProgram], bool], keep: int | None = None
    ) -> RecordedProgram:
        """Leave commands out, but not the one at `keep` and not all of them."""
        numbered = list(enumerate(program.commands))
        free = [item for item in numbered if item[0] != keep]
        fixed = [item for item in numbered if item[0] == keep]

        def made(some: Sequence[tuple[int, object]]) -> RecordedProgram | None:
            chosen = {number for number, _ in some} | {number for number, _ in fixed}
            if not chosen:
                return None
            return replace(program, commands=tuple(one for number, one in numbered if number in chosen))

        def still(some: list[tuple[int, object]]) -> bool:
            candidate = made(some)
            return candidate is not None and shows(candidate)

        return made(ddmin(free, still)) or program

    def _shows(self, programs: Sequence[RecordedProgram], wanted: Difference, empty: bool = False) -> bool:
        """Replay on a fresh device; does the same difference appear, wherever in its program the command stands now?"""
        self._trials += 1
        if self._progress is not None:
            self._progress(1)
        trials = self._trials_at
        followed = trials.run_without_volume(programs) if empty else trials.run(programs)
        return followed is not None and any(_same(found, wanted) for found in followed.differences)


def _same(found: Difference, wanted: Difference) -> bool:
    return replace(found, index=0, chain="") == replace(wanted, index=0, chain="")

"""Waits for copies: `-wait` of mkpprc, resumepprc and failbackpprc.

Each pair is asked again and again until it is duplex (with extended distance: until nothing is left to be copied),
until it has stopped, or until time is up. A pair that cannot go on just now, for want of a path or a bridge, is waited
for all the same; what is shown says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import trio

from ccw.errors import FormatError
from ccw.pprc_codes import PairState
from ccw.pprc_query import VolumeFlag, VolumeQuery
from host_emulator.words.desk import Desk, NotNamed, Refused, Unanswered
from host_emulator.words.explain import Why, explain
from host_emulator.words.outcome import Outcome, Verdict, refusal
from host_emulator.words.perform import perform
from host_emulator.words.tasks import EstablishPair, Task

POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the copies are: tracks in step, of those that were not when the waiting began."""

    done: int
    total: int
    text: str  # what the first pair that is not complete is waiting for


Watch = Callable[[Progress | None], None]  # None: the waiting is over


def _nobody(progress: Progress | None) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Whether and how long copies are waited for. `always`: also of words that do not say -wait."""

    always: bool = False
    timeout_s: float = math.inf
    watch: Watch = _nobody


async def perform_all(desk: Desk, tasks: Sequence[Task], patience: Patience) -> list[Outcome]:
    """Do the tasks in their order, then wait for the copies that are to be waited for.

    A refusal ends only its own task; when the system no longer answers, nothing more is sent.
    """
    outcomes: list[Outcome] = []
    waiting: dict[int, EstablishPair] = {}
    for task in tasks:
        outcome = await perform(desk, task)
        outcomes.append(outcome)
        if outcome.verdict is Verdict.UNANSWERED:
            return outcomes
        if isinstance(task, EstablishPair) and (task.wait or patience.always) and not outcome.exit:
            waiting[len(outcomes) - 1] = task
    for at, end in (await _wait(desk, waiting, patience)).items():
        verdict = outcomes[at].verdict if end.verdict is Verdict.DONE else end.verdict  # done, or already
        outcomes[at] = replace(outcomes[at], verdict=verdict, text=end.text, result=end.result)
    return outcomes


async def _wait(desk: Desk, waiting: dict[int, EstablishPair], patience: Patience) -> dict[int, Outcome]:
    """What became of each."""
    ended: dict[int, Outcome] = {}
    behind: dict[int, str] = {}
    try:
        with trio.move_on_after(patience.timeout_s):
            await _watch(desk, waiting, patience.watch, ended, behind)
    except Refused as refused:
        ended |= {at: refusal("", b"", refused.result) for at in waiting if at not in ended}
    except (Unanswered, NotNamed, FormatError) as error:
        lost = Outcome(Verdict.UNANSWERED, "", f"no answer: {error}")
        ended |= {at: lost for at in waiting if at not in ended}
    finally:
        patience.watch(None)
    late = f"not complete after {patience.timeout_s:g} s"
    return {
        at: ended.get(at, Outcome(Verdict.NOT_YET, "", f"{late}; {behind[at]}" if at in behind else late))
        for at in waiting
    }


async def _watch(
    desk: Desk, waiting: dict[int, EstablishPair], watch: Watch, ended: dict[int, Outcome], behind: dict[int, str]
) -> None:
    """Until each of `waiting` is in `ended`. `behind`: what the others wait for."""
    at_first: dict[int, int] = {}
    left: dict[int, int] = {}
    while len(ended) < len(waiting):
        queue, paths = await desk.queue(), await desk.paths()
        for at, task in waiting.items():
            if at in ended:
                continue
            volume = await desk.look(task.device)
            if volume is None:  # MSGREQ: its order is under way
                behind[at] = f"{task.subject} busy: its order is under way"
                continue
            why = explain(volume, queue, paths)
            at_first.setdefault(at, volume.out_of_sync_tracks)
            left[at] = min(volume.out_of_sync_tracks, at_first[at])
            behind[at] = f"{task.subject} {why.text}"
            end = _end(volume, why)
            if end is not None:
                ended[at] = end
                left[at] = 0 if end.verdict is Verdict.DONE else left[at]
        total = sum(at_first.values())
        text = next((behind[at] for at in waiting if at not in ended), "complete")
        watch(Progress(total - sum(left.values()), total, text))
        if len(ended) < len(waiting):
            await trio.sleep(POLL_S)


def _end(volume: VolumeQuery, why: Why) -> Outcome | None:
    """How the waiting for a volume ends; None while it goes on."""
    if volume.state == PairState.DUPLEX:
        return Outcome(Verdict.DONE, "", "full duplex")
    if volume.state == PairState.DUPLEX_PENDING:
        complete = volume.flags & VolumeFlag.EXTENDED_DISTANCE and not volume.out_of_sync_tracks
        return Outcome(Verdict.DONE, "", "copied; extended distance stays pending") if complete else None
    return Outcome(Verdict.STOPPED, "", f"stopped: {why.text}" if why.code else "stopped: simplex")

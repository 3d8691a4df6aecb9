"""Does what a word asks for, and leaves alone what is so already, so that every word can be said again.

Each task is looked up first. What is so already is said and nothing is sent (but for a suspend, which ends what an
earlier one held); otherwise the order goes out, and when it is refused the system is looked at once more: if it is so
now, somebody else was quicker. A task whose names contradict what the system says (another secondary, another system)
is not sent at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ccw.errors import FormatError
from host_emulator.words import listing, pair_acts, path_acts
from host_emulator.words.cquery import report
from host_emulator.words.desk import Desk, NotNamed, Refused, Unanswered
from host_emulator.words.outcome import Outcome, Verdict, refusal
from host_emulator.words.tasks import (
    DefineBridge,
    DeleteBridge,
    DeletePair,
    DeletePaths,
    EstablishBridge,
    EstablishPair,
    EstablishPaths,
    Freeze,
    Query,
    RecoverPair,
    Run,
    ShowBridges,
    ShowPairs,
    ShowPaths,
    SuspendPair,
    Task,
)


async def perform(desk: Desk, task: Task) -> Outcome:
    """Do one task. Never raises for what the system does."""
    subject = task.subject
    try:
        return await _PERFORM[type(task)](desk, task)
    except NotNamed as error:
        return Outcome(Verdict.BAD_INPUT, subject, str(error))
    except Refused as refused:
        return refusal(subject, b"", refused.result)
    except Unanswered as error:
        return Outcome(Verdict.UNANSWERED, subject, f"no answer: {error}")
    except FormatError as error:
        return Outcome(Verdict.UNANSWERED, subject, f"an answer that cannot be read: {error}")


async def _show_pairs(desk: Desk, task: ShowPairs) -> Outcome:
    paths, queue = await desk.paths(), await desk.queue()
    rows = await listing.pair_rows(desk, task, paths, queue)
    lines = listing.pair_lines(rows, long=task.long)
    behind = [row for row in rows if row["why"]]
    verdict = Verdict.REFUSED if task.must_be_duplex and behind else Verdict.DONE
    text = f"{len(rows)} pairs, {len(behind)} not duplex"
    return Outcome(verdict, "", text, lines=tuple(lines), fields={"pairs": rows})


async def _show_paths(desk: Desk, task: ShowPaths) -> Outcome:
    found = await desk.paths()
    rows = listing.path_rows(found, task)
    return Outcome(Verdict.DONE, "", f"{len(rows)} paths", lines=tuple(listing.path_lines(rows)),
                   fields={"paths": rows})  # fmt: skip


async def _show_bridges(desk: Desk, task: ShowBridges) -> Outcome:
    rows, waiting = listing.bridge_rows(await desk.queue())
    lines = tuple(listing.bridge_lines(rows, waiting))
    return Outcome(Verdict.DONE, "", f"{len(rows)} bridges", lines=lines, fields={"bridges": rows, "queue": waiting})


async def _query(desk: Desk, task: Query) -> Outcome:
    volume, paths = await desk.need_volume(task.device), await desk.paths()
    lines, fields = report(task, volume, paths)
    return Outcome(Verdict.DONE, task.subject, task.what.lower(), lines=tuple(lines), fields=fields)


_PERFORM: dict[type[Task], Callable[[Desk, Any], Awaitable[Outcome]]] = {
    EstablishPaths: path_acts.establish_paths,
    DeletePaths: path_acts.delete_paths,
    EstablishPair: pair_acts.establish_pair,
    DeletePair: pair_acts.delete_pair,
    SuspendPair: pair_acts.suspend_pair,
    RecoverPair: pair_acts.recover_pair,
    Freeze: path_acts.freeze,
    Run: path_acts.run,
    DefineBridge: path_acts.define_bridge,
    EstablishBridge: path_acts.establish_bridge,
    DeleteBridge: path_acts.delete_bridge,
    ShowPairs: _show_pairs,
    ShowPaths: _show_paths,
    ShowBridges: _show_bridges,
    Query: _query,
}

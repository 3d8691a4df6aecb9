"""Runs cases. Each begins with hosts that have done nothing and tracks as the fixtures have them.

A case fails with the first of its steps that differs; what differed is in its result, a line each. A case that the
target cannot be asked (another profile, no second system) is skipped, with the reason.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace

import trio

from ccw.errors import FormatError
from ccw.geometry import Cchh
from ccw.pprc_query import VolumeQuery
from host_emulator import orders
from host_emulator.channel import ChannelProgram, InterfaceControlCheck, ProgramResult
from host_emulator.parameters import Word, place
from host_emulator.program_text import build_program
from host_emulator.sense_text import describe_sense
from tools.conformance.bench import ANYWHERE, ORIGIN, PATIENCE_S, Bench
from tools.conformance.case import Case, CaseStep, Chapter, substitute
from tools.conformance.expectation import (
    Place,
    at_place,
    compare_data,
    compare_ending,
    compare_track,
    parse_ending,
    parse_records,
    parse_wanted,
)
from tools.conformance.fixtures import FIXTURES, SAME_TRACKS, WRITES
from tools.conformance.frame_text import FrameText
from tools.conformance.requirements import LARGE, PEER_PORTS, SMALL

POLL_S = 0.01
MANY_CYLINDERS = 4095


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How a case ended. `skipped`: why it was not run; `problems`: what differed, empty when it passed."""

    case: Case
    problems: tuple[str, ...]
    skipped: str
    seconds: float

    @property
    def passed(self) -> bool:
        """It ran and nothing differed."""
        return not self.problems and not self.skipped


def selected(chapters: Iterable[Chapter], pattern: str) -> list[Chapter]:
    """The chapters with those cases whose identifier, title or chapter matches a regular expression."""
    wanted = re.compile(pattern, re.IGNORECASE)
    fitting = (
        replace(chapter, cases=tuple(c for c in chapter.cases if wanted.search(f"{c.id} {chapter.name} {c.title}")))
        for chapter in chapters
    )
    return [chapter for chapter in fitting if chapter.cases]


async def run_cases(bench: Bench, chapters: Iterable[Chapter], pattern: str = "") -> AsyncIterator[CaseResult]:
    """Run the cases that `pattern` selects, in order."""
    for chapter in selected(chapters, pattern):
        for case in chapter.cases:
            yield await run_case(bench, chapter, case)


async def run_case(bench: Bench, chapter: Chapter, case: Case) -> CaseResult:
    """Run one case. Never raises for what the target does."""
    started = time.perf_counter()
    reason = _reason_to_skip(bench, chapter, case)
    problems: list[str] = []
    if not reason:
        try:
            await bench.start_over()
            await _put_back(bench, chapter)
            await restore(bench)
            bench.new_pair()
            for number, step in enumerate((*chapter.prepare, *case.steps), 1 - len(chapter.prepare)):
                problems = [f"step {number}: {problem}" for problem in await run_step(bench, step)]
                if problems:
                    break
        except (InterfaceControlCheck, OSError, trio.TooSlowError, trio.BrokenResourceError, EOFError) as error:
            problems = [f"the link failed: {error or type(error).__name__}"]
    if problems:
        for name in FIXTURES:
            bench.touched(name)
    return CaseResult(case, tuple(problems), reason, time.perf_counter() - started)


def _reason_to_skip(bench: Bench, chapter: Chapter, case: Case) -> str:
    if bench.target.profile not in case.profiles:
        return f"for {', '.join(sorted(case.profiles))}, the target is a {bench.target.profile}"
    if (case.needs_second or chapter.needs_second) and bench.target.second is None:
        return "no second system"
    return ""


async def _put_back(bench: Bench, chapter: Chapter) -> None:
    """Undo what the case before may have left; how that ends does not matter."""
    for step in chapter.before:
        if step.host == "S" and bench.target.second is None:
            continue
        await run_step(bench, step)


async def restore(bench: Bench) -> None:
    """Format the fixture tracks that were written to."""
    session = await bench.session("1")
    for name, (first, last) in sorted(bench.written.items()):
        for track, text in FIXTURES[name].items():
            address = place(Word(1, track))
            if not first <= address <= last:
                continue
            result = await session.run_program(bench.device(name), _format(address, text))
            if not result.completed:
                sense = describe_sense(result.sense or b"")
                raise InterfaceControlCheck(f"{name} {track} cannot be formatted: {result.unit_status:02X} {sense}")
    bench.written.clear()


def _named_tracks(text: str) -> tuple[Cchh, Cchh]:
    """The lowest and the highest track that a program names: what it does lies between them."""
    named = [Cchh(int(cylinder), int(head)) for cylinder, head in re.findall("([0-9]+),([0-9]+)", text)]
    return (min(named), max(named)) if named else (ORIGIN, ANYWHERE)


def _format(address: Cchh, text: str) -> ChannelProgram:
    """Write R0, which erases the track, and the records behind it."""
    return orders.format_whole_track(address, parse_records(text))


async def run_step(bench: Bench, step: CaseStep) -> list[str]:
    """Run one step; what differed, a line each."""
    await bench.turn(step.host)
    return await _ACTIONS[step.action](bench, step)


async def _run(bench: Bench, step: CaseStep) -> list[str]:
    given = step.given
    name = given.get("on", "scratch")
    program = build_program(substitute(step.text, bench.variables), given.get("format", 1))
    session = await bench.session(step.host)
    result = await session.run_program(bench.device(name), program)
    holder = SAME_TRACKS.get(name, name)
    if holder in FIXTURES and step.host != "S" and any(done.start.code in WRITES for done in result.executed):
        bench.touched(holder, *_named_tracks(step.text))
    return _judge(bench, step, name, result)


def _judge(bench: Bench, step: CaseStep, name: str, result: ProgramResult) -> list[str]:
    given = step.given
    if given.get("end") == "any":
        return []
    ending = parse_ending(given.get("end", "0C"))
    if "at" in given:
        assert ending.sense is not None, "at: where the sense bytes point to"
        large = (LARGE if name == "large" else SMALL) > MANY_CYLINDERS
        ending = ending._replace(sense=at_place(ending.sense, Place(place(Word(1, given["at"])), large)))
    problems = compare_ending(ending, result)
    if "sense" in given:
        wanted = parse_wanted(substitute(given["sense"], bench.variables))
        if not wanted.matches(result.sense or b""):
            problems.append(f"sense {(result.sense or b'').hex().upper()}, wanted {wanted.text()}")
    if "residual" in given and result.residual != given["residual"]:
        problems.append(f"residual {result.residual}, wanted {given['residual']}")
    if "data" in given:
        problems += compare_data(parse_wanted(substitute(given["data"], bench.variables)), result.data)
    if "commands" in given and len(result.executed) != given["commands"]:
        problems.append(f"{len(result.executed)} commands reached the device, wanted {given['commands']}")
    return problems


async def _track(bench: Bench, step: CaseStep) -> list[str]:
    address = place(Word(1, step.text))
    session = await bench.session(step.host)
    result = await session.run_program(bench.device(step.given.get("on", "scratch")), orders.read_track(address))
    if not result.completed:
        return [f"track {step.text} cannot be read: {describe_sense(result.sense or b'')}"]
    return compare_track(address, parse_records(step.given["holds"]), result.data)


async def _reset(bench: Bench, step: CaseStep) -> list[str]:
    session = await bench.session(step.host)
    device = bench.device(step.given.get("on", "scratch"))
    if step.text == "system":
        await session.system_reset()
    elif step.text == "cancel":
        await session.cancel(device)
    else:
        await session.selective_reset(device)
    return []


async def _status(bench: Bench, step: CaseStep) -> list[str]:
    device = bench.device(step.given.get("on", "scratch"))
    found = await bench.status(step.host)
    if found is None:
        return [f"no status came, wanted {step.text}"]
    if (found.unit_address, found.status) != (device, int(step.text, 16)):
        return [f"status {found.status:02X} of unit {found.unit_address:02X}, wanted {step.text} of {device:02X}"]
    return []


async def _quiet(bench: Bench, step: CaseStep) -> list[str]:
    """No status waits for the host: one that was owed would have come before the answer to a node identification."""
    session = await bench.session(step.host)
    await session.identify()
    return [f"status {status.status:02X} of unit {status.unit_address:02X} came" for status in session.attentions()]


async def _wait(bench: Bench, step: CaseStep) -> list[str]:
    """Ask for the state of a pair until it is the one wanted (a byte in hex)."""
    session = await bench.session(step.host)
    device, state = bench.device(step.given.get("on", "scratch")), -1
    with trio.move_on_after(PATIENCE_S):
        while state != int(step.text, 16):
            result = await session.run_program(device, orders.query(orders.SCOPE_VOLUME))
            try:
                state = VolumeQuery.decode(result.data).state
            except FormatError as error:
                return [f"the volume query cannot be read: {error}"]
            await trio.sleep(POLL_S)
        return []
    return [f"pair state {state:02X}, wanted {step.text}"]


async def _send(bench: Bench, step: CaseStep) -> list[str]:
    """Send frames, separated by semicolons, one behind the other; then what must come."""
    link = await bench.raw()
    for text in filter(None, (part.strip() for part in substitute(step.text, bench.variables).split(";"))):
        if text != "silence":
            await link.send(FrameText(text).record())
    for expected in step.given.get("expect", []):
        words = substitute(expected, bench.variables)
        try:
            record = await link.hear()
        except (trio.TooSlowError, EOFError):
            return [f"nothing came, wanted {words}"]
        differences = FrameText(words).differences(record)
        if differences:
            return [f"{'; '.join(differences)}, wanted {words}"]
    return []


async def _paths(bench: Bench, step: CaseStep) -> list[str]:
    """Establish paths from A to B over the peer ports named (SAIDs)."""
    names = bench.target.names
    links = [int(said, 16) for said in step.text.split(",")] if step.text != "all" else list(PEER_PORTS["A"])
    order = orders.establish_path(names["A"], names["B"], links)
    result = await (await bench.session("1")).run_program(bench.device("scratch"), orders.pprc(order))
    return [] if result.completed else [f"establish path: {describe_sense(result.sense or b'')}"]


_ACTIONS = {
    "run": _run,
    "track": _track,
    "reset": _reset,
    "status": _status,
    "quiet": _quiet,
    "wait": _wait,
    "send": _send,
    "paths": _paths,
}

"""A case and its schema. Chapters are TOML files:

    title = "Locate Record"
    order = 40                        where the chapter stands; numbers of cases are printed in this order
    before = [ STEP ... ]             run before each case, whatever they end with (undo what a case left behind)
    prepare = [ STEP ... ]            run before each case; must end normally unless they say otherwise

    [[case]]
    id = "LR-08"                      unique, chapter prefix and number
    title = "byte 2 is not zero"
    clause = "ECKD 3.9.3 step 8"      where the expectation comes from
    profiles = ["2107"]               only for control units of these profiles (default: all)
    run = "de 1,2; lr read @2=01"     a case of one program; or
    steps = [ STEP ... ]

A step is a table with exactly one of the keys of ACTIONS, and, for `run`:

    on        device by name (default scratch)          host      who sends it (default 1)
    format    0 or 1, of the CCWs (default 1)           end       how it must end (default 0C)
    at        C,H the sense bytes must point to         residual  of the last CCW
    data      pattern of everything that was read       commands  how many commands reached the device
    sense     pattern, where the condition is not enough

Hosts: 1, 2, 3 are channels of the system under test, S one of the second system, P a channel that says it is a peer,
R a link driven frame by frame. {name} stands for the unit address of a device, {a} and {b} for the identities of the
two systems, {ssid} and the like for parts of them, {pair} and {another_pair} for identifiers of pairs, new in each
case.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from host_emulator.parameters import ProgramError, Word, place
from host_emulator.program_text import parse_program
from tools.conformance.expectation import parse_ending, parse_records, parse_wanted
from tools.conformance.frame_text import FrameText

CHAPTERS = Path(__file__).with_name("chapters")
HOSTS = ("1", "2", "3", "S", "P", "R")
DEVICES = ("scratch", "spare", "inhibited", "old", "large", "bridge", "status", "alias", "first", "absent")
PROFILES = ("3990-3", "3990-6", "2105", "2107")

# Action: the further keys its step may have.
ACTIONS: dict[str, frozenset[str]] = {
    "run": frozenset({"on", "host", "format", "end", "at", "residual", "data", "commands", "sense"}),
    "track": frozenset({"on", "host", "holds"}),
    "reset": frozenset({"on", "host"}),
    "status": frozenset({"on", "host"}),
    "quiet": frozenset({"host"}),
    "wait": frozenset({"on", "host"}),
    "send": frozenset({"expect"}),
    "paths": frozenset(),
}
CASE_KEYS = frozenset({"id", "title", "clause", "profiles", "steps"}) | ACTIONS["run"] | {"run"}
CHAPTER_KEYS = frozenset({"title", "order", "before", "prepare", "case"})

# What the variables stand for while a chapter is only checked.
EXAMPLE_VARIABLES = {
    **{name: f"{0xE0 + index:02X}" for index, name in enumerate(DEVICES)},
    "a": "0100:00:000000012345",
    "b": "0200:00:000000067890",
    "other": "0300:00:000000011111",
    "pair": "00000001",
    "another_pair": "40000001",
    "ssid": "0100",
    "lss": "00",
    "ssid_b": "0200",
    "lss_b": "00",
    "serial": "F0F0F0F0F0F0F0F1F2F3F4F5",
    "serial_b": "F0F0F0F0F0F0F0F6F7F8F9F0",
}


class CaseError(ValueError):
    """A chapter that cannot be used; one line: file, case, what."""


@dataclass(frozen=True, slots=True)
class CaseStep:
    """One step: its action and what it was given."""

    action: str
    text: str
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """Who does it."""
        return "R" if self.action == "send" else str(self.given.get("host", "1"))


@dataclass(frozen=True, slots=True)
class Case:
    """One numbered case."""

    id: str
    title: str
    clause: str
    chapter: str
    steps: tuple[CaseStep, ...]
    profiles: frozenset[str]

    @property
    def needs_second(self) -> bool:
        """A second system, linked to the first, takes part."""
        texts = " ".join([step.text for step in self.steps])
        return any(step.host == "S" for step in self.steps) or "{b}" in texts


@dataclass(frozen=True, slots=True)
class Chapter:
    """A file of cases."""

    name: str
    title: str
    order: int
    before: tuple[CaseStep, ...]
    prepare: tuple[CaseStep, ...]
    cases: tuple[Case, ...]

    @property
    def needs_second(self) -> bool:
        """Its preparation alone needs a second system."""
        return any(step.host == "S" or "{b}" in step.text for step in self.prepare)


def load_chapters(folder: Path = CHAPTERS) -> list[Chapter]:
    """All chapters in their order. Raises CaseError for the first thing that is wrong."""
    chapters = sorted((_chapter(path) for path in folder.glob("*.toml")), key=lambda chapter: chapter.order)
    seen: dict[str, str] = {}
    for chapter in chapters:
        for case in chapter.cases:
            if case.id in seen:
                raise CaseError(f"{chapter.name}: case {case.id} is also in {seen[case.id]}")
            seen[case.id] = chapter.name
    return chapters


def substitute(text: str, variables: dict[str, str]) -> str:
    """The text with every {name} replaced. Raises ValueError for a name that is not known."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in variables:
            raise ValueError(f"{match[0]}: no such variable")
        return variables[match[1]]

    return re.sub(r"\{([a-z_]+)\}", value, text)


def _chapter(path: Path) -> Chapter:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CaseError(f"{path.name}: {error}") from error
    try:
        _only(table, CHAPTER_KEYS)
        title, order = _text(table, "title"), table.get("order")
        if not isinstance(order, int):
            raise ValueError("order: a number is needed")
        before, prepare = _steps(table.get("before", [])), _steps(table.get("prepare", []))
    except ValueError as error:
        raise CaseError(f"{path.name}: {error}") from error
    cases = tuple(_cases(path, table.get("case", [])))
    return Chapter(path.stem, title, order, before, prepare, cases)


def _cases(path: Path, tables: list[dict[str, Any]]) -> Iterator[Case]:
    for index, table in enumerate(tables, 1):
        name = table.get("id", f"number {index}")
        try:
            yield _case(path.stem, table)
        except ValueError as error:
            raise CaseError(f"{path.name}: case {name}: {error}") from error


def _case(chapter: str, table: dict[str, Any]) -> Case:
    _only(table, CASE_KEYS)
    identifier = _text(table, "id")
    if not re.fullmatch("[A-Z0-9]{2,5}-[0-9]{2,3}", identifier):
        raise ValueError(f"id {identifier!r} is not PREFIX-NN")
    if ("run" in table) == ("steps" in table):
        raise ValueError("either run or steps")
    profiles = table.get("profiles", list(PROFILES))
    if not profiles or not set(profiles) <= set(PROFILES):
        raise ValueError(f"profiles: some of {', '.join(PROFILES)}")
    one = {key: value for key, value in table.items() if key == "run" or key in ACTIONS["run"]}
    if "steps" in table and one:
        raise ValueError(f"{next(iter(one))} belongs into a step")
    steps = _steps(table.get("steps", [one]))
    if not steps:
        raise ValueError("steps: at least one")
    return Case(identifier, _text(table, "title"), _text(table, "clause"), chapter, steps, frozenset(profiles))


def _steps(tables: Any) -> tuple[CaseStep, ...]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ValueError("steps: a list of tables")
    return tuple(_step(table) for table in tables)


def _step(table: dict[str, Any]) -> CaseStep:
    actions = [key for key in table if key in ACTIONS]
    if len(actions) != 1:
        raise ValueError(f"a step has exactly one of {', '.join(ACTIONS)}")
    (action,) = actions
    _only(table, ACTIONS[action] | {action})
    given = {key: value for key, value in table.items() if key != action}
    step = CaseStep(action, _text(table, action), given)
    _check(step)
    return step


def _check(step: CaseStep) -> None:
    """Everything that can be wrong with a step without running it. Raises ValueError."""
    given = step.given
    if step.host not in HOSTS:
        raise ValueError(f"host {step.host!r} is not one of {', '.join(HOSTS)}")
    if given.get("on", "scratch") not in DEVICES:
        raise ValueError(f"on {given['on']!r} is not one of {', '.join(DEVICES)}")
    text = substitute(step.text, EXAMPLE_VARIABLES)
    if step.action == "run":
        _check_program(text, given)
    elif step.action == "track":
        place(Word(1, text))
        parse_records(given["holds"])
    elif step.action == "send":
        for frame in filter(None, text.split(";")):
            if frame.strip():
                FrameText(frame).record()
        for frame in given.get("expect", []):
            FrameText(substitute(frame, EXAMPLE_VARIABLES))
    elif step.action == "status" and not re.fullmatch("[0-9A-F]{2}", text):
        raise ValueError(f"status {text!r} is not a byte in hex")
    elif step.action == "reset" and text not in ("system", "selective", "cancel"):
        raise ValueError(f"reset {text!r} is not system, selective or cancel")


def _check_program(text: str, given: dict[str, Any]) -> None:
    try:
        parse_program(text)
    except ProgramError as error:
        raise ValueError(f"{error}: {text}") from error
    if given.get("end", "0C") != "any":
        parse_ending(given.get("end", "0C"))
    for name in ("data", "sense"):
        if name in given:
            parse_wanted(substitute(given[name], EXAMPLE_VARIABLES))
    if "at" in given:
        place(Word(1, given["at"]))
    for name in ("residual", "commands"):
        if name in given and not isinstance(given[name], int):
            raise ValueError(f"{name}: a number")
    if given.get("format", 1) not in (0, 1):
        raise ValueError("format: 0 or 1")


def _only(table: dict[str, Any], known: frozenset[str]) -> None:
    for key in table:
        if key not in known:
            raise ValueError(f"{key}: no such key (known: {', '.join(sorted(known))})")


def _text(table: dict[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key}: a text is needed")
    return value

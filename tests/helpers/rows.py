"""The rows of tests/vectors/commands.toml as programs and endings; its head says how they are written."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ccw.tracks import build_image
from tests.helpers.devices import CC, SLI, Bench

FILE = Path(__file__).parents[1] / "vectors" / "commands.toml"
CYLINDERS = 100
EXTENDED, EXTENDED_CYLINDERS = "2107-A", 70_000  # a 2107 with an extended address volume
DEVICES = {"9343": "9345", "3880-3": "3380"}
EVERYWHERE = ("3880-3", "3990-2", "3990-3", "9343", "2105", "2107", EXTENDED)  # control units besides the 3990-6
OTHER = 0x33


@dataclass(frozen=True)
class Expected:
    """How a program ends. `sense`: bytes 0, 1 and 7; `bytes`: further ones."""

    status: int
    sense: tuple[int, int, int] | None = None
    bytes: dict[int, int] = field(default_factory=dict)
    residual: int | None = None
    length: int | None = None
    data: bytes | None = None  # type: ignore[valid-type]
    steps: int | None = None
    incorrect_length: bool = False
    read_only: bool = False


@dataclass(frozen=True)
class Row:
    """One row."""

    code: int
    number: int
    clause: str
    condition: str
    profile: str
    program: tuple[str, ...]
    text: str
    ending: Expected
    elsewhere: dict[str, Expected] = field(default_factory=dict)  # where it ends otherwise: control unit, how

    def __str__(self) -> str:
        return f"{self.code:02X}-{self.number}"


def _load() -> tuple[dict[str, str], dict[str, list[list[Any]]], dict[str, dict[str, str]]]:
    table = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return table["names"], table["rows"], table["elsewhere"]


_NAMES, _TABLE, _ELSEWHERE = _load()


def to_bytes(text: str) -> bytes:
    """Hex digits, $NAME, and *N=XX."""
    parts: list[str] = []
    for token in text.split():
        if token.startswith("$"):
            parts.append(to_bytes(_NAMES[token[1:]]).hex())
        elif token.startswith("*"):
            count, _, value = token[1:].partition("=")
            parts.append(value * int(count))
        else:
            parts.append(token)
    return bytes.fromhex("".join(parts))


def _expected(text: str) -> Expected:
    tokens = text.split()
    status = int(tokens.pop(0), 16)
    values: dict[str, Any] = {}
    if status & 0x02:
        values["sense"] = tuple(int(tokens.pop(0), 16) for _ in range(3))
    further: dict[int, int] = {}
    while tokens:
        key, _, value = tokens.pop(0).partition("=")
        if key == "data":
            values["data"] = to_bytes(" ".join([value, *_data_tokens(tokens)]))
        elif key in ("res", "len", "steps"):
            values[{"res": "residual", "len": "length", "steps": "steps"}[key]] = int(value)
        elif key == "il":
            values["incorrect_length"] = True
        elif key == "ro":
            values["read_only"] = True
        else:
            further[int(key.removeprefix("b"))] = int(value, 16)
    return Expected(status, bytes=further, **values)


def _data_tokens(tokens: list[str]) -> list[str]:
    taken = []
    while tokens and ("=" not in tokens[0] or tokens[0].startswith("*")) and tokens[0] not in ("il", "ro"):
        taken.append(tokens.pop(0))
    return taken


def _row(code: str, number: int, row: list[Any]) -> Row:
    clause, condition, profile, program, text = row
    value = OTHER if code == "other" else int(code, 16)
    elsewhere = {unit: _expected(other) for unit, other in _ELSEWHERE.get(f"{value:02X}-{number}", {}).items()}
    return Row(value, number, clause, condition, profile or "3990-6", tuple(program), text, _expected(text), elsewhere)


def at(row: Row, unit: str) -> Row:
    """The row as it is on one of `EVERYWHERE`."""
    return replace(row, profile=unit, ending=row.elsewhere.get(unit, row.ending))


ROWS = [_row(code, number, row) for code, rows in _TABLE.items() for number, row in enumerate(rows, 1)]


def steps_of(row: Row) -> list[tuple[object, ...]]:
    """The program as `Bench.run` takes it."""
    program: list[tuple[object, ...]] = []
    for index, step in enumerate(row.program):
        code, _, rest = step.partition(" ")
        if code == "TIC":
            program.append(("TIC", int(rest)))
            continue
        flags = (SLI if "~" in step else 0) | (CC if index + 1 < len(row.program) else 0)
        rest = rest.replace("~", "").strip()
        argument: object = int(rest[1:]) if rest.startswith("#") else to_bytes(rest) or 0
        program.append((int(code, 16), argument, flags))
    return program


def bench_for(row: Row) -> Bench:
    """The volume that the head of the file describes."""
    profile, cylinders = (row.profile, CYLINDERS) if row.profile != EXTENDED else ("2107", EXTENDED_CYLINDERS)
    bench = Bench(profile, cylinders, DEVICES.get(profile, "3390"), read_only=row.ending.read_only)
    keyed = [(number, f"KEY{number}".encode("cp037"), bytes((number,)) * 16) for number in (1, 2, 3)]
    bench.format(5, 2, [*keyed, (4, b"", b"")])
    bench.format(0, 0, [(1, b"", b"\x0f" * 16)])
    bench.format(5, 3, [(1, b"", b"\x31" * 16), (2, b"", b"\x32" * 16)])
    for cylinder, head, fill in ((5, 13, 0xD1), (5, 14, 0xD2), (6, 0, 0x60)):
        bench.format(cylinder, head, [(1, b"", bytes((fill,)) * 16)])
    bench.tracks.images[7 * 15] = build_image(b"\0\0\7\0\0", [])
    return bench

"""The rules that explain differences: each holds for exactly its condition, and for nothing that differs further."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccw.tracks import null_track, track_digest
from tools.deviations import Found, explain, flag_not_stored_on_track, repeats
from tools.recording import RecordedCommand, RecordedProgram

TAIL = bytes(16) + b"\x80" + bytes(7)
HOME = b"\0\5\0\7"


def command(code: int, **fields: object) -> RecordedCommand:
    made = RecordedCommand(code, 0x20, 16, b"", b"", 0x0C, 0, 0, False, None, False, True)
    return replace(made, **fields)  # type: ignore[arg-type]


def found(name: str, expected: object, got: object, *commands: RecordedCommand, **fields: object) -> Found:
    """A difference in the last of `commands`."""
    program = RecordedProgram(1, 0x120, 1, False, "end", commands, 0x0C, 0, 0)
    made = Found(program, len(commands) - 1, name, expected, got, False)  # type: ignore[arg-type]
    return replace(made, **fields)  # type: ignore[arg-type]


def name_of(difference: Found) -> str | None:
    deviation = explain(difference)
    return deviation.name if deviation is not None else None


def sense(start: str) -> bytes:
    return (bytes.fromhex(start).ljust(8, b"\0") + TAIL)[:32]


LOCATE = command(0x47)
PROTECTED, IMPRECISE = sense("0004000000000D00"), sense("0005000100000D00")
INCOMPLETE = command(0x86, flags=0, sense=sense("8100"), status=0x0E)
FLAGS = {"home_flags": {HOME: 1}}

EXPLAINED = [
    ("home-address-flag-not-stored", found("data", b"\0" + HOME, b"\1" + HOME, command(0x1A), **FLAGS)),
    (
        "home-address-flag-not-stored",
        found("data", bytes(20) + HOME + bytes(4), bytes(19) + b"\1" + HOME + bytes(4), command(0x0A), **FLAGS),
    ),
    ("imprecise-ending-missing", found("sense", PROTECTED, IMPRECISE, LOCATE, command(0x9E, sense=PROTECTED))),
    ("output-residual-zero", found("ending residual", 0, 48, command(0x05, residual=48))),
    ("message-of-another-format", found("sense", sense("8000000000000022"), sense("8000000000000002"), command(6))),
    ("home-address-file-protected", found("sense", sense("0004"), sense("8000000000000002"), command(0x19))),
    ("incomplete-domain-form", found("status", 0x0E, 0x0C, LOCATE, INCOMPLETE)),
    ("incomplete-domain-form", found("ending status", 0x0E, 0x0C, LOCATE, INCOMPLETE)),
    ("incomplete-domain-form", found("sense", sense("8100"), None, LOCATE, INCOMPLETE)),
    ("incomplete-domain-form", found("sense", sense("8100"), sense("0110"), LOCATE, INCOMPLETE)),
    ("sector-always-zero", found("data", b"\0", b"\x29", command(0x22))),
]

UNEXPLAINED = [
    found("data", b"\0" + HOME, b"\1" + HOME, command(0x1A)),
    found("data", b"\0" + HOME, b"\2" + HOME, command(0x1A), **FLAGS),
    found("data", b"\0" + HOME, b"\1\0\5\0\6", command(0x1A), **FLAGS),
    found("data", b"\2" + HOME, b"\1" + HOME, command(0x1A), **FLAGS),
    found("data", b"\0" + HOME, b"\1" + HOME, command(0x06), **FLAGS),
    found("sense", PROTECTED, IMPRECISE, command(0x9E, sense=PROTECTED)),
    found("sense", PROTECTED, sense("0005000100000E00"), LOCATE, command(0x9E, sense=PROTECTED)),
    found("sense", sense("0008"), sense("0009"), LOCATE, command(0x9E, sense=PROTECTED)),
    found("ending residual", 0, 47, command(0x05, residual=48)),
    found("ending residual", 1, 48, command(0x05, residual=48)),
    found("ending residual", 0, 48, command(0x06, residual=48)),
    found("residual", 0, 48, command(0x05, residual=48)),
    found("sense", sense("8000000000000022"), sense("8000000000000004"), command(6)),
    found("sense", sense("0004"), sense("8000000000000002"), command(0x15)),
    found("sense", sense("0004"), sense("8000000000000004"), command(0x19)),
    found("status", 0x0E, 0x0C, INCOMPLETE),
    found("status", 0x0E, 0x0D, LOCATE, INCOMPLETE),
    found("status", 0x0E, 0x0C, LOCATE, replace(INCOMPLETE, flags=0x40)),
    found("status", 0x0E, 0x0C, LOCATE, replace(INCOMPLETE, sense=sense("8000"))),
    found("sense", sense("8100"), sense("0008"), LOCATE, INCOMPLETE),
    found("data", b"\1", b"\x29", command(0x22)),
    found("data", b"\0", b"\xff", command(0x22)),
    found("data", b"\0", b"\x29", command(0x06)),
]


@pytest.mark.parametrize(("name", "difference"), EXPLAINED)
def test_explained(name: str, difference: Found) -> None:
    assert name_of(difference) == name


@pytest.mark.parametrize("difference", UNEXPLAINED)
def test_not_explained(difference: Found) -> None:
    assert name_of(difference) is None


def test_a_sense_program_repeats_what_was_explained() -> None:
    earlier = found("sense", PROTECTED, IMPRECISE, LOCATE, command(0x9E))
    assert repeats(found("data", PROTECTED, IMPRECISE, command(0x04)), earlier)
    assert repeats(found("data", PROTECTED[:24], IMPRECISE[:24], command(0x04)), earlier)
    assert not repeats(found("data", PROTECTED, PROTECTED, command(0x04)), earlier)
    assert not repeats(found("data", PROTECTED, IMPRECISE, command(0x06)), earlier)
    assert not repeats(found("data", IMPRECISE, IMPRECISE, command(0x04)), earlier)
    assert not repeats(found("data", b"", b"", command(0x04)), earlier)
    assert not repeats(found("data", PROTECTED, IMPRECISE, command(0x04)), None)
    silent = found("sense", sense("8100"), None, LOCATE, INCOMPLETE)
    assert repeats(found("data", sense("8100"), sense(""), command(0x04)), silent)


def test_a_track_whose_flag_was_not_stored() -> None:
    plain = null_track(5, 7)
    flagged = b"\1" + plain[1:]
    assert flag_not_stored_on_track(track_digest(plain), flagged, {HOME: 1})
    assert not flag_not_stored_on_track(track_digest(plain), flagged, {HOME: 2})
    assert not flag_not_stored_on_track(track_digest(plain), flagged, {})
    assert not flag_not_stored_on_track(track_digest(plain), plain, {HOME: 1})
    assert not flag_not_stored_on_track(track_digest(null_track(5, 8)), flagged, {HOME: 1})

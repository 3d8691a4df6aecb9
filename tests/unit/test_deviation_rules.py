"""The rules that explain differences: each holds for exactly its condition, and for nothing that differs further."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccw.tracks import null_track, track_digest
from tools.deviation_rules import flag_not_stored_on_track
from tools.deviations import explain, repeats
from tools.found import Found
from tools.recording import RecordedCommand, RecordedProgram

TAIL = bytes(16) + b"\x80" + bytes(7)
HOME = b"\0\5\0\7"


def command(code: int, **fields: object) -> RecordedCommand:
    made = RecordedCommand(code, 0x20, 16, b"", b"", 0x0C, 0, 0, False, None, False, True)
    return replace(made, **fields)  # type: ignore[arg-type]


def found(name: str, expected: object, got: object, *commands: RecordedCommand, **fields: object) -> Found:
    """A difference in the last of `commands`."""
    program = RecordedProgram(1, 0x120, 0, False, "end", commands, 0x0C, 0, 0)
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
SHORT = command(0x1D, flags=0, count=48, residual=48, status=0x0E)
SENSE_ID = bytes.fromhex("FF9343E0934504 00 40FA0100")
STATUS = bytes.fromhex("01211F") + bytes(37)
IMMEDIATE = replace(command(0x13, flags=0, count=1, residual=1), immediate=True)
SEGMENT = b"\0\1\0\2\3\0\0\2" + b"AB"

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
    ("short-output-unnoticed", found("channel status", 0, 0x40, command(0x31, flags=0x40, residual=2))),
    ("incorrect-length-beside-check", found("channel status", 0x40, 0, SHORT)),
    ("incorrect-length-beside-check", found("ending channel status", 0x40, 0, replace(SHORT, status=0x0D))),
    ("parameters-of-refused", found("residual", 0, 16, command(0x47, status=0x0E, sense=sense("80")))),
    ("parameters-of-refused", found("residual", 8, 16, command(0x05, status=0x0E, sense=sense("80")))),
    ("parameters-of-refused", found("residual", 16, 0, command(0x27, status=0x0E, sense=sense("80")))),
    ("unknown-out-of-sequence", found("sense", sense("8000000000000002"), sense("8000000000000001"), command(0x64))),
    ("special-home-address-unknown", found("sense", sense("8000000000000001"), sense("8000000000000005"),
                                           command(0x0A))),
    ("earlier-node-descriptors", found("data", b"\xc4\1\1", b"\xdc\1\1", command(0xFA))),
    ("facilities-of-another-release", found("data", bytes(12), bytes(6) + b"\x52\x80" + bytes(4), command(0x64))),
    ("sense-id-without-words", found("data", SENSE_ID[:7], SENSE_ID, command(0xE4, data_in=SENSE_ID[:7]))),
    ("sense-id-without-words", found("residual", 9, 4, command(0xE4, data_in=SENSE_ID[:7], residual=9))),
    ("subsystem-without-statistics", found("data", STATUS, b"\1\x21\0\1\0\0\0\xc0" + bytes(32), command(0x54))),
    ("subsystem-without-statistics", found("data", STATUS[:3], b"\1\x21\0", command(0x54))),
    ("count-area-missing", found("sense", sense("0008"), sense("0048"), command(0x12))),
    ("count-area-missing", found("sense", bytes.fromhex("000800400000"), bytes.fromhex("000A00400000"), command(0x12))),
    ("overflow-flag-shown", found("data", b"\x80\1\0\2\1", b"\0\1\0\2\1", command(0x5E))),
    ("operation-code-missing", found("sense", bytes.fromhex("000500400000"), bytes.fromhex("000500400006"),
                                     command(6))),
    ("segment-missing", found("sense", sense("0008"), sense("00090006"), command(0x1E))),
    ("segment-missing", found("sense", bytes.fromhex("000800400000"), bytes.fromhex("000900400006"), command(0x1E))),
    ("immediate-length-shown", found("channel status", 0x40, 0, IMMEDIATE)),
    ("hole-before-segment", found("data", SEGMENT + bytes(8) + b"CC", SEGMENT + b"CC" + bytes(8), command(0x1E))),
    ("home-address-file-protected", found("sense", bytes.fromhex("000400400000"), bytes.fromhex("800000400000"),
                                          command(0x19))),
]  # fmt: skip

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
    found("channel status", 0, 0x40, command(0x06, flags=0x40, residual=2)),
    found("data", SENSE_ID[:7], b"\xfe" + SENSE_ID[1:], command(0xE4, data_in=SENSE_ID[:7])),
    found("residual", 9, 4, command(0xE4, data_in=SENSE_ID, residual=9)),
    found("data", STATUS, b"\1\x22\0\1\0\0\0\xc0" + bytes(32), command(0x54)),
    found("data", b"\1\x21\x1f\1" + bytes(36), b"\1\x21\0\1\0\0\0\xc0" + bytes(32), command(0x54)),
    found("sense", sense("0008"), sense("0040"), command(0x12)),
    found("channel status", 0, 0x40, command(0x31, residual=2)),
    found("channel status", 0x40, 0, replace(SHORT, code=0x1E)),
    found("channel status", 0x40, 0, replace(SHORT, residual=0)),
    found("channel status", 0x40, 0, replace(SHORT, status=0x0C)),
    found("channel status", 0x40, 0, replace(SHORT, flags=0x20)),
    found("residual", 8, 0, command(0x47, status=0x0E, sense=sense("80"))),
    found("residual", 17, 16, command(0x05, status=0x0E, sense=sense("80"))),
    found("residual", 0, 16, command(0x47)),
    found("residual", 0, 16, command(0x47, status=0x0E, sense=sense("0004"))),
    found("residual", 0, 16, command(0x06, status=0x0E, sense=sense("80"))),
    found("sense", sense("8000000000000001"), sense("8000000000000002"), command(0x64)),
    found("sense", sense("8000000000000001"), sense("8000000000000005"), command(0x1A)),
    found("sense", sense("8000000000000001"), sense("8000000000000004"), command(0x0A)),
    found("data", b"\xc4\1\1", b"\xdc\1\1", command(0x64)),
    found("data", b"\xc0\1\1", b"\xdc\1\1", command(0xFA)),
    found("data", bytes(12), bytes(6) + b"\x52\x80\0\0\1\0", command(0x64)),
    found("data", b"\0\1\0\2\1", b"\x80\1\0\2\1", command(0x5E)),
    found("data", b"\x80\1\0\2\1", b"\0\1\0\2\1", command(0x1E)),
    found("sense", bytes.fromhex("000400400000"), bytes.fromhex("000400400006"), command(6)),
    found("sense", bytes.fromhex("000500400005"), bytes.fromhex("000500400006"), command(6)),
    found("sense", sense("0008"), sense("0009"), command(0x1E)),
    found("channel status", 0x40, 0, replace(IMMEDIATE, residual=0)),
    found("channel status", 0x40, 0, replace(IMMEDIATE, code=0x03)),
    found("data", SEGMENT + bytes(2), SEGMENT[:-1] + b"CDE", command(0x1E)),
    found("data", SEGMENT, SEGMENT[:-1] + b"C", command(0x1E)),
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

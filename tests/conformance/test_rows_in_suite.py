"""Every row of the command reference is in the suite, too: a case whose program ends with the same command, alike.

So what the rows hold the commands to in process, the suite asks of any target over its link.
"""

from __future__ import annotations

from collections import defaultdict

import pytest

from ccw.ccws import CommandCode
from host_emulator.program_text import parse_program
from tests.helpers.rows import ROWS, Row
from tools.conformance.case import EXAMPLE_VARIABLES, PROFILES, load_chapters, substitute

# What a case calls the sense that a row spells out: bytes 0 and 1; a case may add counts and reasons behind the name.
NAMES = {
    (0x00, 0x04): "FP", (0x00, 0x05): "FP+", (0x00, 0x08): "NRF", (0x00, 0x20): "EOC", (0x00, 0x40): "ITF",
    (0x10, 0x02): "WI", (0x10, 0x00): "TAKEN",
}  # fmt: skip
NATIVE = {(0x01, 0x10), (0x80, 0x40)}  # whole images, which a case gives byte by byte beside 0E


def endings() -> dict[int, set[str]]:
    """How programs of the suite end, by the code of their last command."""
    found: dict[int, set[str]] = defaultdict(set)
    for chapter in load_chapters():
        for case in chapter.cases:
            for step in case.steps:
                if step.action != "run":
                    continue
                commands = parse_program(substitute(step.text, EXAMPLE_VARIABLES))
                codes = [command.code for command in commands if command.code != CommandCode.TRANSFER_IN_CHANNEL]
                found[codes[-1]].add(str(step.given.get("end", "0C")).removesuffix(" IL"))
    return found


SUITE = endings()


def name_of(row: Row) -> str:
    """The ending as a case names it."""
    sense = row.ending.sense
    if sense is None:
        return f"{row.ending.status:02X}"
    if sense[:2] in NATIVE:
        return "0E"
    return f"CR 0/{sense[2]:X}" if sense[0] == 0x80 else NAMES[sense[0], sense[1]]


@pytest.mark.parametrize("row", [row for row in ROWS if row.profile in PROFILES], ids=str)
def test_a_case_ends_as_the_row_does(row: Row) -> None:
    last = [step for step in row.program if not step.startswith("TIC")][-1]
    code, name = int(last.partition(" ")[0], 16), name_of(row)
    there = SUITE[code]
    assert any(ending == name or ending.startswith(name if name == "FP+" else f"{name}/") for ending in there), there

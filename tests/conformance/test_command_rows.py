"""Every row of tests/vectors/commands.toml: the command, its condition, and how it ends, on one device in process."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.commands.attachment import control_units_for
from tests.helpers.devices import Bench
from tests.helpers.rows import EVERYWHERE, EXTENDED, ROWS, Row, at, bench_for, steps_of
from tools.commands_reference import ECKD_PROFILES, MASTER_TABLE, PAGE, offered, page

NORMAL = {0x0C, 0x4C, 0x0D}
ROWS_SHARED = 240  # of the 3990-6, with the control unit that shares the fewest


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_row(row: Row) -> None:
    check(row)


@pytest.mark.parametrize("unit", EVERYWHERE)
def test_rows_hold_on_every_control_unit_that_has_their_commands(unit: str) -> None:
    """Or end as the table `elsewhere` says, and only there."""
    there, here = offered(unit if unit != EXTENDED else "2107"), offered("3990-6")
    tried = 0
    for row in ROWS:
        if row.profile != "3990-6":
            continue
        codes = [int(step.partition(" ")[0], 16) for step in row.program if not step.startswith("TIC")]
        if any((code in there) != (code in here) for code in codes):
            assert unit not in row.elsewhere, row
            continue
        tried += 1
        try:
            check(at(row, unit))
        except AssertionError as error:
            raise AssertionError(f"{row}: {row.condition}") from error
        if unit in row.elsewhere:
            with pytest.raises(AssertionError):
                check(replace(row, profile=unit))
    assert tried >= ROWS_SHARED


def check(row: Row) -> None:
    """Run the program and compare how it ends."""
    ending = row.ending
    ended = bench_for(row).run(steps_of(row))
    assert ended.status == ending.status, ended.sense and ended.sense.hex(" ")
    if ending.sense is not None:
        assert ended.sense is not None
        assert (ended.sense[0], ended.sense[1], ended.sense[7]) == ending.sense
    else:
        assert ended.sense is None
        assert ended.length_wrong == ending.incorrect_length
    for place, value in ending.bytes.items():
        assert ended.sense is not None and ended.sense[place] == value, place
    if ending.residual is not None:
        assert ended.residual == ending.residual
    if ending.data is not None:
        assert ended.data[-1] == ending.data
    if ending.length is not None:
        assert len(ended.data[-1]) == ending.length
    if ending.steps is not None:
        assert len(ended.steps) == ending.steps


def test_every_command_has_rows_good_and_bad() -> None:
    """What is offered ends well in some row and badly in another; Write Special CKD is never right here."""
    good = {row.code for row in ROWS if row.ending.status in NORMAL}
    bad = {row.code for row in ROWS if row.ending.status not in NORMAL}
    codes = {code for profile in ECKD_PROFILES for code in offered(profile)}
    single = {code & 0x7F if code & 0x7F in codes and code in MASTER_TABLE else code for code in codes}
    assert single - good - {0x01} == set(), "no good path"
    assert single - bad == set(), "no refusal"


def test_every_code_of_the_master_table_is_offered_or_has_a_row_that_refuses_it() -> None:
    codes = {code for profile in ECKD_PROFILES for code in offered(profile)}
    refused = {row.code for row in ROWS if row.ending.sense == (0x80, 0, 1)}
    assert set(MASTER_TABLE) - codes - refused == set()
    assert codes <= set(MASTER_TABLE)


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_rows_name_profiles_that_take_the_device() -> None:
    for row in ROWS:
        bench: Bench = bench_for(row)
        assert bench.device.profile.name in control_units_for(bench.device.geometry)

"""Any text becomes a program, or one error with a column; any bytes become a pattern that fits them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_emulator.channel import ChannelProgram
from host_emulator.console import parse_line
from host_emulator.data_text import DataError, parse_data, parse_pattern
from host_emulator.mnemonics import MNEMONICS
from host_emulator.parameters import ProgramError
from host_emulator.program_text import build_program
from host_emulator.script import ScriptError
from host_emulator.words import WORDS as OPERATOR_WORDS

WORDS = st.sampled_from(
    [*MNEMONICS, "tic", "+", "x47", "mt", "sli", "cd", "count=8", "1,2", "1,2-1,3", "1,2,3", "C1*4", "e'A", "e'A B'",
     "@2=01", "@99=FF", "n=2", "at=1,2,1", "tlf=16", "mask=C0", "read", ";", "; ", "-1", "+2", "=", "@", "é"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=12).map(" ".join)))
def test_any_text_is_a_program_or_one_error(text: str) -> None:
    try:
        program = build_program(text)
    except ProgramError as error:
        assert 1 <= error.column <= len(text) + 1
        assert error.message
        assert "\n" not in error.message
    else:
        assert isinstance(program, ChannelProgram)


OPERATORS = st.sampled_from(
    [*OPERATOR_WORDS, "CESTPAIR", "DEVN(05)", "DEVN(", "PRIM(0100 12345 05)", "SEC(0200,1,05)", "FREEZE", ")",
     "05:15", "0105:0215", "00:00", "0010", "-wait", "-l", "-at", "tgt", "-dev", "0100:00:1", "-", "--", "-type=gcp"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.text(max_size=60), *(st.lists(words, max_size=8).map(" ".join) for words in (WORDS, OPERATORS)))
)
def test_any_line_is_a_command_or_one_error(text: str) -> None:
    try:
        parse_line(text)
    except ScriptError as error:
        assert error.column >= 1
        assert "\n" not in str(error)


@given(st.binary(min_size=1, max_size=64))
def test_hex_is_read_back(data: bytes) -> None:
    assert parse_data(data.hex()) == data
    pattern = parse_pattern(data.hex())
    assert pattern.matches(data)
    assert not pattern.matches(data + b"\0")
    assert parse_pattern(data.hex() + " ...").matches(data + b"\0")


@given(st.text(max_size=40))
def test_any_text_is_data_or_one_error(text: str) -> None:
    try:
        parse_pattern(text)
    except DataError as error:
        assert 0 <= error.column <= len(text)


def test_a_dot_is_pointed_at_where_text_before_it_has_dots_too() -> None:
    with pytest.raises(DataError) as error:
        parse_data("e'A.B' C1.2")
    assert error.value.column == 9

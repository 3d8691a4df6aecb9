"""Operators' words on the command line, as far as no system is needed: help, and bad input in one line."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from host_emulator.words import WORDS, OperatorWord
from tools.cli import main
from tools.operator_words import EXIT_HELP, word_command


@pytest.mark.parametrize("word", WORDS.values(), ids=lambda word: word.name)
def test_help_says_everything(word: OperatorWord) -> None:
    result = CliRunner().invoke(main, [word.group, word.name, "--help"])
    assert result.exit_code == 0, result.output
    assert word.example in result.output and word.sends in result.output and EXIT_HELP.splitlines()[3] in result.output
    assert all(keyword.meaning in result.output for keyword in word.keywords)


def test_no_option_of_a_word_is_taken_by_the_command_line() -> None:
    """Two hyphens or one, an option of a word reaches the word; -wait means the same to both."""
    for word in WORDS.values():
        own = {name.lstrip("-") for option in word_command(word).params for name in option.opts}
        assert own & {keyword.name for keyword in word.keywords} <= {"wait"}, word.name


def test_the_groups_list_their_words() -> None:
    for group in ("pair", "path"):
        result = CliRunner().invoke(main, [group, "--help"])
        for word in WORDS.values():
            assert (f"  {word.name.lower()} " in result.output) == (word.group == group)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("pair", "mkpprc", "05:15"), "--target tcp://HOST:PORT is needed, or TRACKBRIDGE_TARGET"),
        (("pair", "mkpprc", "--target", "a.b", "05:15"), "'a.b' is not tcp://host:port"),
        (("pair", "mkpprc", "--target", "tcp://a:1"), "mkpprc: SOURCE:TARGET ... is needed"),
        (("pair", "mkpprc", "--timeout", "-1", "05:15"), "timeout"),
        (("path", "mkpprc", "--target", "tcp://a:1", "-wait", "-mode", "slow", "05:15"), "'slow' is not one of full"),
        (("pair", "cestpair", "--target", "tcp://a:1", "DEVN(05)"), "PRIM(ssid serial cca [lss]) is needed"),
        (("pair", "lspprc", "--system", "http:127.0.0.1"), "http:127.0.0.1: "),
        (("pair", "nothing"), "nothing"),
        (("top", "--target", "x"), "'x' is not tcp://host:port"),
    ],
    ids=str,
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACKBRIDGE_TARGET", raising=False)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert text in result.output and result.output.count("\n") == 1 and result.output.startswith("trackbridge: ")


@pytest.mark.parametrize("where", [("--target", "tcp://127.0.0.1:1"), ("--system", "http://127.0.0.1:1")], ids=str)
def test_a_system_that_nobody_reaches_has_a_status_of_its_own(where: tuple[str, str]) -> None:
    result = CliRunner().invoke(main, ["pair", "lspprc", *where])
    assert (result.exit_code, result.output.count("\n")) == (3, 1) and where[1] in result.output
    for wanted in (["--json"], ["-fmt", "json"]):
        result = CliRunner().invoke(main, ["pair", "lspprc", *wanted, "-l", *where])
        assert result.exit_code == 3 and '"verdict": "unanswered"' in result.output

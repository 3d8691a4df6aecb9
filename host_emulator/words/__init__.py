"""Operators' words: remote copy as TSO commands and as DSCLI spell it, over real orders and queries.

tso.py, dscli.py   the words, one row each, and how they are read
tasks.py           what they ask for, whichever spelling it came in
desk.py            one session: who is asked, what it answers; systems.py: the names in its answers
perform.py         does a task, and leaves alone what is so already; wait.py waits for a copy
explain.py         why a pair is not duplex; listing.py and cquery.py: what is shown
"""

from __future__ import annotations

import re

from host_emulator.parameters import ProgramError, Word
from host_emulator.words.dscli import DSCLI_WORDS, parse_dscli
from host_emulator.words.tasks import Task
from host_emulator.words.tso import TSO_WORDS, parse_tso
from host_emulator.words.vocabulary import Keyword, OperatorWord

HELP_WIDTH = 100
WORDS: dict[str, OperatorWord] = {word.name.lower(): word for word in (*DSCLI_WORDS, *TSO_WORDS)}


def word_of(name: str) -> OperatorWord | None:
    """The word of that name. TSO commands are known in any case, as TSO does."""
    return WORDS.get(name.lower())


def parse_word(text: str) -> list[Task]:
    """The tasks of a text that begins with a word. Raises ProgramError with the column, counted from 1."""
    found = [Word(match.start() + 1, match[0]) for match in re.finditer(r"\S+", text)]
    first = re.match("[A-Za-z]+", found[0].text) if found else None
    word = word_of(first[0]) if first else None
    if word is None:
        raise ProgramError(1, f"no such command: {found[0].text!r}" if found else "no command")
    return parse_tso(word, text) if word.tso else parse_dscli(word, found)


def option_form(word: OperatorWord, keyword: Keyword) -> str:
    """How an option begins, as it is typed."""
    if word.tso:
        return f"{keyword.name}(" if keyword.form else keyword.name
    return f"-{keyword.name}"


def syntax_of(word: OperatorWord, width: int) -> list[str]:
    """How a word is written, in lines of at most `width` characters where that can be."""
    parts = [word.name]
    for keyword in word.keywords:
        form = f"{option_form(word, keyword)}{keyword.form})" if word.tso and keyword.form else (
            f"{option_form(word, keyword)} {keyword.form}".rstrip()
        )
        parts.append(form if keyword.needed else f"[{form}]")
    if word.operands is not None:
        parts.append(word.operands.form if word.operands.needed else f"[{word.operands.form}]")
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + 1 + len(part) > width:
            lines.append("   ")
        lines[-1] += f" {part}"
    return lines


def help_of(word: OperatorWord) -> list[str]:
    """What is known of a word: how it is written, what it does, every option."""
    width = max((len(keyword.name) for keyword in word.keywords), default=0) + 2
    dash = "" if word.tso else "-"
    lines = [*syntax_of(word, HELP_WIDTH), f"  {word.summary}", f"  Sends {word.sends} to {word.asks}."]
    lines += [f"  {dash + keyword.name:{width}} {keyword.meaning}" for keyword in word.keywords]
    return [*lines, f"  for example: {word.example}"] if word.example else lines


__all__ = ["WORDS", "OperatorWord", "ProgramError", "help_of", "option_form", "parse_word", "syntax_of", "word_of"]

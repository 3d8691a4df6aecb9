"""What every operator's word is made of, and how values are read. The words themselves: tso.py and dscli.py.

An `OperatorWord` is one row: parsers, help, completion, the command line and the reference page are all made from it.
What is wrong with a text is a ProgramError with its column, counted from 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ccw.pprc import PathDescriptor
from host_emulator.parameters import ProgramError, Word, hexadecimal, number
from host_emulator.words.tasks import Task

Given = Mapping[str, Any]
Reader = Callable[[Sequence[Word]], Any]


@dataclass(frozen=True, slots=True)
class Keyword:
    """One option of a word. `form`: its value as the help shows it; empty for a switch, which takes none."""

    name: str
    form: str
    meaning: str
    read: Reader
    default: Any = None
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Operands:
    """The words without a name behind the options. `read` is given each of them."""

    form: str
    meaning: str
    read: Callable[[Word], Any]
    needed: bool = True


@dataclass(frozen=True, slots=True)
class OperatorWord:
    """One word. `build` makes its tasks of what was given; a ProgramError of it has column 1 of the text."""

    name: str
    summary: str
    sends: str  # the order or query, for people
    asks: str  # which system it is sent to
    group: str  # "pair" or "path": where the command line has it
    keywords: tuple[Keyword, ...]
    build: Callable[[Given], list[Task]]
    operands: Operands | None = None
    example: str = ""

    @property
    def tso(self) -> bool:
        """Is it spelled as a TSO command?"""
        return self.name.isupper()


def switch(words: Sequence[Word]) -> bool:
    """What a switch that is there means."""
    return True


def one(read: Callable[[Word], Any]) -> Reader:
    """A reader of exactly one value."""

    def reader(words: Sequence[Word]) -> Any:
        if len(words) != 1:
            raise ProgramError(words[1].column if words else 1, "one value is needed")
        return read(words[0])

    return reader


def choice(**values: Any) -> Reader:
    """One of these names, in any case; underscores stand for hyphens."""
    names = {name.replace("_", "-").lower(): value for name, value in values.items()}

    def read(word: Word) -> Any:
        if word.text.lower() not in names:
            raise ProgramError(word.column, f"{word.text!r} is not one of {', '.join(values).replace('_', '-')}")
        return names[word.text.lower()]

    return one(read)


def unquoted(word: Word) -> Word:
    """The value without X'' around it."""
    match = re.fullmatch("[xX]'([0-9A-Fa-f]+)'", word.text)
    return Word(word.column + 2, match[1]) if match else word


def digits(count: int) -> Callable[[Word], int]:
    """A hexadecimal number of 1 to `count` digits, or X'...'."""
    return lambda word: hexadecimal(unquoted(word), count)


def decimal(first: int, last: int) -> Reader:
    """A decimal number."""
    return one(lambda word: number(word, last, first))


def serial(word: Word) -> str:
    """A serial number of 1 to 12 characters; what stands before a hyphen (maker and type) is not looked at."""
    match = re.fullmatch(r"(?:[0-9A-Za-z.]+-)?([0-9A-Z]{1,12})", unquoted(word).text)
    if not match:
        raise ProgramError(word.column, f"{word.text!r} is not a serial number of 1 to 12 characters 0-9 A-Z")
    return match[1]


def volume_serial(word: Word) -> str:
    """A volume serial number."""
    if not re.fullmatch("[A-Z0-9@#$-]{1,6}", word.text):
        raise ProgramError(word.column, f"{word.text!r} is not a volume serial of 1 to 6 characters")
    return word.text


def link(word: Word) -> PathDescriptor:
    """A link address SSSSLLCC: outgoing port, destination link address, control-unit image; or the port alone."""
    text = unquoted(word).text
    if not re.fullmatch("[0-9A-Fa-f]{4}([0-9A-Fa-f]{4})?", text):
        raise ProgramError(word.column, f"{word.text!r} is not a link address: SSSS or SSSSLLCC, hexadecimal")
    return PathDescriptor(int(text[:4], 16), int(text[4:6] or "0", 16), int(text[6:] or "0", 16))
